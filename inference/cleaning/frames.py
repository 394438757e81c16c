"""All frames of an image as one array, to be masked in place and written back without a loss.

Native pixel data keeps its layout and its transfer syntax. Compressed frames are decoded, and stored in explicit VR
little endian.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.filebase import DicomBytesIO
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from archive.pixels.dataset import decode_frames
from archive.pixels.layout import Cells, Layout, Undecodable, describe, layout_of_dataset, raised_values
from archive.pixels.syntaxes import NATIVE
from inference.cleaning.areas import Grey
from inference.cleaning.unsure import Doubt, Unsure
from inference.errors import ReadingFailed
from inference.instance import readable
from inference.pixels import MONOCHROME

MOST_FRAMES = 300
MOST_SAMPLES = 500_000_000
_PALETTE = "PALETTE COLOR"
_COMPRESSED_COLOUR = ("YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_COLOUR = ("RGB", "YBR_FULL", *_COMPRESSED_COLOUR)


@dataclass
class Frames:
    """Cells, (frames, rows, columns, samples), as a view of `buffer`, and what they mean."""

    layout: Layout
    buffer: Cells
    values: Cells
    table: npt.NDArray[np.uint8] | None = None  # brightness by stored value, of a palette

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.layout.rows, self.layout.columns


def decode(dataset: FileDataset) -> Frames:
    """Every frame of an image. Raises Unsure where that is no image, or not one that is understood wholly."""
    try:
        with readable():
            if "PixelData" not in dataset:
                raise Unsure(Doubt.NOT_AN_IMAGE)
            layout = layout_of_dataset(dataset)
            _require_understood(layout)
            is_native = dataset.file_meta.TransferSyntaxUID in NATIVE
            frames = _native(dataset, layout) if is_native else _decoded(dataset, layout)
            _clear_unused_bits(dataset, frames)
            if layout.photometric == _PALETTE:
                frames.table = _brightness(dataset, layout)
            return frames
    except (ReadingFailed, Undecodable, RuntimeError, MemoryError) as error:
        raise Unsure(Doubt.PIXELS_UNREADABLE) from error


def encode(dataset: FileDataset, frames: Frames) -> bytes:
    """The Part 10 instance with these frames for its pixels, and without overlays (PS3.3 C.9.2).

    Raises ReadingFailed where the dataset can't be written.
    """
    with readable():
        if dataset.file_meta.TransferSyntaxUID not in NATIVE:
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            describe(dataset, frames.layout)
        implicit = dataset.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
        kind = "OW" if implicit or frames.layout.allocated > 8 else "OB"
        content = frames.buffer.tobytes()
        dataset[0x7FE00010] = DataElement(0x7FE00010, kind, content + b"\0" * (len(content) % 2))
        for tag in list(dataset.keys()):
            if 0x6000 <= tag.group < 0x6020 or tag > 0x7FE00010:
                del dataset[tag]
        buffer = DicomBytesIO()
        dataset.save_as(buffer)
        return buffer.getvalue()


def looks(frames: Frames, number: int) -> tuple[Grey, Grey]:
    """One frame as grey for finding text in it: over its whole range, and, reversed, over most of it."""
    values = frames.values[number]
    if frames.table is not None:
        grey = frames.table[values[..., 0]]
        return grey, 255 - grey
    if frames.layout.photometric == "RGB":
        red, green, blue = (values[..., sample] for sample in range(3))
        brightest = np.maximum(np.maximum(red, green), blue)
        return _to_grey(brightest), _to_grey(red.astype(np.uint32) + green + blue, reverses=True)
    plain = raised_values(values[..., 0], frames.layout)
    return _to_grey(plain), _to_grey(plain, most=99.5, reverses=True)


def fill_of(frames: Frames, number: int) -> npt.NDArray[np.unsignedinteger[Any]]:
    """The darkest sample values of a frame, one a sample, to mask with."""
    layout = frames.layout
    if frames.table is not None:
        return np.array([frames.table.argmin()], layout.dtype)
    if layout.samples == 3:
        middle = 1 << (layout.stored - 1)
        return np.array(
            [0, 0, 0] if frames.layout.photometric == "RGB" else [0, middle, middle], layout.dtype
        )
    values = frames.values[number, ..., 0]
    plain = raised_values(values, layout)
    place = plain.argmax() if layout.photometric == "MONOCHROME1" else plain.argmin()
    return np.array([values.reshape(-1)[place]], layout.dtype)


def _require_understood(layout: Layout) -> None:
    kinds: Sequence[str] = _COLOUR if layout.samples == 3 else (*MONOCHROME, _PALETTE)
    if layout.photometric not in kinds or layout.allocated not in (8, 16):
        raise Unsure(Doubt.PIXELS_UNREADABLE)
    if layout.frames > MOST_FRAMES:
        raise Unsure(Doubt.TOO_MANY_FRAMES)
    if layout.frames * layout.rows * layout.columns * layout.samples > MOST_SAMPLES:
        raise Unsure(Doubt.TOO_LARGE)


def _native(dataset: Dataset, layout: Layout) -> Frames:
    """Frames that keep how they lie, planes too, so that they can be written back as they were."""
    shape = layout.frames, layout.rows, layout.columns, layout.samples
    count = int(np.prod(shape))
    content = dataset.PixelData
    if len(content) < count * layout.dtype.itemsize or layout.photometric in _COMPRESSED_COLOUR:
        raise Unsure(Doubt.PIXELS_UNREADABLE)
    buffer = np.frombuffer(content, layout.dtype, count).copy()
    if layout.planar and layout.samples > 1:
        planes = buffer.reshape(layout.frames, layout.samples, layout.rows, layout.columns)
        return Frames(layout, buffer, np.moveaxis(planes, 1, 3))
    return Frames(layout, buffer, buffer.reshape(shape))


def _decoded(dataset: FileDataset, layout: Layout) -> Frames:
    """Compressed frames, which must all be of one depth and colour once they are decoded."""
    values = np.empty((layout.frames, layout.rows, layout.columns, layout.samples), layout.dtype)
    layouts = set()
    for number, (cells, decoded) in enumerate(decode_frames(dataset, layout)):
        values[number] = cells.reshape(values.shape[1:])
        layouts.add(decoded)
    if len(layouts) != 1:
        raise Unsure(Doubt.PIXELS_UNREADABLE)
    return Frames(layouts.pop(), values, values)


def _clear_unused_bits(dataset: Dataset, frames: Frames) -> None:
    """Bits beside the stored ones may hold an overlay (PS3.3 C.9.2); of signed values they repeat the sign."""
    layout = frames.layout
    if not layout.signed:
        shift = layout.high_bit + 1 - layout.stored
        frames.buffer &= layout.dtype.type(((1 << layout.stored) - 1) << shift)
    elif any((0x6000 + group, 0x0102) in dataset for group in range(0, 0x20, 2)):
        raise Unsure(Doubt.PIXELS_UNREADABLE)


def _to_grey(
    values: npt.NDArray[np.unsignedinteger[Any]], most: float = 100.0, *, reverses: bool = False
) -> Grey:
    """Values stretched to 0 to 255; `most` is the percentile that becomes white, or black where that reverses."""
    low, last = int(values.min()), int(values.max())
    high = last if most == 100 else float(np.percentile(values[::4, ::4], most))
    stretched = (np.arange(last + 1) - low) * (255 / max(high - low, 1))
    table = np.clip(stretched, 0, 255).astype(np.uint8)
    return _looked_up(255 - table if reverses else table, values)


def _looked_up(table: Grey, values: npt.NDArray[np.unsignedinteger[Any]]) -> Grey:
    """What the table has for each value; it has all of them."""
    if values.dtype != np.uint8:
        return np.take(
            table, values, mode="clip"
        )  # none is clipped; to look whether one is costs more than to take it
    whole = np.zeros(256, np.uint8)
    whole[: len(table)] = table
    return cv2.LUT(np.ascontiguousarray(values), whole).astype(np.uint8, copy=False)


def _brightness(dataset: Dataset, layout: Layout) -> npt.NDArray[np.uint8]:
    """The brightness that a palette gives each stored value (PS3.3 C.7.6.3.1.5)."""
    every = np.arange(1 << layout.allocated, dtype=layout.dtype)[None]
    colours = apply_color_lut(every, dataset)
    return (colours[0].max(1) >> (8 * (colours.dtype.itemsize - 1))).astype(np.uint8)
