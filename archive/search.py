"""Searches and addresses as SQL: one statement a request, composed of constants, every value a parameter.

What the caller may see is a condition of each statement, so that hidden and absent are the same: no row.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from psycopg import AsyncConnection
from psycopg.sql import SQL, Composable, Composed, Identifier, Placeholder
from psycopg.sql import Literal as Constant

from archive.attributes import ATTRIBUTES, RETURNED, Level, tag
from archive.dicom_json import decode, encode
from archive.errors import NotFound
from archive.json_values import Attributes
from archive.policy import Scope
from archive.pool import queries
from archive.query import COUNTED, Between, Condition, Like, Match, Named, OneOf, Query
from archive.resource import Resource

_TABLES = {Level.STUDY: "study", Level.SERIES: "series", Level.INSTANCE: "instance"}
_STATEMENTS = {Level.STUDY: "find_studies", Level.SERIES: "find_series", Level.INSTANCE: "find_instances"}

_COLUMNS: dict[str, tuple[str, str]] = {
    tag(keyword): column
    for keyword, column in {
        "StudyInstanceUID": ("study", "study_instance_uid"),
        "PatientID": ("study", "patient_id"),
        "PatientName": ("study", "patient_name"),
        "PatientBirthDate": ("study", "patient_birth_date"),
        "PatientSex": ("study", "patient_sex"),
        "StudyDate": ("study", "study_date"),
        "StudyTime": ("study", "study_time"),
        "AccessionNumber": ("study", "accession_number"),
        "StudyID": ("study", "study_id"),
        "ReferringPhysicianName": ("study", "referring_physician_name"),
        "StudyDescription": ("study", "study_description"),
        "NumberOfStudyRelatedSeries": ("study", "number_of_series"),
        "NumberOfStudyRelatedInstances": ("study", "number_of_instances"),
        "SeriesInstanceUID": ("series", "series_instance_uid"),
        "Modality": ("series", "modality"),
        "SeriesNumber": ("series", "series_number"),
        "NumberOfSeriesRelatedInstances": ("series", "number_of_instances"),
        "SOPInstanceUID": ("instance", "sop_instance_uid"),
        "SOPClassUID": ("instance", "sop_class_uid"),
        "InstanceNumber": ("instance", "instance_number"),
        "NumberOfFrames": ("instance", "number_of_frames"),
        "AvailableTransferSyntaxUID": ("instance", "transfer_syntax_uid"),
    }.items()
}
_ARRAYS = {
    tag("ModalitiesInStudy"): ("study", "modalities"),
    tag("SOPClassesInStudy"): ("study", "sop_classes"),
}


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


@dataclass(slots=True)
class _Parameters:
    """Values on their way into a statement, each under a name of its own."""

    values: dict[str, Any] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def add(self, value: object) -> Placeholder:
        name = f"p{next(self._numbers)}"
        self.values[name] = value
        return Placeholder(name)


async def find(connection: AsyncConnection, scope: Scope, resource: Resource, query: Query) -> Page:
    """The page of a search below a resource."""
    parameters = _Parameters()
    matches = [
        *_named(resource, query.level, parameters),
        *(_match(match, parameters) for match in query.matches),
    ]
    above = _levels_told(resource, query)
    statement = SQL(queries("search.sql")[_STATEMENTS[query.level]]).format(
        beside=_columns_beside(above),
        scope=restrict(scope, parameters),
        matches=_all(matches),
    )
    values = parameters.values | {"limit": query.page_size + 1, "offset": query.offset}
    cursor = await connection.execute(statement, values)
    rows = await cursor.fetchall()
    more = len(rows) > query.page_size
    rows = rows[: query.page_size]
    return Page([_widen(row, above, query) if above else row[0] for row in rows], more)


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
    parameters = _Parameters()
    matches = list(_named(resource, Level.INSTANCE, parameters))
    statement = SQL(queries("search.sql")[name]).format(
        scope=restrict(scope, parameters), matches=_all(matches)
    )
    rows = await (await connection.execute(statement, parameters.values)).fetchall()
    if not rows:
        raise NotFound("no such resource")
    return rows


def restrict(scope: Scope, parameters: _Parameters) -> Composable:
    """The studies of a scope, as a condition on the table `study`."""
    return SQL("true") if scope.everything else SQL("false")


def _named(resource: Resource, level: Level, parameters: _Parameters) -> Iterator[Composable]:
    """The conditions that the address sets on the table of the level."""
    table = _TABLES[level]
    columns = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
    uids = (resource.study_instance_uid, resource.series_instance_uid, resource.sop_instance_uid)
    for column, uid in zip(columns, uids, strict=True):
        if uid:
            yield SQL("{} = {}").format(Identifier(table, column), parameters.add(uid))


def _all(conditions: Iterable[Composable]) -> Composable:
    return SQL(" and ").join(conditions) if (conditions := list(conditions)) else SQL("true")


def _match(match: Match, parameters: _Parameters) -> Composable:
    name = match.path[0]
    if len(match.path) == 1 and name in _COLUMNS:
        return _compare(Identifier(*_COLUMNS[name]), match, parameters)
    if len(match.path) == 1 and name in _ARRAYS:
        return _match_array(Identifier(*_ARRAYS[name]), match, parameters)
    return _match_attribute(match, parameters)


def _match_array(column: Identifier, match: Match, parameters: _Parameters) -> Composable:
    if isinstance(match.condition, OneOf):
        return SQL("{} && {}::text[]").format(column, parameters.add(list(match.condition.values)))
    compared = _compare(SQL("member"), match, parameters)
    return SQL("exists (select from unnest({}) member where {})").format(column, compared)


def _match_attribute(match: Match, parameters: _Parameters) -> Composable:
    """An attribute that only the DICOM JSON of its level has, in any item of the sequences above it."""
    attributes = Identifier(_TABLES[match.level], "attributes")
    steps = "".join(f'."{name}"."Value"[*]' for name in match.path)
    path = Constant(f"lax ${steps}" + (".*" if match.vr == "PN" else ""))
    compared = _compare(SQL("(found #>> '{}')"), match, parameters)
    return SQL("exists (select from jsonb_path_query({}, {}::jsonpath) found where {})").format(
        attributes, path, compared
    )


def _compare(value: Composable, match: Match, parameters: _Parameters) -> Composable:
    """A condition on a value as SQL."""
    condition: Condition = match.condition
    match condition:
        case OneOf(values):
            return _equal(value, match.vr, values, parameters)
        case Like(pattern):
            return SQL("{} like {}").format(value, parameters.add(_like(pattern)))
        case Between(low, high):
            return _between(_digits(value) if match.vr == "TM" else value, low, high, value, parameters)
        case Named():
            return _is_named(value, condition, parameters)


def _equal(value: Composable, kind: str, values: tuple[str, ...], parameters: _Parameters) -> Composable:
    if kind == "IS":
        return SQL("{}::bigint = any({}::bigint[])").format(
            value, parameters.add([int(text) for text in values])
        )
    if len(values) == 1:
        return SQL("{} = {}").format(value, parameters.add(values[0]))
    return SQL("{} = any({}::text[])").format(value, parameters.add(list(values)))


def _digits(value: Composable) -> Composable:
    """A time as twelve digits, so that times of any precision compare."""
    return SQL("rpad(replace({}, '.', ''), 12, '0')").format(value)


def _between(
    compared: Composable, low: str | None, high: str | None, value: Composable, parameters: _Parameters
) -> Composable:
    conditions = [SQL("{} <> ''").format(value)]
    conditions += [SQL("{} >= {}").format(compared, parameters.add(low))] if low else []
    conditions += [SQL("{} <= {}").format(compared, parameters.add(high))] if high else []
    return _all(conditions)


def _is_named(value: Composable, name: Named, parameters: _Parameters) -> Composable:
    """Letter case apart, in any component group; trailing empty components don't count (PS3.5 6.2.1)."""
    if name.words:
        words = SQL("regexp_split_to_table({}, '[ ^=,-]+')").format(_lower(value))
        begins = SQL("exists (select from {} word where word like {})")
        return _all(begins.format(words, parameters.add(_like(word) + "%")) for word in name.words)
    group = _lower(value)
    if "=" in name.pattern:
        return SQL("{} like {}").format(group, parameters.add(_like(name.pattern)))
    one_group = SQL(
        "exists (select from regexp_split_to_table({}, '=') named where rtrim(named, '^ ') like {})"
    )
    return one_group.format(group, parameters.add(_like(name.pattern)))


def _lower(value: Composable) -> Composable:
    """In lower case by Unicode's rules, whatever the locale of the database."""
    return SQL('lower({} collate "und-x-icu")').format(value)


def _like(pattern: str) -> str:
    """A pattern of `*` and `?` as one of LIKE."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


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
        table = _TABLES[level]
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
