"""The breast's outline as a polygon of few points."""

import cv2
import numpy as np

from inference.quality.chart import CELL, Chart, Points

TOLERANCE = 0.5
"""Millimetres by which the polygon may leave the mask's edge."""


def outline_of(chart: Chart) -> Points:
    """The outline with the pectoral muscle, (n, 2) in millimetres, its last point its first."""
    contours, _ = cv2.findContours(chart.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    longest = max(contours, key=len)
    few = cv2.approxPolyDP(longest, TOLERANCE / CELL, True)[:, 0, :]
    points = np.asarray((few + 0.5) * CELL, np.float64)
    return np.concatenate([points, points[:1]])
