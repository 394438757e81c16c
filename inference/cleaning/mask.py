"""Areas of a frame: boxes of text, what lies outside of ultrasound regions, and the mask that they make."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

Mask = npt.NDArray[np.bool_]
Shape = tuple[int, int]

_LEAST_REGION = 0.1  # of a frame; regions that cover less are not those that the picture lies in


class Box(NamedTuple):
    """Columns `left` to `right` and rows `top` to `bottom` of a frame, the last not included."""

    left: int
    top: int
    right: int
    bottom: int

    def grown(self, margin: int, shape: Shape) -> "Box":
        """The box with a margin in pixels, within a frame of (rows, columns)."""
        return Box(self.left - margin, self.top - margin, self.right + margin, self.bottom + margin).within(
            shape
        )

    def within(self, shape: Shape) -> "Box":
        """The part of the box that lies in a frame of (rows, columns)."""
        rows, columns = shape
        left, right = (min(max(value, 0), columns) for value in (self.left, self.right))
        top, bottom = (min(max(value, 0), rows) for value in (self.top, self.bottom))
        return Box(left, top, max(left, right), max(top, bottom))

    def moved(self, across: int, down: int) -> "Box":
        """The box that many columns and rows further on."""
        return Box(self.left + across, self.top + down, self.right + across, self.bottom + down)

    @classmethod
    def of_size(cls, left: int, top: int, width: int, height: int) -> "Box":
        """The box with this corner and this size, as people and the spool name it."""
        return cls(left, top, left + width, top + height)

    @property
    def sized(self) -> list[int]:
        """What `of_size` takes."""
        return [self.left, self.top, self.right - self.left, self.bottom - self.top]

    @classmethod
    def around(cls, boxes: Sequence["Box"]) -> "Box":
        """The least box that holds all of some boxes."""
        left, top, right, bottom = zip(*boxes, strict=True)
        return cls(min(left), min(top), max(right), max(bottom))

    @property
    def area(self) -> int:
        """In pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    def common(self, other: "Box") -> "Box":
        """The part of two boxes that meet which lies in both."""
        return Box(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )

    def meets(self, other: "Box") -> bool:
        """Whether the two have a pixel in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def covered(boxes: Iterable[Box], shape: Shape, kept: Sequence[Box] = ()) -> Mask:
    """A mask of (rows, columns) that is true in the boxes, and false in those to be kept."""
    mask = np.zeros(shape, np.bool_)
    for box in boxes:
        mask[box.top : box.bottom, box.left : box.right] = True
    for box in kept:
        mask[box.top : box.bottom, box.left : box.right] = False
    return mask


def boxes_of(mask: Mask) -> list[Box]:
    """Boxes that together cover what is true in a mask of (rows, columns), and nothing else."""
    rows = len(mask)
    begun: dict[tuple[int, int], int] = {}  # the row where each run of columns that goes on began
    boxes = []
    for row in (0, *(np.flatnonzero((mask[1:] != mask[:-1]).any(axis=1)) + 1).tolist(), rows):
        line = mask[row] if row < rows else np.zeros_like(mask[0])
        edges = np.flatnonzero(np.diff(line, prepend=False, append=False)).tolist()
        runs = set(zip(edges[::2], edges[1::2], strict=True))
        boxes += [Box(run[0], begun.pop(run), run[1], row) for run in sorted(begun.keys() - runs)]
        begun |= dict.fromkeys(runs - begun.keys(), row)
    return boxes


def outside_of_regions(dataset: Dataset, shape: Shape) -> Mask:
    """True where no region of Sequence of Ultrasound Regions lies (PS3.3 C.8.5.5); all false where none is stated.

    Beside the regions a scanner writes names, dates and its settings, and no picture.
    """
    boxes = []
    for item in dataset.get("SequenceOfUltrasoundRegions") or []:
        corners = [item.get(f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        if all(isinstance(corner, int) for corner in corners):
            left, top, right, bottom = corners
            boxes.append(Box(left, top, right + 1, bottom + 1).within(shape))
    picture = covered(boxes, shape)
    return ~picture if picture.mean() >= _LEAST_REGION else np.zeros(shape, np.bool_)
