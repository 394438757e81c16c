"""How well a model answers: accuracy, κ, areas under curves, free response, bootstrap intervals. Pure functions."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.number[Any] | np.bool_]


def accuracy(truth: Labels, answer: Labels) -> float:
    """The share of cases (n,) in which the answer is the truth."""
    return float(np.mean(truth == answer))


def kappa(truth: Labels, answer: Labels, *, classes: int, power: int) -> float:
    """Cohen's weighted κ of ordered categories 0 … classes − 1.

    Disagreement weighs distance to the `power`: 1 is linear, 2 quadratic. The answer is 1 for agreement, 0
    for what chance gives, and 1 where neither side ever leaves one category.
    """
    weights = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes))) ** power
    observed = np.histogram2d(truth, answer, bins=classes, range=[[0, classes], [0, classes]])[0] / truth.size
    chance = np.outer(observed.sum(axis=1), observed.sum(axis=0))
    expected = float((weights * chance).sum())
    return 1 - float((weights * observed).sum()) / expected if expected else 1.0


def area_under_curve(truth: Numbers, score: Numbers) -> float:
    """The share of pairs of a positive and a negative case in which the positive one scores higher; ties are half.

    `truth` is 0 or 1, (n,); NaN where either kind is missing.
    """
    positive, negative = score[truth == 1], score[truth == 0]
    if not positive.size or not negative.size:
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean() / (2 * negative.size))


def bootstrap_mean(values: Numbers) -> tuple[float, float]:
    """The 95 % interval of the mean of values (n,), as `bootstrap` tells it."""
    return bootstrap(lambda one, _: float(np.mean(one)), values, values)


def bootstrap(
    measure: Callable[[Any, Any], float],
    truth: Numbers,
    answer: Numbers,
    *,
    rounds: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % percentile interval of a measure over cases drawn again with replacement."""
    random = np.random.default_rng(seed)
    draws = random.integers(0, truth.size, (rounds, truth.size))
    low, high = np.percentile([measure(truth[draw], answer[draw]) for draw in draws], (2.5, 97.5))
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Detections:
    """What a detector did in one image: the score of each lesion (0 where it was missed), and of each false mark."""

    lesions: tuple[float, ...]
    false: tuple[float, ...]

    @classmethod
    def joined(cls, several: Iterable["Detections"]) -> "Detections":
        """Those of several kinds in one image."""
        kinds = list(several)
        return cls(
            tuple(score for one in kinds for score in one.lesions),
            tuple(score for one in kinds for score in one.false),
        )


def sensitivity_at(
    images: Sequence[Detections], false_positives: float, *, rounds: int = 500, seed: int = 0
) -> tuple[float, float, float]:
    """The share of lesions found where there are `false_positives` an image, with its 95 % interval.

    A point of the free-response curve (Chakraborty, Med. Phys. 16 (1989) 561): the threshold is the lowest at which no
    more false marks are left. The interval is that of images drawn again with replacement.
    """
    value = _sensitivity(images, false_positives)
    random = np.random.default_rng(seed)
    drawn = [
        _sensitivity([images[one] for one in random.integers(0, len(images), len(images))], false_positives)
        for _ in range(rounds)
    ]
    low, high = (float(one) for one in np.percentile(drawn, (2.5, 97.5)))
    return value, min(low, value), max(high, value)


def average_precision(images: Sequence[Detections]) -> float:
    """The area under precision over recall, precision at a recall being the best at that or a higher one.

    As in the PASCAL VOC challenge from 2010 on. NaN where there is no lesion.
    """
    lesions = np.array([score for one in images for score in one.lesions])
    if not lesions.size:
        return float("nan")
    false = np.sort(np.array([score for one in images for score in one.false]))
    found = np.sort(lesions[lesions > 0])[::-1]
    wrong = false.size - np.searchsorted(false, found, "left")
    right = np.searchsorted(-found, -found, "right")
    precision = np.maximum.accumulate((right / (right + wrong))[::-1])[::-1]
    return float(precision.sum() / lesions.size)


def threshold_at(images: Sequence[Detections], false_positives: float) -> float:
    """The score above which there are at most so many false marks an image."""
    false = sorted((score for one in images for score in one.false), reverse=True)
    allowed = int(false_positives * len(images))
    return false[allowed] if allowed < len(false) else 0.0


def _sensitivity(images: Sequence[Detections], false_positives: float) -> float:
    threshold = threshold_at(images, false_positives)
    lesions = [score for one in images for score in one.lesions]
    return sum(score > threshold for score in lesions) / len(lesions) if lesions else float("nan")
