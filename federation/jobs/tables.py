"""What features and counts come to: numbers of groups of patients, none of which is small or one patient's.

A cell is told of five patients at least, and only where all cells of the same feature that were ever told give away no
fewer together (`Tell`, `federation.jobs.differencing`). Counts are told in fives, rounded down; other numbers with
three digits that count. A mean that one patient makes most of is not told, and then none of the groups beside it, from
which it would follow (dominance and secondary suppression; Hundepool et al., Statistical Disclosure Control, Wiley
2012, chapter 4). Neighbouring groups and cells that are small are joined (`federation.evaluation.release`). No number
is the smallest or the largest of anything.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from archive.errors import BadRequest
from archive.job_questions import DIMENSIONS, FEATURES, LEAST_PATIENTS, Feature, JobQuestion
from federation.evaluation.release import partition
from federation.jobs.cohort import NOT_TOLD, Participant

STEP = 5
"""Counts are told in multiples of this."""
DOMINANT = 0.5
"""The share of a sum beyond which one patient's part in it is too much of it."""
DIGITS = 3
FEW = "too few patients"
DIFFERS = "would tell of few patients, beside what was told before"
ALL = "all"
TOO_FEW = f"there are fewer than {LEAST_PATIENTS} such patients"

Tell = Callable[[str, Sequence[Collection[str]]], bool]
"""Whether a statistic may be told of cells of persons beside all of which it was told; what may be is noted."""
Values = npt.NDArray[np.float64]


def features(
    people: Sequence[Participant], measured: Sequence[Mapping[str, float]], question: JobQuestion, tell: Tell
) -> dict[str, Any]:
    """The answer to a question about features; `measured` are those of the images."""
    told = {}
    for name in question.features:
        numbers = [{**one.numbers, **more} for one, more in zip(people, measured, strict=True)]
        some = [(one, each[name]) for one, each in zip(people, numbers, strict=True) if name in each]
        told[name] = _feature(FEATURES[name], some, question, tell)
    return {"kind": "features", "features": told}


Some = Sequence[tuple[Participant, float]]


def _feature(feature: Feature, some: Some, question: JobQuestion, tell: Tell) -> dict[str, Any]:
    if len(some) < LEAST_PATIENTS:
        return {"withheld": [f"{ALL}: {FEW}"]}
    if not tell(feature.name, [[one.person for one, _ in some]]):
        return {"withheld": [f"{ALL}: {DIFFERS}"]}
    withheld: list[str] = []
    told: dict[str, Any] = _moments(some) | {"histogram": histogram(feature, [value for _, value in some])}
    groups = {name: _groups(feature, some, name, tell) for name in question.groups}
    if told["mean"] is None:
        groups = dict.fromkeys(groups, FEW)
    told["groups"] = {name: one for name, one in groups.items() if isinstance(one, dict)}
    withheld += [f"groups {name}: {one}" for name, one in groups.items() if isinstance(one, str)]
    lines = {name: _line(feature, some, name, tell) for name in question.labels}
    told["least_squares"] = {name: one for name, one in lines.items() if isinstance(one, dict)}
    withheld += [f"least squares {name}: {one}" for name, one in lines.items() if isinstance(one, str)]
    return told | ({"withheld": withheld} if withheld else {})


def _moments(some: Some) -> dict[str, Any]:
    """How many, their mean and standard deviation; None for a number that is too much one patient's."""
    values = np.array([value for _, value in some])
    squares = (values - values.mean()) ** 2
    return {
        "patients": fives(len(values)),
        "mean": None if is_dominated(np.abs(values)) else rounded(values.mean()),
        "sd": None if is_dominated(squares) or is_dominated(np.abs(values)) else rounded(values.std(ddof=1)),
    }


def is_dominated(parts: Values) -> bool:
    """Whether the largest of parts, none negative, makes more than `DOMINANT` of their sum."""
    total = float(parts.sum())
    return total > 0 and float(parts.max()) > DOMINANT * total


def histogram(feature: Feature, values: Sequence[float]) -> list[list[float]]:
    """Runs of the feature's cells: where each begins and ends, and how many patients are in it."""
    cells = [feature.cell(value) for value in values]
    members = [
        [frozenset(at for at, one in enumerate(cells) if one == cell)] for cell in range(feature.cells)
    ]
    runs = partition(members, LEAST_PATIENTS) or []
    return [
        [feature.edge(first), feature.edge(last + 1), fives(sum(first <= one <= last for one in cells))]
        for first, last in runs
    ]


def _groups(feature: Feature, some: Some, dimension: str, tell: Tell) -> dict[str, Any] | str:
    """Of each group, or of neighbours joined; why nothing is told where nothing is."""
    joined = join([one.groups[dimension] for one, _ in some], dimension)
    if len(joined) < 2:
        return FEW
    told = {label: _moments([some[at] for at in members]) for label, members in joined.items()}
    if any(one["mean"] is None for one in told.values()):
        return FEW
    if any(one["sd"] is None for one in told.values()):
        told = {label: one | {"sd": None} for label, one in told.items()}
    persons = [[some[at][0].person for at in members] for members in joined.values()]
    return told if tell(feature.name, persons) else DIFFERS


def join(groups: Sequence[str], dimension: str) -> dict[str, list[int]]:
    """Places by group, neighbours joined until none is small; empty where all together are."""
    found = set(groups)
    order = [one for one in DIMENSIONS[dimension] if one in found]
    values = [*order, *sorted(found - set(order) - {NOT_TOLD}), *sorted(found & {NOT_TOLD})]
    members = [[at for at, one in enumerate(groups) if one == value] for value in values]
    runs = partition([[frozenset(some)] for some in members], LEAST_PATIENTS) or []
    return {
        " or ".join(values[first : last + 1]): [at for some in members[first : last + 1] for at in some]
        for first, last in runs
    }


def _line(feature: Feature, some: Some, label: str, tell: Tell) -> dict[str, Any] | str:
    """The line of least squares of a feature by a label; of few values of the label each needs enough patients."""
    pairs = [(one, value, one.labels[label]) for one, value in some if label in one.labels]
    across, up = (np.array([pair[place] for pair in pairs], np.float64) for place in (2, 1))
    if len(pairs) < 2 * LEAST_PATIENTS or not _is_spread(across, label):
        return FEW
    centred, mean = across - across.mean(), up.mean()
    slope = float((centred * (up - mean)).sum() / (centred**2).sum())
    left = up - mean - slope * centred
    if is_dominated(centred**2) or is_dominated(left**2) or is_dominated(np.abs(up)):
        return FEW
    if not tell(f"{feature.name} by {label}", [[one.person for one, _, _ in pairs]]):
        return DIFFERS
    deviation = float(np.sqrt((left**2).sum() / (len(pairs) - 2)))
    spread = float(((up - mean) ** 2).sum())
    return {
        "patients": fives(len(pairs)),
        "slope": rounded(slope),
        "intercept": rounded(mean - slope * across.mean()),
        "correlation": rounded(slope * math.sqrt((centred**2).sum() / spread)) if spread > 0 else 0.0,
        "slope_error": rounded(deviation / math.sqrt((centred**2).sum())),
    }


def _is_spread(across: Values, label: str) -> bool:
    values, counts = np.unique(across, return_counts=True)
    return len(values) > 1 and (label == "age" or int(counts.min()) >= LEAST_PATIENTS)


def counts(people: Sequence[Participant], question: JobQuestion, tell: Tell) -> dict[str, Any]:
    """How many patients there are by one dimension or two; every cell is 0 or large. Raises BadRequest for too few."""
    first, *second = question.groups
    rows = [one.groups[first] for one in people]
    columns = (
        join([one.groups[second[0]] for one in people], second[0]) if second else {ALL: range(len(people))}
    )
    if len(people) < LEAST_PATIENTS or not columns:
        raise BadRequest(TOO_FEW)
    if not tell("counts", [[one.person for one in people]]):
        raise BadRequest(f"the table {DIFFERS}")
    order = list(dict.fromkeys([*DIMENSIONS[first], *sorted(set(rows))]))
    held = [
        [frozenset(at for at in members if rows[at] == value) for members in columns.values()]
        for value in order
    ]
    runs = partition(held, LEAST_PATIENTS)
    if runs is None:
        raise BadRequest(TOO_FEW)
    return {
        "kind": "counts",
        "by": [first, *second],
        "columns": list(columns),
        "rows": {_named(order, held, run): _row(held, run, len(columns)) for run in runs},
    }


def _named(order: Sequence[str], held: Sequence[Sequence[frozenset[int]]], run: tuple[int, int]) -> str:
    return " or ".join(order[at] for at in range(run[0], run[1] + 1) if any(held[at]))


def _row(held: Sequence[Sequence[frozenset[int]]], run: tuple[int, int], columns: int) -> list[int]:
    return [
        fives(sum(len(held[at][column]) for at in range(run[0], run[1] + 1))) for column in range(columns)
    ]


def fives(count: int) -> int:
    """A count as it is told: in fives, rounded down."""
    return count // STEP * STEP


def rounded(value: float) -> float:
    """With the digits that count."""
    return float(f"{value:.{DIGITS}g}")
