"""From stored values to grey levels on a display: PS3.3 sections C.11.1 (modality) and C.11.2 (values of interest)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from archive.errors import BadRequest
from archive.pixels.layout import Cells, Layout, values_of

Floats = npt.NDArray[np.float64]
WHITE = 255
_SMALL = 1 << 18  # cells; a table of all that a cell can hold would cost more than they do
_BLOCK = 1 << 15


class Function(StrEnum):
    """VOI LUT Function (0028,1056)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, slots=True)
class Window:
    """Which values become grey, and how. Raises BadRequest for a width that the function has no meaning for."""

    center: float
    width: float
    function: Function = Function.LINEAR

    def __post_init__(self) -> None:
        narrowest = 1 if self.function is Function.LINEAR else np.nextafter(0, 1)
        if not (np.isfinite(self.center) and narrowest <= self.width < np.inf):
            raise BadRequest("a window's width is at least 1, or above 0 for linear-exact and sigmoid")


@dataclass(frozen=True, slots=True)
class Table:
    """A Modality or VOI LUT (PS3.3 sections C.11.1.1, C.11.2.1.1): values from `first` on, of `bits` bits."""

    first: int
    bits: int
    data: tuple[int, ...] | npt.NDArray[np.uint16]

    def look_up(self, values: Floats) -> Floats:
        """Values before the first map to its entry, those after the last to that one's."""
        entries = np.asarray(self.data, np.float64)
        index = np.clip(np.rint(values) - self.first, 0, len(entries) - 1).astype(np.int64)
        return entries[index]


@dataclass(frozen=True, slots=True)
class Grey:
    """How stored values of an instance become grey: modality, values of interest, and the sense of the scale."""

    slope: float = 1.0
    intercept: float = 0.0
    modality: Table | None = None
    window: Window | None = None
    table: Table | None = None  # wins over the window
    inverted: bool = False  # the lowest is white


def scale_window(values: Floats, window: Window) -> Floats:
    """Output of the Modality LUT as 0 to 255, not rounded (PS3.3 sections C.11.2.1.2 and .3)."""
    center, width = window.center, window.width
    if window.function is Function.SIGMOID:
        return np.asarray(WHITE / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700))))
    if window.function is Function.LINEAR_EXACT:
        return np.clip(((values - center) / width + 0.5) * WHITE, 0, WHITE)
    if width == 1:
        return np.where(values <= center - 0.5, 0.0, float(WHITE))
    return np.clip(((values - (center - 0.5)) / (width - 1) + 0.5) * WHITE, 0, WHITE)


def to_grey(cells: Cells, layout: Layout, grey: Grey) -> npt.NDArray[np.uint8]:
    """Cells as grey levels from black 0 to white 255, rounded half up.

    Without a window or table the whole range of 8 bits, or that of the cells where they are wider.
    """
    if layout.allocated > 16:
        values = values_of(cells, layout).astype(np.float64)
        return _finish(values, grey, layout, (float(values.min()), float(values.max())))
    bits = min(layout.high_bit + 1, layout.allocated) if cells.size < _SMALL else layout.allocated
    every = np.arange(1 << bits, dtype=np.uint32).astype(layout.dtype)
    values = values_of(every, layout).astype(np.float64)
    ends = None
    if grey.window is None and grey.table is None:
        ends = _ends(cells, layout)
    table = _finish(values, grey, layout, ends)
    return _look_up(table, cells if bits == layout.allocated else cells & layout.dtype.type((1 << bits) - 1))


def _look_up(table: npt.NDArray[np.uint8], cells: Cells) -> npt.NDArray[np.uint8]:
    """In blocks of rows that stay in the processor's cache."""
    found = np.empty(cells.shape, np.uint8)
    rows = max(_BLOCK // max(cells[:1].size, 1), 1)
    for start in range(0, cells.shape[0], rows):
        block = slice(start, start + rows)
        np.take(table, cells[block], out=found[block], mode="clip")
    return found


def _ends(cells: Cells, layout: Layout) -> tuple[float, float]:
    """The least and the greatest stored value that the window spans where none is given."""
    if layout.stored <= 8 and not layout.signed:
        return 0.0, float((1 << layout.stored) - 1)
    values = values_of(cells, layout)
    return float(values.min()), float(values.max())


def _finish(
    values: Floats, grey: Grey, layout: Layout, ends: tuple[float, float] | None
) -> npt.NDArray[np.uint8]:
    values = apply_modality(values, grey)
    if grey.table is not None:
        levels = grey.table.look_up(values) * (WHITE / ((1 << grey.table.bits) - 1))
    elif grey.window is not None:
        levels = scale_window(values, grey.window)
    else:
        low, high = sorted(apply_modality(np.asarray(ends, np.float64), grey))
        levels = np.clip((values - low) * (WHITE / ((high - low) or 1)), 0, WHITE)
    rounded = np.floor(np.clip(levels, 0, WHITE) + 0.5).astype(np.uint8)
    return WHITE - rounded if grey.inverted else rounded


def apply_modality(values: Floats, grey: Grey) -> Floats:
    """Stored values in the unit of the modality (PS3.3 section C.11.1)."""
    if grey.modality is not None:
        return grey.modality.look_up(values)
    return values * grey.slope + grey.intercept


def make_table(descriptor: Sequence[Any], data: Sequence[int] | bytes, *, signed: bool) -> Table | None:
    """A LUT of its descriptor and data; None where they contradict one another (PS3.3 section C.11.1.1.1)."""
    try:
        entries, first, bits = (int(value) for value in descriptor)
    except (TypeError, ValueError):
        return None
    entries = entries % 65536 or 65536
    first = first - 65536 if signed and first >= 32768 else first
    if isinstance(data, bytes):
        wide = len(data) >= 2 * entries
        values = np.frombuffer(data, "<u2" if wide else "u1", min(entries, len(data) // (2 if wide else 1)))
    else:
        values = np.asarray(data, np.int64)[:entries] & 0xFFFF
    if not len(values) or not 1 <= bits <= 16:
        return None
    return Table(first, bits, values.astype(np.uint16))
