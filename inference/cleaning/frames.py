"""All frames of an image as one array, to be masked in place and written back without a loss.

Native pixel data keeps its layout and its transfer syntax. Compressed frames are decoded, and stored in explicit VR
little endian.
"""

from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from inference.cleaning.areas import Grey
from inference.cleaning.unsure import Doubt, Unsure
from inference.errors import ReadingFailed
from inference.instance import readable
from inference.pixels import (
    END_OF_IMAGE,
    JPEG,
    JPEG_2000,
    MONOCHROME,
    NATIVE,
    frame_of_jpeg,
    frame_of_jpeg_2000,
    select_codec,
)

MOST_FRAMES = 300
MOST_SAMPLES = 500_000_000
_TAIL = 64
_LOSSY_JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit)
_PALETTE = "PALETTE COLOR"
_COMPRESSED_COLOUR = ("YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_COLOUR = ("RGB", "YBR_FULL", *_COMPRESSED_COLOUR)

Values = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class Layout:
    """How pixels lie (PS3.3 C.7.6.3)."""

    frames: int
    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    shift: int
    signed: bool
    planar: bool
    photometric: str

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        return np.dtype("u1" if self.allocated == 8 else "<u2")

    @property
    def count(self) -> int:
        return self.frames * self.rows * self.columns * self.samples


@dataclass
class Frames:
    """Stored values, (frames, rows, columns, samples), as a view of `buffer`, and what they mean."""

    layout: Layout
    buffer: Values
    values: Values
    photometric: str
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
            layout = _layout(dataset)
            syntax = UID(dataset.file_meta.TransferSyntaxUID)
            frames = _native(dataset, layout) if syntax in NATIVE else _encapsulated(dataset, layout, syntax)
            if layout.photometric == _PALETTE:
                frames.table = _brightness(dataset, layout)
            return frames
    except (ReadingFailed, RuntimeError, MemoryError) as error:
        raise Unsure(Doubt.PIXELS_UNREADABLE) from error


def encode(dataset: FileDataset, frames: Frames) -> bytes:
    """The Part 10 instance with these frames for its pixels, and without overlays (PS3.3 C.9.2).

    Raises ReadingFailed where the dataset can't be written.
    """
    with readable():
        if UID(dataset.file_meta.TransferSyntaxUID) not in NATIVE:
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.PhotometricInterpretation = frames.photometric
            if frames.layout.samples > 1:
                dataset.PlanarConfiguration = 0
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
    if frames.photometric == "RGB":
        red, green, blue = (values[..., sample] for sample in range(3))
        brightest = np.maximum(np.maximum(red, green), blue)
        return _to_grey(brightest), 255 - _to_grey(red.astype(np.uint32) + green + blue)
    plain = _plain(values[..., 0], frames.layout)
    return _to_grey(plain), 255 - _to_grey(plain, most=99.5)


def fill_of(frames: Frames, number: int) -> npt.NDArray[np.unsignedinteger[Any]]:
    """The darkest sample values of a frame, one a sample, to mask with."""
    layout = frames.layout
    if frames.table is not None:
        return np.array([frames.table.argmin()], layout.dtype)
    if layout.samples == 3:
        middle = 1 << (layout.stored - 1)
        return np.array([0, 0, 0] if frames.photometric == "RGB" else [0, middle, middle], layout.dtype)
    values = frames.values[number, ..., 0]
    plain = _plain(values, layout)
    place = plain.argmax() if layout.photometric == "MONOCHROME1" else plain.argmin()
    return np.array([values.reshape(-1)[place]], layout.dtype)


def _layout(dataset: Dataset) -> Layout:
    stored = int(dataset.BitsStored)
    layout = Layout(
        frames=int(dataset.get("NumberOfFrames") or 1),
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        samples=int(dataset.get("SamplesPerPixel", 1)),
        allocated=int(dataset.BitsAllocated),
        stored=stored,
        shift=int(dataset.get("HighBit", stored - 1)) + 1 - stored,
        signed=int(dataset.get("PixelRepresentation", 0)) == 1,
        planar=int(dataset.get("PlanarConfiguration", 0) or 0) == 1,
        photometric=str(dataset.PhotometricInterpretation),
    )
    kinds = _COLOUR if layout.samples == 3 else (*MONOCHROME, _PALETTE) if layout.samples == 1 else ()
    bits = layout.allocated in (8, 16) and 0 < stored <= stored + layout.shift <= layout.allocated
    if layout.photometric not in kinds or not bits or min(layout.frames, layout.rows, layout.columns) < 1:
        raise Unsure(Doubt.PIXELS_UNREADABLE)
    if layout.frames > MOST_FRAMES:
        raise Unsure(Doubt.TOO_MANY_FRAMES)
    if layout.count > MOST_SAMPLES:
        raise Unsure(Doubt.TOO_LARGE)
    return layout


def _native(dataset: Dataset, layout: Layout) -> Frames:
    content = dataset.PixelData
    if len(content) < layout.count * layout.dtype.itemsize or layout.photometric in _COMPRESSED_COLOUR:
        raise Unsure(Doubt.PIXELS_UNREADABLE)
    buffer = np.frombuffer(content, layout.dtype, layout.count).copy()
    _clear_unused_bits(dataset, buffer, layout)
    if layout.planar and layout.samples > 1:
        planes = buffer.reshape(layout.frames, layout.samples, layout.rows, layout.columns)
        values = np.moveaxis(planes, 1, 3)
    else:
        values = buffer.reshape(layout.frames, layout.rows, layout.columns, layout.samples)
    return Frames(layout, buffer, values, layout.photometric)


def _clear_unused_bits(dataset: Dataset, buffer: Values, layout: Layout) -> None:
    """Bits beside the stored ones may hold an overlay (PS3.3 C.9.2); of signed values they repeat the sign."""
    if not layout.signed:
        buffer &= layout.dtype.type(((1 << layout.stored) - 1) << layout.shift)
    elif any((0x6000 + group, 0x0102) in dataset for group in range(0, 0x20, 2)):
        raise Unsure(Doubt.PIXELS_UNREADABLE)


def _encapsulated(dataset: Dataset, layout: Layout, syntax: UID) -> Frames:
    values = np.empty((layout.frames, layout.rows, layout.columns, layout.samples), layout.dtype)
    number = -1
    for number, frame in enumerate(generate_frames(dataset.PixelData, number_of_frames=layout.frames)):
        if number >= layout.frames:
            break
        values[number] = (
            _decode_rle(frame, layout) if syntax == RLELossless else _decode(frame, layout, syntax)
        )
    if number != layout.frames - 1:
        raise Unsure(Doubt.PIXELS_UNREADABLE)
    _clear_unused_bits(dataset, values, layout)
    photometric = layout.photometric
    if photometric in ("YBR_ICT", "YBR_RCT") or (photometric.startswith("YBR") and syntax in _LOSSY_JPEG):
        photometric = "RGB"  # what these codecs give (PS3.5 8.2.1, 8.2.4)
    return Frames(layout, values, values, photometric)


def _decode(frame: bytes, layout: Layout, syntax: UID) -> Values:
    if END_OF_IMAGE not in frame[-_TAIL:]:
        raise Unsure(Doubt.PIXELS_UNREADABLE)
    size = (frame_of_jpeg_2000 if syntax in JPEG_2000 else frame_of_jpeg)(frame)
    if size != (layout.rows, layout.columns, layout.samples):
        raise Unsure(Doubt.PIXELS_UNREADABLE)
    values = _decode_jpeg(frame, layout, syntax) if syntax in JPEG else select_codec(syntax)(frame)
    if (
        values.dtype.itemsize > layout.dtype.itemsize
        or values.size != layout.rows * layout.columns * layout.samples
    ):
        raise Unsure(Doubt.PIXELS_UNREADABLE)
    unsigned = values.view(f"u{values.dtype.itemsize}").astype(layout.dtype, copy=False)
    return unsigned.reshape(layout.rows, layout.columns, layout.samples)


def _decode_jpeg(frame: bytes, layout: Layout, syntax: UID) -> Values:
    """Colour as the header names it, not as the codec guesses it from markers; YBR becomes RGB."""
    if layout.photometric == "RGB":
        return imagecodecs.jpeg8_decode(frame, colorspace="RGB", outcolorspace="RGB")
    if layout.samples > 1 and syntax not in _LOSSY_JPEG:
        raise Unsure(Doubt.PIXELS_UNREADABLE)
    return imagecodecs.jpeg8_decode(frame)


def _decode_rle(frame: bytes, layout: Layout) -> Values:
    """PS3.5 annex G: the samples of a pixel lie in planes."""
    values = np.frombuffer(imagecodecs.dicomrle_decode(frame, layout.dtype), layout.dtype)
    planes = values[: layout.count // layout.frames].reshape(layout.samples, layout.rows, layout.columns)
    return np.moveaxis(planes, 0, 2)


def _plain(values: Values, layout: Layout) -> Values:
    """Stored values without the bits around them, signed ones raised by half of their range."""
    kind = layout.dtype.type
    plain = np.right_shift(values, kind(layout.shift)) & kind((1 << layout.stored) - 1)
    return plain ^ kind(1 << (layout.stored - 1)) if layout.signed else plain


def _to_grey(values: Values, most: float = 100.0) -> Grey:
    """Values stretched to 0 to 255; `most` is the percentile that becomes white."""
    low, last = int(values.min()), int(values.max())
    high = last if most == 100 else float(np.percentile(values[::4, ::4], most))
    stretched = (np.arange(last + 1) - low) * (255 / max(high - low, 1))
    return np.take(np.clip(stretched, 0, 255).astype(np.uint8), values)


def _brightness(dataset: Dataset, layout: Layout) -> npt.NDArray[np.uint8]:
    """The brightness that a palette gives each stored value (PS3.3 C.7.6.3.1.5)."""
    every = np.arange(1 << layout.allocated, dtype=layout.dtype)[None]
    colours = apply_color_lut(every, dataset)
    return (colours[0].max(1) >> (8 * (colours.dtype.itemsize - 1))).astype(np.uint8)
