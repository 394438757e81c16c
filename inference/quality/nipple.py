"""The nipple: the most pronounced bump of the skin line near the breast's foremost point."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.quality.chart import Chart, Points
from inference.quality.pectoral import Pectoral

STEP = 0.5
"""Millimetres between samples along the skin."""

SMOOTH = 1.0
"""Deviation, in millimetres along the skin, of the Gaussian that takes the cells' steps away."""

BASE = 9.0
"""Half the width, in millimetres along the skin, of the widest bump that is a nipple."""

REACH = 45.0
"""A nipple lies within so many millimetres along the skin of the foremost point."""


LEAST = 0.35
"""A bump of less height, in millimetres, is the outline's own unevenness: then the foremost point is taken."""


@dataclass(frozen=True, slots=True)
class Nipple:
    """Where the nipple's tip is (column, row, in millimetres), and how far it stands out of the skin line."""

    point: tuple[float, float]
    prominence: float


def find_nipple(chart: Chart, pectoral: Pectoral | None) -> Nipple | None:
    """The tip of the bump; where none stands out, the foremost point, with what little prominence it has.

    Foremost is farthest from the pectoral muscle's edge where there is one, else from the chest wall. The prominence
    is the height, in millimetres, over the chord between the skin `BASE` before and behind, less what the skin's own
    curvature there (taken from twice as far out) explains. None where the image shows hardly any skin.
    """
    skin = _resample(chart.skin)
    if len(skin) * STEP < 8 * BASE:
        return None
    reach = _reach(skin, pectoral)
    foremost = int(np.argmax(reach))
    heights = _heights(skin)
    distance = np.abs(np.arange(len(skin)) - foremost) * STEP
    allowed = np.where(distance <= REACH, heights, -np.inf)
    best = int(np.argmax(allowed))
    at = best if allowed[best] >= LEAST else foremost
    height = max(float(heights[at]), 0.0) if np.isfinite(heights[at]) else 0.0
    return Nipple((float(skin[at, 0]), float(skin[at, 1])), height)


def _reach(skin: Points, pectoral: Pectoral | None) -> npt.NDArray[np.float64]:
    if pectoral is None:
        return skin[:, 0]
    angle = np.deg2rad(pectoral.angle)
    return skin[:, 0] * np.cos(angle) + skin[:, 1] * np.sin(angle)


def _resample(skin: Points) -> Points:
    """The skin line in equal steps, smooth."""
    if len(skin) < 2:
        return skin
    along = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(skin, axis=0).T))))
    at = np.arange(0, along[-1], STEP)
    line = np.stack([np.interp(at, along, skin[:, axis]) for axis in (0, 1)], axis=1)
    radius = int(4 * SMOOTH / STEP)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) * STEP / SMOOTH) ** 2)
    padded = np.pad(line, ((radius, radius), (0, 0)), mode="edge")
    return np.stack(
        [np.convolve(padded[:, axis], kernel / kernel.sum(), mode="valid") for axis in (0, 1)], axis=1
    )


def _heights(skin: Points) -> npt.NDArray[np.float64]:
    """Each point's height over its chord, less a quarter of that over the chord twice as wide.

    On a circle the height over a chord grows with the chord's square, so a round breast has none. -inf near the ends.
    """
    near, far = _over_chord(skin, int(BASE / STEP)), _over_chord(skin, int(2 * BASE / STEP))
    return np.where(np.isfinite(far), near - np.where(np.isfinite(far), far, 0) / 4, -np.inf)


def _over_chord(skin: Points, half: int) -> npt.NDArray[np.float64]:
    heights = np.full(len(skin), -np.inf)
    if len(skin) > 2 * half:
        first, last, middle = skin[: -2 * half], skin[2 * half :], skin[half:-half]
        chord, arm = last - first, middle - first
        cross = chord[:, 1] * arm[:, 0] - chord[:, 0] * arm[:, 1]
        heights[half:-half] = cross / np.maximum(np.hypot(*chord.T), 1e-9)
    return heights
