"""What runs in a worker process: frames and instances in another transfer syntax. Nothing of it is stored."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom import config, dcmread
from pydicom.dataset import FileDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID

from archive.errors import NotFound
from archive.pixels.codecs import decode, encode
from archive.pixels.fragments import locate_frames
from archive.pixels.layout import DAMAGED, Layout, Undecodable, describe, layout_of_dataset
from archive.pixels.source import Frame, native_spans
from archive.pixels.syntaxes import DEFLATED, EXPLICIT, IMPLICIT, NATIVE

SMALL = 256 * 1024
"""Bytes up to which a result is handed back, and not written to a file."""
_CHUNK = 1024 * 1024
_PIXEL_DATA = 0x7FE00010
_ITEM = struct.Struct("<HHL")
_LONG = struct.Struct("<HH2sHL")
_UNDEFINED = 0xFFFFFFFF
_FLOATS = {0x0008: b"OF", 0x0009: b"OD"}
_PRIVATE_META = (0x00020100, 0x00020102)
config.settings.reading_validation_mode = config.IGNORE  # a malformed value is sent as it is stored
config.settings.writing_validation_mode = config.IGNORE


@dataclass(frozen=True, slots=True)
class Stored:
    """A Part 10 file, and where in it its pixels are."""

    path: Path
    transfer_syntax_uid: str
    frames: int
    pixel_offset: int | None
    pixel_length: int | None  # None: encapsulated


def recode_frame(frame: Frame, transfer_syntax_uid: str, scratch: Path) -> bytes | None:
    """One frame in another transfer syntax; None where it was written to `scratch`. Raises Undecodable, NotFound."""
    data, _ = encode(*decode(frame.read(), frame.layout, frame.transfer_syntax_uid), transfer_syntax_uid)
    return hand_over(data, scratch)


def hand_over(data: bytes, scratch: Path) -> bytes | None:
    """The bytes where they are few; None where they were written to the file."""
    if len(data) <= SMALL:
        return data
    scratch.write_bytes(data)
    return None


def recode_header(stored: Stored) -> tuple[bytes, bytes]:
    """What comes before and after the stored bytes of native pixels in explicit VR little endian.

    Raises Undecodable where the data set can't be written so.
    """
    dataset = _read(stored)
    return _meta(dataset, EXPLICIT) + _before_pixels(dataset, stored), _padding(stored)


def recode_instance(stored: Stored, transfer_syntax_uid: str, scratch: Path) -> str:
    """Write the instance in another transfer syntax, holding one frame in memory at a time; the one it is in.

    Its pixels lose nothing. One without pixels is written in explicit VR little endian, or deflated. The proof in its
    File Meta Information is of the stored bytes and is left out. Raises Undecodable, NotFound.
    """
    dataset = _read(stored)
    deflated = dataset.pop(_PIXEL_DATA, None) if stored.transfer_syntax_uid == DEFLATED else None
    has_pixels = deflated is not None or stored.pixel_offset is not None
    if not has_pixels and transfer_syntax_uid not in NATIVE:
        transfer_syntax_uid = EXPLICIT
    with open(scratch, "r+b") as file:
        if transfer_syntax_uid in NATIVE:
            file.write(_meta(dataset, transfer_syntax_uid))
            sink = _Deflater(file) if transfer_syntax_uid == DEFLATED else file
            _write_native(dataset, stored, deflated.value if deflated is not None else None, sink.write)
            if isinstance(sink, _Deflater):
                sink.close()
        else:
            _write_encapsulated(dataset, _frames(dataset, stored), transfer_syntax_uid, file)
    return transfer_syntax_uid


def _read(stored: Stored) -> FileDataset:
    try:
        return dcmread(stored.path, stop_before_pixels=stored.transfer_syntax_uid != DEFLATED)
    except OSError:
        raise NotFound("the stored bytes of an instance are no longer there") from None
    except DAMAGED:
        raise Undecodable("the stored data set can't be read") from None


def _frames(dataset: FileDataset, stored: Stored) -> list[Frame]:
    layout = layout_of_dataset(dataset)
    spans: Sequence[tuple[tuple[int, int], ...]]
    if stored.transfer_syntax_uid == DEFLATED:
        spans = [()] * layout.frames
    elif stored.pixel_length is None:
        spans = locate_frames(stored.path, stored.pixel_offset or 0, stored.frames)
    else:
        spans = native_spans(stored.pixel_offset or 0, stored.pixel_length, layout)
    if len(spans) < layout.frames:
        raise Undecodable("Pixel Data is shorter than Rows, Columns and NumberOfFrames say")
    syntax = stored.transfer_syntax_uid
    return [Frame(stored.path, each, layout, syntax, number) for number, each in enumerate(spans)]


def _write_native(
    dataset: FileDataset, stored: Stored, inflated: bytes | None, write: Callable[[bytes], object]
) -> None:
    """Native pixels as they are, compressed ones decoded."""
    if inflated is not None:
        write(_dataset_bytes(dataset) + _pixel_head(dataset, len(inflated)))
        write(inflated)
    elif stored.pixel_offset is None:
        write(_before_pixels(dataset, stored))
    elif stored.pixel_length is not None:
        write(_before_pixels(dataset, stored))
        for chunk in _chunks(stored):
            write(chunk)
        write(_padding(stored))
    else:
        _write_decoded(dataset, _frames(dataset, stored), write)


def _write_decoded(dataset: FileDataset, frames: list[Frame], write: Callable[[bytes], object]) -> None:
    length = 0
    for number, data in enumerate(_recoded(dataset, frames, EXPLICIT)):
        if number == 0:
            length = len(data) * len(frames)
            if length + 1 >= _UNDEFINED:
                raise Undecodable("the decoded pixels are too long for Explicit VR Little Endian")
            write(_dataset_bytes(dataset) + _pixel_head(dataset, length + length % 2))
        write(data)
    write(b"\0" * (length % 2))


def _write_encapsulated(dataset: FileDataset, frames: list[Frame], syntax: str, file: BinaryIO) -> None:
    """A fragment a frame, with a Basic Offset Table that is filled in when all are written (PS3.5 section A.4)."""
    offsets: list[int] = []
    table = first = 0
    for number, data in enumerate(_recoded(dataset, frames, syntax)):
        if number == 0:
            file.write(_meta(dataset, syntax) + _dataset_bytes(dataset))
            file.write(_LONG.pack(0x7FE0, 0x0010, b"OB", 0, _UNDEFINED))
            file.write(_ITEM.pack(0xFFFE, 0xE000, 4 * len(frames)))
            table = file.tell()
            file.write(bytes(4 * len(frames)))
            first = file.tell()
        offsets.append(file.tell() - first)
        file.write(_ITEM.pack(0xFFFE, 0xE000, len(data) + len(data) % 2) + data + b"\0" * (len(data) % 2))
    file.write(_ITEM.pack(0xFFFE, 0xE0DD, 0))
    if offsets[-1] >= _UNDEFINED:
        raise Undecodable("the frames are too long for a Basic Offset Table")
    file.seek(table)
    file.write(struct.pack(f"<{len(offsets)}L", *offsets))


def _recoded(dataset: FileDataset, frames: list[Frame], syntax: str) -> Iterator[bytes]:
    """The frames' bytes; before the first is given, the header says what all of them are."""
    described: Layout | None = None
    for frame in frames:
        data, layout = encode(*decode(frame.read(), frame.layout, frame.transfer_syntax_uid), syntax)
        if described is None:
            described = layout
            describe(dataset, layout)
        elif layout != described:
            raise Undecodable("the frames are not of one depth or colour")
        yield data


def _dataset_bytes(dataset: FileDataset) -> bytes:
    """All elements but the pixels, in explicit VR little endian."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    try:
        write_dataset(buffer, dataset)
    except DAMAGED:
        raise Undecodable("the stored data set can't be written in explicit VR") from None
    return buffer.getvalue()


def _meta(dataset: FileDataset, transfer_syntax_uid: str) -> bytes:
    """Preamble and File Meta Information (PS3.10 section 7.1)."""
    meta = dataset.file_meta
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    for number in _PRIVATE_META:
        meta.pop(number, None)
    buffer = DicomBytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    try:
        write_file_meta_info(buffer, meta, enforce_standard=True)
    except DAMAGED:
        raise Undecodable("the stored File Meta Information can't be written") from None
    return buffer.getvalue()


def _before_pixels(dataset: FileDataset, stored: Stored) -> bytes:
    """All elements, and the header of native Pixel Data, Float Pixel Data or Double Float Pixel Data."""
    if stored.pixel_offset is None:
        return _dataset_bytes(dataset)
    with open(stored.path, "rb") as file:
        file.seek(stored.pixel_offset - (8 if stored.transfer_syntax_uid == IMPLICIT else 12))
        element = int.from_bytes(file.read(4)[2:], "little")
    length = (stored.pixel_length or 0) + len(_padding(stored))
    return _dataset_bytes(dataset) + _pixel_head(dataset, length, element)


def _padding(stored: Stored) -> bytes:
    return b"\0" * ((stored.pixel_length or 0) % 2)


def _pixel_head(dataset: FileDataset, length: int, element: int = 0x0010) -> bytes:
    kind = b"OB" if dataset.get("BitsAllocated") == 8 else b"OW"
    return _LONG.pack(0x7FE0, element, _FLOATS.get(element, kind), 0, length)


def _chunks(stored: Stored) -> Iterator[bytes]:
    left = stored.pixel_length or 0
    with open(stored.path, "rb") as file:
        file.seek(stored.pixel_offset or 0)
        while left and (chunk := file.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk
    if left:
        raise NotFound("the stored bytes of an instance are no longer there")


class _Deflater:
    """Writes a data set deflated (PS3.5 section A.5)."""

    def __init__(self, file: io.BufferedRandom | BinaryIO) -> None:
        self._file = file
        self._compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        self._length = 0

    def write(self, data: bytes) -> None:
        self._write(self._compressor.compress(data))

    def close(self) -> None:
        self._write(self._compressor.flush())
        self._write(b"\0" * (self._length % 2))

    def _write(self, data: bytes) -> None:
        self._length += len(data)
        self._file.write(data)
