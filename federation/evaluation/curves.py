"""Points of the curves that figures sum up, for who wants to draw them: rates, sensitivities, what was predicted."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from federation.evaluation.figures import Array, Cells, calibration, confusion
from federation.evaluation.scoring import FALSE, IMAGES, LESIONS, NEGATIVE, POSITIVE, STRATA, answers_of


def curves_of(cells: Mapping[str, Cells]) -> dict[str, Any]:
    """The curves that these tables have: `roc`, `calibration`, `free response`, and the `answers`, truth by answer."""
    found: dict[str, Any] = {}
    if all(name in cells and cells[name].total for name in STRATA):
        negative, positive = cells[NEGATIVE].counts, cells[POSITIVE].counts
        found["roc"] = _points(_share_above(negative), _share_above(positive))
        _, predicted, seen, cases = calibration(negative, positive)
        found["calibration"] = _points(predicted[cases > 0], seen[cases > 0])
    if all(answers_of(name) in cells for name in STRATA):
        matrix = confusion({name: cells[answers_of(name)].counts for name in STRATA})
        found["answers"] = [[round(float(one), 1) for one in row] for row in matrix]
    if cells.keys() >= {LESIONS, FALSE, IMAGES} and cells[LESIONS].total and cells[IMAGES].total:
        false = np.cumsum(cells[FALSE].counts[::-1]) / cells[IMAGES].total
        found["free response"] = _points(false, _share_above(cells[LESIONS].counts)[1:-1])
    return found


def _share_above(counts: Array) -> Array:
    """The share of counts at or above each cell, from the last cell down, after 0."""
    return np.concatenate([[0.0], np.cumsum(counts[::-1]) / counts.sum()])


def _points(across: Array, up: Array) -> list[list[float]]:
    """Points of a curve, those that repeat the one before left out."""
    rounded = [[round(float(one), 4), round(float(other), 4)] for one, other in zip(across, up, strict=True)]
    return [one for number, one in enumerate(rounded) if not number or one != rounded[number - 1]]
