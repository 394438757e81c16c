"""Searches and addresses as SQL: one statement a request, composed of constants, every value a parameter.

What the caller may see is a condition of each statement, so that hidden and absent are the same: no row.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.sql import SQL, Composable, Composed, Identifier, Placeholder

from archive.attributes import ATTRIBUTES, RETURNED, Level, tag
from archive.conditions import TABLES, Parameters, condition, every
from archive.dicom_json import decode, encode
from archive.errors import NotFound
from archive.json_values import Attributes
from archive.matching import OneOf
from archive.policy import Scope
from archive.pool import queries
from archive.query import COUNTED, MODALITIES_IN_STUDY, Match, Query
from archive.resource import Resource

DEEP = 500
"""Rows before a page from which on it is looked for by its day."""

_STUDY_DATE = (tag("StudyDate"),)
_COUNTS = {Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}
_STATEMENTS = {Level.STUDY: "find_studies", Level.SERIES: "find_series", Level.INSTANCE: "find_instances"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance's bytes lie, and where in them its pixels."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    place: str
    size: int  # bytes
    transfer_syntax_uid: str
    number_of_frames: int
    pixel_offset: int | None
    pixel_length: int | None

    @property
    def resource(self) -> Resource:
        return Resource(self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of DICOM JSON, in the order of the search, and whether more match than one answer may have."""

    rows: list[bytes]
    more: bool


async def find(connection: AsyncConnection, scope: Scope, resource: Resource, query: Query) -> Page:
    """The page of a search below a resource."""
    parameters = Parameters()
    matches = [
        *_named(resource, query.level, parameters),
        *(condition(match, parameters) for match in query.matches),
    ]
    above = _levels_told(resource, query)
    start, offset, since = _begin(scope, resource, query, parameters)
    statement = SQL(queries("search.sql")[_STATEMENTS[query.level]]).format(
        start=start,
        beside=_columns_beside(above),
        scope=restrict(scope, parameters),
        matches=every([*matches, *since]),
        offset=offset,
    )
    values = parameters.values | {"limit": query.page_size + 1, "offset": query.offset}
    cursor = await connection.execute(statement, values)
    rows = await cursor.fetchall()
    more = len(rows) > query.page_size
    rows = rows[: query.page_size]
    return Page([_widen(row, above, query) if above else row[0] for row in rows], more)


def _begin(
    scope: Scope, resource: Resource, query: Query, parameters: Parameters
) -> tuple[Composable, Composable, list[Composable]]:
    """Where a page begins: what precedes the statement, its offset, and conditions that spare it what lies before.

    Pages deep in a list begin at a day, which the counts of `study_day` tell as long as these count what the
    search finds.
    """
    days = _days_counted(query) if query.offset >= DEEP and scope.everything and not resource.level else None
    if days is None:
        return SQL(""), Placeholder("offset"), []
    dates, modality = days
    start = SQL(queries("search.sql")["day_of_page"]).format(
        counted=Identifier(_COUNTS[query.level]),
        modality=parameters.add(modality),
        days=every(condition(match, parameters, table="study_day") for match in dates),
    )
    since = SQL("study.study_date <= (select study_date from begins)")
    return start, SQL("(select skipped from begins)"), [since]


def _days_counted(query: Query) -> tuple[list[Match], str] | None:
    """The days and the modality that `study_day` counts by, where these are all that the search asks for."""
    dates = [match for match in query.matches if match.path == _STUDY_DATE]
    others = [match for match in query.matches if match.path != _STUDY_DATE]
    if not others:
        return dates, ""
    match others:
        case [Match((name,), _, _, OneOf((modality,)))] if (
            name == MODALITIES_IN_STUDY and query.level == Level.STUDY
        ):
            return dates, modality
    return None


async def places(connection: AsyncConnection, scope: Scope, resource: Resource) -> list[Place]:
    """Where the instances that the resource names lie. Raises NotFound where there is none to see."""
    return [Place(*row) for row in await _rows_of(connection, "places", scope, resource)]


async def place_and_metadata(
    connection: AsyncConnection, scope: Scope, resource: Resource
) -> tuple[Place, bytes]:
    """Where an instance lies, and its metadata as DICOM JSON. Raises NotFound."""
    ((*values, rendered),) = await _rows_of(connection, "place_and_metadata", scope, resource)
    return Place(*values), rendered


async def metadata(connection: AsyncConnection, scope: Scope, resource: Resource) -> list[bytes]:
    """The metadata of the resource's instances as DICOM JSON. Raises NotFound where there is none to see."""
    return [row[0] for row in await _rows_of(connection, "metadata", scope, resource)]


async def index_position(connection: AsyncConnection) -> int:
    """The last of Orthanc's changes that the index has taken in."""
    row = await (await connection.execute(queries("search.sql")["index_position"])).fetchone()
    return row[0] if row else 0


async def _rows_of(connection: AsyncConnection, name: str, scope: Scope, resource: Resource) -> list[Any]:
    parameters = Parameters()
    matches = list(_named(resource, Level.INSTANCE, parameters))
    statement = SQL(queries("search.sql")[name]).format(
        scope=restrict(scope, parameters), matches=every(matches)
    )
    rows = await (await connection.execute(statement, parameters.values)).fetchall()
    if not rows:
        raise NotFound("no such resource")
    return rows


def restrict(scope: Scope, parameters: Parameters) -> Composable:
    """The studies of a scope, as a condition on the table `study`."""
    return SQL("true") if scope.everything else SQL("false")


def _named(resource: Resource, level: Level, parameters: Parameters) -> Iterator[Composable]:
    """The conditions that the address sets on the table of the level."""
    table = TABLES[level]
    columns = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
    uids = (resource.study_instance_uid, resource.series_instance_uid, resource.sop_instance_uid)
    for column, uid in zip(columns, uids, strict=True):
        if uid:
            yield SQL("{} = {}").format(Identifier(table, column), parameters.add(uid))


def _levels_told(resource: Resource, query: Query) -> dict[Level, bool]:
    """The levels whose attributes go into each row beside the row's own answer (PS3.18 section 10.6.3.3).

    True: those above it that the address leaves open, wholly. False: those of which only included attributes
    go in.
    """
    named = resource.level
    told = {level: True for level in Level if level < query.level and (named is None or level > named)}
    for level in Level:
        if level <= query.level and level not in told and (query.include_all or _extra(level, query)):
            told[level] = False
    return dict(sorted(told.items()))


def _extra(level: Level, query: Query) -> frozenset[str]:
    """The included attributes that the row's own answer lacks and the level may have."""
    lacking = query.include - set(RETURNED[query.level])
    if level == Level.INSTANCE:
        return lacking - {*ATTRIBUTES[Level.STUDY], *ATTRIBUTES[Level.SERIES], *COUNTED}
    return lacking & {*ATTRIBUTES[level], *(name for name, counted in COUNTED.items() if counted == level)}


def _columns_beside(levels: Iterable[Level]) -> Composable:
    """For studies and series their answer and attributes, for instances their metadata."""
    columns: list[Composable] = []
    for level in levels:
        table = TABLES[level]
        if level == Level.INSTANCE:
            columns.append(Identifier(table, "metadata"))
        else:
            columns += [Identifier(table, "dicom_json"), Identifier(table, "attributes")]
    return Composed([SQL(", ") + column for column in columns])


def _widen(row: tuple[Any, ...], levels: Mapping[Level, bool], query: Query) -> bytes:
    """The row's answer with what the levels beside it tell and the query lets in."""
    beside: Attributes = {}
    columns = iter(row[1:])
    for level, wholly in levels.items():
        answer = decode(next(columns))
        told = answer if level == Level.INSTANCE else next(columns) | answer
        wanted = (set(answer) if wholly else set()) | _extra(level, query)
        beside |= told if query.include_all else {name: told[name] for name in wanted if name in told}
    return encode(beside | decode(row[0]))
