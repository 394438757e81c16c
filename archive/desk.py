"""What each person finds on the portal's front: the newest datasets, and what waits for whom."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from archive.pool import queries


@dataclass(frozen=True, slots=True)
class Shown:
    """A published dataset. `individuals` and `studies` are what anybody may know: rounded, 0 for few."""

    name: str
    title: str
    description: str
    published_at: datetime
    individuals: int
    studies: int
    modalities: list[str]


@dataclass(frozen=True, slots=True)
class Totals:
    """How many datasets are published, and the studies of each as they are told, added up."""

    datasets: int
    studies: int


@dataclass(frozen=True, slots=True)
class Case:
    """A request for access, or the permit that came of it. `review`: how far the review has come."""

    permit_id: str
    state: str
    review: str
    title: str
    requested_at: datetime
    valid_until: datetime | None
    datasets: list[str]
    actions: list[str]


@dataclass(frozen=True, slots=True)
class Task:
    """A job that somebody asked for."""

    job_id: str
    kind: str
    dataset: str
    state: str
    submitted_at: datetime


@dataclass(frozen=True, slots=True)
class ReadingRoom:
    """Exams of the last seven days: all, those that the person has not opened, those that models still read."""

    arrived: int
    unread: int
    due: int


@dataclass(frozen=True, slots=True)
class Stewardship:
    """What waits for a steward: numbers of requests, jobs, records, runs and sites; and of what is kept."""

    received: int
    requested: int
    jobs_to_approve: int
    jobs_to_release: int
    records_at_fault: int
    records_unpublished: int
    datasets: int
    opt_outs: int
    runs: int
    members: int


async def newest(connection: AsyncConnection, limit: int = 3) -> list[Shown]:
    """The datasets that were published last."""
    return [Shown(*row) for row in await _rows(connection, "newest", limit=limit)]


async def totals(connection: AsyncConnection) -> Totals:
    """Of all that is published."""
    ((datasets, studies),) = await _rows(connection, "totals")
    return Totals(datasets, int(studies))


async def cases_of(connection: AsyncConnection, subject: str, limit: int = 6) -> list[Case]:
    """A person's requests and permits that still matter, the last asked for first."""
    return [Case(*row) for row in await _rows(connection, "cases", subject=subject, limit=limit)]


async def cases_waiting(connection: AsyncConnection, limit: int = 5) -> list[Case]:
    """Requests that nobody has decided on, the oldest first."""
    return [Case(*row) for row in await _rows(connection, "waiting_cases", limit=limit)]


async def jobs_of(connection: AsyncConnection, subject: str, limit: int = 5) -> list[Task]:
    """A person's jobs, the last asked for first."""
    return [Task(*row) for row in await _rows(connection, "jobs", subject=subject, limit=limit)]


async def reading_room(connection: AsyncConnection, subject: str) -> ReadingRoom:
    """Of all studies of the site, for who sees them all."""
    return ReadingRoom(*(await _rows(connection, "reading_room", subject=subject))[0])


async def stewardship(connection: AsyncConnection) -> Stewardship:
    """What waits for a steward."""
    return Stewardship(*(await _rows(connection, "stewardship"))[0])


async def _rows(connection: AsyncConnection, name: str, **values: object) -> list[tuple[Any, ...]]:
    return await (await connection.execute(queries("desk.sql")[name], values)).fetchall()
