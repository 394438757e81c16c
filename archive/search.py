"""Searches and addresses as SQL: one statement a request, composed of constants, every value a parameter.

What the caller may see is a condition of each statement, so that hidden and absent are the same: no row.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import AsyncConnection

from archive.attributes import ATTRIBUTES, RETURNED, Level, tag
from archive.conditions import TABLES, Parameters, condition, every
from archive.dicom_json import decode, encode
from archive.errors import Gone, NotFound
from archive.json_values import Attributes
from archive.listing import DEEP, begin_of_page, datasets_in_order, is_counted, restrict
from archive.matching import OneOf
from archive.policy import Scope
from archive.pool import queries
from archive.query import COUNTED, MODALITIES_IN_STUDY, Match, Query
from archive.resource import Resource
from archive.statements import fetch

_STUDY_DATE = (tag("StudyDate"),)
# How many rows of a level lie on a day (a column of study_day), and in a study.
_COUNTS: dict[Level, tuple[str, str]] = {
    Level.STUDY: ("studies", "1"),
    Level.SERIES: ("series", "number_of_series"),
    Level.INSTANCE: ("instances", "number_of_instances"),
}
_SINCE = """(study.study_date, study.study_instance_uid)
    <= ((select study_date from day), (select study_instance_uid from begin))"""
_ANSWERED = {
    level: frozenset({*RETURNED[level], *(name for name, counted in COUNTED.items() if counted == level)})
    for level in Level
}
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
    def state(self) -> str:
        """Another one when the instance was stored anew."""
        return f"{self.sop_instance_uid} {self.place}"

    @property
    def resource(self) -> Resource:
        return Resource(self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of DICOM JSON, in the order of the search, and whether more match than one answer may have.

    `studies` are the UIDs of the studies that the rows tell of, some of them more than once.
    """

    rows: list[bytes]
    more: bool
    studies: list[str]


async def find(connection: AsyncConnection, scope: Scope, resource: Resource, query: Query) -> Page:
    """The page of a search below a resource."""
    begin = None
    if query.offset >= DEEP and scope.numbers and not scope.everything and is_counted(resource, query):
        begin = await begin_of_page(connection, scope, query)
        if begin is None:
            return Page([], more=False, studies=[])
        query = replace(query, offset=begin.skipped)
    parameters = Parameters()
    matches = [
        *_named(resource, query.level, parameters),
        *(condition(match, parameters) for match in query.matches),
    ]
    above = _levels_told(resource, query)
    start, offset, since = _begin(scope, resource, query, parameters)
    among = datasets_in_order(scope, resource, query, parameters, begin)
    statement = queries("search.sql")[_STATEMENTS[query.level]].format(
        start=start,
        beside=_columns_beside(above, query),
        among=among.join if among else "",
        first="seen" if among else "study",
        scope="not study.withheld" if among else restrict(scope, parameters),
        matches=every([*matches, *since]),
        offset="0" if among and among.is_page else offset,
    )
    values = parameters.values | {"limit": query.page_size + 1, "offset": query.offset}
    is_prepared = _is_plain(query) or bool(among and is_counted(resource, query))
    rows = await fetch(connection, statement, values, prepare=is_prepared)
    more = len(rows) > query.page_size
    rows = rows[: query.page_size]
    answers = _widen(rows, above, query) if above else [row[0] for row in rows]
    return Page(answers, more, [row[1] for row in rows])


def _begin(
    scope: Scope, resource: Resource, query: Query, parameters: Parameters
) -> tuple[str, str, list[str]]:
    """Where a page begins: what precedes the statement, its offset, and conditions that spare it what lies before.

    Those deep in a list begin in a study that the counts of days and studies tell, where these count what the
    search finds.
    """
    counted = _counted(query) if query.offset >= DEEP and scope.everything and not resource.level else None
    if counted is None:
        return "", "%(offset)s", []
    dates, modality = counted
    count, here = _COUNTS[query.level]
    counts = {"count": count, "here": here, "modality": parameters.add(modality)}
    start = queries("search.sql")["begin_of_page"].format(
        **counts,
        **_days(dates, counts, parameters),
        matches=every(condition(match, parameters) for match in query.matches),
    )
    return start, "(select skipped from begin)", [_SINCE]


def _days(dates: Sequence[Match], counts: Mapping[str, str], parameters: Parameters) -> dict[str, str]:
    """Which days a page may begin on, and the rows before it: those of its month, which counts of months tell.

    Where dates are matched, which may part a month, it is all the days that match.
    """
    if dates:
        matching = every(condition(match, parameters, table="study_day") for match in dates)
        return {"month": "", "dates": matching, "offset": "%(offset)s"}
    month = queries("search.sql")["month_of_page"].format(**counts)
    return {
        "month": month,
        "dates": queries("search.sql")["days_of_month"],
        "offset": "(select skipped from month)",
    }


def _counted(query: Query) -> tuple[list[Match], str] | None:
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
    """Where the instances that the resource names lie. Raises NotFound where there is none to see, or Gone."""
    return [Place(*row) for row in await _rows_of(connection, "places", scope, resource)]


async def place_and_metadata(
    connection: AsyncConnection, scope: Scope, resource: Resource
) -> tuple[Place, bytes]:
    """Where an instance lies, and its metadata as DICOM JSON. Raises NotFound."""
    ((*values, rendered),) = await _rows_of(connection, "place_and_metadata", scope, resource)
    return Place(*values), rendered


async def metadata(
    connection: AsyncConnection, scope: Scope, resource: Resource
) -> tuple[list[str], list[bytes]]:
    """The states of the resource's instances, and their metadata as DICOM JSON. Raises NotFound as `places` does.

    They come as one row: to take apart hundreds of them costs more than to find them.
    """
    ((states, rendered),) = await _rows_of(connection, "metadata", scope, resource)
    return states, rendered


async def shows(connection: AsyncConnection, scope: Scope, study_instance_uid: str) -> bool:
    """Whether a study is here and of the scope; one that is hidden and one that never was take the same look."""
    parameters = Parameters()
    statement = queries("search.sql")["shows"].format(scope=restrict(scope, parameters))
    ((found,),) = await fetch(connection, statement, parameters.values | {"study": study_instance_uid})
    return bool(found)


async def withheld_among(connection: AsyncConnection, studies: Iterable[str]) -> list[str]:
    """Those of the studies that are here for nobody, for their patient opted out or they are being erased."""
    rows = await connection.execute(queries("search.sql")["withheld_among"], {"studies": list(studies)})
    return [study for (study,) in await rows.fetchall()]


async def _rows_of(connection: AsyncConnection, name: str, scope: Scope, resource: Resource) -> list[Any]:
    parameters = Parameters()
    matches = list(_named(resource, Level.INSTANCE, parameters))
    statement = queries("search.sql")[name].format(scope=restrict(scope, parameters), matches=every(matches))
    rows = await fetch(connection, statement, parameters.values)
    if not rows:
        raise await _absence(connection, scope, resource)
    return rows


async def _absence(connection: AsyncConnection, scope: Scope, resource: Resource) -> NotFound:
    """What to say of a resource that is not there; that it was is told only to who might have seen it."""
    uid = resource.sop_instance_uid or resource.series_instance_uid or resource.study_instance_uid
    if scope.everything:
        row = await (await connection.execute(queries("search.sql")["is_deleted"], {"uid": uid})).fetchone()
        if row and row[0]:
            return Gone("the resource has been deleted")
    return NotFound("no such resource")


def _named(resource: Resource, level: Level, parameters: Parameters) -> Iterator[str]:
    """The conditions that the address sets on the table of the level."""
    table = TABLES[level]
    columns = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
    uids = (resource.study_instance_uid, resource.series_instance_uid, resource.sop_instance_uid)
    for column, uid in zip(columns, uids, strict=True):
        if uid:
            yield f"{table}.{column} = {parameters.add(uid)}"


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
    lacking = query.include - _ANSWERED[query.level]
    if level == Level.INSTANCE:
        return lacking - {*ATTRIBUTES[Level.STUDY], *ATTRIBUTES[Level.SERIES], *COUNTED}
    return lacking & {*ATTRIBUTES[level], *(name for name, counted in COUNTED.items() if counted == level)}


def _columns_beside(levels: Mapping[Level, bool], query: Query) -> str:
    """Of studies and series the answer, and the attributes where more is asked for; of instances the metadata."""
    columns = []
    for level in levels:
        if level == Level.INSTANCE:
            columns.append("instance.metadata")
            continue
        columns.append(f"{TABLES[level]}.dicom_json")
        if _wants_attributes(level, query):
            columns.append(f"{TABLES[level]}.attributes::text")
    return "".join(f", {column}" for column in columns)


def _wants_attributes(level: Level, query: Query) -> bool:
    return query.include_all or bool(_extra(level, query))


def _is_plain(query: Query) -> bool:
    """Whether one plan is good for all values; where it is not, PostgreSQL is to see them before it makes one."""
    return all(
        isinstance(match.condition, OneOf) and match.vr in ("LO", "SH", "UI") for match in query.matches
    )


def _widen(rows: Sequence[tuple[Any, ...]], levels: Mapping[Level, bool], query: Query) -> list[bytes]:
    """The rows' answers with what the levels beside them tell; rows of one study or series share that."""
    shared: dict[tuple[Any, ...], Attributes] = {}
    answers = []
    for answer, _, *beside in rows:
        key = tuple(beside)
        if key not in shared:
            shared[key] = _told(beside, levels, query)
        answers.append(encode(shared[key] | decode(answer)))
    return answers


def _told(values: Sequence[Any], levels: Mapping[Level, bool], query: Query) -> Attributes:
    """What the levels beside a row's own answer tell and the query lets in."""
    beside: Attributes = {}
    columns = iter(values)
    for level, wholly in levels.items():
        answer = decode(next(columns))
        told = answer
        if level != Level.INSTANCE and _wants_attributes(level, query):
            told = json.loads(next(columns)) | answer
        wanted = (set(answer) if wholly else set()) | _extra(level, query)
        beside |= told if query.include_all else {name: told[name] for name in wanted if name in told}
    return beside
