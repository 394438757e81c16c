"""Jobs in PostgreSQL: asked for under a permit, decided on, run by the worker, let out by a steward.

What a job comes to is kept here before anybody sees it. docs/secure-use.md tells the states and who changes them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from archive import datasets, persons
from archive.audit import Event, write_async
from archive.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthenticated
from archive.job_questions import JobQuestion
from archive.permits import check_text, grants_of
from archive.policy import Action, Grants, Principal, decide
from archive.pool import queries
from archive.state_item import marked

LISTED = 200  # jobs
WITHHELD_MEANWHILE = "a study was withheld or removed meanwhile: the job begins anew"
NOT_ALLOWED = "the permit does not allow it any more"
_JOB = re.compile(r"J[0-9]{1,9}")


class JobState(StrEnum):
    """Where a job is. The last five are ends without an answer."""

    SUBMITTED = "submitted"
    WAITING = "waiting"
    DUE = "due"
    RUNNING = "running"
    CHECKED = "checked"
    RELEASED = "released"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    FAILED = "failed"
    WITHHELD = "withheld"


OPEN = (JobState.SUBMITTED, JobState.WAITING, JobState.DUE, JobState.RUNNING, JobState.CHECKED)
"""States that a job can be ended in."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job but for its answer. `done` of `total` exams are read; `findings` are what the output check found."""

    job_id: str
    subject: str
    permit: str
    dataset: str
    kind: str
    question: dict[str, Any]
    state: str
    reason: str
    submitted_at: datetime
    submitted_by: str
    approved_at: datetime | None
    approved_by: str | None
    begun_at: datetime | None
    done: int
    total: int
    ended_at: datetime | None
    studies: int
    findings: list[dict[str, Any]] | None
    has_result: bool
    released_at: datetime | None
    released_by: str | None

    def told(self) -> "Job":
        """As its requester sees it: what an answer that is not out is made of is nobody's but the stewards'.

        Nor is how many exams there are: by questions that differ in a filter that would count single patients.
        """
        is_out = self.state == JobState.RELEASED
        findings = self.findings if is_out else None
        return replace(self, done=0, total=0, studies=0, findings=findings, has_result=is_out)


async def permits_for(
    connection: AsyncConnection, principal: Principal, grants: Grants, dataset: str
) -> list[str]:
    """The permits by which a principal may have jobs run over a dataset now. Raises Forbidden, NotFound.

    No role stands in their place: who sees everything needs a permit, too.
    """
    if Action.JOB not in principal.actions:
        raise Forbidden("the token lacks the scope %(scope)s", scope=str(Action.JOB))
    found = [one.permit_id for one in grants.permits if principal.permit in (None, one.permit_id)]
    number = (await datasets.show(connection, dataset)).number if found else 0
    return [permit for permit in found if _allows(principal, grants, permit, number)]


def _allows(principal: Principal, grants: Grants, permit: str, number: int) -> bool:
    scope = decide(replace(principal, permit=permit), grants, Action.JOB)
    return scope.everything or number in scope.numbers


async def usable(connection: AsyncConnection, permits: Sequence[str]) -> list[str]:
    """The names of the datasets that permits name, as jobs name them."""
    rows = await connection.execute(queries("jobs.sql")["usable"], {"permits": list(permits)})
    return [name for (name,) in await rows.fetchall()]


async def is_allowed(connection: AsyncConnection, subject: str, permit: str, dataset: str) -> bool:
    """Whether a permit lets its holder have jobs run over a dataset now. Raises Unauthenticated, NotFound."""
    principal = Principal(subject, frozenset({Action.JOB}), permit=permit)
    return permit in await permits_for(connection, principal, await grants_of(connection, subject), dataset)


async def submit(
    connection: AsyncConnection,
    subject: str,
    permit: str,
    dataset: str,
    question: JobQuestion,
    *,
    most: int,
    by: str,
) -> str:
    """Ask for a job under a permit that allows it (`permits_for`); its identifier, or that of the same one under way.

    Raises Conflict where the permit's budget of `most` jobs is used up, NotFound for a package that is not here.
    """
    values = {"permit": permit, "sha256": question.sha256(dataset), "package": question.package}
    async with connection.transaction():
        await connection.execute(queries("jobs.sql")["lock_permit"], values)
        if same := await _first(connection, "open_one", values):
            return str(same[0])
        used = await _first(connection, "used", values) or (0,)
        if used[0] >= most:
            raise Conflict(
                "the permit's %(most)s jobs are used up: a steward can grant another permit", most=most
            )
        row = {
            "subject": subject,
            "dataset": dataset,
            "kind": str(question.kind),
            "question": Jsonb(question.to_json()),
            "by": by,
        }
        made = await _first(connection, "submit", values | row)
        detail = {"job": made[0] if made else "", "kind": str(question.kind), "dataset": dataset}
        await write_async(connection, Event.JOB_SUBMITTED, subject=by, permits=[permit], detail=detail)
    return str(detail["job"])


async def list_jobs(connection: AsyncConnection, subject: str | None = None) -> list[Job]:
    """The newest jobs, or a principal's, the newest first."""
    rows = await connection.execute(
        queries("jobs.sql")["list"], {"job": None, "subject": subject, "limit": LISTED}
    )
    return [Job(*row) for row in await rows.fetchall()]


async def show(connection: AsyncConnection, job_id: str) -> Job:
    """Raises NotFound."""
    row = await _first(connection, "list", {"job": _checked(job_id), "subject": None, "limit": 1})
    if row is None:
        raise NotFound("no such job")
    return Job(*row)


async def result(connection: AsyncConnection, job_id: str, *, checked: bool = False) -> str:
    """The answer as JSON; with `checked` also one that a steward has still to decide on. Raises NotFound."""
    states = [JobState.RELEASED, JobState.CHECKED] if checked else [JobState.RELEASED]
    row = await _first(connection, "result", {"job": _checked(job_id), "states": list(map(str, states))})
    if row is None:
        raise NotFound("the job has no answer")
    return str(row[0])


async def approve(connection: AsyncConnection, job_id: str, *, by: str) -> None:
    """Let a job run that waits for it. Raises NotFound, Conflict, Forbidden for one's own."""
    await _must_not_be_own(connection, await show(connection, job_id), by)
    await _decide(connection, job_id, JobState.DUE, [JobState.WAITING], "", by)


async def refuse(connection: AsyncConnection, job_id: str, reason: str, *, by: str) -> None:
    """End a job, or keep its answer in, as a steward decides. Raises NotFound, Conflict, BadRequest."""
    await _decide(connection, job_id, JobState.REFUSED, OPEN, reason, by)


async def cancel(connection: AsyncConnection, job_id: str, *, by: str) -> None:
    """End a job, as its requester decides. Raises NotFound, Conflict."""
    await _decide(connection, job_id, JobState.CANCELLED, OPEN, "", by)


async def _must_not_be_own(connection: AsyncConnection, job: Job, by: str) -> None:
    """Whoever gets an answer is not who looks whether it may leave."""
    await persons.must_be_another(connection, by, job.subject, what=marked("nobody decides on her own job"))


async def _decide(
    connection: AsyncConnection,
    job_id: str,
    state: JobState,
    states: Sequence[JobState],
    reason: str,
    by: str,
) -> None:
    check_text(reason)
    values = {"job": _checked(job_id), "state": str(state), "from": list(map(str, states))}
    async with connection.transaction():
        row = await _first(connection, "decide", values | {"reason": reason, "by": by})
        if row is None:
            raise Conflict("the job is %(state)s", state=(await show(connection, job_id)).state)
        await connection.execute(queries("jobs.sql")["forget_studies"], values)
        detail = {"job": job_id, "state": str(state)}
        await write_async(connection, Event.JOB_DECIDED, subject=by, permits=[row[0]], detail=detail)


async def release(connection: AsyncConnection, job_id: str, *, by: str) -> JobState:
    """Let a checked answer out, if its permit is still valid and its studies are still here for use; the state then.

    Raises NotFound, Conflict where there is nothing to be let out, Forbidden for one's own.
    """
    await _must_not_be_own(connection, await show(connection, job_id), by)
    values = {"job": _checked(job_id), "by": by, "reason": WITHHELD_MEANWHILE}
    async with connection.transaction():
        row = await _first(connection, "lock", values)
        if row is None or row[0] != JobState.CHECKED:
            raise Conflict("the job is %(state)s", state=(await show(connection, job_id)).state)
        _, subject, permit, dataset, studies = row
        state = await _state_now(connection, values, (subject, permit, dataset), studies)
        if state is JobState.STOPPED:
            ended = {"state": str(state), "from": [str(JobState.CHECKED)], "reason": NOT_ALLOWED}
            await connection.execute(queries("jobs.sql")["decide"], values | ended)
        else:
            name = "release" if state is JobState.RELEASED else "begin_anew"
            await connection.execute(queries("jobs.sql")[name], values)
        await connection.execute(queries("jobs.sql")["forget_studies"], values)
        detail = {"job": job_id, "state": str(state)}
        await write_async(connection, Event.JOB_RELEASED, subject=by, permits=[permit], detail=detail)
    return state


async def _state_now(
    connection: AsyncConnection, values: dict[str, Any], grounds: tuple[str, str, str], studies: int
) -> JobState:
    try:
        if not await is_allowed(connection, *grounds):
            return JobState.STOPPED
    except (BadRequest, Forbidden, NotFound, Unauthenticated):
        return JobState.STOPPED
    seen = await _first(connection, "seen_studies", values) or (0,)
    return JobState.RELEASED if seen[0] == studies else JobState.DUE


async def _first(connection: AsyncConnection, name: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
    return await (await connection.execute(queries("jobs.sql")[name], values)).fetchone()


def _checked(job_id: str) -> str:
    if not _JOB.fullmatch(job_id):
        raise NotFound("no such job")
    return job_id
