"""Decodes the pixels of a single-frame greyscale instance, by codecs under permissive licences.

libjpeg-turbo (JPEG, lossless too), CharLS and OpenJPEG by way of imagecodecs. What a codestream says of its
size is compared with the header before it is decoded, so that it can't claim more memory than the header
admits to.
"""

import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from inference.errors import ReadingFailed
from inference.instance import readable

MAX_PIXELS = 120_000_000
MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
END_OF_IMAGE = b"\xff\xd9"
_TAIL = 64

NATIVE = {ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian}
JPEG = {JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1}
JPEG_LS = {JPEGLSLossless, JPEGLSNearLossless}
JPEG_2000 = {JPEG2000, JPEG2000Lossless, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL}

Frame = tuple[int, int, int]
"""Rows, columns and components that a codestream says it has."""

NO_FRAME: Frame = (0, 0, 0)

Values = npt.NDArray[np.unsignedinteger[Any]]


class _Layout:
    """How a header says that pixels lie (PS3.3 C.7.6.3). Raises ReadingFailed where not as one grey frame."""

    def __init__(self, dataset: Dataset) -> None:
        self.shape = int(dataset.Rows), int(dataset.Columns)
        self.allocated = int(dataset.BitsAllocated)
        self.stored = int(dataset.BitsStored)
        self.shift = int(dataset.get("HighBit", self.stored - 1)) + 1 - self.stored
        self.signed = int(dataset.get("PixelRepresentation", 0)) == 1
        self.photometric = str(dataset.PhotometricInterpretation)
        if int(dataset.get("SamplesPerPixel", 1)) != 1 or self.photometric not in MONOCHROME:
            raise ReadingFailed("an image is not greyscale: PhotometricInterpretation or SamplesPerPixel")
        if int(dataset.get("NumberOfFrames") or 1) != 1:
            raise ReadingFailed("an image has several frames: NumberOfFrames")
        if min(self.shape) < 1 or self.shape[0] * self.shape[1] > MAX_PIXELS:
            raise ReadingFailed("an image is empty or too large: Rows, Columns")
        if self.allocated not in (8, 16) or not 0 < self.stored <= self.stored + self.shift <= self.allocated:
            raise ReadingFailed("an image has an unknown layout: BitsAllocated, BitsStored, HighBit")

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        return np.dtype("u1" if self.allocated == 8 else "<u2")

    @property
    def mask(self) -> int:
        return (1 << self.stored) - 1


def decode(dataset: FileDataset) -> Values:
    """The stored values of a single-frame greyscale image in MONOCHROME2 sense: (rows, columns), unsigned.

    Signed values are raised by half of their range, MONOCHROME1 is inverted; no modality or VOI LUT is
    applied. Raises ReadingFailed.
    """
    with readable():
        layout = _Layout(dataset)
        syntax = UID(dataset.file_meta.TransferSyntaxUID)
        if "PixelData" not in dataset:
            raise ReadingFailed("an instance has no PixelData")
        values = _native(dataset, layout) if syntax in NATIVE else _encapsulated(dataset, layout, syntax)
        return _to_monochrome2(values, layout)


def _native(dataset: Dataset, layout: _Layout) -> Values:
    count = layout.shape[0] * layout.shape[1]
    content = dataset.PixelData
    if len(content) < count * layout.dtype.itemsize:
        raise ReadingFailed("PixelData is shorter than Rows and Columns say")
    values = np.frombuffer(content, layout.dtype, count).reshape(layout.shape)
    return np.right_shift(values, layout.dtype.type(layout.shift)) if layout.shift else values


def _encapsulated(dataset: Dataset, layout: _Layout, syntax: UID) -> Values:
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    if syntax == RLELossless:
        return _decode_rle(frame, layout)
    codec = select_codec(syntax)
    if END_OF_IMAGE not in frame[-_TAIL:]:
        raise ReadingFailed("the codestream of an image is cut short")
    if (frame_of_jpeg_2000 if syntax in JPEG_2000 else frame_of_jpeg)(frame) != (*layout.shape, 1):
        raise ReadingFailed(
            "the codestream of an image has another size or more channels than its header says"
        )
    try:
        values: Values = codec(frame)
    except RuntimeError as error:
        raise ReadingFailed("the codestream of an image can't be decoded") from error
    if values.shape != layout.shape or values.dtype.itemsize > layout.dtype.itemsize:
        raise ReadingFailed(
            "the codestream of an image is not of the bits that its header says: BitsAllocated"
        )
    return values.view(f"u{values.dtype.itemsize}").astype(layout.dtype, copy=False)


def select_codec(syntax: UID) -> Callable[[bytes], Values]:
    if syntax in JPEG:
        return imagecodecs.jpeg8_decode
    if syntax in JPEG_LS:
        return imagecodecs.jpegls_decode
    if syntax in JPEG_2000:
        return imagecodecs.jpeg2k_decode
    raise ReadingFailed("an image has a transfer syntax that is not read: TransferSyntaxUID")


def _decode_rle(frame: bytes, layout: _Layout) -> Values:
    """PS3.5 annex G."""
    try:
        values = imagecodecs.dicomrle_decode(frame, layout.dtype)
    except RuntimeError as error:
        raise ReadingFailed("the run lengths of an image can't be decoded") from error
    return np.frombuffer(values, layout.dtype, layout.shape[0] * layout.shape[1]).reshape(layout.shape)


def _to_monochrome2(values: Values, layout: _Layout) -> Values:
    kind = values.dtype.type
    mask = kind(layout.mask)
    if layout.stored < 8 * values.dtype.itemsize:
        values = values & mask
    if layout.signed:
        values = values ^ kind(1 << (layout.stored - 1))
    return mask - values if layout.photometric == "MONOCHROME1" else values


def frame_of_jpeg(frame: bytes) -> Frame:
    """From the frame header, ITU-T T.81 B.2.2 and T.87 C.2.2."""
    position = 2
    while position + 10 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns, components = struct.unpack_from(">HHB", frame, position + 5)
            return rows, columns, components
        position += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", frame, position + 2)[0]
    return NO_FRAME


def frame_of_jpeg_2000(frame: bytes) -> Frame:
    """From the image and tile size marker segment, ITU-T T.800 A.5.1."""
    start = frame.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(frame) < start + 42:
        return NO_FRAME
    right, bottom, left, top = struct.unpack_from(">IIII", frame, start + 8)
    (components,) = struct.unpack_from(">H", frame, start + 40)
    return bottom - top, right - left, components
