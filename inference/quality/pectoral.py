"""The pectoral muscle: the straight edge that best parts a bright upper corner at the chest wall from the breast."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inference.quality.chart import CELL, Chart, Grey, Points

ANGLES = np.deg2rad(np.arange(4, 62, 1.0))
"""Between the edge and the chest wall."""

STEP = 1.0
"""Millimetres between samples along an edge, and between edges."""

SIDES = (1.0, 2.5, 4.0)
"""Grey is compared at these distances, in millimetres, on both sides of an edge."""

WALL = 2.0
"""Nothing is read nearer to the chest wall than this, in millimetres: detectors' borders are bright or dark."""

ROOT = 10
"""So many samples from the upper border on, at least half have to lie on the breast."""

LEAST = 0.03
"""An edge of less contrast than this, in shares of black to white, is no edge; a stronger one counts up to `MOST`."""

MOST = 0.3

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pectoral:
    """The muscle's edge: from `top`, on the upper border, to `bottom`, where it fades or meets the chest wall.

    Points are (column, row) in millimetres; `angle` is that with the chest wall, in degrees; `contrast` the mean
    step in grey across it, in shares of black to white; `share` how much of it has one from bright to dark.
    """

    top: tuple[float, float]
    bottom: tuple[float, float]
    angle: float
    contrast: float
    share: float

    @property
    def length(self) -> float:
        """Millimetres along the edge."""
        return float(np.hypot(self.top[0] - self.bottom[0], self.top[1] - self.bottom[1]))

    @property
    def width(self) -> float:
        """Millimetres at the upper border."""
        return self.top[0]

    @property
    def direction(self) -> tuple[float, float]:
        """Of unit length, from top to bottom."""
        angle = np.deg2rad(self.angle)
        return -float(np.sin(angle)), float(np.cos(angle))

    def along(self, point: tuple[float, float]) -> float:
        """How far down the edge, in millimetres from its top, the foot of the perpendicular from a point lies."""
        x, y = self.direction
        return (point[0] - self.top[0]) * x + (point[1] - self.top[1]) * y

    def foot(self, point: tuple[float, float]) -> tuple[float, float]:
        """The foot of the perpendicular from a point on the edge's line."""
        down, (x, y) = self.along(point), self.direction
        return self.top[0] + down * x, self.top[1] + down * y

    @property
    def points(self) -> Points:
        return np.array([self.top, self.bottom])


def find_pectoral(chart: Chart) -> Pectoral | None:
    """The muscle's edge in a chart, None where no edge from the upper border has the contrast of one.

    Every line from the upper border towards the chest wall is tried, first coarsely, then around the best in steps
    of a degree and a millimetre. A line's score is the sum, from the top down to the best place to end, of its
    contrast less `LEAST`.
    """
    grey = np.asarray(cv2.GaussianBlur(chart.grey, (0, 0), 1 / CELL), np.float32)
    tops = np.arange(5.0, min(0.75 * chart.size[0], 180.0), STEP)
    coarse = _search(grey, chart, ANGLES[::2], tops[::2])
    if coarse is None:
        return None
    near = np.abs(np.rad2deg(ANGLES) - coarse.angle) < 2.5, np.abs(tops - coarse.width) < 4.5
    return _search(grey, chart, ANGLES[near[0]], tops[near[1]])


def _search(grey: Grey, chart: Chart, angles: Curve, tops: Curve) -> Pectoral | None:
    best, found = 0.0, None
    for angle in angles:
        steps = _contrasts(grey, chart, tops, float(angle))
        sums = np.cumsum(np.where(np.isnan(steps), -MOST, np.clip(steps, -MOST, MOST) - LEAST), axis=1)
        sums[np.isnan(steps[:, :ROOT]).mean(axis=1) > 0.5] = -np.inf
        line, end = np.unravel_index(int(np.argmax(sums)), sums.shape)
        if sums[line, end] > best:
            best = float(sums[line, end])
            found = _describe(float(tops[line]), float(angle), int(end) + 1, steps[line, : end + 1])
    return found


def _describe(top: float, angle: float, samples: int, steps: Curve) -> Pectoral:
    length = samples * STEP
    bottom = top - length * float(np.sin(angle)), length * float(np.cos(angle))
    return Pectoral(
        (top, 0.0), bottom, float(np.rad2deg(angle)), float(np.nanmean(steps)), float(np.mean(steps > 0))
    )


def _contrasts(grey: Grey, chart: Chart, tops: Curve, angle: float) -> Curve:
    """(lines, samples): the step in grey across each line, bright towards the chest wall; NaN outside the breast."""
    sine, cosine = float(np.sin(angle)), float(np.cos(angle))
    count = int(min(chart.size[1] / cosine, tops[-1] / sine) / STEP)
    down = (np.arange(count) + 0.5) * STEP
    columns = tops[:, np.newaxis] - down * sine
    rows = np.broadcast_to(down * cosine, columns.shape)
    inner = [_sample(grey, np.maximum(columns - at * cosine, WALL), rows - at * sine) for at in SIDES]
    outer = [_sample(grey, columns + at * cosine, rows + at * sine) for at in SIDES]
    steps = np.mean(inner, axis=0) - np.mean(outer, axis=0)
    beyond = _sample(chart.mask.astype(np.float32), columns + SIDES[-1] * cosine, rows + SIDES[-1] * sine)
    return np.where((beyond > 0.5) & (columns > WALL), steps, np.nan)


def _sample(grey: Grey, columns: Curve, rows: Curve) -> Grey:
    x, y = ((one / CELL - 0.5).astype(np.float32) for one in (columns, rows))
    return np.asarray(cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
