"""How well categories were told: accuracy, Cohen's κ, and bootstrap confidence intervals. Pure functions."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


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


def bootstrap(
    measure: Callable[[Labels, Labels], float],
    truth: Labels,
    answer: Labels,
    *,
    rounds: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % percentile interval of a measure over cases drawn again with replacement."""
    random = np.random.default_rng(seed)
    draws = random.integers(0, truth.size, (rounds, truth.size))
    low, high = np.percentile([measure(truth[draw], answer[draw]) for draw in draws], (2.5, 97.5))
    return float(low), float(high)
