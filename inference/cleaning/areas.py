"""Where in a frame text could be at all, and those areas laid out close together for one look.

Most of an ultrasound's screen is black and half of a mammogram is air. What is flat is left out; of the rest, boxes
are put side by side into one smaller image.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import cv2
import numpy as np
import numpy.typing as npt

from inference.cleaning.mask import Box, Mask, Shape

Grey = npt.NDArray[np.uint8]

_BLOCK = 16  # pixels: areas are made of blocks of this side, and have a margin of one
_FLAT = 10  # grey levels, noise smoothed: where no two neighbours differ by more there is no text
_FEWEST = 4  # pixels of a block that differ so, or it is flat
_WORTH = 0.8  # a box is cut where its two parts have no more than this part of its area
_DEEPEST, _PLACES = 4, 24  # cuts one after the other; places in either direction that each is sought in
_OVERLAP = 4  # blocks that two parts have in common, on either side of a cut


@dataclass(frozen=True)
class Areas:
    """Boxes of a frame, and where in one image each of them lies: its left upper corner there."""

    boxes: tuple[Box, ...]
    corners: tuple[tuple[int, int], ...]

    @cached_property
    def shape(self) -> Shape:
        """Rows and columns of the image that they make."""
        placed = [box.moved(*move) for box, move in self._moves()]
        return max((box.bottom for box in placed), default=0), max((box.right for box in placed), default=0)

    def lay(self, frame: Grey, change: Callable[[Grey], Grey] = lambda part: part) -> Grey:
        """The areas of a frame side by side, each of them changed; what is between them is of its median."""
        if len(self.boxes) == 1:
            return change(_cut(frame, self.boxes[0]))
        laid = np.full(self.shape, np.median(change(frame[::8, ::8])), np.uint8)
        for box, move in self._moves():
            place = box.moved(*move)
            laid[place.top : place.bottom, place.left : place.right] = change(_cut(frame, box))
        return laid

    def find_back(self, found: Box) -> Iterator[Box]:
        """Where in the frame a box of the image lies, a box for each area that it reaches into."""
        for box, (across, down) in self._moves():
            part = found.moved(-across, -down)
            if part.meets(box):
                yield part.common(box)

    def _moves(self) -> Iterator[tuple[Box, tuple[int, int]]]:
        for box, (left, top) in zip(self.boxes, self.corners, strict=True):
            yield box, (left - box.left, top - box.top)


def uneven(*looks: Grey) -> Mask:
    """Blocks of a frame in which text could be: those where one of its looks is not flat."""
    steps = (ranges_of(cv2.blur(each, (3, 3)).astype(np.uint8, copy=False)) for each in looks)
    return _count(reduce(np.maximum, steps) > _FLAT) >= _FEWEST


def blocks_of(mask: Mask) -> Mask:
    """Blocks in which something of a mask of (rows, columns) is true."""
    return _count(mask) > 0


def areas_of(blocks: Mask, shape: Shape) -> Areas:
    """The areas that blocks of a frame of (rows, columns) make, with a margin of one block."""
    around = cv2.dilate(blocks.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_)
    cut = _split(around, Box(0, 0, around.shape[1], around.shape[0]))
    boxes = [Box(*(side * _BLOCK for side in box)).within(shape) for box in cut]
    return _shelve(boxes) if boxes else Areas((), ())


def _split(blocks: Mask, within: Box, depth: int = 0) -> list[Box]:
    """Boxes that hold all blocks within a box, cut from side to side as long as that leaves out much.

    Where a cut goes through blocks, its two sides overlap, so that no line of text is cut lengthwise.
    """
    box = _shrunk(blocks, within)
    if box is None:
        return []
    if depth == _DEEPEST:
        return [box]
    cuts = [_cut_in_two(box, at, is_row) for is_row in (True, False) for at in _places(box, is_row)]
    halves = [[part for each in cut if (part := _shrunk(blocks, each))] for cut in cuts]
    best = min(halves, key=_total, default=[box])
    if _total(best) > _WORTH * box.area:
        return [box]
    return [piece for part in best for piece in _split(blocks, part, depth + 1)]


def _places(box: Box, is_row: bool) -> range:
    """Where a box may be cut, between rows or between columns: in some places of many."""
    first, last = (box.top, box.bottom) if is_row else (box.left, box.right)
    return range(first + 1, last, max(1, (last - first) // _PLACES))


def _cut_in_two(box: Box, at: int, is_row: bool) -> tuple[Box, Box]:
    if is_row:
        above, below = min(at + _OVERLAP, box.bottom), max(at - _OVERLAP, box.top)
        return box._replace(bottom=above), box._replace(top=below)
    before, behind = min(at + _OVERLAP, box.right), max(at - _OVERLAP, box.left)
    return box._replace(right=before), box._replace(left=behind)


def _shrunk(blocks: Mask, box: Box) -> Box | None:
    """The least box that holds the blocks within a box; None where there are none."""
    part = blocks[box.top : box.bottom, box.left : box.right]
    down, across = (np.flatnonzero(part.any(axis)) for axis in (1, 0))
    if not down.size:
        return None
    inner = Box(int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1)
    return inner.moved(box.left, box.top)


def _total(boxes: Sequence[Box]) -> int:
    return sum(box.area for box in boxes)


def _shelve(boxes: Sequence[Box]) -> Areas:
    """Boxes in rows, the highest first; of some widths, the one with the least waste."""
    ordered = sorted(boxes, key=lambda box: (box.top - box.bottom, box))
    widest = max(box.right - box.left for box in boxes)
    widths = (
        widest,
        max(widest, round(_total(boxes) ** 0.5)),
        max(widest, round((2 * _total(boxes)) ** 0.5)),
    )
    return min(
        (_shelve_in(width, ordered) for width in widths), key=lambda areas: areas.shape[0] * areas.shape[1]
    )


def _shelve_in(width: int, boxes: Sequence[Box]) -> Areas:
    corners, left, top, bottom = [], 0, 0, 0
    for box in boxes:
        if left + box.right - box.left > width:
            left, top = 0, bottom
        corners.append((left, top))
        left += box.right - box.left
        bottom = max(bottom, top + box.bottom - box.top)
    return Areas(tuple(boxes), tuple(corners))


def _cut(frame: Grey, box: Box) -> Grey:
    return frame[box.top : box.bottom, box.left : box.right]


def _count(mask: Mask) -> npt.NDArray[np.int32]:
    """How many pixels of each block are true."""
    rows, columns = (-(-side // _BLOCK) for side in mask.shape)
    if mask.shape != (rows * _BLOCK, columns * _BLOCK):
        whole = np.zeros((rows * _BLOCK, columns * _BLOCK), np.bool_)
        whole[: mask.shape[0], : mask.shape[1]] = mask
        mask = whole
    down = mask.reshape(rows, _BLOCK, -1).sum(1, dtype=np.uint8)  # long lines are added at once
    return down.reshape(rows, columns, _BLOCK).sum(2, dtype=np.int32)


def ranges_of(image: Grey) -> Grey:
    """How far grey levels lie apart around each pixel."""
    kernel = np.ones((9, 9), np.uint8)
    ranges = cv2.subtract(cv2.dilate(image, kernel), cv2.erode(image, kernel))
    return ranges.astype(np.uint8, copy=False)
