"""Matching keys as SQL: conditions composed of constants, every value a parameter (PS3.4 section C.2.2.2)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from psycopg.sql import SQL, Composable, Identifier, Placeholder
from psycopg.sql import Literal as Constant

from archive.attributes import Level, tag
from archive.matching import NUMBER_VRS, AllOf, Between, Condition, Empty, Like, Named, OneOf, Within
from archive.query import Match

TABLES = {Level.STUDY: "study", Level.SERIES: "series", Level.INSTANCE: "instance"}

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


@dataclass(slots=True)
class Parameters:
    """Values on their way into a statement, each under a name of its own."""

    values: dict[str, Any] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def add(self, value: object) -> Placeholder:
        name = f"p{next(self._numbers)}"
        self.values[name] = value
        return Placeholder(name)


def every(conditions: Iterable[Composable]) -> Composable:
    """All of the conditions; true without one."""
    return SQL(" and ").join(conditions) if (conditions := list(conditions)) else SQL("true")


def condition(match: Match, parameters: Parameters, table: str = "") -> Composable:
    """What the tables `study`, `series` and `instance` must say for a key to match.

    `table` names another one that has a column of the same name.
    """
    name = match.path[0]
    if len(match.path) == 1 and name in _COLUMNS:
        own, column = _COLUMNS[name]
        return _match_column(Identifier(table or own, column), match, parameters)
    if len(match.path) == 1 and name in _ARRAYS:
        return _match_array(Identifier(*_ARRAYS[name]), match, parameters)
    return match_attribute(match, parameters, TABLES[match.level])


def _match_column(column: Identifier, match: Match, parameters: Parameters) -> Composable:
    if isinstance(match.condition, Empty):
        return SQL("coalesce({}::text, '') = ''").format(column)
    if isinstance(match.condition, AllOf):
        return every(
            _compare(column, match.vr, OneOf((value,)), parameters) for value in match.condition.values
        )
    if isinstance(match.condition, Within):
        return _within(column, Identifier(*_COLUMNS[match.condition.date]), match.condition, parameters)
    if match.vr in NUMBER_VRS and isinstance(match.condition, OneOf):
        numbers = [int(text) for text in match.condition.values]
        return SQL("{}::bigint = any({}::bigint[])").format(column, parameters.add(numbers))
    return _compare(column, match.vr, match.condition, parameters)


def _match_array(column: Identifier, match: Match, parameters: Parameters) -> Composable:
    if isinstance(match.condition, OneOf):
        return SQL("{} && {}::text[]").format(column, parameters.add(list(match.condition.values)))
    if isinstance(match.condition, AllOf):
        return SQL("{} @> {}::text[]").format(column, parameters.add(list(match.condition.values)))
    if isinstance(match.condition, Empty):
        return SQL("{} = '{{}}'").format(column)
    compared = _compare(SQL("member"), match.vr, match.condition, parameters)
    return SQL("exists (select from unnest({}) member where {})").format(column, compared)


def match_attribute(match: Match, parameters: Parameters, table: str) -> Composable:
    """An attribute in a table's DICOM JSON, in any item of the sequences above it."""
    found = _values_found(match, table)
    if isinstance(match.condition, Empty):
        return SQL("not exists (select from {})").format(found)
    if isinstance(match.condition, AllOf):
        each = [replace(match, condition=OneOf((value,))) for value in match.condition.values]
        return every(match_attribute(one, parameters, table) for one in each)
    text = SQL("(found #>> '{{}}')").format()
    if isinstance(match.condition, Within):
        compared = _within(text, _first_value(table, match.condition.date), match.condition, parameters)
    elif match.vr in NUMBER_VRS and isinstance(match.condition, OneOf):
        numbers = parameters.add(list(match.condition.values))
        compared = SQL("found = any({}::text[]::jsonb[])").format(numbers)
    else:
        compared = _compare(text, match.vr, match.condition, parameters)
    return SQL("exists (select from {} where {})").format(found, compared)


def _values_found(match: Match, table: str) -> Composable:
    attributes = Identifier(table, "attributes")
    steps = "".join(f'."{name}"."Value"[*]' for name in match.path)
    path = Constant(f"lax ${steps}" + (".*" if match.vr == "PN" else ""))
    return SQL("jsonb_path_query({}, {}::jsonpath) found").format(attributes, path)


def _first_value(table: str, name: str) -> Composable:
    attributes = Identifier(table, "attributes")
    return SQL("({} #>> array[{}, 'Value', '0'])").format(attributes, Constant(name))


def _compare(value: Composable, kind: str, wanted: Condition, parameters: Parameters) -> Composable:
    """A condition on one value as SQL."""
    match wanted:
        case OneOf(values) if len(values) == 1:
            return SQL("{} = {}").format(value, parameters.add(values[0]))
        case OneOf(values):
            return SQL("{} = any({}::text[])").format(value, parameters.add(list(values)))
        case Like(pattern):
            return SQL("{} like {}").format(value, parameters.add(_like(pattern)))
        case Between(low, high):
            return _between(_digits(value, kind), low, high, value, parameters)
        case Named():
            return _is_named(value, wanted, parameters)
        case _:
            raise TypeError(f"{type(wanted).__name__} is no condition on one value")


def _digits(value: Composable, kind: str) -> Composable:
    """A time, or a date and time without its offset from UTC, as digits, so that those of any precision compare."""
    if kind == "TM":
        return SQL("rpad(replace({}, '.', ''), 12, '0')").format(value)
    if kind == "DT":
        digits = SQL("replace(regexp_replace({}, '[-+].*', ''), '.', '')").format(value)
        return SQL("({0} || substr('00000101000000000000', length({0}) + 1))").format(digits)
    return value


def _between(
    compared: Composable, low: str | None, high: str | None, value: Composable, parameters: Parameters
) -> Composable:
    conditions = [SQL("{} <> ''").format(value)]
    conditions += [SQL("{} >= {}").format(compared, parameters.add(low))] if low else []
    conditions += [SQL("{} <= {}").format(compared, parameters.add(high))] if high else []
    return every(conditions)


def _within(time: Composable, date: Composable, wanted: Within, parameters: Parameters) -> Composable:
    """The times of the first and the last day; which days are in the range is the condition on the date."""
    conditions = [SQL("{} <> ''").format(time)]
    for sign, day, moment in (
        (SQL(">"), wanted.dates.low, wanted.times.low),
        (SQL("<"), wanted.dates.high, wanted.times.high),
    ):
        if day and moment:
            beyond = SQL("({} {} {} or {} {}= {})")
            conditions.append(
                beyond.format(
                    date, sign, parameters.add(day), _digits(time, "TM"), sign, parameters.add(moment)
                )
            )
    return every(conditions)


def _is_named(value: Composable, name: Named, parameters: Parameters) -> Composable:
    """Letter case apart, in any component group; trailing empty components don't count (PS3.5 6.2.1)."""
    if name.words:
        words = SQL("regexp_split_to_table({}, '[ ^=,-]+')").format(_lower(value))
        begins = SQL("exists (select from {} word where word like {})")
        return every(begins.format(words, parameters.add(_like(word) + "%")) for word in name.words)
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
