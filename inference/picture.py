"""An image on its way to a network: its pixels, its header, and where each pixel lies in the stored image."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.instance import Instance
from inference.voi import Voi

View = tuple[str, str]
Pixels = npt.NDArray[np.floating[Any]] | npt.NDArray[np.unsignedinteger[Any]]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture's points lie in the stored image: column = `column` + `columns` × own column, rows alike.

    Points are those of `archive.findings.Region`: (0, 0) is the top left corner. A mirrored picture has a negative
    `columns`.
    """

    column: float = 0.0
    row: float = 0.0
    columns: float = 1.0
    rows: float = 1.0

    def stored(self, points: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
        """The (column, row) in the stored image of points (column, row) of the picture."""
        return tuple((self.column + self.columns * x, self.row + self.rows * y) for x, y in points)

    def own(self, points: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
        """The inverse of `stored`."""
        return tuple(((x - self.column) / self.columns, (y - self.row) / self.rows) for x, y in points)

    def cropped(self, column: float, row: float) -> "Placement":
        """That of a picture which begins at (column, row) of this one."""
        ((x, y),) = self.stored([(column, row)])
        return Placement(x, y, self.columns, self.rows)

    def mirrored(self, width: float) -> "Placement":
        """That of this picture, `width` columns wide, with left and right exchanged."""
        return Placement(self.column + self.columns * width, self.row, -self.columns, self.rows)

    def scaled(self, columns: float, rows: float) -> "Placement":
        """That of a picture each of whose pixels covers (columns, rows) pixels of this one."""
        return Placement(self.column, self.row, self.columns * columns, self.rows * rows)


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame of an instance, as far as it has been prepared.

    `pixels` is (rows, columns) in MONOCHROME2 sense (larger is brighter): stored values, unsigned, as decoded; floats
    after a step that maps grey values. `spacing` is (between rows, between columns) in millimetres at the detector,
    None where the header does not tell; steps that resample change it. `mask`, of the shape of `pixels`, is True on
    the breast, and None before a step has found it. `voi` is how the header wants stored values shown; None where
    the picture comes from no header.
    """

    instance: Instance
    view: View
    pixels: Pixels
    spacing: tuple[float, float] | None
    placement: Placement = Placement()
    mask: Mask | None = None
    frame: int = 1
    voi: Voi | None = None
