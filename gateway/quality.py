"""What is known of the quality of exams and datasets, for pages and the API."""

from functools import partial

from anyio.to_thread import run_sync
from starlette.requests import Request

from archive import datasets
from archive.datasets import Dataset
from archive.pool import autocommitting
from archive.quality import exams, kept
from archive.quality.exams import Exam
from archive.quality.kept import Kept
from archive.settings import Settings
from gateway.auditing import note_shown
from gateway.services import services_of


async def of_dataset(request: Request, name: str) -> tuple[Dataset, Kept | None]:
    """A dataset or a version of one, and its report, None before one was made. Raises NotFound, Unavailable."""
    services = services_of(request)
    async with services.connection() as connection:
        found = await datasets.show(connection, name)
    report = await run_sync(partial(_report, services.settings, found.number))
    if report:
        note_shown(request, [exam.study_instance_uid for exam in report.report.worst])
    return found, report


async def of_study(request: Request, study: str) -> Exam:
    """What was found in a study. Raises NotFound, Unavailable."""
    return await run_sync(partial(_exam, services_of(request).settings, study))


def _report(settings: Settings, number: int) -> Kept | None:
    with autocommitting(settings.database_url) as connection:
        return kept.read(connection, number)


def _exam(settings: Settings, study: str) -> Exam:
    with autocommitting(settings.database_url) as connection:
        return exams.of_study(connection, study)
