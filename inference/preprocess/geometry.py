"""Steps that change where pixels lie: mirroring, cropping, resampling. Each keeps the picture's placement."""

from dataclasses import replace
from typing import cast

import cv2
import numpy as np

from inference.errors import ReadingFailed
from inference.picture import Mask, Picture, Pixels
from inference.preprocess.breast import NoBreast, find_breast, is_chest_wall_left
from inference.preprocess.parameters import Parameters, real, whole

LARGEST = 16384


def chest_wall_left(picture: Picture, parameters: Parameters) -> Picture:
    """The picture, mirrored where needed so that the chest wall lies on the left; (rows, columns) stay."""
    return picture if is_chest_wall_left(picture) else mirror(picture)


def mirror(picture: Picture) -> Picture:
    """The picture with left and right exchanged."""
    mask = picture.mask
    return replace(
        picture,
        pixels=picture.pixels[:, ::-1].copy(),
        mask=None if mask is None else np.ascontiguousarray(mask[:, ::-1]),
        placement=picture.placement.mirrored(picture.pixels.shape[1]),
    )


def crop_to_breast(picture: Picture, parameters: Parameters) -> Picture:
    """The breast's bounding box and `margin_mm` (millimetres at the detector, 0 if absent) around it.

    A mask is found where there is none. Raises ReadingFailed for a margin where the header tells no spacing.
    """
    margin = real(parameters, "margin_mm", 0, 1000, 0)
    mask = find_breast(picture.pixels) if picture.mask is None else picture.mask
    top, bottom, left, right = _bounds(mask)
    if margin:
        down, across = (int(np.ceil(margin / one)) for one in _spacing(picture))
        top, left = max(top - down, 0), max(left - across, 0)
        bottom, right = min(bottom + down, mask.shape[0]), min(right + across, mask.shape[1])
    return replace(
        picture,
        pixels=picture.pixels[top:bottom, left:right],
        mask=mask[top:bottom, left:right],
        placement=picture.placement.cropped(left, top),
    )


def spacing(picture: Picture, parameters: Parameters) -> Picture:
    """The picture averaged over areas down to pixels of `mm` millimetres; one that is as coarse stays as it is.

    (rows, columns) become the nearest whole numbers, so the new spacing differs from `mm` by up to half a pixel
    over the whole image and is told exactly. Raises ReadingFailed where the header tells no spacing.
    """
    wanted = real(parameters, "mm", 0.01, 10)
    down, across = _spacing(picture)
    rows, columns = picture.pixels.shape
    shape = round(rows * min(down / wanted, 1)), round(columns * min(across / wanted, 1))
    return resample(picture, (max(shape[0], 1), max(shape[1], 1)))


def fit(picture: Picture, parameters: Parameters) -> Picture:
    """The picture scaled, its aspect kept, to just fit into `rows` × `columns`; the rest, right or below, is 0."""
    rows, columns = whole(parameters, "rows", 8, LARGEST), whole(parameters, "columns", 8, LARGEST)
    height, width = picture.pixels.shape
    scale = min(rows / height, columns / width)
    scaled = resample(picture, (_side(height * scale, rows), _side(width * scale, columns)))
    padding = ((0, rows - scaled.pixels.shape[0]), (0, columns - scaled.pixels.shape[1]))
    mask = None if scaled.mask is None else np.pad(scaled.mask, padding)
    pixels = cast(Pixels, np.pad(scaled.pixels, padding))
    return replace(scaled, pixels=pixels, mask=mask)


def resample(picture: Picture, shape: tuple[int, int]) -> Picture:
    """The picture at another size (rows, columns): averages over areas where smaller, linear where larger."""
    rows, columns = picture.pixels.shape
    if shape == (rows, columns):
        return picture
    down, across = rows / shape[0], columns / shape[1]
    mask, between = picture.mask, picture.spacing
    return replace(
        picture,
        pixels=_resize(picture.pixels, shape),
        mask=None if mask is None else _resize_mask(mask, shape),
        spacing=None if between is None else (between[0] * down, between[1] * across),
        placement=picture.placement.scaled(across, down),
    )


def _resize(pixels: Pixels, shape: tuple[int, int]) -> Pixels:
    kind = pixels if pixels.dtype in (np.uint8, np.uint16, np.float32) else pixels.astype(np.float32)
    smaller = shape[0] <= pixels.shape[0] and shape[1] <= pixels.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cast(Pixels, cv2.resize(np.ascontiguousarray(kind), shape[::-1], interpolation=how))


def _resize_mask(mask: Mask, shape: tuple[int, int]) -> Mask:
    return np.asarray(_resize(mask.view(np.uint8) * np.uint8(255), shape) >= 128, np.bool_)


def _side(length: float, most: int) -> int:
    return min(max(round(length), 1), most)


def _bounds(mask: Mask) -> tuple[int, int, int, int]:
    """The first and one past the last row and column of a mask. Raises ReadingFailed for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        raise NoBreast("an image shows no breast")
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _spacing(picture: Picture) -> tuple[float, float]:
    if picture.spacing is None:
        raise ReadingFailed("an image tells no ImagerPixelSpacing or PixelSpacing")
    return picture.spacing
