"""What is asked of a Beacon (GA4GH Beacon v2): filters, granularity, and which sets of results are wanted.

Filters hold together. One that is not known here holds for nobody, as does any parameter of a query about genomes.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from archive.errors import BadRequest, Forbidden
from gateway.search.interpretation import (
    NOTHING,
    all_of,
    between,
    contains,
    differs,
    equals,
    is_greater,
    is_lower,
    on_days,
)
from gateway.search.question import CRITERIA, EVERYTHING, Condition, Kind, Not, Question, check
from gateway.search.vocabulary import find_field, find_term

_Choice = TypeVar("_Choice", bound=StrEnum)
VERSION = "v2.0.0"
MOST_FILTERS, LONGEST, MOST_SCHEMAS = 50, 200, 20
DEFAULT_LIMIT, LARGEST_LIMIT = 10, 10_000
SCOPES = (None, "individual", "individuals")
OPERATORS = ("=", "<", ">", "!", ">=", "<=")
_IN_ADDRESS = re.compile(r"(?P<id>[^<>=!]+)(?P<operator><=|>=|=|<|>|!)(?P<value>.+)", re.DOTALL)
_YEARS = re.compile(r"P([0-9]{1,3})Y", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_REQUEST = {"$schema", "meta", "query"}
"""What a request holds: what was asked under another name would ask for everybody."""
_QUERY = (
    "filters",
    "includeResultsetResponses",
    "pagination",
    "requestedGranularity",
    "requestParameters",
    "testMode",
)
_ADDRESS = ("filters", "includeResultsetResponses", "skip", "limit", "requestedGranularity", "testMode")
_SCHEMAS = ("requestedSchema", "requestedSchemas")


class Granularity(StrEnum):
    """How much an answer tells; there are neither records nor distributions here."""

    BOOLEAN = "boolean"
    COUNT = "count"
    AGGREGATED = "aggregated"
    RECORD = "record"


class Include(StrEnum):
    """Which sets of results are wanted."""

    ALL = "ALL"
    HIT = "HIT"
    MISS = "MISS"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it was understood. `unsupported` are the identifiers of filters that are not known here.

    `skip` counts pages of `limit` entries, as the framework's `Pagination` has it. `filters` are told back as texts, in
    the form that an address has: its `Filters` are nothing else. `is_test`: it is how the Beacon answers that is looked
    at, and not what it holds.
    """

    question: Question = EVERYTHING
    granularity: Granularity = Granularity.BOOLEAN
    include: Include = Include.HIT
    skip: int = 0
    limit: int = DEFAULT_LIMIT  # never 0
    api_version: str = VERSION
    schemas: tuple[Mapping[str, Any], ...] = ()
    filters: tuple[str, ...] = ()
    is_test: bool = False
    unsupported: tuple[str, ...] = field(default=())

    @property
    def shown(self) -> slice:
        """Which of a list of entries are on the page that is asked for."""
        return slice(self.skip * self.limit, (self.skip + 1) * self.limit)


def parse_address(parameters: Iterable[tuple[str, str]], *, gives_records: bool = False) -> Asked:
    """What a GET asks. Raises BadRequest, and Forbidden where records are asked for and are not given."""
    given: dict[str, list[str]] = {}
    for name, text in parameters:
        given.setdefault(name, []).append(text)
    once = {name: texts[-1] for name, texts in given.items() if name in _ADDRESS}
    filters = [one for text in given.get("filters", []) for one in text.split(",") if one]
    schemas = [{"schema": text} for name in _SCHEMAS for text in given.get(name, [])]
    query: dict[str, Any] = {
        "filters": [_filter_of_address(each) for each in filters],
        "pagination": {name: _whole(name, once[name]) for name in ("skip", "limit") if name in once},
        "requestParameters": {name: "" for name in given if name not in (*_ADDRESS, *_SCHEMAS)},
    }
    query |= {
        name: once[name] for name in ("includeResultsetResponses", "requestedGranularity") if name in once
    }
    if "testMode" in once:
        query["testMode"] = {"true": True, "false": False}.get(once["testMode"])
    return parse_body({"meta": {"requestedSchemas": schemas}, "query": query}, gives_records=gives_records)


def parse_body(content: Any, *, gives_records: bool = False) -> Asked:
    """What a POST asks. Raises BadRequest, and Forbidden where records are asked for and are not given."""
    meta, query = _object(content, "meta"), _object(content, "query")
    if not content.keys() <= _REQUEST:
        raise BadRequest("a request is an object with meta and query")
    if unknown := [name for name in query if name not in _QUERY]:
        raise BadRequest(f"a query takes {', '.join(_QUERY)}, and {len(unknown)} others are none of them")
    filters = _list(query, "filters", MOST_FILTERS)
    parameters = query.get("requestParameters") or {}
    if not isinstance(parameters, dict):
        raise BadRequest("requestParameters is an object")
    granularity = _choice(query, "requestedGranularity", Granularity.BOOLEAN)
    if not gives_records and granularity not in (Granularity.BOOLEAN, Granularity.COUNT):
        raise Forbidden("records and distributions are not given: ask for boolean or count")
    read = [(each["id"], _read_filter(each)) for each in filters if _check_filter(each)]
    unsupported = [name for name, question in read if question == NOTHING] + list(parameters)
    held = [question for _, question in read] + ([NOTHING] if parameters else [])
    return Asked(
        question=check(all_of(held)) if held else EVERYTHING,
        granularity=granularity,
        include=_choice(query, "includeResultsetResponses", Include.HIT),
        **_pagination(query),
        api_version=_text(meta, "apiVersion", VERSION),
        schemas=tuple(_schema(each) for each in _list(meta, "requestedSchemas", MOST_SCHEMAS)),
        filters=tuple(map(_echoed, filters)),
        is_test=_is_test(query),
        unsupported=tuple(name[:LONGEST] for name in unsupported[:MOST_FILTERS]),
    )


def _object(content: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise BadRequest("a request is an object with meta and query")
    found = content.get(name)
    if found is not None and not isinstance(found, dict):
        raise BadRequest(f"{name} is an object")
    return found or {}


def _list(content: Mapping[str, Any], name: str, most: int) -> list[Any]:
    found = content.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or len(found) > most:
        raise BadRequest(f"{name} is a list of {most} at most")
    return found


def _text(content: Mapping[str, Any], name: str, default: str) -> str:
    found = content.get(name, default)
    if not isinstance(found, str) or len(found) > LONGEST:
        raise BadRequest(f"{name} is a text of {LONGEST} characters at most")
    return found


def _choice(content: Mapping[str, Any], name: str, default: _Choice) -> _Choice:
    found = content.get(name, default)
    if found not in list(type(default)):
        raise BadRequest(f"{name} takes {', '.join(type(default))}")
    return type(default)(found)


def _is_test(query: Mapping[str, Any]) -> bool:
    found = query.get("testMode", False)
    if not isinstance(found, bool):
        raise BadRequest("testMode is true or false")
    return found


def _pagination(query: Mapping[str, Any]) -> dict[str, int]:
    found = _object(query, "pagination")
    skip, limit = found.get("skip", 0), found.get("limit", DEFAULT_LIMIT)
    if any(type(each) is not int or not 0 <= each <= 10**9 for each in (skip, limit)):
        raise BadRequest("skip and limit are whole numbers from 0 on")
    return {"skip": skip, "limit": min(limit, LARGEST_LIMIT) or LARGEST_LIMIT}


def _schema(content: Any) -> Mapping[str, Any]:
    if not isinstance(content, dict) or not all(isinstance(each, str) for each in content.values()):
        raise BadRequest("requestedSchemas are objects with entityType and schema")
    return {name: _text(content, name, "") for name in ("entityType", "schema") if name in content}


def _whole(name: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text, re.ASCII):
        raise BadRequest(f"{name} is a whole number from 0 on")
    return int(text)


def _filter_of_address(text: str) -> dict[str, Any]:
    found = _IN_ADDRESS.fullmatch(text)
    return found.groupdict() if found else {"id": text}


def _check_filter(content: Any) -> bool:
    """Raises BadRequest for what is no filter."""
    if not isinstance(content, dict) or not isinstance(content.get("id"), str):
        raise BadRequest("a filter is an object with an id")
    if content.get("operator", "=") not in OPERATORS:
        raise BadRequest(f"operator takes {' '.join(OPERATORS)}")
    value = content.get("value", "")
    if len(content["id"]) > LONGEST or (isinstance(value, str) and len(value) > LONGEST):
        raise BadRequest(f"a filter's texts have {LONGEST} characters at most")
    return True


def _echoed(content: Mapping[str, Any]) -> str:
    """A filter as an address has it."""
    value = content.get("value")
    is_compared = isinstance(value, str | int | float)
    return content["id"] + (f"{content.get('operator', '=')}{value}" if is_compared else "")


def _read_filter(content: Mapping[str, Any]) -> Question:
    """What a filter holds for."""
    if content.get("scope") not in SCOPES:
        return NOTHING
    name = content["id"]
    if "operator" in content or "value" in content:
        criterion = name if name in CRITERIA else find_field(name)
        return (
            _compared(criterion, content.get("operator", "="), content.get("value")) if criterion else NOTHING
        )
    if term := find_term(name):
        return Condition(term.criterion, (term.value,))
    criterion, _, value = name.partition(":")
    return _compared(criterion, "=", value) if criterion in CRITERIA and value else NOTHING


def _compared(criterion: str, operator: str, value: Any) -> Question:
    kind = CRITERIA[criterion].kind
    if kind is Kind.NUMBER:
        number = _number(value)
        return _NUMBERS[operator](criterion, number) if number is not None else NOTHING
    if not isinstance(value, str):
        return NOTHING
    if kind is Kind.DAY:
        return _compared_days(criterion, operator, value)
    if operator not in ("=", "!"):
        return NOTHING
    if "%" in value:
        return _like(criterion, operator, value)
    return equals(criterion, value) if operator == "=" else differs(criterion, value)


def _like(criterion: str, operator: str, value: str) -> Question:
    """`%text%` is somewhere in a name; `%` stands for no other place here."""
    text = value[1:-1]
    if len(value) < 3 or value[0] + value[-1] != "%%" or "%" in text or operator != "=":
        return NOTHING
    return contains(criterion, text)


def _number(value: Any) -> float | None:
    """A number, as such or written, or the years of an ISO 8601 duration."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    if years := _YEARS.fullmatch(value):
        return int(years[1])
    return float(value) if _NUMBER.fullmatch(value) else None


_NUMBERS: Mapping[str, Callable[[str, float], Question]] = {
    "=": equals,
    "!": differs,
    "<": is_lower,
    ">": is_greater,
    "<=": lambda criterion, number: between(criterion, None, number),
    ">=": lambda criterion, number: between(criterion, number, None),
}


def _compared_days(criterion: str, operator: str, value: str) -> Question:
    try:
        day = date.fromisoformat(value)
        before, after = day - timedelta(days=1), day + timedelta(days=1)
    except (ValueError, OverflowError):
        return NOTHING
    if operator == "!":
        known, is_it = on_days(criterion, date(1, 1, 1), None), on_days(criterion, day, day)
        return all_of([known, Not(is_it)])
    limits = {"=": (day, day), "<": (None, before), "<=": (None, day), ">": (after, None), ">=": (day, None)}
    return on_days(criterion, *limits[operator])
