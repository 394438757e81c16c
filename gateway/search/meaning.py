"""What a question means, so that another way to write it has the same answer: the same noise is added to both.

A question is a function of what is known of a study. Here it becomes the reduced decision diagram over criteria in one
order (R. E. Bryant 1986), of which there is one for each function: two questions that hold for the same studies,
whatever studies there may be, have the same digest. What joins several criteria of one series is taken by its text,
each of them once and by what it asks for, and so is a question that is too large: there, two ways to write the same may
count as two questions.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from archive.search_facts import CALCIFICATIONS, MASS, NONE, OLDEST, OTHER, SOURCES
from gateway.search.matching import wanted_values
from gateway.search.question import CRITERIA, All, Condition, Either, Kind, Not, Question, to_json

_MOST_STEPS = 20_000
_FINDINGS = {"mass": MASS, "calcifications": CALCIFICATIONS, "other": OTHER, "any": 7, "none": NONE}
_STATES = (*range(8), NONE)  # of what a source says of findings
_HIGHEST = {"age": OLDEST, "day": 99_991_231, "round": 32_767}
_LOWEST = {"age": 0, "day": 10_101, "round": 1}
_ONE_EACH = ("modality", "body_part")  # of which a series has one value

_Formula = (
    Any  # True, False, (variable, frozenset of its values), or a tuple of "and", "or", "not" and formulas
)


class _TooLargeError(Exception):
    pass


def digest(question: Question) -> bytes:
    """32 bytes that are the same for two questions that mean the same."""
    question = _unique(question)
    try:
        told = _Diagram().digest(question)
    except _TooLargeError:
        told = json.dumps(to_json(question), sort_keys=True)
    return hashlib.sha256(told.encode()).digest()


@dataclass(slots=True)
class _Diagram:
    steps: int = 0
    domains: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    known: dict[_Formula, str] = field(default_factory=dict)

    def digest(self, question: Question) -> str:
        for name, cuts in _cuts(question).items():
            self.domains[name] = (0, *sorted(cuts))  # the first of each interval; 0: unknown
        return self._node(self._scope(question, frozenset(SOURCES)))

    def _scope(self, question: Question, sources: frozenset[str]) -> _Formula:
        """A part that has a series of its own: what is asked of that alone is one variable."""
        if isinstance(question, Either):
            return _join("or", [self._inner(child, sources) for child in question.children])
        if isinstance(question, Condition):
            return self._series([question]) if _is_of_series(question) else self._leaf(question, sources)
        if isinstance(question, Not):
            return _negate(self._scope(question.child, frozenset(SOURCES)))
        for child in question.children:
            if isinstance(child, Condition) and child.criterion == "finding_source":
                sources &= frozenset(child.values or ())
        kinds: list[Question] = [
            child for child in question.children if not isinstance(child, All) and _is_of_series(child)
        ]
        others = [child for child in question.children if child not in kinds]
        if len(kinds) > 1 and all(map(_is_pure, kinds)):
            kinds = _merged(kinds)
        if len(kinds) == 1:
            return _join("and", [self._inner(child, sources) for child in (*others, *kinds)])
        if not all(map(_is_pure, kinds)):
            return self._opaque(json.dumps([to_json(question), sorted(sources)], sort_keys=True))
        parts = [self._inner(child, sources) for child in others]
        return _join("and", parts + ([self._series(kinds)] if kinds else []))

    def _inner(self, question: Question, sources: frozenset[str]) -> _Formula:
        return self._scope(question, frozenset(SOURCES) if isinstance(question, All) else sources)

    def _series(self, kinds: Sequence[Question]) -> _Formula:
        if len(kinds) == 1 and isinstance(kinds[0], Condition):
            criterion, values = kinds[0].criterion, kinds[0].values or ()
            return _join("or", [self._opaque(f"{criterion}={value}") for value in values])
        return self._opaque(json.dumps(to_json(All(tuple(kinds))), sort_keys=True))

    def _opaque(self, text: str) -> _Formula:
        self.domains[text] = (False, True)
        return text, frozenset([True])

    def _leaf(self, condition: Condition, sources: frozenset[str]) -> _Formula:
        name, values = condition.criterion, condition.values or ()
        if name == "finding_source":
            return _join("or", [self._finding(source, 15) for source in values])
        if name == "finding":
            bits = [_FINDINGS[value] for value in values]
            return _join("or", [self._finding(source, bit) for source in sorted(sources) for bit in bits])
        if CRITERIA[name].kind is Kind.CHOICE:
            domain = CRITERIA[name].values or ()
            self.domains[name] = (*domain, "") if name == "views" else domain  # other images have no views
            return name, frozenset(values)
        variable, low, high = _interval(condition)
        return variable, frozenset(
            cut for cut in self.domains[variable] if cut and low <= _begin(cut) <= high
        )

    def _finding(self, source: str, bits: int) -> _Formula:
        self.domains[f"finding by {source}"] = _STATES
        return f"finding by {source}", frozenset(state for state in _STATES if state & bits)

    def _node(self, formula: _Formula) -> str:
        if isinstance(formula, bool):
            return str(formula)
        if formula not in self.known:
            variable = min(_variables(formula))
            children = [
                (value, self._node(self._given(formula, variable, value))) for value in self.domains[variable]
            ]
            self.known[formula] = _reduced(variable, children)
        return self.known[formula]

    def _given(self, formula: _Formula, variable: str, value: Any) -> _Formula:
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise _TooLargeError
        if isinstance(formula, bool):
            return formula
        if formula[0] == "not":
            return _negate(self._given(formula[1], variable, value))
        if formula[0] in ("and", "or"):
            return _join(formula[0], [self._given(part, variable, value) for part in formula[1]])
        return value in formula[1] if formula[0] == variable else formula


def _unique(question: Question) -> Question:
    """Without repetition: of what is asked of one series, the text is compared."""
    match question:
        case All(children):
            return All(tuple(dict.fromkeys(map(_unique, children))))
        case Either(children):
            parts = tuple(dict.fromkeys(map(_unique, children)))
            is_source = len(parts) == 1 and getattr(parts[0], "criterion", "") == "finding_source"
            return parts[0] if len(parts) == 1 and not is_source else Either(parts)
        case Not(child):
            return Not(_unique(child))
        case Condition(criterion, values, low, high):
            held = wanted_values(question) if CRITERIA[criterion].is_of_series else values
            return Condition(criterion, None if held is None else tuple(sorted(set(held))), low, high)


def _merged(kinds: Sequence[Question]) -> list[Question]:
    """All of these of one series, with one condition for each criterion of which a series has one value."""
    merged: dict[str, Condition] = {}
    rest: list[Question] = []
    for kind in kinds:
        if not isinstance(kind, Condition) or kind.criterion not in _ONE_EACH:
            rest.append(kind)
        elif before := merged.get(kind.criterion):
            both = sorted(set(before.values or ()) & set(kind.values or ()))
            merged[kind.criterion] = Condition(kind.criterion, tuple(both))
        else:
            merged[kind.criterion] = kind
    if any(not one.values for one in merged.values()):
        return [Condition(_ONE_EACH[0], ())]  # of no series
    return [*merged.values(), *rest]


def _reduced(variable: str, children: list[tuple[Any, str]]) -> str:
    """A node: none where all children are the same, and of neighbours that are the same the first."""
    if len({child for _, child in children}) == 1:
        return children[0][1]
    kept = [children[0]]
    for value, child in children[1:]:
        is_interval = variable in _LOWEST and kept[-1][0] != 0
        if not (is_interval and kept[-1][1] == child):
            kept.append((value, child))
    return hashlib.sha256(repr((variable, kept)).encode()).hexdigest()


def _cuts(question: Question) -> dict[str, set[int]]:
    """Where conditions part the numbers that may be: the first number of each interval, by variable."""
    found: dict[str, set[int]] = {}
    match question:
        case Condition() if CRITERIA[question.criterion].kind is not Kind.CHOICE:
            variable, low, high = _interval(question)
            lowest, highest = _LOWEST[variable], _HIGHEST[variable]
            ends = low, _after(variable, high)
            found[variable] = {lowest + 1, *(cut + 1 for cut in ends if lowest < cut <= highest)}
        case All(children) | Either(children):
            for child in children:
                for variable, cuts in _cuts(child).items():
                    found.setdefault(variable, set()).update(cuts)
        case Not(child):
            return _cuts(child)
    return found


def _begin(cut: int) -> int:
    """The first number of an interval; cuts are one greater, since 0 is what is not known."""
    return cut - 1


def _after(variable: str, number: int) -> int:
    """The next number that there may be: of a day that of the next day."""
    if variable == "day":
        year, rest = divmod(number, 10_000)
        with suppress(ValueError, OverflowError):  # before the first year, after the last
            return int(f"{date(year, *divmod(rest, 100)) + timedelta(1):%Y%m%d}")
    return number + 1


def _interval(condition: Condition) -> tuple[str, int, int]:
    """The variable, and the whole numbers from and to which it may be."""
    name = condition.criterion
    variable = "day" if name in ("date", "year") else name
    low, high = _LOWEST[variable], _HIGHEST[variable]
    if condition.low is not None:
        first = math.ceil(condition.low)
        low = max(low, first * 10_000 + 101 if name == "year" else first)
    if condition.high is not None:
        last = math.floor(condition.high)
        high = min(high, last * 10_000 + 1231 if name == "year" else last)
    return variable, low, high


def _is_of_series(question: Question) -> bool:
    """Whether something is asked of the one series of the scope that the question stands in."""
    match question:
        case Condition(criterion):
            return CRITERIA[criterion].is_of_series
        case Either(children):
            return any(_is_of_series(child) for child in children if not isinstance(child, All))
    return False


def _is_pure(question: Question) -> bool:
    """Whether all of it is asked of that series."""
    if isinstance(question, Either):
        return all(map(_is_pure, question.children))
    return isinstance(question, Condition) and _is_of_series(question)


def _variables(formula: _Formula) -> set[str]:
    if isinstance(formula, bool):
        return set()
    if formula[0] == "not":
        return _variables(formula[1])
    if formula[0] in ("and", "or"):
        return set().union(*map(_variables, formula[1]))
    return {formula[0]}


def _negate(formula: _Formula) -> _Formula:
    if isinstance(formula, bool):
        return not formula
    return formula[1] if formula[0] == "not" else ("not", formula)


def _join(kind: str, parts: Sequence[_Formula]) -> _Formula:
    """`and` or `or` of the parts, without what decides nothing."""
    neutral = kind == "and"
    left = frozenset(part for part in parts if part is not neutral)
    if (not neutral) in left:
        return not neutral
    if not left:
        return neutral
    return next(iter(left)) if len(left) == 1 else (kind, left)
