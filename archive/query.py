"""A search as a value: what to match, what to include, which page (PS3.18 sections 8.3.4 and 10.6.1).

A key that the level does not have is refused and never left out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar
from urllib.parse import parse_qsl

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from archive.attributes import ATTRIBUTES, Level, tag, vr
from archive.errors import BadRequest
from archive.matching import Between, Condition, Manner, Within, is_matchable, parse_condition
from archive.state_item import marked

MAXIMUM_LIMIT = 1000  # results in one answer
MAXIMUM_OFFSET = 10**9
MAXIMUM_LENGTH = 64 * 1024  # characters of a query string
MAXIMUM_PARAMETERS = 200
MAXIMUM_DEPTH = 8  # sequences in one key

MODALITIES_IN_STUDY = tag("ModalitiesInStudy")
COUNTED = {
    tag(keyword): level
    for keyword, level in {
        "ModalitiesInStudy": Level.STUDY,
        "SOPClassesInStudy": Level.STUDY,
        "NumberOfStudyRelatedSeries": Level.STUDY,
        "NumberOfStudyRelatedInstances": Level.STUDY,
        "NumberOfSeriesRelatedInstances": Level.SERIES,
        "AvailableTransferSyntaxUID": Level.INSTANCE,
    }.items()
}
"""Attributes that no instance of the level has of itself, and that can be matched all the same."""
TIME_OF_DATE = {
    (tag(name + "Date"),): (tag(name + "Time"),)
    for name in (
        "Study",
        "Series",
        "Content",
        "Acquisition",
        "InstanceCreation",
        "PerformedProcedureStepStart",
    )
}
"""Dates and the times of day that belong to them: ranges of both are one range of moments."""

_MANNERS = ("fuzzymatching", "emptyvaluematching", "multiplevaluematching")
_OPTIONS = frozenset({"limit", "offset", "accept", *_MANNERS})
_LIMIT = re.compile(r"[0-9]{1,18}")
_K = TypeVar("_K")


@dataclass(frozen=True, slots=True)
class Match:
    """A matching key: tags that lead to the attribute, its level and VR, a condition on its value."""

    path: tuple[str, ...]
    level: Level
    vr: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class Query:
    """A search for the studies, series or instances of a level."""

    level: Level
    matches: tuple[Match, ...] = ()
    include: frozenset[str] = frozenset()  # tags beyond the ones returned anyhow
    include_all: bool = False
    limit: int | None = None  # as asked for; None: as many as there are
    offset: int = 0

    @property
    def page_size(self) -> int:
        """The most results that one answer has."""
        return MAXIMUM_LIMIT if self.limit is None else min(self.limit, MAXIMUM_LIMIT)


def parse_parameters(query_string: bytes) -> list[tuple[str, str]]:
    """The pairs of a query string, percent-decoded. Raises BadRequest where it is too long or not UTF-8."""
    if len(query_string) > MAXIMUM_LENGTH:
        raise BadRequest("the query is longer than %(most)s characters", most=MAXIMUM_LENGTH)
    try:
        return parse_qsl(
            query_string.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAXIMUM_PARAMETERS,
        )
    except UnicodeDecodeError:
        raise BadRequest("the query is not percent-encoded UTF-8") from None
    except ValueError:
        raise BadRequest("the query has more than %(most)s parameters", most=MAXIMUM_PARAMETERS) from None


def parse_query(level: Level | None, parameters: Iterable[tuple[str, str]]) -> Query:
    """The search that a query string asks for; without a level, one for workitems.

    Raises BadRequest, which names the parameter and never its value.
    """
    options: dict[str, str] = {}
    keys: dict[tuple[str, ...], str] = {}
    included: set[str] = set()
    for name, value in parameters:
        if name == "includefield":
            included |= {
                field if field == "all" else parse_path(field)[0] for field in value.split(",") if field
            }
        elif name in _OPTIONS:
            _put(options, name, name, value)
        else:
            _put(keys, parse_path(name), name, value)
    manner = Manner(*(_boolean(name, options.get(name, "false")) for name in _MANNERS))
    matches = [_match(level, path, value, manner) for path, value in keys.items()]
    return Query(
        level=Level.STUDY if level is None else level,
        matches=_combine([match for match in matches if match]),
        include=frozenset((included | {path[0] for path in keys}) - {"all"}),
        include_all="all" in included,
        limit=_count("limit", options["limit"], None) if "limit" in options else None,
        offset=_count("offset", options.get("offset", "0"), MAXIMUM_OFFSET),
    )


def _put(table: dict[_K, str], key: _K, name: str, value: str) -> None:
    if key in table:
        raise BadRequest("%(name)s is given twice", name=_shown(name))
    table[key] = value


def parse_path(name: str) -> tuple[str, ...]:
    """The tags of an attribute named by keywords or tags, those of sequences before it. Raises BadRequest."""
    parts = name.split(".")
    if len(parts) > MAXIMUM_DEPTH:
        raise BadRequest(
            "an attribute of the query lies below more than %(most)s sequences", most=MAXIMUM_DEPTH
        )
    return tuple(map(_parse_tag, parts))


@lru_cache(4096)
def _parse_tag(name: str) -> str:
    if re.fullmatch("[0-9A-Fa-f]{8}", name):
        return name.upper()
    number = tag_for_keyword(name) if name else None
    if number is None:
        raise BadRequest(
            "%(name)s is neither the keyword nor the tag of an attribute, nor a parameter of a search",
            name=_shown(name),
        )
    return f"{number:08X}"


def _match(level: Level | None, path: tuple[str, ...], value: str, manner: Manner) -> Match | None:
    """The condition that a key's value means; None where it matches everything (PS3.4 section C.2.2.2.3)."""
    found, kind, name = _attribute(level, path)
    condition = parse_condition(kind, name, value, manner)
    return Match(path, found, kind, condition) if condition else None


def _combine(matches: list[Match]) -> tuple[Match, ...]:
    """Ranges of a date and of its time of day become one range of moments (PS3.4 section C.2.2.2.5.1)."""
    ranges = {
        match.path: match.condition
        for match in matches
        if isinstance(match.condition, Between) and match.condition.is_range
    }
    dates = {time: date for date, time in TIME_OF_DATE.items() if date in ranges and time in ranges}
    return tuple(
        replace(match, condition=Within(dates[match.path][0], ranges[dates[match.path]], ranges[match.path]))
        if match.path in dates
        else match
        for match in matches
    )


@lru_cache(4096)
def _attribute(level: Level | None, path: tuple[str, ...]) -> tuple[Level, str, str]:
    """The level that the key belongs to, its VR and its name. Raises BadRequest where it can't be matched."""
    name = ".".join(keyword_for_tag(part) or part for part in path)
    return Level.STUDY if level is None else _level(level, path, name), _vr(path, name), name


def _level(level: Level, path: tuple[str, ...], name: str) -> Level:
    """The level that the key belongs to, which is the searched one or above."""
    for candidate in range(level, -1, -1):
        if path[0] in ATTRIBUTES[Level(candidate)] or COUNTED.get(path[0]) == candidate:
            return Level(candidate)
    raise BadRequest(_NOT_IN[level], name=name)


_NOT_IN = {
    Level.STUDY: marked("%(name)s can't be matched in a search for studies"),
    Level.SERIES: marked("%(name)s can't be matched in a search for series"),
    Level.INSTANCE: marked("%(name)s can't be matched in a search for instances"),
}


def _vr(path: tuple[str, ...], name: str) -> str:
    try:
        *sequences, kind = map(vr, path)
    except KeyError:
        raise BadRequest("%(name)s is not an attribute of the standard", name=name) from None
    if any(each != "SQ" for each in sequences):
        raise BadRequest("%(name)s leads through an attribute that is no sequence", name=name)
    if kind == "SQ":
        raise BadRequest(
            "%(name)s is a sequence: name an attribute in it, as in %(name)s.CodeValue", name=name
        )
    if not is_matchable(kind):
        raise BadRequest("%(name)s can't be matched: its value representation is %(vr)s", name=name, vr=kind)
    return kind


def _boolean(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise BadRequest("%(name)s is true or false", name=name)
    return text == "true"


def _count(name: str, text: str, maximum: int | None) -> int:
    if not _LIMIT.fullmatch(text) or (maximum is not None and int(text) > maximum):
        if maximum is None:
            raise BadRequest("%(name)s is a whole number from 0", name=name)
        raise BadRequest("%(name)s is a whole number from 0 to %(most)s", name=name, most=maximum)
    return int(text)


def _shown(name: str) -> str:
    """A parameter's name as an error may show it: only what could be a keyword."""
    return repr(name) if re.fullmatch(r"[A-Za-z0-9]{1,64}", name) else "a parameter of the query"
