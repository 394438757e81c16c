"""Steps that map grey values."""

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from inference.errors import PackageError, ReadingFailed
from inference.picture import Picture
from inference.preprocess.parameters import Parameters, real
from inference.voi import Voi

SAMPLE = 1 << 18
"""Percentiles are those of at most about this many pixels, taken from every n-th row and column."""

_BLOCK = 1 << 16


def voi(picture: Picture, parameters: Parameters) -> Picture:
    """Stored values as the header wants them shown: float32 from 0 (black) to 1 (white), (rows, columns).

    Modality LUT or rescale, then the first VOI LUT, else the first window by its function, then the sense of the
    scale (PS3.3 C.11.1, C.11.2, C.11.6). Without a VOI, the range that Bits Stored allows. Raises PackageError
    where a step before has mapped the stored values already.
    """
    pixels = picture.pixels
    if pixels.dtype not in (np.uint8, np.uint16):
        raise PackageError("the preprocessing's step voi comes after one that has changed the stored values")
    bits = 8 * pixels.dtype.itemsize
    table = (picture.voi or Voi(bits=bits)).greys()
    greys = np.empty(pixels.shape, np.float32)
    rows = max(_BLOCK // max(pixels.shape[1], 1), 1)
    for start in range(0, pixels.shape[0], rows):  # blocks that stay in the processor's cache
        block = np.asarray(pixels[start : start + rows], np.uint16)
        np.take(table, block, out=greys[start : start + rows], mode="clip")
    return replace(picture, pixels=greys)


def standardise(picture: Picture, parameters: Parameters) -> Picture:
    """Grey values less their mean, over their deviation, both over the mask (else everywhere); float32.

    Raises ReadingFailed where all are the same.
    """
    pixels = np.asarray(picture.pixels, np.float32)
    mask = None if picture.mask is None else np.ascontiguousarray(picture.mask).view(np.uint8)
    mean, deviation = (float(one[0, 0]) for one in cv2.meanStdDev(pixels, mask=mask))
    if not deviation > 1e-12 * max(abs(mean), 1):
        raise ReadingFailed("an image holds one grey level only")
    return replace(picture, pixels=(pixels - np.float32(mean)) * np.float32(1 / deviation))


def relative(picture: Picture, parameters: Parameters) -> Picture:
    """Grey values over their mean over the mask (else everywhere), so that black stays 0, as padding is; float32.

    Raises ReadingFailed where that mean is not above 0.
    """
    pixels = np.asarray(picture.pixels, np.float32)
    mask = None if picture.mask is None else np.ascontiguousarray(picture.mask).view(np.uint8)
    mean = float(cv2.mean(pixels, mask=mask)[0])
    if not mean > 0:
        raise ReadingFailed("an image is black")
    return replace(picture, pixels=pixels * np.float32(1 / mean))


def unit(picture: Picture, parameters: Parameters) -> Picture:
    """Grey values from 0, at the percentile `low` (0 if absent), to 1, at `high` (100 if absent); float32.

    The percentiles are those over the mask (else everywhere); what lies outside them becomes 0 or 1. Raises
    ReadingFailed where both are the same.
    """
    at = real(parameters, "low", 0, 100, 0), real(parameters, "high", 0, 100, 100)
    low, high = (float(one) for one in np.percentile(_sample(picture), at))
    if not high > low:
        raise ReadingFailed("an image holds one grey level only")
    pixels = np.asarray(picture.pixels, np.float32)
    return replace(picture, pixels=np.clip((pixels - np.float32(low)) * np.float32(1 / (high - low)), 0, 1))


def _sample(picture: Picture) -> npt.NDArray[np.float32]:
    every = max(int(np.sqrt(picture.pixels.size / SAMPLE)), 1)
    pixels = picture.pixels[::every, ::every]
    chosen = pixels.ravel() if picture.mask is None else pixels[picture.mask[::every, ::every]]
    if not chosen.size:
        raise ReadingFailed("an image shows no breast")
    return np.asarray(chosen, np.float32)
