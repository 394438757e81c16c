"""How well a lesion detector finds what phantoms show: free response, average precision, exams told apart.

A lesion counts as found where a box of its kind has its middle inside the lesion's outline. Intervals are those of
exams drawn again with replacement, as the views of one exam are alike.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inference.answers.boxes import Found, find
from inference.answers.calibration import calibrated
from inference.evaluation import (
    Detections,
    area_under_curve,
    average_precision,
    bootstrap,
    sensitivity_at,
)
from inference.passport import Calibration
from inference.training.lesion_images import KINDS, Example, Mark, tensor
from inference.training.running import Figure, Run

RATES = (0.25, 0.5, 1.0, 2.0)
"""False positives an image, at which the sensitivity is told."""
LEAST = 0.01
NAMES = ("masses", "calcification clusters")
FATTY = ("a", "b")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found in one exam of `views` images, by kind, its density, and whether it has a lesion at all."""

    kinds: tuple[Detections, ...]
    category: str
    views: int

    @property
    def both(self) -> Detections:
        return Detections.joined(self.kinds)

    @property
    def has_lesion(self) -> bool:
        return bool(self.both.lesions)

    @property
    def score(self) -> float:
        """That of its most likely mark, right or wrong."""
        both = self.both
        return max((*both.lesions, *both.false), default=0.0)


def look(run: Run, examples: Iterable[Example], calibration: Calibration | None = None) -> list[Seen]:
    """What a network finds in exams, scores made probabilities by the calibration."""
    exams: dict[int, list[tuple[str, tuple[Detections, ...]]]] = defaultdict(list)
    for example in examples:
        told = dict(run(tensor(example.pixels)))
        if calibration:
            told["scores"] = calibrated(told["scores"], calibration).astype(np.float32)
        found = find(told, least=LEAST)
        kinds = tuple(compare(example.marks, found, kind) for kind in range(len(KINDS)))
        exams[example.exam].append((example.category, kinds))
    return [
        Seen(
            tuple(Detections.joined(view[1][kind] for view in views) for kind in range(len(KINDS))),
            views[0][0],
            len(views),
        )
        for views in exams.values()
    ]


def compare(marks: Sequence[Mark], found: Sequence[Found], kind: int) -> Detections:
    """The best score that each lesion of a kind got, 0 for none, and the scores of boxes that lie on no lesion."""
    outlines = [mark.outline for mark in marks if mark.kind == kind]
    hits, false = [0.0] * len(outlines), []
    for one in (one for one in found if one.kind == kind):
        inside = [number for number, outline in enumerate(outlines) if _holds(outline, one.middle)]
        for number in inside:
            hits[number] = max(hits[number], one.score)
        if not inside:
            false.append(one.score)
    return Detections(tuple(hits), tuple(false))


def _holds(outline: npt.NDArray[np.float32], point: tuple[float, float]) -> bool:
    return bool(cv2.pointPolygonTest(outline.reshape(-1, 1, 2), point, False) >= 0)


def measure(exams: Sequence[Seen]) -> dict[str, Figure]:
    """A passport's figures."""
    by_kind = [[one.kinds[kind] for one in exams] for kind in range(len(KINDS))]
    fatty = [one.category in FATTY for one in exams]
    parts = {
        "lesions": [one.both for one in exams],
        **dict(zip(NAMES, by_kind, strict=True)),
        "lesions in breasts of density a, b": [
            one.both for one, is_fatty in zip(exams, fatty, strict=True) if is_fatty
        ],
        "lesions in breasts of density c, d": [
            one.both for one, is_fatty in zip(exams, fatty, strict=True) if not is_fatty
        ],
    }
    views = exams[0].views
    figures = {
        f"sensitivity for {name} at {rate:g} false positives an image": sensitivity_at(some, views * rate)
        for name, some in parts.items()
        for rate in RATES
    }
    return figures | {
        "mean average precision": _mean_average_precision(by_kind),
        "area under the curve, exam with or without lesions": _told_apart(exams),
    }


def _mean_average_precision(by_kind: Sequence[Sequence[Detections]]) -> Figure:
    def function(chosen: Any, _: Any) -> float:
        return float(np.mean([average_precision([some[one] for one in chosen]) for some in by_kind]))

    every = np.arange(len(by_kind[0]))
    return function(every, every), *bootstrap(function, every, every, rounds=500)


def _told_apart(exams: Sequence[Seen]) -> Figure:
    truth = np.array([one.has_lesion for one in exams], np.int64)
    scores = np.array([one.score for one in exams])
    return area_under_curve(truth, scores), *bootstrap(area_under_curve, truth, scores)


def calibrate(exams: Sequence[Seen], *, rounds: int = 50) -> Calibration:
    """Platt's a and b (1999), by Newton's steps: how likely a mark is to lie on a lesion, of its score's logit."""
    scores = np.array([score for one in exams for score in (*one.both.lesions, *one.both.false)])
    truth = np.concatenate([[1.0] * len(one.both.lesions) + [0.0] * len(one.both.false) for one in exams])
    scores, truth = scores[scores > 0], truth[scores > 0]
    logits = np.log(scores / (1 - scores))
    inputs, weights = np.stack([logits, np.ones_like(logits)], axis=1), np.array([1.0, 0.0])
    for _ in range(rounds):
        told = 1 / (1 + np.exp(-inputs @ weights))
        curvature = (inputs * (told * (1 - told))[:, np.newaxis]).T @ inputs + 1e-6 * np.eye(2)
        weights = weights + np.linalg.solve(curvature, inputs.T @ (truth - told))
    return Calibration("platt", round(float(weights[0]), 4), round(float(weights[1]), 4))
