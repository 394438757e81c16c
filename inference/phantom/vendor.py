"""Vendor-like processing of an image For Presentation. The vendors are made up; their ways are those that are met."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inference.phantom.noise import Plane

FULL_SCALE = 1.4
"""Where the stored range would end if nothing were brighter; 1 is a breast that is all gland."""

_KNEE = 0.8
"""The share of the range above which brighter and brighter values take ever less of it, so that none is cut off."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """A make of mammograph.

    `spacing` is in millimetres; `gamma` its processing's curve; `enhancement` how much of what is finer than
    `enhanced_below` (millimetres) is added again; `voi` which of PS3.3 C.11.2's ways leads to grey values, `centre`
    and `width` its window, shares of the stored range.
    """

    name: str
    model: str
    spacing: float
    rows: int
    columns: int
    bits: int
    photometric: str
    voi: str
    gamma: float
    enhancement: float
    enhanced_below: float
    centre: float = 0.5
    width: float = 1.0

    @property
    def manufacturer(self) -> str:
        return f"SENOGATE PHANTOM {self.name.upper()}"

    @property
    def field(self) -> tuple[float, float]:
        """The detector's height and width in millimetres."""
        return self.rows * self.spacing, self.columns * self.spacing

    @property
    def top(self) -> int:
        """The largest stored value."""
        return (1 << self.bits) - 1

    def enhance(self, signal: Plane, spacing: float) -> Plane:
        """The signal with its edges enhanced; `spacing` is that of this signal."""
        smooth = cv2.GaussianBlur(signal, (0, 0), max(self.enhanced_below / spacing, 0.5))
        return np.asarray(signal + self.enhancement * (signal - smooth), np.float32)

    def store(self, signal: Plane) -> npt.NDArray[np.uint16]:
        """Stored values of a processed signal, inverted where the photometric interpretation is MONOCHROME1."""
        share = _compress(np.maximum(signal / np.float32(FULL_SCALE), 0)) ** np.float32(self.gamma)
        values = np.rint(share * self.top).astype(np.uint16)
        return np.asarray(self.top - values if self.photometric == "MONOCHROME1" else values, np.uint16)

    def curve(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Grey, 0 to 1, of stored values in MONOCHROME2 sense: what the VOI written to the header shows.

        PS3.3 C.11.2.1.2.1 (linear), C.11.2.1.3.1 (sigmoid); a table holds a curve of its own.
        """
        share = np.asarray(values, np.float64) / self.top
        if self.voi == "SIGMOID":
            return np.asarray(1 / (1 + np.exp(-4 * (share - self.centre) / self.width)))
        if self.voi == "TABLE":
            return np.asarray(np.clip((share - 0.02) / 0.9, 0, 1) ** 0.85)
        return np.clip((share - self.centre) / self.width + 0.5, 0, 1)


def _compress(share: Plane) -> Plane:
    """Shares of the range, 0 to 1, of shares from 0 on: unchanged to the knee, then towards 1 and never there."""
    rest = np.float32(1 - _KNEE)
    above = np.maximum(share - np.float32(_KNEE), 0)
    return np.asarray(np.minimum(share, np.float32(_KNEE)) + rest * -np.expm1(-above / rest), np.float32)


VENDORS: Mapping[str, Vendor] = {
    one.name: one
    for one in (
        Vendor("alpha", "A-70", 0.07, 3328, 2560, 12, "MONOCHROME2", "SIGMOID", 0.9, 0.6, 0.5, 0.45, 0.75),
        Vendor("beta", "B-100", 0.1, 2294, 1914, 12, "MONOCHROME1", "TABLE", 1.0, 0.4, 0.8),
        Vendor("gamma", "C-85", 0.085, 2800, 2082, 14, "MONOCHROME2", "LINEAR", 0.8, 0.9, 0.4, 0.5, 0.9),
        Vendor("delta", "D-50", 0.05, 4728, 3540, 12, "MONOCHROME1", "LINEAR", 1.15, 0.3, 1.2, 0.46, 0.9),
    )
}
