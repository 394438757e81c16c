"""What the lesion detector is to tell of views, on a grid of `STRIDE` pixels."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from inference.training.lesion_images import KINDS, Mark

CLASSES = len(KINDS)
CELL = 2
"""Pixels a side of a cell of the network's features."""
STRIDE = 8
"""Pixels a side of a cell of what it tells."""
UNIT = 40.0
"""Pixels; box sides are told in it."""

Tensor = npt.NDArray[np.float32]


def draw_target(marks: Sequence[Mark], shape: tuple[int, int]) -> Tensor:
    """What a perfect network tells of a view of `shape` pixels: (classes + 4 + classes + 1, cells, cells).

    Middles are bells that reach 1; box sides, in `UNIT`, hold where the last plane is 1; outlines are filled.
    """
    rows, columns = (size // STRIDE for size in shape)
    target = np.zeros((2 * CLASSES + 5, rows, columns), np.float32)
    y, x = np.mgrid[:rows, :columns].astype(np.float32) * STRIDE + STRIDE / 2
    for mark in marks:
        left, top, right, bottom = mark.box
        middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
        if not (0 <= middle_x < shape[1] and 0 <= middle_y < shape[0]):
            continue
        spread = np.maximum(np.array([right - left, bottom - top]) / 7, 1.2 * STRIDE)
        bell = np.exp(-0.5 * (((x - middle_x) / spread[0]) ** 2 + ((y - middle_y) / spread[1]) ** 2))
        bell[int(middle_y) // STRIDE, int(middle_x) // STRIDE] = 1
        target[mark.kind] = np.maximum(target[mark.kind], bell)
        near = bell > 0.4
        for plane, side in enumerate((x - left, y - top, right - x, bottom - y)):
            target[CLASSES + plane][near] = np.maximum(side[near], 0) / UNIT
        target[-1][near] = 1
        polygon = np.rint(mark.outline / STRIDE - 0.5).astype(np.int32).reshape(-1, 1, 2)
        canvas = np.zeros((rows, columns), np.uint8)
        cv2.fillPoly(canvas, [polygon], 1)
        target[CLASSES + 4 + mark.kind] = np.maximum(target[CLASSES + 4 + mark.kind], canvas)
    return target


def turn_over(target: Tensor) -> Tensor:
    """The target of a view that is turned upside down."""
    turned = target[:, ::-1].copy()
    turned[[CLASSES + 1, CLASSES + 3]] = turned[[CLASSES + 3, CLASSES + 1]]
    return turned
