"""The last preprocessing of a passport: prepared pictures become the tensor that the network takes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from inference.errors import PackageError
from inference.picture import Picture
from inference.preprocess import levels
from inference.preprocess.levels import Tensor
from inference.preprocess.parameters import Parameters, whole

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Assembler:
    """Makes the tensor. `shape` tells its shape for so many pictures, None where that depends on the pictures."""

    assemble: Callable[[Sequence[Picture], Parameters], Tensor]
    shape: Callable[[int, Parameters], Shape]

    def __call__(self, pictures: Sequence[Picture], parameters: Parameters) -> Tensor:
        return self.assemble(pictures, parameters)


def histogram(pictures: Sequence[Picture], parameters: Parameters) -> Tensor:
    """The histograms (`bins`) of all views, one after the other: (1, views × bins). See `levels.histograms`."""
    return levels.histograms([_stored(one) for one in pictures], parameters)


def thumbnails(pictures: Sequence[Picture], parameters: Parameters) -> Tensor:
    """All views in `rows` × `columns` cells from 0 to 1: (1, views, rows, columns). See `levels.thumbnails`."""
    return levels.thumbnails([_stored(one) for one in pictures], parameters)


def stack(pictures: Sequence[Picture], parameters: Parameters) -> Tensor:
    """All pictures above one another, (n, 1, rows, columns), float32, 0 right of and below the smaller ones.

    Rows and columns are those of the largest, raised to a whole multiple of `multiple` (1 if absent).
    """
    multiple = whole(parameters, "multiple", 1, 1024, 1)
    rows, columns = (
        -(-max(one.pixels.shape[axis] for one in pictures) // multiple) * multiple for axis in (0, 1)
    )
    tensor = np.zeros((len(pictures), 1, rows, columns), np.float32)
    for plane, one in zip(tensor[:, 0], pictures, strict=True):
        plane[: one.pixels.shape[0], : one.pixels.shape[1]] = one.pixels
    return tensor


def _stored(picture: Picture) -> levels.Image:
    """Raises PackageError where a step before has mapped the stored values."""
    if not np.issubdtype(picture.pixels.dtype, np.unsignedinteger):
        raise PackageError(
            "the preprocessing histogram or thumbnails comes after a step that maps grey values"
        )
    return cast(levels.Image, picture.pixels)


ASSEMBLERS: Mapping[str, Assembler] = {
    "histogram": Assembler(histogram, lambda views, parameters: (1, views * levels.count_bins(parameters))),
    "thumbnails": Assembler(
        thumbnails, lambda views, parameters: (1, views, *levels.count_cells(parameters))
    ),
    "stack": Assembler(stack, lambda views, parameters: (views, 1, None, None)),
}
