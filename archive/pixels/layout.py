"""How the samples of a frame lie (PS3.3 section C.7.6.3): the Image Pixel module as one frozen value."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from archive.attributes import tag
from archive.errors import NotAcceptable
from archive.json_values import Attributes

MAXIMUM_SAMPLES = 400_000_000
"""Samples of one frame; a header that claims more is refused before anything is allocated."""

Cells = npt.NDArray[np.unsignedinteger[Any]]
"""The pixel cells of a frame as unsigned numbers: (rows, columns), or (rows, columns, samples)."""


DAMAGED = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, RecursionError, TypeError),
    *(ValueError, InvalidDicomError, struct.error, zlib.error),
)
"""What pydicom and the codecs raise where a stored file is not what it says that it is."""


class Undecodable(NotAcceptable):
    """The stored pixels can't be decoded, so there are none but the stored bits to send."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows and columns of a frame, and what its cells mean."""

    rows: int
    columns: int
    samples: int
    allocated: int  # bits of a cell
    stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: bool
    frames: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a frame's cells."""
        return (self.rows, self.columns) if self.samples == 1 else (self.rows, self.columns, self.samples)

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        """Of a cell; a single bit takes a byte."""
        return np.dtype(f"<u{max(self.allocated // 8, 1)}")

    @property
    def frame_bits(self) -> int:
        """Of a native frame; in YBR_FULL_422 every second pixel has chroma."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * self.allocated

    @property
    def decoded(self) -> "Layout":
        """The layout of the frame's cells when samples lie pixel by pixel."""
        photometric = (
            "YBR_FULL" if self.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422") else self.photometric
        )
        return replace(self, planar=False, photometric=photometric)


def layout_of_dataset(dataset: Dataset) -> Layout:
    """The layout that a header tells. Raises Undecodable."""
    return _layout(dataset.get)


def describe(dataset: Dataset, layout: Layout) -> None:
    """Let a header tell of frames that were decoded to this layout."""
    dataset.PhotometricInterpretation = layout.photometric
    dataset.BitsStored, dataset.HighBit = layout.stored, layout.high_bit
    if layout.samples > 1:
        dataset.PlanarConfiguration = 0


def layout_of(attributes: Attributes) -> Layout:
    """The layout that DICOM JSON tells. Raises Undecodable."""

    def get(keyword: str) -> Any:
        values = attributes.get(tag(keyword), {}).get("Value") or [None]
        return values[0]

    return _layout(get)


def _layout(get: Callable[[str], Any]) -> Layout:
    try:
        stored = int(get("BitsStored") or get("BitsAllocated"))
        found = Layout(
            rows=int(get("Rows")),
            columns=int(get("Columns")),
            samples=int(get("SamplesPerPixel") or 1),
            allocated=int(get("BitsAllocated")),
            stored=stored,
            high_bit=int(stored - 1 if get("HighBit") is None else get("HighBit")),
            signed=int(get("PixelRepresentation") or 0) == 1,
            photometric=str(get("PhotometricInterpretation") or "").strip(),
            planar=int(get("PlanarConfiguration") or 0) == 1,
            frames=max(int(get("NumberOfFrames") or 1), 1),
        )
    except (TypeError, ValueError, AttributeError):
        raise Undecodable("an attribute of the Image Pixel module is missing or malformed") from None
    _check(found)
    return found


def _check(layout: Layout) -> None:
    if layout.samples not in (1, 3) or layout.allocated not in (1, 8, 16, 32):
        raise Undecodable("SamplesPerPixel or BitsAllocated is of a kind that is not decoded")
    if (
        not 0 < layout.rows * layout.columns * layout.samples <= MAXIMUM_SAMPLES
        or min(layout.rows, layout.columns) < 1
    ):
        raise Undecodable("Rows and Columns make an empty frame, or one too large to decode")
    if not 0 < layout.stored <= layout.high_bit + 1 <= layout.allocated:
        raise Undecodable("BitsStored and HighBit contradict BitsAllocated")


def unpack(data: bytes, layout: Layout) -> Cells:
    """The cells of a native frame, samples pixel by pixel. Raises Undecodable where bytes are missing."""
    if len(data) * 8 < layout.frame_bits:
        raise Undecodable("Pixel Data is shorter than Rows, Columns and NumberOfFrames say")
    if layout.allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), count=layout.frame_bits, bitorder="little")
        return bits.reshape(layout.shape)
    cells = np.frombuffer(data, layout.dtype, layout.frame_bits // layout.allocated)
    if layout.photometric == "YBR_FULL_422":
        return _upsample(cells, layout)
    if layout.samples > 1 and layout.planar:
        planes = cells.reshape(layout.samples, layout.rows, layout.columns)
        return np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    return cells.reshape(layout.shape)


def _upsample(cells: Cells, layout: Layout) -> Cells:
    """Every pixel with its chroma, from Y Y CB CR a pair (PS3.3 section C.7.6.3.1.2)."""
    if layout.rows * layout.columns % 2:
        raise Undecodable("YBR_FULL_422 needs an even number of pixels")
    pairs = cells.reshape(-1, 4)
    pixels = np.empty((pairs.shape[0], 2, 3), cells.dtype)
    pixels[:, 0, 0], pixels[:, 1, 0] = pairs[:, 0], pairs[:, 1]
    pixels[:, :, 1], pixels[:, :, 2] = pairs[:, 2:3], pairs[:, 3:4]
    return pixels.reshape(layout.shape)


def pack(cells: Cells, layout: Layout) -> bytes:
    """Cells as a native frame, samples pixel by pixel."""
    if layout.allocated == 1:
        return np.packbits(cells, axis=None, bitorder="little").tobytes()
    return cells.astype(layout.dtype, copy=False).tobytes()


def values_of(cells: Cells, layout: Layout) -> npt.NDArray[np.integer[Any]]:
    """The stored values: BitsStored bits up to HighBit of each cell, with their sign."""
    shift = layout.high_bit + 1 - layout.stored
    spare = 8 * cells.dtype.itemsize - layout.stored
    if spare == 0:
        return cells.view(f"i{cells.dtype.itemsize}") if layout.signed else cells
    if not layout.signed:
        mask = cells.dtype.type((1 << layout.stored) - 1)
        return (np.right_shift(cells, shift) if shift else cells) & mask
    raised = np.left_shift(cells, cells.dtype.type(spare - shift)).view(f"i{cells.dtype.itemsize}")
    return np.right_shift(raised, raised.dtype.type(spare))


def raised_values(cells: Cells, layout: Layout) -> Cells:
    """The stored values as unsigned numbers: signed ones are raised by half of their range."""
    kind = cells.dtype.type
    shift = layout.high_bit + 1 - layout.stored
    plain = np.right_shift(cells, kind(shift)) if shift else cells
    if layout.stored < 8 * cells.dtype.itemsize:
        plain = plain & kind((1 << layout.stored) - 1)
    return plain ^ kind(1 << (layout.stored - 1)) if layout.signed else plain
