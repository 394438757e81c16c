"""What others' keys, values and operators mean as conditions; what means nothing here holds for no study."""

import math
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from gateway.search.question import (
    CRITERIA,
    MOST_VALUES,
    UNKNOWN,
    All,
    Condition,
    Either,
    Kind,
    Not,
    Question,
)
from gateway.search.vocabulary import find_containing, find_value

NOTHING = Either()
_SEVERAL = frozenset(["modality", "manufacturer", "body_part"])
"""A study may have more than one value of these, so that one other value does not make it another."""
_UNTOLD = frozenset(["manufacturer", "body_part"])
"""Of these, that series need not tell."""
_LARGEST = 9999


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def all_of(children: list[Question]) -> Question:
    """All of them, without the levels that say nothing; nothing where one is."""
    if NOTHING in children:
        return NOTHING
    flat = [inner for child in children for inner in (child.children if isinstance(child, All) else (child,))]
    return flat[0] if len(flat) == 1 else All(tuple(dict.fromkeys(flat)))


def any_of(children: list[Question]) -> Question:
    """Any of them, without the levels that say nothing."""
    flat = [
        inner for child in children for inner in (child.children if isinstance(child, Either) else (child,))
    ]
    distinct = tuple(dict.fromkeys(flat))
    return distinct[0] if len(distinct) == 1 else Either(distinct)


def equals(criterion: str, value: Any) -> Question:
    """The criterion is what a code means, or a number."""
    if CRITERIA[criterion].kind is Kind.CHOICE:
        found = find_value(criterion, value) if isinstance(value, str) else None
        return chosen(criterion, [found] if found else [])
    return between(criterion, value, value) if is_number(value) else NOTHING


def differs(criterion: str, value: Any) -> Question:
    """It is known, and is something else than a code means, or than a number."""
    equal = equals(criterion, value)
    if equal == NOTHING or not isinstance(equal, Condition):
        return NOTHING
    if equal.values is None:
        return All((Condition(criterion, None, 0.0), Not(equal)))
    if criterion == "finding":
        return All((Condition(criterion, ("any", "none")), Not(equal)))
    known = CRITERIA[criterion].values
    if criterion in _UNTOLD:  # of none of its series it is this, and of none it is unknown
        return All((Not(equal), Not(Condition(criterion, (UNKNOWN,)))))
    if known is None or criterion in _SEVERAL:
        return Not(equal)
    return chosen(criterion, [each for each in known if each not in (*equal.values, UNKNOWN)])


def contains(criterion: str, value: str) -> Question:
    """It is something whose name has a text in it."""
    if CRITERIA[criterion].kind is not Kind.CHOICE:
        return NOTHING
    return chosen(criterion, find_containing(criterion, value))


def one_of(criterion: str, values: list[str]) -> Question:
    """It is something that one of the codes means."""
    if CRITERIA[criterion].kind is not Kind.CHOICE:
        return NOTHING
    return chosen(criterion, [found for each in values if (found := find_value(criterion, each))])


def lies_between(criterion: str, value: Mapping[str, Any]) -> Question:
    """It is a number from `min` to `max`, both included; either may be missing."""
    low, high = value.get("min"), value.get("max")
    if not all(limit is None or is_number(limit) for limit in (low, high)):
        return NOTHING
    return between(criterion, low, high)


def is_lower(criterion: str, value: Any) -> Question:
    """It is under a number, or is the `max` of a range at most."""
    if isinstance(value, dict):
        limit = value.get("max")
        return between(criterion, None, limit) if is_number(limit) else NOTHING
    return between(criterion, None, _whole(value, math.ceil, -1))


def is_greater(criterion: str, value: Any) -> Question:
    """It is over a number, or is the `min` of a range at least."""
    if isinstance(value, dict):
        limit = value.get("min")
        return between(criterion, limit, None) if is_number(limit) else NOTHING
    return between(criterion, _whole(value, math.floor, 1), None)


def _whole(value: float, rounded: Callable[[float], int], step: int) -> float:
    """The whole number next to a limit that is not included itself: what is counted are completed years."""
    return value if isinstance(value, float) and not math.isfinite(value) else rounded(value) + step


def chosen(criterion: str, values: list[str] | tuple[str, ...]) -> Question:
    """A criterion has one of the values, however many there are."""
    distinct = list(dict.fromkeys(values))
    parts = [tuple(distinct[first : first + MOST_VALUES]) for first in range(0, len(distinct), MOST_VALUES)]
    return any_of([Condition(criterion, part) for part in parts])


def between(criterion: str, low: float | None, high: float | None) -> Question:
    """A number from low to high, both included; nothing where there is none, or where the criterion is none."""
    if CRITERIA[criterion].kind is not Kind.NUMBER or (low is None and high is None):
        return NOTHING
    least = max(low if low is not None else 0, 0)
    most = min(high if high is not None else _LARGEST, _LARGEST)
    if not least <= most:  # so is what is not a number
        return NOTHING
    return Condition(criterion, None, least, most if high is not None else None)


def on_days(criterion: str, low: date | None, high: date | None) -> Question:
    """A day from low to high, both included; nothing where the criterion is none."""
    if CRITERIA[criterion].kind is not Kind.DAY or (low and high and low > high):
        return NOTHING
    first, last = (int(day.strftime("%Y%m%d")) if day else None for day in (low, high))
    return Condition(criterion, None, first, last)
