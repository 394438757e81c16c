"""Two preprocessings of whole exams that work on stored values: histograms and thumbnails.

An image here is a 2-D array (rows, columns) of unsigned stored values in MONOCHROME2 sense (larger is
brighter), without modality or VOI LUT applied.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.errors import ReadingFailed
from inference.preprocess.parameters import Parameters, whole

Image = npt.NDArray[np.unsignedinteger[Any]]
Tensor = npt.NDArray[np.float32]
BLOCK = 1 << 18


def count_bins(parameters: Parameters) -> int:
    """The parameter `bins`."""
    return whole(parameters, "bins", 2, 65536)


def count_cells(parameters: Parameters) -> tuple[int, int]:
    """The parameters `rows` and `columns`."""
    return whole(parameters, "rows", 8, 4096), whole(parameters, "columns", 8, 4096)


def standardise_levels(
    levels: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Levels less the mean, over the population standard deviation, of an image with `counts` of each level.

    Shapes (k,) and (k,); the answer, (k,), is in standard deviations. Raises ReadingFailed for an image of
    one level.
    """
    mean = np.average(levels, weights=counts)
    deviation = np.sqrt(np.average((levels - mean) ** 2, weights=counts))
    if not deviation > 0:
        raise ReadingFailed("an image holds one grey level only")
    return np.asarray((levels - mean) / deviation, np.float64)


def count_levels(image: Image) -> npt.NDArray[np.int64]:
    """How many pixels hold each level from 0 on. Counted in blocks that stay in the processor's cache."""
    pixels, levels = image.ravel(), np.iinfo(image.dtype).max + 1
    blocks = range(0, pixels.size, BLOCK)
    return np.sum([np.bincount(pixels[at : at + BLOCK], minlength=levels) for at in blocks], axis=0)


def histogram(image: Image, bins: int) -> npt.NDArray[np.float64]:
    """The standardised image's histogram over its own range, summing to 1. Shape (bins,), no unit.

    Equal to `numpy.histogram` of the standardised image: its values are those of the levels it holds, each
    counted as often as it occurs, so only the levels need to be computed.
    """
    counts = count_levels(image)
    levels = np.flatnonzero(counts)
    counts = counts[levels]
    values = standardise_levels(levels.astype(np.float64), counts)
    return np.histogram(values, bins, weights=counts)[0] / image.size


def histograms(images: Sequence[Image], parameters: Parameters) -> Tensor:
    """The histograms of all views, one after the other. Shape (1, views × bins)."""
    bins = count_bins(parameters)
    return np.concatenate([histogram(image, bins) for image in images])[np.newaxis].astype(np.float32)


def shrink(image: Image, rows: int, columns: int) -> npt.NDArray[np.float64]:
    """The image in (rows, columns) cells, each the mean of the pixels whose row and column fall in it.

    Raises ReadingFailed for an image smaller than that.
    """
    if image.shape[0] < rows or image.shape[1] < columns:
        raise ReadingFailed(f"an image is smaller than {rows} × {columns}")
    edges = [
        np.arange(cells) * size // cells for size, cells in zip(image.shape, (rows, columns), strict=True)
    ]
    sums = np.add.reduceat(np.add.reduceat(image, edges[1], axis=1, dtype=np.float64), edges[0], axis=0)
    heights, widths = (np.diff(edge, append=size) for edge, size in zip(edges, image.shape, strict=True))
    return np.asarray(sums / np.outer(heights, widths), np.float64)


def face_right(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The image, mirrored where needed so that the chest wall (the brighter side) lies on the left."""
    half = image.shape[1] // 2
    return image[:, ::-1] if image[:, -half:].sum() > image[:, :half].sum() else image


def scale_to_unit(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Grey values from 0 (the darkest) to 1 (the brightest but for one in a hundred), no unit.

    Raises ReadingFailed for an image of one level.
    """
    low, high = float(image.min()), float(np.percentile(image, 99))
    if not high > low:
        raise ReadingFailed("an image holds one grey level only")
    return np.clip((image - low) / (high - low), 0, 1)


def thumbnails(images: Sequence[Image], parameters: Parameters) -> Tensor:
    """All views shrunk, facing the same way, from 0 to 1. Shape (1, views, rows, columns)."""
    rows, columns = count_cells(parameters)
    views = [scale_to_unit(face_right(shrink(image, rows, columns))) for image in images]
    return np.stack(views)[np.newaxis].astype(np.float32)
