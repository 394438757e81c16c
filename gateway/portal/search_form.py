"""The form of `/search`: groups of criteria, each an alternative, and a group of which nothing may hold.

All of it lies in the address, so that a search can be shared: `modality=MG&density=c&2.modality=US&not.density=a`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import urlencode

from archive.errors import BadRequest
from gateway.portal.languages import marked
from gateway.search.interpretation import any_of
from gateway.search.question import EVERYTHING, All, Condition, Not, Question, check
from gateway.search.vocabulary import TERMS

MOST_GROUPS = 4
NONE_OF = "not"
"""The name of the group of which nothing may hold."""

CHOICES: Mapping[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "modality": (
        marked("Modality"),
        (
            ("MG", marked("Mammography")),
            ("DBT", marked("Tomosynthesis")),
            ("US", marked("Ultrasound")),
            ("MR", marked("Magnetic resonance")),
        ),
    ),
    "laterality": (
        marked("Side"),
        (("L", marked("Left")), ("R", marked("Right")), ("B", marked("Both"))),
    ),
    "views": (
        marked("Views"),
        (("complete", marked("Both breasts in CC and MLO")), ("incomplete", marked("Incomplete"))),
    ),
    "density": (marked("Breast density"), tuple((each, each.upper()) for each in "abcd")),
    "assessment": (marked("BI-RADS assessment"), tuple((each, each) for each in "0123456")),
    "finding": (
        marked("Findings"),
        (
            ("mass", marked("Mass")),
            ("calcifications", marked("Calcifications")),
            ("other", marked("Other")),
            ("any", marked("Any")),
            ("none", marked("None")),
        ),
    ),
    "round": (marked("Screening round"), (("first", marked("First here")), ("later", marked("Later")))),
    "sex": (marked("Sex"), (("F", marked("Female")), ("M", marked("Male")))),
    "manufacturer": (
        marked("Manufacturer"),
        tuple((each.value, each.label) for each in TERMS if each.criterion == "manufacturer"),
    ),
}
"""Of each criterion that is chosen its title and what there is to choose; alternatives of each other."""
RANGES = {"age": marked("Age at the exam"), "date": marked("Date of the exam")}
_ROUNDS = {"first": (1.0, 1.0), "later": (2.0, None)}


@dataclass(frozen=True, slots=True)
class Group:
    """Criteria that hold together. `limits` are texts as they were typed, by `age_from` and the like."""

    name: str
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """What its fields' names begin with; the first group has the plain names."""
        return "" if self.name == "1" else f"{self.name}."

    def has(self, criterion: str, value: str) -> bool:
        return value in self.chosen.get(criterion, ())

    def limit(self, name: str) -> str:
        return self.limits.get(name, "")

    def pairs(self) -> list[tuple[str, str]]:
        """What its fields are in an address."""
        chosen = [(self.prefix + name, value) for name, values in self.chosen.items() for value in values]
        return chosen + [(self.prefix + name, text) for name, text in self.limits.items()]

    def conditions(self) -> list[Question]:
        """Raises BadRequest for limits that are none."""
        chosen = [_chosen(name, values) for name, values in self.chosen.items()]
        return chosen + [found for name in RANGES if (found := _between(name, self.limits))]


@dataclass(frozen=True, slots=True)
class Form:
    """What the form says; `is_asked` whether an answer is wanted already."""

    groups: tuple[Group, ...]
    excluded: Group
    is_asked: bool
    federated: bool

    @property
    def question(self) -> Question:
        """A group without criteria is no alternative, but for the only one. Raises BadRequest."""
        held = [found for group in self.groups if (found := group.conditions())]
        wanted = any_of([All(tuple(each)) for each in held]) if held else EVERYTHING
        excluded = self.excluded.conditions()
        return check(All((wanted, *(Not(each) for each in excluded))) if excluded else wanted)

    @property
    def address(self) -> str:
        """The shortest address of the same search."""
        pairs = [pair for group in (*self.groups, self.excluded) for pair in group.pairs()]
        pairs += [("federated", "1")] if self.federated else []
        return "/search?" + urlencode([*pairs, ("ask", "1")])


def parse_form(parameters: Iterable[tuple[str, str]], *, in_federation: bool) -> Form:
    """What an address says. Raises BadRequest for a value that can't be chosen."""
    given: dict[str, list[str]] = {}
    for name, text in parameters:
        given.setdefault(name, []).append(text.strip())
    is_more, is_asked = "more" in given, "ask" in given
    numbered = [number for number in range(1, MOST_GROUPS + 1) if number == 1 or _has(given, f"{number}.")]
    shown = min(max(numbered) + is_more, MOST_GROUPS)
    groups = [_group(str(number), given) for number in range(1, shown + 1)]
    federated = in_federation and ("federated" in given or not (is_asked or is_more))
    return Form(tuple(groups), _group(NONE_OF, given), is_asked and not is_more, federated)


def _has(given: Mapping[str, list[str]], prefix: str) -> bool:
    return any(name.startswith(prefix) and any(texts) for name, texts in given.items())


def _group(name: str, given: Mapping[str, list[str]]) -> Group:
    prefix = Group(name).prefix
    chosen = {}
    for criterion, (_, choices) in CHOICES.items():
        values = tuple(dict.fromkeys(filter(None, given.get(prefix + criterion, []))))
        if not set(values) <= {value for value, _ in choices}:
            raise BadRequest("%(name)s has a value that can't be chosen", name=criterion)
        if values:
            chosen[criterion] = values
    named = [f"{criterion}_{end}" for criterion in RANGES for end in ("from", "to")]
    limits = {each: text for each in named if (text := given.get(prefix + each, [""])[-1])}
    return Group(name, chosen, limits)


def _chosen(criterion: str, values: tuple[str, ...]) -> Question:
    if criterion != "round":
        return Condition(criterion, values)
    return any_of([Condition("round", None, *_ROUNDS[each]) for each in values])


def _between(criterion: str, limits: Mapping[str, str]) -> Question | None:
    low, high = (limits.get(f"{criterion}_{end}", "") for end in ("from", "to"))
    if not low and not high:
        return None
    read = _day if criterion == "date" else _age
    return Condition(criterion, None, read(low) if low else None, read(high) if high else None)


def _age(text: str) -> float:
    if not re.fullmatch("[0-9]{1,3}", text, re.ASCII):
        raise BadRequest("an age is a whole number of years")
    return int(text)


def _day(text: str) -> float:
    try:
        if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
            raise ValueError
        return int(date.fromisoformat(text).strftime("%Y%m%d"))
    except ValueError:
        raise BadRequest("a day is written as YYYY-MM-DD") from None
