"""Matching keys as SQL: conditions composed of constants, every value a parameter (PS3.4 section C.2.2.2)."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

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

    def add(self, value: object) -> str:
        """The placeholder that stands for the value."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"%({name})s"


def every(conditions: Iterable[str]) -> str:
    """All of the conditions; true without one."""
    return " and ".join(conditions) or "true"


def condition(match: Match, parameters: Parameters, table: str = "") -> str:
    """What the tables `study`, `series` and `instance` must say for a key to match.

    `table` names another one that has a column of the same name.
    """
    name = match.path[0]
    if len(match.path) == 1 and name in _COLUMNS:
        own, column = _COLUMNS[name]
        return _match_column(f"{table or own}.{column}", match, parameters)
    if len(match.path) == 1 and name in _ARRAYS:
        return _match_array(".".join(_ARRAYS[name]), match, parameters)
    return match_attribute(match, parameters, TABLES[match.level])


def _match_column(column: str, match: Match, parameters: Parameters) -> str:
    if isinstance(match.condition, Empty):
        return f"coalesce({column}::text, '') = ''"
    if isinstance(match.condition, AllOf):
        return every(
            _compare(column, match.vr, OneOf((value,)), parameters) for value in match.condition.values
        )
    if isinstance(match.condition, Within):
        return _within(column, ".".join(_COLUMNS[match.condition.date]), match.condition, parameters)
    if match.vr in NUMBER_VRS and isinstance(match.condition, OneOf):
        numbers = [int(text) for text in match.condition.values]
        return f"{column}::bigint = any({parameters.add(numbers)}::bigint[])"
    return _compare(column, match.vr, match.condition, parameters)


def _match_array(column: str, match: Match, parameters: Parameters) -> str:
    if isinstance(match.condition, OneOf):
        return f"{column} && {parameters.add(list(match.condition.values))}::text[]"
    if isinstance(match.condition, AllOf):
        return f"{column} @> {parameters.add(list(match.condition.values))}::text[]"
    if isinstance(match.condition, Empty):
        return f"{column} = '{{}}'"
    compared = _compare("member", match.vr, match.condition, parameters)
    return f"exists (select from unnest({column}) member where {compared})"


def match_attribute(match: Match, parameters: Parameters, table: str) -> str:
    """An attribute in a table's DICOM JSON, in any item of the sequences above it."""
    found = _values_found(match, table)
    if isinstance(match.condition, Empty):
        return f"not exists (select from {found})"
    if isinstance(match.condition, AllOf):
        each = [replace(match, condition=OneOf((value,))) for value in match.condition.values]
        return every(match_attribute(one, parameters, table) for one in each)
    text = "(found #>> '{}')"
    if isinstance(match.condition, Within):
        date = f"({table}.attributes #>> array['{match.condition.date}', 'Value', '0'])"
        compared = _within(text, date, match.condition, parameters)
    elif match.vr in NUMBER_VRS and isinstance(match.condition, OneOf):
        compared = f"found = any({parameters.add(list(match.condition.values))}::text[]::jsonb[])"
    else:
        compared = _compare(text, match.vr, match.condition, parameters)
    return f"exists (select from {found} where {compared})"


def _values_found(match: Match, table: str) -> str:
    steps = "".join(f'."{name}"."Value"[*]' for name in match.path)
    groups = ".*" if match.vr == "PN" else ""
    return f"jsonb_path_query({table}.attributes, 'lax ${steps}{groups}'::jsonpath) found"


def _compare(value: str, kind: str, wanted: Condition, parameters: Parameters) -> str:
    """A condition on one value as SQL."""
    match wanted:
        case OneOf(values) if len(values) == 1:
            return f"{value} = {parameters.add(values[0])}"
        case OneOf(values):
            return f"{value} = any({parameters.add(list(values))}::text[])"
        case Like(pattern):
            return f"{value} like {parameters.add(_like(pattern))}"
        case Between():
            return _between(value, kind, wanted, parameters)
        case Named():
            return _is_named(value, wanted, parameters)
        case _:
            raise TypeError(f"{type(wanted).__name__} is no condition on one value")


def _digits(value: str, kind: str) -> str:
    """A time, or a date and time without its offset from UTC, as digits, so that those of any precision compare."""
    if kind == "TM":
        return f"rpad(replace({value}, '.', ''), 12, '0')"
    if kind == "DT":
        digits = f"replace(regexp_replace({value}, '[-+].*', ''), '.', '')"
        return f"({digits} || substr('00000101000000000000', length({digits}) + 1))"
    return value


def _between(value: str, kind: str, wanted: Between, parameters: Parameters) -> str:
    compared = _digits(value, kind)
    conditions = [f"{value} <> ''"]
    conditions += [f"{compared} >= {parameters.add(wanted.low)}"] if wanted.low else []
    conditions += [f"{compared} <= {parameters.add(wanted.high)}"] if wanted.high else []
    return every(conditions)


def _within(time: str, date: str, wanted: Within, parameters: Parameters) -> str:
    """The times of the first and the last day; which days are in the range is the condition on the date."""
    conditions = [f"{time} <> ''"]
    ends = ((">", wanted.dates.low, wanted.times.low), ("<", wanted.dates.high, wanted.times.high))
    for sign, day, moment in ends:
        if day and moment:
            first, then = parameters.add(day), parameters.add(moment)
            conditions.append(f"({date} {sign} {first} or {_digits(time, 'TM')} {sign}= {then})")
    return every(conditions)


def _is_named(value: str, name: Named, parameters: Parameters) -> str:
    """Letter case apart, in any component group; trailing empty components don't count (PS3.5 6.2.1)."""
    group = f'lower({value} collate "und-x-icu")'  # by Unicode's rules, whatever the locale of the database
    if name.words:
        words = f"regexp_split_to_table({group}, '[ ^=,-]+')"
        begins = [parameters.add(_like(word) + "%") for word in name.words]
        return every(f"exists (select from {words} word where word like {begin})" for begin in begins)
    pattern = parameters.add(_like(name.pattern))
    if "=" in name.pattern:
        return f"{group} like {pattern}"
    groups = f"regexp_split_to_table({group}, '=')"
    return f"exists (select from {groups} named where rtrim(named, '^ ') like {pattern})"


def _like(pattern: str) -> str:
    """A pattern of `*` and `?` as one of LIKE."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
