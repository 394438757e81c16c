"""The density model's population: what it is trained on, and what its passport's figures are of.

Two kinds of phantom: structured ones of four made-up vendors (`inference.phantom.study`) and flat ones
(`inference.phantom.flat`). The figures are made again from the seeds given here by anyone who doubts them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.density import CATEGORIES
from inference.evaluation import area_under_curve, bootstrap, bootstrap_mean, kappa
from inference.instance import Instance
from inference.phantom import THRESHOLDS, TRAINING, VIEWS, draw_exam
from inference.phantom.population import OTHER, TRAINED, Population
from inference.phantom.study import Order, draw_study
from inference.picture import Picture, Pixels, View
from inference.preprocess import assemble, prepare
from inference.training.running import Figure, Run

ROWS, COLUMNS = 112, 80
PREPROCESSING: list[dict[str, Any]] = [
    {"name": "breast_mask"},
    {"name": "chest_wall_left"},
    {"name": "crop_to_breast"},
    {"name": "fit", "rows": ROWS, "columns": COLUMNS},
    {"name": "unit", "low": 1, "high": 99},
    {"name": "stack"},
]
STEPS = [(one["name"], {key: value for key, value in one.items() if key != "name"}) for one in PREPROCESSING]
TRAINING_SEEDS = range(1_000_000, 1_000_400)
FLAT_SEEDS = range(1_100_000, 1_100_600)
HELD_OUT_SEEDS = range(2_000_000, 2_000_080)
SPACING = 0.7
"""Millimetres: phantoms are drawn no finer than the network can see."""

LABELS = tuple(CATEGORIES)

Features = npt.NDArray[np.float32]
Shares = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Exam:
    """Views as the network takes them, (4, 1, rows, columns), and the dense share of each one's area, (4,)."""

    features: Features
    shares: Shares

    @property
    def share(self) -> float:
        """That of the denser breast, the mean over its views."""
        return float(max(self.shares[[one[0] == side for one in VIEWS]].mean() for side in "LR"))

    @property
    def category(self) -> int:
        """0 for `a`: the first whose bound the denser breast's share lies under (quarters, as in BI-RADS 4)."""
        return category_of(self.share)


def category_of(share: float) -> int:
    return next(at for at, bound in enumerate(THRESHOLDS.values()) if share < bound)


def draw_structured(seed: int, population: Population, *, shown: bool = False) -> Exam:
    """An exam of a structured phantom of one of the vendors: as stored, or `shown` as its header's VOI has it."""
    return draw_ordered(seed, Order(population=population), shown=shown)


def draw_ordered(seed: int, order: Order, *, shown: bool = False) -> Exam:
    """As `draw_structured`, of whatever is wanted of the phantom; `order.spacing` is the network's own."""
    study = draw_study(seed, replace(order, spacing=SPACING))
    inverted = study.vendor.photometric == "MONOCHROME1"
    images: dict[View, Pixels] = {}
    for view, one in study.images.items():
        stored = study.vendor.top - one if inverted else one
        images[view] = study.vendor.curve(stored.astype(np.float64)).astype(np.float32) if shown else stored
    shares = {one.view: one.dense_share for one in study.truth.views}
    return Exam(_features(images), np.array([shares[view] for view in VIEWS], np.float32))


def draw_flat(seed: int, fraction: float | None = None) -> Exam:
    """An exam of a flat phantom, each of whose views is as dense as the exam is."""
    exam = draw_exam(seed, glandular_fraction=fraction, variation=TRAINING, rows=208, columns=160)
    return Exam(_features(exam.images), np.full(len(VIEWS), exam.glandular_fraction, np.float32))


def _features(images: Mapping[View, Pixels]) -> Features:
    """The views of an exam, stored values in MONOCHROME2 sense, as the network takes them."""
    return assemble([prepare(_picture(images[view], view), STEPS) for view in VIEWS], STEPS)


def _picture(pixels: Pixels, view: View) -> Picture:
    """A picture of which nothing but its pixels and its view is known."""
    instance = Instance(
        *(b"", "", "", "", "", "MG", "FOR PRESENTATION", (), view[0], "", view[1], ""),
        modified=False,
        partial=False,
        quality_control=False,
        number_of_frames=1,
        acquired=("", "", 0),
    )
    return Picture(instance, view, pixels, None)


def training_population() -> Iterator[Exam]:
    """Structured phantoms as shown, so that grey values vary as much as vendors' curves do, then flat ones."""
    for seed in TRAINING_SEEDS:
        yield draw_structured(seed, TRAINED, shown=True)
    for seed in FLAT_SEEDS:
        yield draw_flat(seed)


def held_out_population(seeds: range = HELD_OUT_SEEDS) -> Iterator[Exam]:
    for seed in seeds:
        yield draw_structured(seed, OTHER)


def measure(run: Run, exams: list[Exam]) -> dict[str, Figure]:
    """κ of four categories, area under the curve of dense (c, d) breasts, error of percent density; of exams.

    An exam's answer is that of its denser breast, as `inference.answers.classes` tells it.
    """
    told = [_tell(run(one.features)) for one in exams]
    truth = np.array([one.category for one in exams])
    answer = np.array([int(np.argmax(one.probabilities)) for one in told])
    dense = np.array([one.probabilities[2:].sum() for one in told])
    errors = np.array([100 * abs(one.share - exam.share) for one, exam in zip(told, exams, strict=True)])
    figures = {
        f"{name} kappa": _kappa(truth, answer, power) for name, power in (("linear", 1), ("quadratic", 2))
    }
    is_dense = (truth >= LABELS.index("c")).astype(np.int64)
    curve = area_under_curve(is_dense, dense), *bootstrap(area_under_curve, is_dense, dense)
    error = float(errors.mean()), *bootstrap_mean(errors)
    return {
        **figures,
        "area under the curve, dense or not": curve,
        "percent density, mean error in points": error,
    }


@dataclass(frozen=True, slots=True)
class _Told:
    probabilities: npt.NDArray[np.float32]
    share: float


def _tell(outputs: Any) -> _Told:
    """The denser breast's answer."""
    sides = [[one[0] == side for one in VIEWS] for side in "LR"]
    breasts = [
        _Told(outputs["probabilities"][one].mean(0), float(outputs["fraction"][one].mean())) for one in sides
    ]
    return max(
        breasts, key=lambda one: (int(np.argmax(one.probabilities)), float(one.probabilities @ np.arange(4)))
    )


def _kappa(truth: npt.NDArray[np.int64], answer: npt.NDArray[np.int64], power: int) -> Figure:
    def function(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> float:
        return kappa(one, other, classes=len(LABELS), power=power)

    return function(truth, answer), *bootstrap(function, truth, answer)
