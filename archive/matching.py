"""What a matching key's value asks of an attribute (PS3.4 section C.2.2.2), by value representation.

What a value can't mean at its VR is refused and never left out.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from archive.errors import BadRequest
from archive.resource import is_uid
from archive.state_item import marked

MAXIMUM_VALUES = 1000  # in one list of UIDs

EMPTY = '""'
"""The value that asks for attributes without one, where Empty Value Matching is asked for (PS3.18 section 8.3.4.5)."""

TEXT_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
"""Value representations in which `*` and `?` are wild (PS3.4 section C.2.2.2.4)."""
INTEGER_VRS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
DECIMAL_VRS = frozenset({"DS", "FD", "FL"})
NUMBER_VRS = INTEGER_VRS | DECIMAL_VRS
_MULTIPLE_VRS = frozenset({"AE", "AS", "AT", "CS", "LO", "PN", "SH", "UC"})  # PS3.4 section C.2.2.2.8
_LIST_VRS = NUMBER_VRS | {"AS", "AT", "CS"}

_DATE = re.compile(r"[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])")
_TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?")
_DATE_TIME = re.compile(
    r"[0-9]{4}((0[1-9]|1[0-2])((0[1-9]|[12][0-9]|3[01])"
    r"(([01][0-9]|2[0-3])([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?)?)?)?"
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,16}(\.[0-9]{0,16})?|\.[0-9]{1,16})([eE][+-]?[0-9]{1,2})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_LAST_TIME = "235959999999"
_FIRST_DATE_TIME, _LAST_DATE_TIME = "00000101000000000000", "99991231235959999999"


@dataclass(frozen=True, slots=True)
class OneOf:
    """The attribute has one of the values, exactly (single value, UID list and multiple value matching)."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """The attribute has all of the values (PS3.4 section C.2.2.2.8)."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Empty:
    """The attribute is absent or has no value (PS3.4 section C.2.2.2.7)."""


@dataclass(frozen=True, slots=True)
class Like:
    """The attribute matches a pattern of `*` and `?`."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Between:
    """A date as YYYYMMDD, a time as HHMMSSffffff, or both as twenty digits, in a closed range; None is an open end."""

    low: str | None
    high: str | None
    is_range: bool = field(default=True, compare=False)  # False: the key's value was a single one


@dataclass(frozen=True, slots=True)
class Within:
    """A time on the days at the ends of a range of dates, which another key of the search sets.

    The range goes from `dates.low` at `times.low` to `dates.high` at `times.high` (PS3.4 section C.2.2.2.5.1:
    combined date-time matching); `date` is the tag of the date.
    """

    date: str
    dates: Between
    times: Between


@dataclass(frozen=True, slots=True)
class Named:
    """A person's name, letter case apart: the whole one by a pattern, or, fuzzily, each word begins a component."""

    pattern: str
    words: tuple[str, ...] = ()


Condition = OneOf | AllOf | Empty | Like | Between | Within | Named


@dataclass(frozen=True, slots=True)
class Manner:
    """How a search matches beyond the plain rules (PS3.18 sections 8.3.4.2, 8.3.4.5 and 8.3.4.6)."""

    fuzzy: bool = False
    empty_values: bool = False
    multiple_values: bool = False


PLAIN = Manner()
_TAKES_DATES = marked("%(name)s takes a date as YYYYMMDD, or a range A-B, A- or -B of them")
_TAKES_TIMES = marked("%(name)s takes a time as HHMMSS.FFFFFF, or a range A-B, A- or -B of them")
_TAKES_MOMENTS = marked(
    "%(name)s takes a moment as YYYYMMDDHHMMSS.FFFFFF without an offset from UTC, or a range A-B, A- or -B of them"
)


def is_matchable(kind: str) -> bool:
    """Whether attributes of a value representation can be matched."""
    return kind in TEXT_VRS | NUMBER_VRS | {"AS", "AT", "DA", "DT", "TM", "UI"}


def parse_condition(kind: str, name: str, value: str, manner: Manner = PLAIN) -> Condition | None:
    """What the value of the key `name`, of a matchable VR, asks for; None where everything matches.

    Raises BadRequest, which names the key and never its value.
    """
    if _CONTROL.search(value):
        raise BadRequest("the value of %(name)s has a control character", name=name)
    text = value.strip(" ")
    if text.strip("*") == "":
        return None
    if manner.empty_values and text == EMPTY:
        return Empty()
    if manner.multiple_values and kind in _MULTIPLE_VRS and "\\" in text:
        return AllOf(tuple(part.strip(" ") for part in text.split("\\") if part.strip(" ")))
    if kind == "PN":
        return _person_name(text, manner.fuzzy)
    if kind in _PARSERS:
        return _PARSERS[kind](name, text)
    return _text(kind, name, text)


def _text(kind: str, name: str, text: str) -> Condition:
    values = tuple(part.strip(" ") for part in re.split(r"[\\,]", text)) if kind in _LIST_VRS else (text,)
    if kind in NUMBER_VRS:
        return _numbers(name, values, _INTEGER if kind in INTEGER_VRS else _DECIMAL)
    if len(values) == 1 and kind in TEXT_VRS and re.search(r"[*?]", text):
        return Like(text)
    return OneOf(values)


def _numbers(name: str, values: tuple[str, ...], form: re.Pattern[str]) -> OneOf:
    if not all(form.fullmatch(value) for value in values):
        if form is _INTEGER:
            raise BadRequest("%(name)s takes a whole number", name=name)
        raise BadRequest("%(name)s takes a number", name=name)
    return OneOf(tuple(f"{Decimal(value):f}" for value in values))


def _uids(name: str, text: str) -> OneOf:
    uids = tuple(part.strip(" ") for part in re.split(r"[\\,]", text) if part.strip(" "))
    if not uids or len(uids) > MAXIMUM_VALUES or not all(map(is_uid, uids)):
        raise BadRequest(
            "%(name)s takes a UID, or up to %(most)s parted by commas", name=name, most=MAXIMUM_VALUES
        )
    return OneOf(uids)


def _tags(name: str, text: str) -> OneOf:
    if not _TAG.fullmatch(text):
        raise BadRequest("%(name)s takes a tag as eight hexadecimal digits", name=name)
    return OneOf((text.upper(),))


def _dates(name: str, text: str) -> Between:
    return Between(*_ends(name, text, _DATE, _TAKES_DATES), is_range="-" in text)


def _times(name: str, text: str) -> Between:
    """A time that leaves out its last parts means all that begin with it (PS3.5 section 6.2, VR TM)."""
    low, high = _ends(name, text, _TIME, _TAKES_TIMES)
    return Between(_pad(low, "0" * 12), _pad(high, _LAST_TIME), is_range="-" in text)


def _date_times(name: str, text: str) -> Between:
    """As times; the hyphen of an offset from UTC could not be told from that of a range, so none is taken."""
    low, high = _ends(name, text, _DATE_TIME, _TAKES_MOMENTS)
    return Between(_pad(low, _FIRST_DATE_TIME), _pad(high, _LAST_DATE_TIME))


def _pad(end: str | None, rest: str) -> str | None:
    digits = (end or "").replace(".", "")
    return digits + rest[len(digits) :] if digits else None


def _ends(name: str, text: str, form: re.Pattern[str], problem: str) -> tuple[str | None, str | None]:
    """The ends of a range A-B, A-, -B; a single value is both of them (PS3.4 section C.2.2.2.5)."""
    low, dash, high = (part.strip(" ") for part in text.partition("-"))
    ends = (low, high) if dash else (low, low)
    if not any(ends) or not all(form.fullmatch(end) for end in ends if end):
        raise BadRequest(problem, name=name)
    return ends[0] or None, ends[1] or None


def _person_name(text: str, fuzzy: bool) -> Named:
    words = tuple(word for word in re.split(r"[\s^=,*?]+", text.lower()) if word) if fuzzy else ()
    return Named(pattern=text.lower().rstrip("^ "), words=words)


_PARSERS: dict[str, Callable[[str, str], Condition]] = {
    "UI": _uids,
    "AT": _tags,
    "DA": _dates,
    "TM": _times,
    "DT": _date_times,
}
