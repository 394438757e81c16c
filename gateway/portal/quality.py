"""`/admin/quality`: whether the site's datasets are fit for use, and what is wrong with which exams; for stewards."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import datasets
from archive.quality.checks import Check, Dimension
from gateway import quality
from gateway.api.management import require_manager
from gateway.portal.forms import managing, signed_page
from gateway.portal.languages import marked
from gateway.services import services_of

PATH = "/admin/quality"
DIMENSIONS = {
    Dimension.COMPLETENESS: marked("Completeness"),
    Dimension.VALIDITY: marked("Validity"),
    Dimension.CONSISTENCY: marked("Consistency"),
    Dimension.UNIQUENESS: marked("Uniqueness"),
    Dimension.INTEGRITY: marked("Integrity"),
}
CHECKS = {
    Check.VIEWS: marked("Not all of the four screening views are here"),
    Check.ATTRIBUTES: marked("Images lack attributes that their kind needs"),
    Check.PATIENT: marked("The patient's sex or age is not told"),
    Check.DATE_MISSING: marked("The exam has no date"),
    Check.DATE: marked("A date is none, or can't be"),
    Check.AGE: marked("An age is none, or can't be"),
    Check.WORD: marked("A word is none of those that the standard allows"),
    Check.NUMBER: marked("A number is outside what can be"),
    Check.LATERALITY: marked("An image says left and right of the same breast"),
    Check.PERSON: marked("Images of one exam tell of different patients"),
    Check.DATES: marked("Images of one exam have different study dates"),
    Check.MODALITY: marked("The modality is not that of the image's kind"),
    Check.REPEATED: marked("A picture is in the exam more than once"),
    Check.REPEATED_STUDY: marked("A picture is in another exam of the patient, too"),
    Check.REPEATED_PATIENT: marked("A picture is in an exam of another patient, too"),
    Check.UNDECODABLE: marked("Pixels can't be decoded"),
    Check.MISSING: marked("A stored file is gone"),
    Check.UNREADABLE: marked("The exam could not be looked at"),
}
STEPS = {
    "removed": marked("removed"),
    "5 years": marked("in groups of 5 years"),
    "10 years": marked("in groups of 10 years"),
    "0.1 m": marked("to 0.1 m"),
    "10 kg": marked("in groups of 10 kg"),
}


async def show_datasets(request: Request) -> Response:
    """GET /admin/quality: the datasets, each with a way to its report."""
    require_manager(request)
    async with services_of(request).connection() as connection:
        found = await datasets.list_datasets(connection)
    return signed_page(request, "quality.html", datasets=found)


async def show_report(request: Request) -> Response:
    """GET /admin/quality/{dataset}: its report."""
    require_manager(request)
    found, kept = await quality.of_dataset(request, request.path_params["dataset"])
    return signed_page(
        request,
        "quality_report.html",
        dataset=found,
        kept=kept,
        dimensions=DIMENSIONS,
        checks=CHECKS,
        steps=STEPS,
    )


ROUTES = [
    Route(PATH, managing(show_datasets), methods=["GET"]),
    Route(f"{PATH}/{{dataset}}", managing(show_report), methods=["GET"]),
]
