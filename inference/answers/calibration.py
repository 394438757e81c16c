"""Scores of a network made into probabilities that mean what they say, as its passport tells. Pure functions."""

from typing import Any

import numpy as np
import numpy.typing as npt

from inference.passport import Calibration

Array = npt.NDArray[np.floating[Any]]
_LEAST = 1e-7  # what a probability is kept away from 0 and 1 by, so that it has a logit


def calibrated(probabilities: Array, calibration: Calibration) -> Array:
    """Probabilities that each stand for themselves (boxes, pixels, years), of any shape.

    `temperature`: the logit over a. `platt`: a × the logit + b (Platt 1999). An order among them stays where a > 0.
    """
    if calibration.kind == "none":
        return probabilities
    logits = _logits(probabilities)
    logits = (
        logits / calibration.a
        if calibration.kind == "temperature"
        else calibration.a * logits + calibration.b
    )
    return np.asarray(1 / (1 + np.exp(-logits)))


def calibrated_alternatives(probabilities: Array, calibration: Calibration) -> Array:
    """Probabilities (n, classes) of alternatives that exclude each other; each row of the answer sums to 1.

    `temperature`: the logarithms over a, then a softmax (Guo et al. 2017). `platt`: of two alternatives the second, as
    by `calibrated`, and the first is what is left; of more, each, made to sum to 1 again.
    """
    if calibration.kind == "none":
        found = probabilities
    elif calibration.kind == "temperature":
        found = np.maximum(probabilities, _LEAST) ** (1 / calibration.a)
    elif probabilities.shape[1] == 2:
        second = calibrated(probabilities[:, 1], calibration)
        found = np.stack([1 - second, second], axis=1)
    else:
        found = calibrated(probabilities, calibration)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _logits(probabilities: Array) -> Array:
    kept = np.clip(probabilities, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(kept / (1 - kept)))
