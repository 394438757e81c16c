"""Where the breast lies in a view, against the borders and against what the header tells."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.instance import Instance
from inference.quality.chart import CELL, Chart, Points
from inference.quality.nipple import Nipple
from inference.quality.pectoral import Pectoral
from inference.views import laterality_of

CORNER = 10.0
"""Millimetres from the chest wall within which the breast's edge may leave the image: there the body begins."""


@dataclass(frozen=True, slots=True)
class CutOff:
    """The border (`top`, `bottom`, `front`) that cuts the breast longest, over so many millimetres, and where."""

    border: str
    length: float
    points: Points


def find_cut_off(chart: Chart, projection: str) -> CutOff:
    """Where the breast reaches a border other than the chest wall's, farther out than `CORNER`.

    The upper border of an MLO is left out: there the breast goes over into the axilla.
    """
    mask = chart.mask
    rows, columns = mask.shape
    edges = {"top": mask[0], "bottom": mask[-1], "front": mask[:, -1]}
    skipped = round(CORNER / CELL)
    found = [CutOff("", 0.0, np.zeros((0, 2)))]
    for border, edge in edges.items():
        if border == "top" and projection != "CC":
            continue
        cells = np.flatnonzero(edge)
        cells = cells if border == "front" else cells[cells >= skipped]
        if cells.size:
            found.append(CutOff(border, cells.size * CELL, _line(border, cells, rows, columns)))
    return max(found, key=lambda one: one.length)


def _line(border: str, cells: npt.NDArray[np.int64], rows: int, columns: int) -> Points:
    first, last = float(cells[0]) * CELL, (float(cells[-1]) + 1) * CELL
    if border == "front":
        return np.array([[columns * CELL, first], [columns * CELL, last]])
    level = 0.0 if border == "top" else rows * CELL
    return np.array([[first, level], [last, level]])


def nipple_line(nipple: Nipple, pectoral: Pectoral | None) -> Points:
    """The posterior nipple line: from the nipple at a right angle to the pectoral muscle's edge, or the image's edge.

    Ends at the chest wall's border where that comes first, as on a CC without a muscle.
    """
    x, y = nipple.point
    if pectoral is None:
        return np.array([[x, y], [0.0, y]])
    foot = pectoral.foot(nipple.point)
    if foot[0] < 0:
        share = x / (x - foot[0])
        foot = (0.0, y + share * (foot[1] - y))
    return np.array([[x, y], foot])


def length(line: Points) -> float:
    """Of a line of two points, in its unit."""
    return float(np.hypot(*(line[1] - line[0])))


def is_medial_down(instance: Instance) -> bool | None:
    """Whether rows further down lie nearer to the sternum, None where Patient Orientation does not tell."""
    side, down = laterality_of(instance), _direction(instance, 1)
    ways = [one for one in down if one in "LR"]
    return None if len(ways) != 1 or side not in ("L", "R") else ways[0] != side


def is_wall_left(instance: Instance) -> bool | None:
    """Whether the header says that the chest wall is on the image's left; None where it does not tell.

    Rows that lead to the anterior begin at the chest wall (PS3.3 C.7.6.1.1.1).
    """
    ways = [one for one in _direction(instance, 0) if one in "AP"]
    return None if len(ways) != 1 else ways[0] == "A"


def is_mirrored(instance: Instance, projection: str) -> bool:
    """Whether columns of a view lead to the outer side of the breast that the header names, as in no upright view.

    Upright, the axillary side of a mammogram is on top (IHE Mammography Image), so down is towards the sternum.
    """
    return projection in ("CC", "MLO") and is_medial_down(instance) is False


def _direction(instance: Instance, axis: int) -> str:
    return instance.patient_orientation[axis] if len(instance.patient_orientation) > axis else ""


def outline_overlap(left: Chart, right: Chart, tips: tuple[Nipple, Nipple]) -> float:
    """Dice's coefficient of two breasts' outlines, chest wall on chest wall and nipple level on nipple level."""
    shift = round((tips[0].point[1] - tips[1].point[1]) / CELL)
    rows = max(left.mask.shape[0], right.mask.shape[0]) + abs(shift)
    columns = max(left.mask.shape[1], right.mask.shape[1])
    planes = np.zeros((2, rows, columns), np.bool_)
    for plane, chart, down in zip(planes, (left, right), (max(-shift, 0), max(shift, 0)), strict=True):
        height, width = chart.mask.shape
        plane[down : down + height, :width] = chart.mask
    return float(2 * (planes[0] & planes[1]).sum() / max(planes.sum(), 1))
