"""What is asked of a node's studies: conditions joined by all, any and not, as values and as JSON.

    {"all": [{"is": "modality", "in": ["MG"]}, {"not": {"is": "age", "to": 49}}]}

An empty `all` holds for every study. Of what a series has, all conditions under the same `all` are met by one series of
the study; `any` opens no new search for a series, a further `all` and `not` do, and what they say is of the study.
Which findings are meant is narrowed by a `finding_source` under the same `all`.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from archive.errors import BadRequest

UNKNOWN = "unknown"
"""The value of a choice for studies of which it is not known."""
MOST_PARTS, MOST_VALUES, DEEPEST, LONGEST = 200, 50, 12, 64


class Kind(StrEnum):
    """How a criterion is asked for: as one of some values, from and to numbers, or from and to days."""

    CHOICE = "choice"
    NUMBER = "number"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Criterion:
    """What can be asked for. `values` are all that there are; None where any text may be one.

    `is_of_series`: a study can have several, one for each of its series.
    """

    kind: Kind
    values: tuple[str, ...] | None = None
    is_of_series: bool = False


CRITERIA: Mapping[str, Criterion] = {
    "modality": Criterion(Kind.CHOICE, None, is_of_series=True),  # of DICOM, and DBT, which is MG as well
    "manufacturer": Criterion(Kind.CHOICE, None, is_of_series=True),
    "body_part": Criterion(Kind.CHOICE, None, is_of_series=True),
    "views": Criterion(Kind.CHOICE, ("complete", "incomplete")),
    "laterality": Criterion(Kind.CHOICE, ("L", "R", "B", UNKNOWN)),
    "density": Criterion(Kind.CHOICE, ("a", "b", "c", "d", UNKNOWN)),
    "assessment": Criterion(Kind.CHOICE, ("0", "1", "2", "3", "4", "5", "6", UNKNOWN)),
    "finding": Criterion(Kind.CHOICE, ("mass", "calcifications", "other", "any", "none")),
    "finding_source": Criterion(Kind.CHOICE, ("label", "accepted", "reading")),
    "diagnosis": Criterion(Kind.CHOICE, ("breast-cancer", "no-cancer", UNKNOWN)),
    "sex": Criterion(Kind.CHOICE, ("F", "M", "O", UNKNOWN)),
    "age": Criterion(Kind.NUMBER),  # completed years at the exam
    "year": Criterion(Kind.NUMBER),
    "round": Criterion(Kind.NUMBER),  # 1 is the patient's first exam by mammography here
    "date": Criterion(Kind.DAY),  # as stored: a patient's days are shifted by a secret number of days
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A criterion has one of the values, or lies from `low` to `high`, both included and either may be open.

    A day is the number that its eight digits are.
    """

    criterion: str
    values: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class All:
    children: tuple["Question", ...] = ()


@dataclass(frozen=True, slots=True)
class Either:
    """One child holds at least: never, where there is none."""

    children: tuple["Question", ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    child: "Question"


Question = Condition | All | Either | Not
EVERYTHING = All()


def read_question(content: Any) -> Question:
    """A question of JSON's values. Raises BadRequest, which tells what is wrong and no value."""
    question = _read(content, 1)
    if _size(question) > MOST_PARTS:
        raise BadRequest("a question has %(most)s parts at most", most=MOST_PARTS)
    return question


def check(question: Question) -> Question:
    """The question, if its conditions are such as can be asked and it is not too large. Raises BadRequest."""
    return read_question(to_json(question))


def to_json(question: Question) -> dict[str, Any]:
    """The question as JSON's values: in one order, however it was asked."""
    match question:
        case All(children):
            return {"all": _in_order(children)}
        case Either(children):
            return {"any": _in_order(children)}
        case Not(child):
            return {"not": to_json(child)}
        case Condition(criterion, values, low, high):
            told: dict[str, Any] = {"is": criterion}
            if values is not None:
                told["in"] = sorted(set(values))
            told |= {
                name: _written(criterion, limit)
                for name, limit in (("from", low), ("to", high))
                if limit is not None
            }
            return told


def conditions(question: Question) -> Iterator[Condition]:
    """All conditions of a question."""
    match question:
        case Condition():
            yield question
        case Not(child):
            yield from conditions(child)
        case All(children) | Either(children):
            for child in children:
                yield from conditions(child)


def _in_order(children: tuple[Question, ...]) -> list[dict[str, Any]]:
    told = [to_json(child) for child in children]
    by_text = {json.dumps(child, sort_keys=True): child for child in told}
    return [by_text[text] for text in sorted(by_text)]


def _size(question: Question) -> int:
    match question:
        case All(children) | Either(children):
            return 1 + sum(map(_size, children))
        case Not(child):
            return 1 + _size(child)
    return 1


def _read(content: Any, depth: int) -> Question:
    if depth > DEEPEST:
        raise BadRequest("a question is %(most)s levels deep at most", most=DEEPEST)
    if not isinstance(content, dict):
        raise BadRequest("a question is an object with all, any, not or is")
    if "is" in content:
        return _read_condition(content)
    if len(content) != 1 or not content.keys() <= {"all", "any", "not"}:
        raise BadRequest("a question is an object with one of all, any, not and is")
    ((name, inner),) = content.items()
    if name == "not":
        return Not(_read(inner, depth + 1))
    if not isinstance(inner, list) or len(inner) > MOST_PARTS:
        raise BadRequest("%(name)s takes a list of %(most)s questions at most", name=name, most=MOST_PARTS)
    children = tuple(_read(child, depth + 1) for child in inner)
    return All(children) if name == "all" else Either(children)


def _read_condition(content: Mapping[str, Any]) -> Condition:
    name = content["is"]
    criterion = CRITERIA.get(name) if isinstance(name, str) else None
    if criterion is None:
        raise BadRequest("%(name)s is one of: %(known)s", name="is", known=", ".join(CRITERIA))
    allowed = {"is", "in"} if criterion.kind is Kind.CHOICE else {"is", "from", "to"}
    if not content.keys() <= allowed or len(content) < 2:
        raise BadRequest(
            "%(name)s takes these alone: %(known)s", name=name, known=", ".join(sorted(allowed - {"is"}))
        )
    if criterion.kind is Kind.CHOICE:
        return Condition(name, _read_values(name, criterion, content["in"]))
    read = _read_day if criterion.kind is Kind.DAY else _read_number
    low, high = (read(name, content[limit]) if limit in content else None for limit in ("from", "to"))
    return Condition(name, None, low, high)


def _read_values(name: str, criterion: Criterion, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not 0 < len(values) <= MOST_VALUES:
        raise BadRequest("%(name)s takes a list of 1 to %(most)s texts", name=name, most=MOST_VALUES)
    for value in values:
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST or not value.isprintable():
            raise BadRequest(
                "%(name)s takes texts of 1 to %(most)s printable characters", name=name, most=LONGEST
            )
        if criterion.values is not None and value not in criterion.values:
            raise BadRequest("%(name)s is one of: %(known)s", name=name, known=", ".join(criterion.values))
    return tuple(sorted(set(values)))


def _read_number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest("%(name)s takes numbers", name=name)
    if isinstance(value, float) and not math.isfinite(value) or not 0 <= value <= 9999:
        raise BadRequest("%(name)s takes numbers from 0 to 9999", name=name)
    return value


def _read_day(name: str, value: Any) -> float:
    try:
        if not isinstance(value, str) or not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value, re.ASCII):
            raise ValueError
        return int(date.fromisoformat(value).strftime("%Y%m%d"))
    except ValueError:
        raise BadRequest("%(name)s takes days as YYYY-MM-DD", name=name) from None


def _written(criterion: str, limit: float) -> float | str:
    if CRITERIA[criterion].kind is not Kind.DAY:
        return int(limit) if limit == int(limit) else limit
    digits = f"{int(limit):08}"
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
