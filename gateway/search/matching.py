"""Which studies a question means: its conditions as masks over columns of small numbers, one number a study.

What a series has is looked up once for each distinct kind of series: of those there are few, however many studies.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archive.search_facts import (
    CALCIFICATIONS,
    DENSITIES,
    DIAGNOSES,
    LATERALITIES,
    MASS,
    NONE,
    OTHER,
    SEXES,
    SOURCES,
    VIEWS,
)
from gateway.search.question import CRITERIA, UNKNOWN, All, Condition, Either, Kind, Not, Question

Mask = NDArray[np.bool_]
Series = tuple[str, str, str]  # modality, manufacturer, body part
_NO_SERIES = ("\0", "\0", "\0")  # what a study has that has none: nothing that can be asked for
_CODES: Mapping[str, tuple[str, ...]] = {
    "sex": SEXES,
    "views": VIEWS,
    "laterality": LATERALITIES,
    "density": DENSITIES,
    "diagnosis": DIAGNOSES,
}
_FINDINGS = {
    "mass": MASS,
    "calcifications": CALCIFICATIONS,
    "other": OTHER,
    "any": MASS | CALCIFICATIONS | OTHER,
    "none": NONE,
}
_EVERY_SOURCE = frozenset(SOURCES)
_EVERY = MASS | CALCIFICATIONS | OTHER | NONE
_ALIASES = {"GENERAL ELECTRIC": "GE", "GE HEALTHCARE": "GE", "SIEMENS HEALTHINEERS": "SIEMENS"}


@dataclass(slots=True)
class Kinds:
    """The distinct series that studies have, and which of them each kind of study has, by the number of its kind."""

    series: list[Series] = field(default_factory=list)
    of_study: list[tuple[int, ...]] = field(
        default_factory=list
    )  # by the kind's code; empty for a code of none
    _places: dict[Series, int] = field(default_factory=dict)

    def add(self, code: int, kinds: Sequence[Series]) -> None:
        """Learn which series the kind of this code has."""
        places = []
        for one in kinds or (_NO_SERIES,):
            place = self._places.setdefault(one, len(self.series))
            if place == len(self.series):
                self.series.append(one)
            places.append(place)
        self.of_study += [()] * (code + 1 - len(self.of_study))
        self.of_study[code] = tuple(places)

    def having(self, wanted: Mask) -> Mask:
        """By the kind's code, whether one of its series is wanted; `wanted` is by the place of a series."""
        flags = wanted.tolist()
        return np.fromiter(
            (any(flags[place] for place in places) for places in self.of_study), bool, len(self.of_study)
        )


@dataclass(frozen=True, slots=True)
class Columns:
    """Studies, a row each: `numbers` by the names of archive/search_facts.py, and what their kinds are."""

    numbers: Mapping[str, NDArray[Any]]
    kinds: Kinds

    def __len__(self) -> int:
        return len(self.numbers["day"])


def match(question: Question, columns: Columns) -> Mask:
    """Which of the studies the question means."""
    return _Matching(columns).scope(question)


@dataclass(frozen=True, slots=True)
class _Matching:
    """`scopes` and `conditions` were evaluated already: each is once, however many scopes lie around it."""

    columns: Columns
    scopes: dict[Question, Mask] = field(default_factory=dict)
    conditions: dict[tuple[Condition, frozenset[str]], Mask] = field(default_factory=dict)

    def scope(self, question: Question) -> Mask:
        """Studies with a series for which the question holds; the series is one for all of its parts."""
        if question not in self.scopes:
            self.scopes[question] = self._scope(question)
        return self.scopes[question]

    def _scope(self, question: Question) -> Mask:
        inner = _parts(question)
        wanted = [one for one in inner if isinstance(one, Condition) and CRITERIA[one.criterion].is_of_series]
        if not wanted:
            return self._holds(question, _EVERY_SOURCE, {})
        truths: dict[tuple[bool, ...], list[int]] = {}
        tests = [_test(condition) for condition in wanted]
        for place, one in enumerate(self.columns.kinds.series):
            truths.setdefault(tuple(test(one) for test in tests), []).append(place)
        found = np.zeros(len(self.columns), bool)
        for truth, places in truths.items():
            having = self._having(places)
            if having.any():
                told = dict(zip(wanted, truth, strict=True))
                holds = self._holds(question, _EVERY_SOURCE, told)
                found |= holds & having.take(self.columns.numbers["kinds"])
        return found

    def _having(self, places: Sequence[int]) -> Mask:
        among = np.zeros(len(self.columns.kinds.series), bool)
        among[list(places)] = True
        return self.columns.kinds.having(among)

    def _holds(self, question: Question, sources: frozenset[str], told: Mapping[Condition, bool]) -> Mask:
        """With the truth of the conditions that are of one series `told`."""
        match question:
            case All(children):
                sources = _sources(children, sources)
                return self._joined(np.logical_and, True, children, sources, told)
            case Either(children):
                return self._joined(np.logical_or, False, children, sources, told)
            case Not(child):
                return ~self.scope(child)
            case Condition():
                if question in told:
                    return np.full(len(self.columns), told[question])
                if (question, sources) not in self.conditions:
                    self.conditions[question, sources] = self._condition(question, sources)
                return self.conditions[question, sources]

    def _joined(
        self,
        join: Callable[..., Any],
        start: bool,
        children: Sequence[Question],
        sources: frozenset[str],
        told: Mapping[Condition, bool],
    ) -> Mask:
        found = np.full(len(self.columns), start)
        for child in children:
            if isinstance(child, Condition) and child in told:
                if told[child] is start:
                    continue
                return np.full(len(self.columns), not start)
            holds = self.scope(child) if isinstance(child, All) else self._holds(child, sources, told)
            join(found, holds, out=found)
        return found

    def _condition(self, condition: Condition, sources: frozenset[str]) -> Mask:
        numbers, name = self.columns.numbers, condition.criterion
        if CRITERIA[name].kind is not Kind.CHOICE:
            return self._between(condition)
        values = condition.values or ()
        if name == "finding_source":
            return numbers["findings"] & sum(_EVERY << SOURCES[value] for value in values) != 0
        if name == "finding":
            bits = {_FINDINGS[value] << SOURCES[source] for value in values for source in sources}
            return numbers["findings"] & _union(bits) != 0
        if name == "assessment":
            codes = [-1 if value == UNKNOWN else int(value) for value in values]
        else:
            codes = [_CODES[name].index(value) for value in values]
        found = numbers[name] == codes[0]
        for code in codes[1:]:
            found |= numbers[name] == code
        return found

    def _between(self, condition: Condition) -> Mask:
        """What is not known lies between nothing."""
        name = condition.criterion
        numbers = self.columns.numbers["day" if name in ("date", "year") else name]
        found = numbers >= 0 if name == "age" else numbers > 0
        unit = 10_000 if name == "year" else 1
        if condition.low is not None:
            found &= numbers >= math.ceil(condition.low) * unit
        if condition.high is not None:
            found &= numbers < (math.floor(condition.high) + 1) * unit
        return found


def _union(bits: set[int]) -> int:
    found = 0
    for one in bits:
        found |= one
    return found


def _parts(question: Question) -> list[Question]:
    """What a scope's one series is asked for: all but what lies in a further `all`, or in `not`."""
    if isinstance(question, All | Either):
        return [
            part for child in question.children for part in ([] if isinstance(child, All) else _parts(child))
        ]
    return [] if isinstance(question, Not) else [question]


def _sources(children: Sequence[Question], sources: frozenset[str]) -> frozenset[str]:
    for child in children:
        if isinstance(child, Condition) and child.criterion == "finding_source":
            sources &= frozenset(child.values or ())
    return sources


def wanted_values(condition: Condition) -> frozenset[str]:
    """What a condition on series asks for, one and the same however it is written: modalities and body parts as they
    are held, the words of manufacturers' names without those that a shorter one brings anyway, and `UNKNOWN`.
    """
    asked = condition.values or ()
    unknown = {UNKNOWN} & set(asked)
    values = {value.upper() for value in asked if value != UNKNOWN}
    if condition.criterion == "modality" and "MG" in values:
        values.add("DBT")
    if condition.criterion == "manufacturer":
        names = {_spaced(_ALIASES.get(value, value)) for value in values} - {""}
        values = {one for one in names if not any(other in one for other in names - {one})}
    return frozenset(values | unknown)


def _test(condition: Condition) -> Callable[[Series], bool]:
    """Whether a series meets a condition; a manufacturer by words that stand in its name."""
    values = wanted_values(condition)
    if condition.criterion != "manufacturer":
        place = 0 if condition.criterion == "modality" else 2
        return lambda series: (series[place] or UNKNOWN) in values

    def is_made_by(series: Series) -> bool:
        held = _spaced(series[1])
        return any(value in held for value in values - {UNKNOWN}) if series[1] else UNKNOWN in values

    return is_made_by


@lru_cache(4096)
def _spaced(name: str) -> str:
    """The words of a name with a space before, between and behind them; "" where there are none."""
    found = " ".join(words(name))
    return found and f" {found} "


def words(name: str) -> tuple[str, ...]:
    """The words of a manufacturer's name, `GENERAL ELECTRIC` as GE."""
    told = name.upper().replace("GENERAL ELECTRIC", "GE")
    return tuple("".join(one if one.isalnum() else " " for one in told).split())
