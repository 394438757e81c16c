"""Figures of what sites told: areas under curves, κ, sensitivities, calibration, with 95 % intervals.

Sites tell runs of cells. How a run's count lies on its cells is estimated from all that was told, by expectation and
maximisation (Dempster, Laird, Rubin, J. R. Stat. Soc. B 39 (1977) 1); in a site or a group, as in all. How far a figure
may be from that of the scores themselves is bounded, where it can be, by laying all of a run's count on its first cell
or on its last.

Intervals are those of the Bayesian bootstrap (Rubin, Ann. Stat. 9 (1981) 130): cells' shares are drawn from a Dirichlet
distribution of their counts, with one case in all before any was seen, so that no interval is a point. Lesions of one
patient count as one case (Kish's design effect at its largest); false marks scatter as their numbers by patient do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from archive.findings import Task
from federation.evaluation.release import Table, Tables
from federation.evaluation.scoring import (
    ANSWERS,
    CHANCES,
    FALSE,
    IMAGES,
    LABELS,
    LESIONS,
    NEGATIVE,
    POSITIVE,
    STRATA,
    answers_of,
    plan_of,
)

Array = npt.NDArray[np.float64]

RATES = (0.25, 0.5, 1.0, 2.0)
"""False marks an image at which the sensitivity is told."""
DRAWS, SEED, STEPS = 2000, 0, 60
GROUPS = 10
"""Of scores, for calibration."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its 95 % interval. `least` and `most` bound what it is of the scores themselves; None: untold."""

    name: str
    value: float
    low: float
    high: float
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Cells:
    """One table of several sites: the counts estimated of its cells, and those with each run on its first or last."""

    counts: Array
    first: Array
    last: Array
    squares: float
    joined: float  # of the count lies in runs of several cells

    @property
    def total(self) -> float:
        return float(self.counts.sum())


def combine(
    parts: Sequence[Tables], sizes: Mapping[str, int], like: Mapping[str, Cells] | None = None
) -> dict[str, Cells]:
    """The tables that all of them tell, as one; what is joined in them is shared out as in `like`, if it is given."""
    names = set(sizes).intersection(*parts)
    return {
        name: _cells([one[name] for one in parts], _shares(name, sizes[name], like)) for name in sorted(names)
    }


def _shares(name: str, size: int, like: Mapping[str, Cells] | None) -> Array:
    chances = np.array(CHANCES.get(name, [1.0] * size))
    return like[name].counts + 1e-6 * chances if like and name in like else chances


def _cells(tables: Sequence[Table], shares: Array) -> Cells:
    """`shares` are those that cells are thought to have before anything is told."""
    runs = [run for one in tables for run in one.runs]
    known, first, last = np.zeros((3, shares.size))
    for start, end, count in runs:
        first[start] += count
        last[end] += count
        known[start] += count if start == end else 0
    several = [run for run in runs if run[0] != run[1]]
    counts = known
    for _ in range(STEPS):
        counts = known.copy()
        for start, end, count in several:
            part = shares[start : end + 1]
            counts[start : end + 1] += count * part / part.sum()
        shares = counts + 1e-9
    joined = float(sum(count for _, _, count in several))
    return Cells(counts, first, last, float(sum(one.squares for one in tables)), joined)


def figures_of(task: str, tables: Sequence[Tables], like: Mapping[str, Cells] | None = None) -> list[Figure]:
    """All figures of a task that these tables tell together: of sites, or of a group, taken to be `like` all."""
    cells = combine(tables, plan_of(task).cells, like)
    found: list[Figure] = []
    if cells.keys() >= set(STRATA) and all(cells[name].total for name in STRATA):
        found += [*_exam_figures(task, cells)]
    if task == Task.DENSITY and all(answers_of(name) in cells for name in STRATA):
        found += _agreement(cells)
    has_marks = cells.keys() >= {LESIONS, FALSE, IMAGES} and cells[LESIONS].total and cells[IMAGES].total
    if task == Task.LESIONS and has_marks:
        found += [_sensitivity(cells, rate) for rate in RATES]
    return found


def _exam_figures(task: str, cells: Mapping[str, Cells]) -> list[Figure]:
    negative, positive = cells[NEGATIVE], cells[POSITIVE]
    drawn = _drawn(negative), _drawn(positive)
    value = float(area(negative.counts, positive.counts))
    least = float(area(negative.last, positive.first, ties=0.0))
    most = float(area(negative.first, positive.last, ties=1.0))
    area_figure = _figure("area under the curve", value, area(*drawn), least, most)
    if task == Task.LESIONS:  # a lesion's score is no probability of the exam
        return [area_figure]
    weights = [one * each.total for one, each in zip(drawn, (negative, positive), strict=True)]
    error = calibration_error(negative.counts, positive.counts)
    return [area_figure, _figure("calibration error", float(error), calibration_error(*weights))]


def area(negative: Array, positive: Array, *, ties: float = 0.5) -> Array:
    """The area under the curve of counts by score (…, cells); of a pair in one cell, `ties` counts as in order."""
    below = np.cumsum(negative, axis=-1) - negative
    pairs = negative.sum(axis=-1) * positive.sum(axis=-1)
    return np.asarray((positive * (below + ties * negative)).sum(axis=-1) / pairs)


def calibration_error(negative: Array, positive: Array) -> Array:
    """The mean distance of what was predicted and what was seen, of tenths of the score (Guo et al., 2017)."""
    _, predicted, seen, cases = calibration(negative, positive)
    return np.asarray((cases * np.abs(predicted - seen)).sum(axis=-1) / cases.sum(axis=-1))


def calibration(negative: Array, positive: Array) -> tuple[Array, Array, Array, Array]:
    """Of each tenth of the score: its middle, the mean score, the share of positive ones, and how many there are."""
    size = negative.shape[-1]
    middles = (np.arange(size) + 0.5) / size
    both = negative + positive
    tenths = (*both.shape[:-1], GROUPS, size // GROUPS)
    cases = both.reshape(tenths).sum(axis=-1)
    safe = np.where(cases > 0, cases, 1)
    predicted = (both * middles).reshape(tenths).sum(axis=-1) / safe
    seen = positive.reshape(tenths).sum(axis=-1) / safe
    return (np.arange(GROUPS) + 0.5) / GROUPS, predicted, seen, cases


def confusion(counts: Mapping[str, Array]) -> Array:
    """Truth × answer, (…, 4, 4), of the counts of answers in each stratum."""
    shape = next(iter(counts.values())).shape[:-1]
    matrix = np.zeros((*shape, len(LABELS), len(LABELS)))
    for stratum, cells in ANSWERS.items():
        for number, (truth, answer) in enumerate(cells):
            matrix[..., LABELS.index(truth), LABELS.index(answer)] = counts[stratum][..., number]
    return matrix


def kappa(matrix: Array, power: int) -> Array:
    """Cohen's weighted κ of matrices (…, k, k), as `inference.evaluation.kappa` has it."""
    size = matrix.shape[-1]
    weights = np.abs(np.subtract.outer(np.arange(size), np.arange(size))) ** power
    shares = matrix / matrix.sum(axis=(-2, -1), keepdims=True)
    chance = shares.sum(axis=-1)[..., :, None] * shares.sum(axis=-2)[..., None, :]
    expected = (weights * chance).sum(axis=(-2, -1))
    seen = (weights * shares).sum(axis=(-2, -1))
    return np.asarray(np.where(expected > 0, 1 - seen / np.where(expected > 0, expected, 1), 1.0))


def _agreement(cells: Mapping[str, Cells]) -> list[Figure]:
    told = {stratum: cells[answers_of(stratum)] for stratum in STRATA}
    if not sum(one.total for one in told.values()):
        return []
    matrix, nearest, farthest = (
        confusion({stratum: getattr(one, which) for stratum, one in told.items()})
        for which in ("counts", "first", "last")
    )
    drawn = _draw_matrices(told)
    measures: dict[str, Callable[[Array], Array]] = {
        "quadratic kappa": lambda one: kappa(one, 2),
        "linear kappa": lambda one: kappa(one, 1),
        "accuracy": lambda one: np.asarray(np.trace(one, axis1=-2, axis2=-1) / one.sum(axis=(-2, -1))),
    }
    return [
        _figure(
            name,
            float(measure(matrix)),
            measure(drawn),
            *_ends(measure(farthest), measure(nearest), measure(matrix)),
        )
        for name, measure in measures.items()
    ]


def _ends(one: Array, other: Array, value: Array) -> tuple[float, float]:
    """What a figure lies between, of counts laid on the farthest cells of their runs and on the nearest."""
    return float(min(one, other, value)), float(max(one, other, value))


def _draw_matrices(told: Mapping[str, Cells]) -> Array:
    """Matrices of answers whose shares are drawn, of both strata together."""
    random = np.random.default_rng(SEED)
    cells = sum(one.counts.size for one in told.values())
    return confusion({
        stratum: random.standard_gamma(one.counts + 1 / cells, (DRAWS, one.counts.size))
        for stratum, one in told.items()
    })  # fmt: skip


def _sensitivity(cells: Mapping[str, Cells], rate: float) -> Figure:
    lesions, false, images = cells[LESIONS], cells[FALSE], cells[IMAGES]
    allowed = rate * images.total
    value, _ = sensitivity(lesions.counts, false.counts, allowed)
    least, _ = sensitivity(lesions.first, false.last, allowed)
    _, most = sensitivity(lesions.last, false.first, allowed)
    drawn, _ = sensitivity(
        _drawn(lesions, lesions.squares / lesions.total), _draw_false(false, images), allowed
    )
    name = f"sensitivity at {rate:g} false marks an image"
    return _figure(name, float(value), drawn, float(least), float(most))


def sensitivity(lesions: Array, false: Array, allowed: float) -> tuple[Array, Array]:
    """The share of lesions found at the lowest threshold with so many false marks, and at one cell less.

    Lesions are (…, cells + 1), those that were missed first; false marks (…, cells).
    """
    found = np.cumsum(lesions[..., ::-1], axis=-1)[..., -2::-1] / lesions.sum(axis=-1, keepdims=True)
    above = np.cumsum(false[..., ::-1], axis=-1)[..., ::-1]
    place = (above > allowed + 1e-9).sum(axis=-1, keepdims=True)
    reached = np.concatenate([found, np.zeros_like(found[..., :1])], axis=-1)
    lower = np.take_along_axis(reached, np.maximum(place - 1, 0), axis=-1)[..., 0]
    return np.take_along_axis(reached, place, axis=-1)[..., 0], lower


def _drawn(cells: Cells, effect: float = 1.0) -> Array:
    """Shares of the cells, (draws, cells); of cases that come `effect` at once there are so many fewer."""
    random = np.random.default_rng(SEED)
    drawn = random.standard_gamma(cells.counts / effect + 1 / cells.counts.size, (DRAWS, cells.counts.size))
    return np.asarray(drawn / drawn.sum(axis=-1, keepdims=True))


def _draw_false(false: Cells, images: Cells) -> Array:
    """Counts of false marks, (draws, cells), that scatter as patients' own do (quasi-Poisson).

    Patients are told apart by their images: the sums of images and of their squares tell how many there are.
    """
    patients = images.total**2 / images.squares
    mean = false.total / patients
    effect = max(1.0, (false.squares / patients - mean**2) / mean) if mean else 1.0
    random = np.random.default_rng(SEED + 1)
    shape = (DRAWS, false.counts.size)
    return np.asarray(random.standard_gamma(false.counts / effect + 1 / false.counts.size, shape) * effect)


def _figure(
    name: str, value: float, drawn: Array, least: float | None = None, most: float | None = None
) -> Figure:
    low, high = (float(one) for one in np.percentile(drawn, (2.5, 97.5)))
    return Figure(name, *(_rounded(one) for one in (value, min(low, value), max(high, value), least, most)))


def _rounded(value: float | None) -> Any:
    return None if value is None else round(value, 6)


def plain(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    return [asdict(one) for one in figures]
