"""How well a dataset hides each patient among others: k-anonymity over what is kept of her (Sweeney 2002).

A class are the patients who are alike in every attribute that somebody else may know. k is the size of the smallest.
What is to be generalised are the steps that lose least of those that leave fewest exposed.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

LEAST = 5
"""Patients of a class, as everywhere that patients are counted."""
Person = Sequence[Any]
"""A patient's values, in the order of `ATTRIBUTES`."""


@dataclass(frozen=True, slots=True)
class Step:
    """A way to tell an attribute: as what, and how much of it is lost, from 0 to 1."""

    name: str
    loss: float
    tell: Callable[[Any], Any]


def _band(width: int) -> Callable[[Any], Any]:
    return lambda value: None if value is None else int(value) // width * width


def _as_it_is(value: Any) -> Any:
    return value


def _gone(_: Any) -> None:
    return None


_KEPT, _DROPPED = Step("kept", 0.0, _as_it_is), Step("removed", 1.0, _gone)
ATTRIBUTES: Mapping[str, tuple[Step, ...]] = {
    "PatientSex": (_KEPT, _DROPPED),
    "PatientAge": (_KEPT, Step("5 years", 0.3, _band(5)), Step("10 years", 0.5, _band(10)), _DROPPED),
    "StudyDate": (Step("year", 0.0, _as_it_is), Step("5 years", 0.5, _band(5)), _DROPPED),
    "Manufacturer": (_KEPT, _DROPPED),
    "ManufacturerModelName": (_KEPT, _DROPPED),
    "EthnicGroup": (_KEPT, _DROPPED),
    "PatientSize": (
        _KEPT,
        Step("0.1 m", 0.5, lambda value: None if value is None else round(value, 1)),
        _DROPPED,
    ),
    "PatientWeight": (_KEPT, Step("10 kg", 0.5, _band(10)), _DROPPED),
}
"""What is kept of a patient that others may know, and how it may be told. StudyDate is taken by its year."""


@dataclass(frozen=True, slots=True)
class Anonymity:
    """`smallest` is k, `exposed` how many patients are in classes smaller than `LEAST`.

    `generalise` is how each attribute that is to be changed should be told so that k is `LEAST` or, where no way gives
    that, so that fewest are exposed; `left` is how many would be then. Empty where nothing is to be done.
    """

    patients: int
    smallest: int
    exposed: int
    generalise: Mapping[str, str]
    left: int

    def to_json(self) -> dict[str, Any]:
        return {
            "patients": self.patients,
            "k": self.smallest,
            "exposed": self.exposed,
            "generalise": dict(self.generalise),
            "exposed_then": self.left,
        }


def read_anonymity(content: Mapping[str, Any]) -> Anonymity:
    """As `to_json` writes it."""
    return Anonymity(*(content[name] for name in ("patients", "k", "exposed", "generalise", "exposed_then")))


def judge(alike: Mapping[Person, int]) -> Anonymity:
    """How well patients are hidden of whom so many are alike, and what would hide them better."""
    patients = sum(alike.values())
    held = [place for place in range(len(ATTRIBUTES)) if len({one[place] for one in alike}) > 1]
    exposed, smallest = _exposed(alike), min(alike.values(), default=0)
    if not exposed:
        return Anonymity(patients, smallest, 0, {}, 0)
    names = tuple(ATTRIBUTES)
    told: Counter[Person] = Counter()
    for person, count in alike.items():
        told[tuple(person[place] for place in held)] += count
    left = patients if patients < LEAST else 0  # as where all is removed: to tell less exposes no more
    found = _cheapest(told, [ATTRIBUTES[names[place]] for place in held], left, 0, math.inf)
    steps = found[1] if found else ()
    changed = {names[place]: step.name for place, step in zip(held, steps, strict=True) if step.loss}
    return Anonymity(patients, smallest, exposed, changed, left)


def _cheapest(
    classes: Mapping[Person, int], ladders: Sequence[tuple[Step, ...]], left: int, at: int, below: float
) -> tuple[float, tuple[Step, ...]] | None:
    """The steps for attributes from `at` on that lose least, less than `below`, and leave no more than `left` exposed.

    Attributes before `at` are told as they will be. Whom these alone expose is exposed whatever comes with them, so
    most combinations are never tried (Incognito, LeFevre 2005).
    """
    if at == len(ladders):
        return 0.0, ()
    best = None
    for step in ladders[at]:
        if step.loss >= below:
            continue
        told = _merge(classes, partial(_tell, at, step))
        if _exposed(_merge(told, lambda one: one[: at + 1])) > left:
            continue
        if rest := _cheapest(told, ladders, left, at + 1, below - step.loss):
            below = step.loss + rest[0]
            best = below, (step, *rest[1])
    return best


def _tell(at: int, step: Step, person: Person) -> Person:
    return (*person[:at], step.tell(person[at]), *person[at + 1 :])


def _merge(classes: Mapping[Person, int], tell: Callable[[Person], Person]) -> Counter[Person]:
    told: Counter[Person] = Counter()
    for person, count in classes.items():
        told[tell(person)] += count
    return told


def _exposed(classes: Mapping[Any, int]) -> int:
    return sum(count for count in classes.values() if count < LEAST)
