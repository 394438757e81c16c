"""What a model's findings in one exam come to beside what is known of it: cells of tables, for each kind of task.

In all tasks an exam is in one of `negative` and `positive`, by whether it has what is looked for, at its score in
hundredths. Density looks for dense breasts (BI-RADS c or d), lesions and risk for exams with a lesion that was marked.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from archive.errors import BadRequest
from archive.findings import Findings, Lesion, Level, Task
from federation.evaluation.release import Plan
from federation.training.task import Label, Mark
from inference.answers.risk import YEARS, within
from inference.density import CATEGORIES
from inference.manufacturers import KNOWN, normalise
from inference.passport import Passport

BINS = 100
"""Of a score from 0 to 1."""
LABELS = tuple(CATEGORIES)
FATTY = LABELS[:2]
NEGATIVE, POSITIVE = "negative", "positive"
STRATA = (NEGATIVE, POSITIVE)
FALSE, LESIONS, IMAGES = "false", "lesions", "images"
"""False marks by score; lesions by that of the mark on them plus one, 0 where there is none; images that were read."""
AGES = ("under 40", "40 to 49", "50 to 59", "60 to 69", "70 and over")
UNKNOWN, OTHER = "not told", "another"
_KINDS = {"mass": "4147007", "calcifications": "129769006"}  # SNOMED CT, as packages name them

Counts = Mapping[str, Mapping[int, int]]


def answers_of(stratum: str) -> str:
    """The table of what was answered in a stratum of density (`ANSWERS`)."""
    return f"answers, {stratum}"


def _answers(truths: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = [(truth, answer) for truth in truths for answer in LABELS]
    return tuple(sorted(pairs, key=lambda one: _apart(*one)))


def _apart(truth: str, answer: str) -> int:
    return abs(LABELS.index(truth) - LABELS.index(answer))


ANSWERS = {NEGATIVE: _answers(FATTY), POSITIVE: _answers(LABELS[2:])}
"""The cells (truth, answer), what agrees first and what is farthest apart last, so that cells alike are joined."""
CHANCES = {
    answers_of(stratum): tuple(4.0 ** -_apart(*one) for one in cells) for stratum, cells in ANSWERS.items()
}
"""How often cells are thought to be met, one beside the other, where nothing tells: each step apart a fourth."""
_DIMENSIONS = {"vendor": sorted(KNOWN), "age": AGES}
_SCORES = dict.fromkeys(STRATA, BINS)
PLANS = {
    Task.DENSITY: Plan(
        {**_SCORES, **{answers_of(stratum): len(cells) for stratum, cells in ANSWERS.items()}},
        STRATA,
        _DIMENSIONS,
    ),
    Task.LESIONS: Plan(
        {**_SCORES, LESIONS: BINS + 1, FALSE: BINS, IMAGES: 1}, STRATA, {**_DIMENSIONS, "density": LABELS}
    ),
    Task.RISK: Plan(_SCORES, STRATA, {**_DIMENSIONS, "density": LABELS}),
}


def plan_of(task: str) -> Plan:
    """The tables of a task. Raises BadRequest where sites don't evaluate it."""
    if task not in PLANS:
        raise BadRequest(f"what sites can evaluate is {', '.join(PLANS)}")
    return PLANS[Task(task)]


def check(passport: Passport) -> None:
    """Raises BadRequest for a package whose answers can't be held against what sites know."""
    plan_of(passport.identity.task)
    labels = tuple(one.label for one in passport.outputs.classes)
    if passport.identity.task is Task.DENSITY and labels != LABELS:
        raise BadRequest("of density, models are evaluated that tell the categories a to d")


def groups_of(label: Label, manufacturer: str, age: int | None) -> dict[str, str]:
    """An exam's group in each dimension. A manufacturer's name that is not known here might tell of a site."""
    name = normalise(manufacturer)
    is_told = name in KNOWN or name.startswith("SENOGATE PHANTOM")
    return {
        "vendor": name if is_told else OTHER if name else UNKNOWN,
        "age": UNKNOWN if age is None else AGES[min(max(age // 10 - 3, 0), len(AGES) - 1)],
        "density": label.category or UNKNOWN,
    }


def counts_of(findings: Findings, label: Label) -> Counts:
    """What an exam adds to the tables of its task."""
    if findings.task is Task.DENSITY:
        return _density(findings, label)
    if findings.task is Task.LESIONS:
        return _lesions(findings, label)
    years = [one.value for one in findings.measurements if one.concept == within(YEARS)]
    return {_stratum(bool(label.marks)): {_bin(years[0] / 100): 1}}


def _density(findings: Findings, label: Label) -> Counts:
    (told,) = findings.of(Level.EXAM)
    dense = sum(one.probability for one in told.likelihoods if one.label not in FATTY)
    stratum = _stratum(label.category not in FATTY)
    place = ANSWERS[stratum].index((label.category, told.label))
    return {stratum: {_bin(dense): 1}, answers_of(stratum): {place: 1}}


def _lesions(findings: Findings, label: Label) -> Counts:
    views = {one.sop_instance_uid: (one.laterality, one.view) for one in findings.sources}
    found = [one for lesion in findings.lesions for one in _found(lesion, views)]
    scores = [max([0.0, *(one.score for one in found if one.hits(mark))]) for mark in label.marks]
    false = [one.score for one in found if not any(map(one.hits, label.marks))]
    highest = max([0.0, *(one.score for one in found)])
    return {
        _stratum(bool(label.marks)): {_bin(highest): 1},
        LESIONS: _tally([_bin(score) + 1 if score else 0 for score in scores]),
        FALSE: _tally(map(_bin, false)),
        IMAGES: {0: len(views)},
    }


@dataclass(frozen=True, slots=True)
class _Found:
    """A lesion in one view: its kind's code, its score, and the middle of its box."""

    view: tuple[str, str]
    kind: str
    score: float
    middle: tuple[float, float]

    def hits(self, mark: Mark) -> bool:
        """Whether its middle lies in what a reader marked in that view, of its kind where both kinds are known."""
        left, top, right, bottom = mark.box
        column, row = self.middle
        wanted = _KINDS.get(mark.kind, self.kind)
        is_kind = self.kind == wanted or self.kind not in _KINDS.values()
        return self.view == mark.view and is_kind and left <= column <= right and top <= row <= bottom


def _found(lesion: Lesion, views: Mapping[str, tuple[str, str]]) -> Iterator[_Found]:
    for region in lesion.regions:
        left, top, right, bottom = region.box
        middle = (left + right) / 2, (top + bottom) / 2
        yield _Found(views[region.sop_instance_uid], lesion.kind.value, lesion.score, middle)


def _stratum(is_positive: bool) -> str:
    return POSITIVE if is_positive else NEGATIVE


def _bin(score: float) -> int:
    return min(max(int(score * BINS), 0), BINS - 1)


def _tally(cells: Iterable[int]) -> dict[int, int]:
    return dict(Counter(cells))
