"""A mammogram ready for measuring: chest wall on the left, square cells of half a millimetre, grey from 0 to 1."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from archive.findings import Region, Shape
from inference.errors import ReadingFailed
from inference.picture import Mask, Picture
from inference.preprocess.breast import NoBreast, breast_mask, is_chest_wall_left
from inference.preprocess.geometry import mirror, resample
from inference.preprocess.grey import voi

CELL = 0.5
"""Millimetres from cell to cell."""

LARGEST = 1000.0
"""Millimetres; no detector is larger, so a header that says so is wrong."""

Grey = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]
"""(n, 2): column and row in millimetres from the upper corner at the chest wall."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A view on the measuring table. `full` is it at full resolution, chest wall left, grey 0 to 1, with its mask.

    `grey` and `mask` are (rows, columns) in cells of `CELL` mm; `skin` (n, 2) is the breast's outline within the
    image, from top to bottom in millimetres, without what lies on the image's border. `is_left` tells that the stored
    image has its chest wall on the left.
    """

    full: Picture
    picture: Picture
    skin: Points
    is_left: bool

    @property
    def grey(self) -> Grey:
        return np.asarray(self.picture.pixels, np.float32)

    @property
    def mask(self) -> Mask:
        mask = self.picture.mask
        return np.zeros(self.grey.shape, np.bool_) if mask is None else mask

    @property
    def size(self) -> tuple[float, float]:
        """(width, height) in millimetres."""
        rows, columns = self.grey.shape
        return columns * CELL, rows * CELL

    def region(self, shape: Shape, points: Points) -> Region:
        """Where points, in millimetres, lie in the stored image; those beyond its border come onto it."""
        own = [(float(x), float(y)) for x, y in points / CELL]
        rows, columns = self.full.pixels.shape
        stored = np.clip(self.picture.placement.stored(own), 0, (columns, rows))
        uid = self.picture.instance.sop_instance_uid
        return Region(uid, shape, tuple((float(x), float(y)) for x, y in stored), self.picture.frame)


def draw_chart(picture: Picture) -> Chart:
    """The chart of a picture of stored values. Raises ReadingFailed where the header tells no spacing, or no breast
    is seen.
    """
    if picture.spacing is None:
        raise ReadingFailed("an image tells no ImagerPixelSpacing or PixelSpacing")
    if max(np.multiply(picture.pixels.shape, picture.spacing)) > LARGEST:
        raise ReadingFailed("an image is larger than any detector: ImagerPixelSpacing or PixelSpacing")
    full = breast_mask(voi(picture, {}), {}) if picture.mask is None else voi(picture, {})
    is_left = is_chest_wall_left(full)
    full = full if is_left else mirror(full)
    rows, columns = full.pixels.shape
    height, width = (
        max(round(size * between / CELL), 1)
        for size, between in zip((rows, columns), full.spacing or picture.spacing, strict=True)
    )
    small = resample(full, (height, width))
    return Chart(full, small, _skin(small), is_left)


def _skin(picture: Picture) -> Points:
    """The longest run of the breast's outline that does not lie on the image's border, top first."""
    if picture.mask is None:
        return np.zeros((0, 2))
    rows, columns = picture.mask.shape
    if not picture.mask.any():
        raise NoBreast("an image shows no breast")
    contours, _ = cv2.findContours(picture.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max((contour[:, 0, :] for contour in contours), key=len)
    on_border = (outline[:, 0] == 0) | (outline[:, 1] == 0)
    on_border |= (outline[:, 0] == columns - 1) | (outline[:, 1] == rows - 1)
    run = _longest_run(~on_border)
    points = np.asarray((outline[run] + 0.5) * CELL, np.float64)
    return points if not len(points) or points[0, 1] <= points[-1, 1] else points[::-1]


def _longest_run(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The indices of the longest run of True in a ring."""
    if inside.all() or not inside.any():
        return np.flatnonzero(inside)
    start = int(np.argmin(inside))
    rolled = np.roll(inside, -start)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], rolled.view(np.int8), [0]))))
    longest = int(np.argmax(edges[1::2] - edges[::2]))
    return (np.arange(edges[2 * longest], edges[2 * longest + 1]) + start) % inside.size
