"""Exposure and artefacts of a mammogram, measured at full resolution."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inference.quality.chart import CELL, Chart, Points

WHITE, BLACK = 0.995, 0.005
"""Grey from 0 to 1 that counts as one end of the scale."""

RIM = 4.0
"""Millimetres under the skin that exposure leaves out: there the breast is thin, and dark."""

RING = 3.0
"""An artefact is compared with what lies around it up to this distance, in millimetres."""

STEP = 0.25
"""How much brighter, in shares of black to white, than its ring a saturated structure must be to be foreign."""

SPECK = 0.8
"""Square millimetres; saturated structures up to this size may be calcifications."""

Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Exposure:
    """Shares of the breast's area at white and at black, in percent; the range from its 5th to 95th percentile of
    grey, in percent of black to white.
    """

    white: float
    black: float
    contrast: float


@dataclass(frozen=True, slots=True)
class Artefacts:
    """Square millimetres of isolated saturated structures over the breast, and of anything bright beside it.

    `outlines` (n, 2) are those over the breast, in millimetres on the chart.
    """

    inside: float
    outside: float
    outlines: tuple[Points, ...]


def measure_exposure(chart: Chart) -> Exposure:
    """The exposure of a chart's breast without its rim."""
    inner = _erode(chart.mask, RIM)
    rows, columns = chart.full.pixels.shape
    mask = cv2.resize(inner, (columns, rows), interpolation=cv2.INTER_NEAREST)
    greys = chart.full.pixels[::2, ::2][mask[::2, ::2] > 0]
    if not greys.size:
        return Exposure(0.0, 100.0, 0.0)
    low, high = np.percentile(greys[::4], (5, 95))
    return Exposure(
        100 * float(np.mean(greys >= WHITE)), 100 * float(np.mean(greys <= BLACK)), 100 * float(high - low)
    )


def find_artefacts(chart: Chart) -> Artefacts:
    """Saturated structures that stand out of their surroundings, as clips, markers and foreign bodies do."""
    pixels = np.asarray(chart.full.pixels, np.float32)
    rows, columns = chart.grey.shape
    share = cv2.resize(np.asarray(pixels >= WHITE, np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    bits = np.asarray(share >= 0.5, np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(bits, connectivity=8)
    inside, outlines = 0.0, []
    for one in range(1, count):
        area = float(stats[one, cv2.CC_STAT_AREA]) * CELL**2
        part = np.asarray(labels == one, np.uint8)
        if area > SPECK and _is_foreign(chart, part, stats[one]):
            inside += area
            outlines.append(_outline(part))
    beside = (chart.grey > 0.5) & (_dilate(chart.mask, RING) == 0)
    return Artefacts(inside, float(beside.sum()) * CELL**2, tuple(outlines))


def _is_foreign(chart: Chart, part: Bits, stats: npt.NDArray[np.int32]) -> bool:
    """Whether a saturated part lies on the breast, off the chart's border, and much brighter than its ring."""
    left, top, width, height = (int(one) for one in stats[:4])
    rows, columns = part.shape
    if left == 0 or top == 0 or left + width == columns or top + height == rows:
        return False
    near = part.astype(bool)
    ring = (_dilate(near, RING) > 0) & ~(_dilate(near, CELL) > 0) & chart.mask
    if not (near & chart.mask).any() or not ring.any():
        return False
    return float(chart.grey[near].mean() - np.percentile(chart.grey[ring], 75)) > STEP


def _outline(part: Bits) -> Points:
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = (max(contours, key=len)[:, 0, :] + 0.5) * CELL
    return np.concatenate([points, points[:1]])


def _erode(mask: npt.NDArray[np.bool_], distance: float) -> Bits:
    return np.asarray(cv2.erode(mask.astype(np.uint8), _disc(distance)), np.uint8)


def _dilate(mask: npt.NDArray[np.bool_], distance: float) -> Bits:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), _disc(distance)), np.uint8)


def _disc(distance: float) -> Bits:
    side = 2 * round(distance / CELL) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
