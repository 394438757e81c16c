"""A search as a value: what to match, what to include, which page (PS3.18 sections 8.3.4 and 10.6.1).

Matching is that of PS3.4 section C.2.2.2. Dates and times are matched apart from each other; what a key can't
mean at its VR, and a key the level does not have, is refused and never left out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qsl

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from archive.attributes import ATTRIBUTES, Level, tag, vr
from archive.errors import BadRequest
from archive.resource import is_uid

MAXIMUM_LIMIT = 1000  # results in one answer
MAXIMUM_OFFSET = 10**9
MAXIMUM_VALUES = 1000  # in one list of UIDs
MAXIMUM_LENGTH = 64 * 1024  # characters of a query string
MAXIMUM_PARAMETERS = 200

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
INSTANCE_KEYS = frozenset(map(tag, ("SOPClassUID", "SOPInstanceUID", "InstanceNumber", "NumberOfFrames")))
"""The instance level's own attributes that can be matched."""

_WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_LIST_VRS = frozenset({"CS", "IS"})
_DATE = re.compile(r"[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])")
_TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?")
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}")
_LIMIT = re.compile(r"[0-9]{1,18}")
_K = TypeVar("_K")
_TIME_LAST = "235959999999"


@dataclass(frozen=True, slots=True)
class OneOf:
    """The attribute has one of the values, exactly (single value, UID list and multiple value matching)."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """The attribute matches a pattern of `*` and `?`."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Between:
    """A date as YYYYMMDD, or a time as twelve digits HHMMSSffffff, in a closed range; None is an open end."""

    low: str | None
    high: str | None


@dataclass(frozen=True, slots=True)
class Named:
    """A person's name, letter case apart: the whole one by a pattern, or, fuzzily, each word begins a component."""

    pattern: str
    words: tuple[str, ...] = ()


Condition = OneOf | Like | Between | Named


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
    fuzzy: bool = False
    limit: int | None = None  # as asked for; None: as many as there are
    offset: int = 0

    @property
    def page_size(self) -> int:
        """The most results that one answer has."""
        return MAXIMUM_LIMIT if self.limit is None else min(self.limit, MAXIMUM_LIMIT)


def parse_parameters(query_string: bytes) -> list[tuple[str, str]]:
    """The pairs of a query string, percent-decoded. Raises BadRequest where it is too long or not UTF-8."""
    if len(query_string) > MAXIMUM_LENGTH:
        raise BadRequest(f"the query is longer than {MAXIMUM_LENGTH} characters")
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
        raise BadRequest(f"the query has more than {MAXIMUM_PARAMETERS} parameters") from None


def parse_query(level: Level, parameters: Iterable[tuple[str, str]]) -> Query:
    """The search that a query string asks for. Raises BadRequest, which names the parameter and never its value."""
    options: dict[str, str] = {}
    keys: dict[tuple[str, ...], str] = {}
    included: list[str] = []
    for name, value in parameters:
        if name == "includefield":
            included += value.split(",")
        elif name in ("limit", "offset", "fuzzymatching", "accept"):
            _put(options, name, name, value)
        else:
            _put(keys, parse_path(name), name, value)
    fuzzy = _boolean("fuzzymatching", options.get("fuzzymatching", "false"))
    tags = {field if field == "all" else _parse_tag(field) for field in included if field}
    matched = {path[0] for path in keys}
    return Query(
        level=level,
        matches=tuple(filter(None, (_match(level, path, value, fuzzy) for path, value in keys.items()))),
        include=frozenset((tags | matched) - {"all"}),
        include_all="all" in tags,
        fuzzy=fuzzy,
        limit=_count("limit", options["limit"], None) if "limit" in options else None,
        offset=_count("offset", options.get("offset", "0"), MAXIMUM_OFFSET),
    )


def _put(table: dict[_K, str], key: _K, name: str, value: str) -> None:
    if key in table:
        raise BadRequest(f"{_shown(name)} is given twice")
    table[key] = value


def parse_path(name: str) -> tuple[str, ...]:
    """The tags of an attribute named by keywords or tags, those of sequences before it. Raises BadRequest."""
    return tuple(_parse_tag(part) for part in name.split("."))


def _parse_tag(name: str) -> str:
    if re.fullmatch("[0-9A-Fa-f]{8}", name):
        return name.upper()
    number = tag_for_keyword(name) if name else None
    if number is None:
        raise BadRequest(
            f"{_shown(name)} is neither the keyword nor the tag of an attribute, nor a parameter of a search"
        )
    return f"{number:08X}"


def _match(level: Level, path: tuple[str, ...], value: str, fuzzy: bool) -> Match | None:
    """The condition that a key's value means; None where it matches everything (PS3.4 section C.2.2.2.3)."""
    name = ".".join(keyword_for_tag(part) or part for part in path)
    found = _level(level, path, name)
    kind = _vr(path, name)
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
        raise BadRequest(f"the value of {name} has a control character")
    text = value.strip(" ")
    if text.strip("*") == "":
        return None
    return Match(path, found, kind, _condition(kind, name, text, fuzzy))


def _level(level: Level, path: tuple[str, ...], name: str) -> Level:
    """The level that the key belongs to, which is the searched one or above."""
    for candidate in range(level, -1, -1):
        own = (
            path[0] in INSTANCE_KEYS
            if candidate == Level.INSTANCE
            else path[0] in ATTRIBUTES[Level(candidate)]
        )
        if own or COUNTED.get(path[0]) == candidate:
            return Level(candidate)
    raise BadRequest(f"{name} can't be matched in a search for {_PLURAL[level]}")


_PLURAL = {Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}


def _vr(path: tuple[str, ...], name: str) -> str:
    try:
        *sequences, kind = map(vr, path)
    except KeyError:
        raise BadRequest(f"{name} is not an attribute of the standard") from None
    if any(each != "SQ" for each in sequences):
        raise BadRequest(f"{name} leads through an attribute that is no sequence")
    if kind == "SQ":
        raise BadRequest(f"{name} is a sequence: name an attribute in it, as in {name}.CodeValue")
    if kind not in _WILDCARD_VRS | {"UI", "DA", "TM", "IS", "AS"}:
        raise BadRequest(f"{name} can't be matched: its value representation is {kind}")
    return kind


def _condition(kind: str, name: str, text: str, fuzzy: bool) -> Condition:
    if kind == "UI":
        return _uids(name, text)
    if kind == "DA":
        return _dates(name, text)
    if kind == "TM":
        return _times(name, text)
    if kind == "PN":
        return _person_name(text, fuzzy)
    values = tuple(part.strip(" ") for part in re.split(r"[\\,]", text)) if kind in _LIST_VRS else (text,)
    if kind == "IS":
        return _integers(name, values)
    if len(values) == 1 and kind in _WILDCARD_VRS and re.search(r"[*?]", text):
        return Like(text)
    return OneOf(values)


def _uids(name: str, text: str) -> OneOf:
    uids = tuple(part.strip(" ") for part in re.split(r"[\\,]", text) if part.strip(" "))
    if not uids or len(uids) > MAXIMUM_VALUES or not all(map(is_uid, uids)):
        raise BadRequest(f"{name} takes a UID, or up to {MAXIMUM_VALUES} parted by commas")
    return OneOf(uids)


def _integers(name: str, values: tuple[str, ...]) -> OneOf:
    if not all(_NUMBER.fullmatch(value) for value in values):
        raise BadRequest(f"{name} takes a whole number")
    return OneOf(tuple(str(int(value)) for value in values))


def _dates(name: str, text: str) -> Between:
    low, high = _ends(name, text, _DATE, "a date as YYYYMMDD")
    return Between(low, high)


def _times(name: str, text: str) -> Between:
    """A time that leaves out its last parts means all that begin with it (PS3.5 section 6.2, VR TM)."""
    low, high = _ends(name, text, _TIME, "a time as HHMMSS.FFFFFF")
    low = low.replace(".", "").ljust(12, "0") if low else None
    if high:
        digits = high.replace(".", "")
        high = digits + _TIME_LAST[len(digits) :]
    return Between(low, high)


def _ends(name: str, text: str, form: re.Pattern[str], meaning: str) -> tuple[str | None, str | None]:
    """The ends of a range A-B, A-, -B; a single value is both of them (PS3.4 section C.2.2.2.5)."""
    low, dash, high = (part.strip(" ") for part in text.partition("-"))
    ends = (low, high) if dash else (low, low)
    if not any(ends) or not all(form.fullmatch(end) for end in ends if end):
        raise BadRequest(f"{name} takes {meaning}, or a range A-B, A- or -B of them")
    return ends[0] or None, ends[1] or None


def _person_name(text: str, fuzzy: bool) -> Named:
    words = tuple(word for word in re.split(r"[\s^=,*?]+", text.lower()) if word) if fuzzy else ()
    return Named(pattern=text.lower().rstrip("^ "), words=words)


def _boolean(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise BadRequest(f"{name} is true or false")
    return text == "true"


def _count(name: str, text: str, maximum: int | None) -> int:
    if not _LIMIT.fullmatch(text) or (maximum is not None and int(text) > maximum):
        raise BadRequest(f"{name} is a whole number from 0" + (f" to {maximum}" if maximum else ""))
    return int(text)


def _shown(name: str) -> str:
    """A parameter's name as an error may show it: only what could be a keyword."""
    return repr(name) if re.fullmatch(r"[A-Za-z0-9]{1,64}", name) else "a parameter of the query"
