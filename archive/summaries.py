"""What a site knows of each study at a glance: its readings' results, found, filtered and paged within a scope.

The rows of `study_summary` follow studies and readings by triggers (`archive/schema/0018_study_summary.sql`).
Pages begin behind a study, wherever it lies, so that none passes what lies before it and none shifts when studies come.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection, DataError

from archive.attributes import Level
from archive.conditions import Parameters, condition, every
from archive.errors import BadRequest, NotFound
from archive.findings import Task
from archive.listing import Begin, datasets_in_order, restrict
from archive.policy import Scope
from archive.pool import queries
from archive.query import Query
from archive.resource import Resource, is_uid
from archive.statements import fetch

PAGE = 50  # studies
MOST_NEW = 100  # studies that are counted one by one
NONE = "none"
"""The status of a study that no model reads."""
_STATES = ("due", "done", "not-applicable", "failed")
STATUSES = (*_STATES, NONE)
DENSITIES = ("a", "b", "c", "d")


class Order(StrEnum):
    """By which a list is sorted, the greatest first; by their scores, those that have one."""

    DATE = "date"
    SCORE = "score"
    ARRIVAL = "arrival"


_KEYS = {
    Order.DATE: ("study.study_date",),
    Order.SCORE: ("study.score", "study.study_date"),
    Order.ARRIVAL: ("study.arrived_at",),
}
_TYPES = {
    Order.DATE: ("text",),
    Order.SCORE: ("double precision", "text"),
    Order.ARRIVAL: ("timestamptz",),
}

# Bits that are joined to nothing lie in memory; those of a table would be fetched for each study.
_READ_BY = "(select studies || '' from study_reader where subject = {subject})"
_IS_UNREAD = f"""case when study.number < 8 * length({_READ_BY})
    then get_bit({_READ_BY}, study.number) = 0 else true end"""
MANY_READ = 15_000
"""Studies that somebody has read, from which on those that are not are looked for among all, and not in datasets."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which studies are listed, and in which order.

    `query` matches StudyDate and PatientID as searches do. `statuses` are those of `task`, or of any task.
    """

    query: Query = field(default_factory=lambda: Query(Level.STUDY))
    modality: str = ""
    densities: tuple[str, ...] = ()
    minimum_score: float | None = None
    task: Task | None = None
    statuses: tuple[str, ...] = ()
    unread: bool = False
    order: Order = Order.DATE


@dataclass(frozen=True, slots=True)
class Place:
    """A study's place in a list, by the values that it is sorted by; a page begins behind it, or ends before it."""

    values: tuple[str, ...]
    is_end: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a model is with a study. `is_begun`: of what is due, that it was begun at least once."""

    task: str
    modality: str
    state: str
    reason: str
    model: str
    is_begun: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """A study at a glance. `score` is its highest of a lesion, 0 to 1, `risk` that within five years, in percent.

    `phantoms` are the tasks whose model was trained on phantoms. `is_settling`: images may still come. The instance
    whose thumbnail stands for the study is named by `picture`, its series before it.
    """

    study_instance_uid: str
    patient_id: str
    study_date: str
    study_time: str
    study_description: str
    modalities: list[str]
    number_of_images: int
    density: str
    score: float | None
    risk: float | None
    quality: str
    phantoms: list[str]
    arrived_at: datetime
    is_read: bool
    is_settling: bool
    picture: tuple[str, str] | None
    readings: tuple[Reading, ...]

    def place(self, order: Order) -> tuple[str, ...]:
        """The values that a list is sorted by."""
        keys = {
            Order.DATE: (self.study_date,),
            Order.SCORE: (repr(self.score), self.study_date),
            Order.ARRIVAL: (self.arrived_at.isoformat(),),
        }
        return (*keys[order], self.study_instance_uid)


@dataclass(frozen=True, slots=True)
class Page:
    """Studies in their order, whether some lie before and behind them, and the moment at which they were looked for.

    `snapshot` is PostgreSQL's: which transactions had been committed.
    """

    studies: list[Summary]
    before: bool
    behind: bool
    snapshot: str


async def list_studies(
    connection: AsyncConnection, scope: Scope, subject: str, filters: Filters, place: Place | None = None
) -> Page:
    """A page of the studies of a scope, read or not as the subject marked them. Raises BadRequest for no place."""
    parameters = Parameters()
    matches = _matches(filters, subject, parameters)
    is_backward = place is not None and place.is_end
    begin = None
    if place:
        matches.append(_beyond(place, filters.order, parameters))
        begin = Begin(place.values[0], place.values[-1], 0)
    among = None
    is_in_order = filters.order is Order.DATE and not is_backward
    if is_in_order and not (filters.unread and await _has_read_many(connection, scope, subject)):
        among = datasets_in_order(scope, Resource(), filters.query, parameters, begin, is_filtered=True)
    statement = queries("summary.sql")["list_studies"].format(
        among=among.join if among else "",
        scope="not study.withheld" if among else restrict(scope, parameters),
        matches=every(matches),
        order=_order(filters.order, "seen" if among else "study", is_backward=is_backward),
        page_order=_order(filters.order, "study"),
    )
    values = parameters.values | {"subject": subject, "limit": PAGE + 1}
    try:
        rows = await fetch(connection, statement, values, prepare=False)
    except DataError:
        raise BadRequest("the page begins at no place of this list: go to its first page") from None
    studies = [_summary(row) for row in rows if row[1] is not None]
    more = len(studies) > PAGE
    studies = studies[-PAGE:] if is_backward else studies[:PAGE]
    return Page(studies, more if is_backward else place is not None, more or is_backward, str(rows[0][0]))


async def find_studies(
    connection: AsyncConnection, scope: Scope, subject: str, studies: Sequence[str]
) -> list[Summary]:
    """These studies, as far as the scope has them."""
    parameters = Parameters()
    statement = queries("summary.sql")["list_studies"].format(
        among="",
        scope=restrict(scope, parameters),
        matches=f"study.study_instance_uid = any({parameters.add(list(studies))}::text[])",
        order=_order(Order.DATE, "study"),
        page_order=_order(Order.DATE, "study"),
    )
    values = parameters.values | {"subject": subject, "limit": len(studies)}
    return [_summary(row) for row in await fetch(connection, statement, values) if row[1] is not None]


async def count_arrived(
    connection: AsyncConnection, scope: Scope, subject: str, filters: Filters, snapshot: str
) -> int:
    """How many of the list's studies came after the snapshot, `MOST_NEW` + 1 for more. Raises BadRequest."""
    parameters = Parameters()
    statement = queries("summary.sql")["count_arrived"].format(
        scope=restrict(scope, parameters), matches=every(_matches(filters, subject, parameters))
    )
    values = parameters.values | {"since": snapshot, "limit": MOST_NEW + 1}
    try:
        ((number,),) = await fetch(connection, statement, values, prepare=False)
    except DataError:
        raise BadRequest("since is what a page of the worklist gave") from None
    return int(number)


async def seen_among(connection: AsyncConnection, scope: Scope, studies: Sequence[str]) -> list[str]:
    """Which of the studies the scope has."""
    parameters = Parameters()
    statement = queries("summary.sql")["seen_among"].format(scope=restrict(scope, parameters))
    rows = await fetch(connection, statement, parameters.values | {"studies": list(studies)})
    return [study for (study,) in rows]


async def mark(
    connection: AsyncConnection, scope: Scope, subject: str, study_instance_uid: str, *, is_read: bool
) -> None:
    """Mark a study as read or unread by the subject. Raises NotFound for one that is not of the scope."""
    parameters = Parameters()
    statement = queries("summary.sql")["mark"].format(scope=restrict(scope, parameters))
    values = parameters.values | {"subject": subject, "study": study_instance_uid, "is_read": is_read}
    if not await fetch(connection, statement, values):
        raise NotFound("no such study")


def parse_place(text: str, order: Order, *, is_end: bool = False) -> Place:
    """A place as an address has it: its values parted by `~`. Raises BadRequest."""
    values = tuple(text.split("~"))
    if len(values) != len(_KEYS[order]) + 1 or not is_uid(values[-1]) or "\0" in text:
        raise BadRequest("the page begins at no place of this list: go to its first page")
    return Place(values, is_end)


async def _has_read_many(connection: AsyncConnection, scope: Scope, subject: str) -> bool:
    """Whether most studies of a scope may be passed before an unread one is met."""
    if scope.everything:
        return False
    rows = await fetch(connection, queries("summary.sql")["count_read"], {"subject": subject})
    return bool(rows and rows[0][0] >= MANY_READ)


def _matches(filters: Filters, subject: str, parameters: Parameters) -> list[str]:
    """The filters as conditions on `study_summary`, which has the name `study`."""
    found = [condition(match, parameters) for match in filters.query.matches]
    if filters.modality:
        found.append(f"study.modalities @> {parameters.add([filters.modality])}::text[]")
    if filters.densities:
        found.append(f"study.density = any({parameters.add(list(filters.densities))}::text[])")
    if filters.minimum_score is not None:
        found.append(f"study.score >= {parameters.add(filters.minimum_score)}::double precision")
    if filters.order is Order.SCORE:
        found.append("study.score is not null")
    if filters.statuses:
        found.append(_has_status(filters, parameters))
    if filters.unread:
        found.append(_IS_UNREAD.format(subject=parameters.add(subject)))
    return found


def _has_status(filters: Filters, parameters: Parameters) -> str:
    tasks = [filters.task] if filters.task else list(Task)
    wanted = [f"{task}:{status}" for task in tasks for status in filters.statuses if status != NONE]
    parts = [f"study.states && {parameters.add(wanted)}::text[]"] if wanted else []
    if NONE in filters.statuses and filters.task is None:
        parts.append("study.states = '{}'")
    elif NONE in filters.statuses:
        theirs = [f"{filters.task}:{state}" for state in _STATES]
        parts.append(f"not study.states && {parameters.add(theirs)}::text[]")
    return f"({' or '.join(parts)})"


def _beyond(place: Place, order: Order, parameters: Parameters) -> str:
    keys = ", ".join((*_KEYS[order], "study.study_instance_uid"))
    values = ", ".join(
        f"{parameters.add(value)}::text::{kind}"
        for value, kind in zip(place.values, (*_TYPES[order], "text"), strict=True)
    )
    return f"({keys}) {'>' if place.is_end else '<'} ({values})"


def _order(order: Order, table: str, *, is_backward: bool = False) -> str:
    direction = "asc" if is_backward else "desc"
    keys = [key.replace("study.", f"{table}.") for key in (*_KEYS[order], "study.study_instance_uid")]
    return ", ".join(f"{key} {direction}" for key in keys)


def _summary(row: tuple[Any, ...]) -> Summary:
    _, *values, series, instance, readings = row
    picture = (series, instance) if series else None
    told = tuple(Reading(**each) for each in readings)
    return Summary(*(*values, picture, told))
