"""The frames of a data set, decoded: of one that is in memory, or of a file, of which one frame at a time is."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames

from archive.pixels.codecs import decode
from archive.pixels.codestream import is_cut_short
from archive.pixels.layout import DAMAGED, Cells, Layout, Undecodable
from archive.pixels.source import native_spans
from archive.pixels.syntaxes import CODESTREAMS, DECODED, DEFLATED, IMPLICIT, NATIVE

FROM_FILES = DECODED - {DEFLATED}
"""The transfer syntaxes whose frames can be decoded where they lie in a file."""
_PIXEL_DATA = (0x7FE0, 0x0010)


def decode_frames(dataset: FileDataset, layout: Layout) -> Iterator[tuple[Cells, Layout]]:
    """Each frame's cells, and the layout that they are in; `layout` is what the header tells.

    Raises Undecodable, also for a codestream that is cut short.
    """
    yield from _decode(_split(dataset, layout), dataset, layout)


def find_pixel_data(file: BinaryIO, dataset: FileDataset) -> int | None:
    """How long the Pixel Data is, to whose value `file` goes; None where there is none.

    The data set was read from the file, up to its pixels. Raises Undecodable where the file ends there.
    """
    is_implicit = dataset.file_meta.TransferSyntaxUID == IMPLICIT
    form = struct.Struct("<HHL" if is_implicit else "<HH4xL")  # PS3.5 section 7.1.2
    head = file.read(form.size)
    if not head:
        return None
    if len(head) < form.size:
        raise Undecodable("the file ends where Pixel Data begin")
    *found, length = form.unpack(head)
    return length if tuple(found) == _PIXEL_DATA else None


def decode_stored(
    file: BinaryIO, dataset: FileDataset, layout: Layout, length: int
) -> Iterator[tuple[Cells, Layout]]:
    """As `decode_frames`, of Pixel Data of so many bytes that begin where `file` is; see FROM_FILES."""
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    frames = _stored(file, layout, length) if syntax in NATIVE else _encapsulated(file, layout)
    yield from _decode(frames, dataset, layout)


def _decode(frames: Iterator[bytes], dataset: FileDataset, layout: Layout) -> Iterator[tuple[Cells, Layout]]:
    syntax, count = str(dataset.file_meta.TransferSyntaxUID), 0
    for count, frame in enumerate(frames, start=1):
        if syntax in CODESTREAMS and is_cut_short(frame):
            raise Undecodable("the codestream of a frame is cut short")
        yield decode(frame, layout, syntax)
        if count == layout.frames:
            return
    raise Undecodable("there are fewer frames than NumberOfFrames says")


def _split(dataset: FileDataset, layout: Layout) -> Iterator[bytes]:
    content = dataset.PixelData
    if str(dataset.file_meta.TransferSyntaxUID) in NATIVE:
        for start, size in _spans(len(content), layout):
            yield content[start : start + size]
    else:
        yield from _encapsulated(content, layout)


def _stored(file: BinaryIO, layout: Layout, length: int) -> Iterator[bytes]:
    first = file.tell()
    for start, size in _spans(length, layout):
        file.seek(first + start)
        yield file.read(size)


def _spans(length: int, layout: Layout) -> Iterator[tuple[int, int]]:
    """Where the native frames lie in so many bytes of Pixel Data. Raises Undecodable."""
    spans = native_spans(0, length, layout)
    if len(spans) < layout.frames:
        raise Undecodable("Pixel Data is shorter than Rows, Columns and NumberOfFrames say")
    yield from (span for (span,) in spans)


def _encapsulated(content: bytes | BinaryIO, layout: Layout) -> Iterator[bytes]:
    try:
        yield from generate_frames(content, number_of_frames=layout.frames)
    except DAMAGED:
        raise Undecodable("the encapsulated Pixel Data can't be taken apart") from None
