"""Jobs in the worker: each considered, run in a process of its own, made into aggregates, checked, and kept.

A job belongs to who began it last (`attempt`): who was held up meanwhile can end nothing. One that a killed worker left
begins anew. As long as it runs its permit is looked at, its requester's word, and whether its studies are still here.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event as Signal
from typing import Any

import psycopg
from psycopg import AsyncConnection, OperationalError
from psycopg.types.json import Jsonb

from archive import datasets, jobs
from archive.audit import WORKER, Event, Outcome, write
from archive.errors import BadRequest, Forbidden, NotFound, SenogateError, Unauthenticated, Unavailable
from archive.job_questions import FEATURES, LEAST_PATIENTS, JobKind, JobQuestion, read_question
from archive.jobs import JobState
from archive.pool import autocommitting, connection_string, queries
from archive.settings import Settings
from federation.jobs import check, child, files, models, tables
from federation.jobs.answers import Answers, Read
from federation.jobs.cohort import Participant, participants, places
from federation.jobs.messages import Order, Work
from federation.jobs.models import Model, NotTrusted
from inference.errors import PackageError

MOST_ENDS = 3
"""Of a job's process before the job's: then the job has failed."""
MOST_ATTEMPTS = 20
"""After which a job has failed that comes to no end, whatever it is that it meets in this program."""
_LOG = logging.getLogger("senogate.jobs")


class Ended(SenogateError):
    """The job comes to an end without an answer: in this state, for that reason."""

    def __init__(self, state: JobState, reason: str) -> None:
        super().__init__(reason)
        self.state = state


class Lost(SenogateError):
    """The job is somebody else's by now: cancelled, refused, or begun by another."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A job as this worker has begun it."""

    number: int
    state: str
    attempt: int
    subject: str
    permit: str
    dataset: str
    kind: str
    question: dict[str, Any]
    sha256: str

    @property
    def job_id(self) -> str:
        return f"J{self.number}"

    @property
    def key(self) -> dict[str, Any]:
        return {"number": self.number, "attempt": self.attempt, "job": self.job_id}


class JobRunner:
    """Runs jobs, one at a time. `end` ends the one under way, which begins anew when a worker is back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ending = Signal()
        if not files.version():
            _LOG.warning("the kernel has no Landlock: a job's process may read what its user may")
        self._sql = queries("jobs.sql")

    def end(self) -> None:
        self._ending.set()

    def run(self, job_id: str) -> None:
        """Consider a job, or run it. Raises Unavailable where it is to be done again."""
        with autocommitting(self._settings.database_url) as connection:
            row = connection.execute(self._sql["begin"], {"job": job_id}).fetchone()
            if row is None:
                return
            begun = Begun(*row)
            try:
                self._do(connection, begun)
            except Ended as ended:
                self._end(connection, begun, ended.state, str(ended))
            except Lost:
                _LOG.info("job %s was ended meanwhile", job_id)

    def _do(self, connection: psycopg.Connection, begun: Begun) -> None:
        if begun.state != JobState.SUBMITTED and begun.attempt > MOST_ATTEMPTS:
            raise Ended(JobState.FAILED, f"it came to no end {MOST_ATTEMPTS} times")
        question = read_question(begun.question)
        with TemporaryDirectory(prefix="senogate-job-") as folder:
            if begun.state == JobState.SUBMITTED:
                self._consider(connection, begun, question, Path(folder))
            else:
                self._run(connection, begun, question, Path(folder))

    def _consider(
        self, connection: psycopg.Connection, begun: Begun, question: JobQuestion, folder: Path
    ) -> None:
        """Whether it may run, has to wait for a steward, or never will."""
        state, reason = JobState.DUE, ""
        if question.kind not in self._settings.jobs_approved:
            state, reason = JobState.WAITING, "a steward approves jobs of this kind"
        try:
            if question.kind is JobKind.EVALUATION:
                models.find(connection, self._settings, question.package, folder)
        except NotTrusted as error:
            state, reason = JobState.WAITING, f"{error}: a steward may approve it by its hash"
        except (BadRequest, NotFound, PackageError) as error:
            state, reason = JobState.REFUSED, _without_folder(error, folder)
        with connection.transaction():
            values = begun.key | {"state": str(state), "reason": reason}
            if connection.execute(self._sql["consider"], values).rowcount:
                self._record(connection, begun, Event.JOB_DECIDED, state)

    def _run(self, connection: psycopg.Connection, begun: Begun, question: JobQuestion, folder: Path) -> None:
        self._require_permit(begun)
        contents = self._contents(begun)
        same = {"sha256": begun.sha256, "contents": contents, "permit": begun.permit}
        if answered := connection.execute(self._sql["answered"], same).fetchone():
            result, findings = answered
            self._end(connection, begun, JobState.RELEASED, "", contents, result, findings)
            return
        try:
            model = self._model(connection, question, folder)
            number = asyncio.run(self._asked(_number, begun.dataset))
            people = participants(connection, number, question, model.task if model else None)
            if len(people) < LEAST_PATIENTS:
                raise BadRequest(tables.TOO_FEW)
            told = self._work(connection, begun, question, model, people)
            self._finish(connection, begun, question, model, Read(contents, people, told))
        except (BadRequest, Forbidden, NotFound, PackageError) as error:
            raise Ended(JobState.FAILED, _without_folder(error, folder)) from None
        except child.ChildEnded as error:
            ((ends,),) = connection.execute(self._sql["crash"], begun.key).fetchall() or [(0,)]
            if ends >= MOST_ENDS:
                raise Ended(JobState.FAILED, f"its process came to no end {ends} times: {error}") from None
            raise Unavailable(f"a job's process has ended: {error}") from None

    def _model(self, connection: psycopg.Connection, question: JobQuestion, folder: Path) -> Model | None:
        if question.kind is not JobKind.EVALUATION:
            return None
        return models.find(connection, self._settings, question.package, folder)

    def _work(
        self,
        connection: psycopg.Connection,
        begun: Begun,
        question: JobQuestion,
        model: Model | None,
        people: Sequence[Participant],
    ) -> list[child.Told]:
        """What comes of each exam, by a process of its own where images are opened."""
        measured = [name for name in question.features if FEATURES[name].of_pixels]
        if model is None and not measured:
            return [{} for _ in people]
        exams = [
            Work([str(path) for path in self._paths(connection, one, model)], one.label if model else None)
            for one in people
        ]

        def look(done: int) -> None:
            if self._ending.is_set():
                raise Unavailable("the worker ends: the job begins anew when it is back")
            self._watch(connection, begun, people, done)

        return child.work(
            Order(exams, measured),
            look,
            folder=str(model.folder) if model else "",
            seconds=self._settings.jobs_seconds,
            memory=self._settings.jobs_memory,
            threads=max((os.cpu_count() or 1) // 2, 1),
        )

    def _paths(self, connection: psycopg.Connection, one: Participant, model: Model | None) -> list[Path]:
        """All mammograms for a package, which chooses among them; the standard views for features."""
        found = places(connection, self._settings, one.study_instance_uid)
        return [path for uid, path in sorted(found.items()) if model or uid in one.views]

    def _watch(
        self, connection: psycopg.Connection, begun: Begun, people: Sequence[Participant], done: int
    ) -> None:
        """Say how far it is. Raises Lost, Ended where the permit ended, Unavailable where a study went meanwhile."""
        values = begun.key | {"done": done, "total": len(people)}
        if connection.execute(self._sql["progress"], values).fetchone() is None:
            raise Lost("the job was ended meanwhile")
        self._require_permit(begun)
        self._require_here(connection, begun, people)

    def _require_permit(self, begun: Begun) -> None:
        try:
            if asyncio.run(self._asked(jobs.is_allowed, begun.subject, begun.permit, begun.dataset)):
                return
        except (Forbidden, NotFound, Unauthenticated):
            pass
        raise Ended(JobState.STOPPED, jobs.NOT_ALLOWED)

    def _require_here(
        self, connection: psycopg.Connection, begun: Begun, people: Sequence[Participant]
    ) -> None:
        """Raises Unavailable where one of the studies is withheld or gone: without it the job begins anew."""
        studies = [one.study_instance_uid for one in people]
        seen = connection.execute(
            self._sql["here"], {"studies": studies, "dataset": begun.dataset}
        ).fetchone()
        if seen is None or seen[0] != len(studies):
            connection.execute(self._sql["give_back"], begun.key | {"reason": jobs.WITHHELD_MEANWHILE})
            raise Unavailable(jobs.WITHHELD_MEANWHILE)

    def _contents(self, begun: Begun) -> str:
        return str(asyncio.run(self._asked(_contents, begun.dataset)))

    async def _asked(self, ask: Any, *arguments: str) -> Any:
        try:
            address = connection_string(self._settings.database_url)
            async with await AsyncConnection.connect(address) as connection:
                return await ask(connection, *arguments)
        except OperationalError as error:
            raise Unavailable(f"PostgreSQL does not answer ({type(error).__name__})") from None

    def _finish(
        self,
        connection: psycopg.Connection,
        begun: Begun,
        question: JobQuestion,
        model: Model | None,
        read: Read,
    ) -> None:
        """Make, check and keep the answer, all in one transaction with what it tells of whom."""
        self._require_permit(begun)
        with connection.transaction():
            self._require_here(connection, begun, read.people)
            answer = Answers(connection, self._settings).make(question, model, read)
            text = check.written(answer)
            findings = check.check(text)
            state = self._state_of(question, findings)
            studies = [one.study_instance_uid for one in read.people]
            if state is JobState.CHECKED:
                connection.execute(self._sql["keep_studies"], begun.key | {"studies": studies})
            kept = text if state is not JobState.WITHHELD else None
            told = check.plain(findings)
            self._end(connection, begun, state, "", read.contents, kept, told, len(studies))

    def _state_of(self, question: JobQuestion, findings: Sequence[check.Finding]) -> JobState:
        if not all(one.holds for one in findings):
            return JobState.WITHHELD
        is_out = question.kind in self._settings.jobs_released
        return JobState.RELEASED if is_out else JobState.CHECKED

    def _end(
        self,
        connection: psycopg.Connection,
        begun: Begun,
        state: JobState,
        reason: str,
        contents: str = "",
        result: str | None = None,
        findings: Any = None,
        studies: int = 0,
    ) -> None:
        values = begun.key | {
            "state": str(state),
            "reason": reason,
            "contents": contents,
            "studies": studies,
            "findings": None if findings is None else Jsonb(findings),
            "result": result,
            "by": WORKER,
        }
        with connection.transaction():
            if connection.execute(self._sql["end"], values).fetchone() is None:
                raise Lost("the job was ended meanwhile")
            self._record(connection, begun, Event.JOB_RUN, state, contents, studies)
            if state is JobState.RELEASED:
                self._record(connection, begun, Event.JOB_RELEASED, state)
        _LOG.info("job %s ended: %s", begun.job_id, state)

    def _record(
        self,
        connection: psycopg.Connection,
        begun: Begun,
        event: Event,
        state: JobState,
        contents: str = "",
        studies: int = 0,
    ) -> None:
        detail: dict[str, str | int] = {"job": begun.job_id, "state": str(state), "kind": begun.kind}
        detail |= {"for": begun.subject, "dataset": begun.dataset}
        detail |= {"sha256": contents, "studies": studies} if contents else {}
        outcome = Outcome.FAILED if state is JobState.FAILED else Outcome.SUCCESS
        write(connection, event, subject=WORKER, outcome=outcome, permits=[begun.permit], detail=detail)


async def _number(connection: AsyncConnection, dataset: str) -> int:
    return (await datasets.show(connection, dataset)).number


async def _contents(connection: AsyncConnection, dataset: str) -> str:
    _, _, sha256 = await datasets.contents(connection, await _number(connection, dataset))
    return sha256


def _without_folder(error: SenogateError, folder: Path) -> str:
    """An error's text without the place of the worker's temporary files."""
    return (
        str(error).replace(str(folder / "package"), "the package").replace(str(folder), "the package")[:500]
    )
