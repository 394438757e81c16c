"""Where the breast lies in a mammogram, and on which side the chest wall is. Both from pixels alone.

The mask is found on a copy averaged down to cells of about half a millimetre, so noise hardly counts and the time
does not depend on the detector's resolution: what is brighter than the background's noise, freed from thin
structures, its largest connected part, filled. Labels and markers beside the breast are other, smaller parts.
"""

from dataclasses import replace
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from inference.errors import ReadingFailed
from inference.picture import Mask, Picture, Pixels
from inference.preprocess.parameters import Parameters

CELLS = 512
"""The longer side of the copy on which the breast is looked for."""

_DEVIATIONS = 4.0
_SHARE = 0.03
"""What stands above the background by so many deviations of its noise and by this share of the range is tissue."""

_MEDIAN = 5
"""Side, in cells, of the window whose median each cell becomes: noise goes, edges stay."""

_OPENING = 7
"""Diameter, in cells, of the disc that has to fit into the breast: a marker's line or a scratch it does not."""

_SMALLEST = 0.005
"""A breast covers at least this share of the image."""

_SATURATED = 0.98
"""A row or column at the image's border that is this full of its highest value is a collimator's edge or padding."""


class NoBreast(ReadingFailed):
    """An image in which no breast stands out from the background."""


Cells = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint8]


def breast_mask(picture: Picture, parameters: Parameters) -> Picture:
    """The picture with its mask: True on the breast (with the pectoral muscle), (rows, columns).

    Raises NoBreast where no breast stands out from the background.
    """
    return replace(picture, mask=find_breast(picture.pixels))


def find_breast(pixels: Pixels) -> Mask:
    """True on the breast, of the shape of `pixels` (rows, columns, in MONOCHROME2 sense). Raises NoBreast."""
    return _enlarge(_find(_shrink(pixels)), pixels.shape)


def is_chest_wall_left(picture: Picture) -> bool:
    """Whether the chest wall lies on the picture's left: where the breast's outline is taller.

    The bounding box of the mask is compared at its two sides, so blank columns beside the breast do not count.
    """
    mask = picture.mask
    small = _find(_shrink(picture.pixels)) if mask is None else _shrink(mask.view(np.uint8))
    columns = small.astype(np.int64).sum(axis=0)
    inside = np.flatnonzero(columns)
    if not inside.size:
        raise NoBreast("an image shows no breast")
    columns = columns[inside[0] : inside[-1] + 1]
    edge = max(columns.size // 5, 1)
    return bool(columns[:edge].sum() >= columns[-edge:].sum())


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    """(columns, rows), as OpenCV takes them, of the copy."""
    scale = min(1.0, CELLS / max(shape))
    return max(round(shape[1] * scale), 1), max(round(shape[0] * scale), 1)


def _shrink(pixels: Pixels) -> Cells:
    """Cells that are averages, without their noise; of a large image, averages over every n-th row."""
    rows = pixels[:: max(max(pixels.shape) // (2 * CELLS), 1)]
    kind = rows if rows.dtype in (np.uint8, np.uint16, np.float32) else rows.astype(np.float32)
    whole = kind if kind.strides[1] == kind.itemsize else cast(Pixels, np.ascontiguousarray(kind))
    small = cv2.resize(whole, _size(pixels.shape), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.medianBlur(np.asarray(small, np.float32), _MEDIAN), np.float32)


def _find(cells: Cells) -> Bits:
    """1 on the breast, 0 elsewhere, of the shape of `cells`."""
    framed = _is_frame(cells)
    tissue = (cells > _threshold(cells[~framed])) & ~framed
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_OPENING, _OPENING))
    padded = np.pad(_fill(tissue.view(np.uint8)), _OPENING, mode="edge")
    opened = np.asarray(cv2.morphologyEx(padded, cv2.MORPH_OPEN, disc), np.uint8)
    return _fill(_largest(opened[_OPENING:-_OPENING, _OPENING:-_OPENING]))


def _is_frame(cells: Cells) -> Mask:
    """True on the rows and columns at the border, if any, that hold the image's highest value only."""
    bright = cells >= cells.max() if cells.max() > cells.min() else np.zeros(cells.shape, bool)
    frame = np.zeros(cells.shape, bool)
    for axis in (0, 1):
        full = bright.mean(axis=1 - axis) >= _SATURATED
        ends = np.cumprod(full).astype(bool) | np.cumprod(full[::-1])[::-1].astype(bool)
        frame |= ends[:, np.newaxis] if axis == 0 else ends[np.newaxis, :]
    return frame


def _threshold(cells: Cells) -> float:
    """Above it lies tissue: the background's level, its noise, and a share of the range that the image uses.

    The background is the lowest grey level that many cells have. Raises NoBreast for an image of one level.
    """
    low, high = (float(one) for one in np.percentile(cells, (0.1, 99.5))) if cells.size else (0.0, 0.0)
    if not high > low:
        raise NoBreast("an image shows no breast: it holds one grey level only")
    counts, edges = np.histogram(cells, 256, (low, high))
    quarter = counts[:64]
    level = float(edges[int(np.argmax(quarter))] + edges[int(np.argmax(quarter)) + 1]) / 2
    below = cells[cells <= level]
    noise = float(np.sqrt(np.mean((below - level) ** 2))) if below.size else 0.0
    return level + max(_DEVIATIONS * noise, _SHARE * (high - level))


def _largest(bits: Bits) -> Bits:
    """The largest 8-connected part. Raises NoBreast where it is too small for a breast."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(bits), connectivity=8)
    sizes = stats[1:count, cv2.CC_STAT_AREA]
    if not sizes.size or sizes.max() < _SMALLEST * bits.size:
        raise NoBreast("an image shows no breast")
    return np.asarray(labels == 1 + int(sizes.argmax()), np.uint8)


def _fill(bits: Bits) -> Bits:
    """Without its holes; the outside is what the border reaches."""
    contours, _ = cv2.findContours(bits, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(bits), contours, -1, 1, cv2.FILLED), np.uint8)


def _enlarge(bits: Bits, shape: tuple[int, ...]) -> Mask:
    """At full size, its outline smooth to a fraction of a cell."""
    size = shape[1], shape[0]
    return np.asarray(cv2.resize(bits * 255, size, interpolation=cv2.INTER_LINEAR) >= 128, np.bool_)
