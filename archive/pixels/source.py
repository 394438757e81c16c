"""Frames of a stored file, read one at a time."""

import os
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from archive.errors import NotFound
from archive.pixels.fragments import Span
from archive.pixels.layout import DAMAGED, Layout, Undecodable
from archive.pixels.syntaxes import DEFLATED


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame's codestream or native bytes: where they lie in a file, and what they are."""

    path: Path
    spans: tuple[Span, ...]
    layout: Layout
    transfer_syntax_uid: str
    number: int  # from 0

    def read(self) -> bytes:
        """Its bytes. Raises NotFound where the file is gone or shorter, Undecodable where it can't be inflated."""
        if self.transfer_syntax_uid == DEFLATED:
            return _inflated_frame(self.path, self.layout, self.number)
        try:
            with open(self.path, "rb", buffering=0) as file:
                parts = [os.pread(file.fileno(), length, offset) for offset, length in self.spans]
        except OSError:
            raise NotFound("the stored bytes of an instance are no longer there") from None
        if [len(part) for part in parts] != [length for _, length in self.spans]:
            raise NotFound("the stored bytes of an instance are no longer there")
        return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass(frozen=True, slots=True)
class FrameInMemory(Frame):
    """A frame whose bytes have been read."""

    data: bytes = b""

    def read(self) -> bytes:
        """Its bytes."""
        return self.data


def native_spans(offset: int, length: int, layout: Layout) -> list[tuple[Span, ...]]:
    """Where each native frame lies. Raises Undecodable for frames that don't begin on whole bytes."""
    if layout.frames > 1 and layout.frame_bits % 8:
        raise Undecodable("the frames don't begin on whole bytes")
    size = (layout.frame_bits + 7) // 8
    return [((offset + number * size, size),) for number in range(min(layout.frames, length // size))]


def _inflated_frame(path: Path, layout: Layout, number: int) -> bytes:
    """Of a deflated data set, whose frames lie nowhere in the file."""
    try:
        pixels = dcmread(path)[0x7FE00010].value
    except OSError:
        raise NotFound("the stored bytes of an instance are no longer there") from None
    except DAMAGED:
        raise Undecodable("the deflated data set can't be read") from None
    spans = native_spans(0, len(pixels), layout)
    if number >= len(spans):
        raise Undecodable("Pixel Data is shorter than Rows, Columns and NumberOfFrames say")
    ((start, length),) = spans[number]
    return bytes(pixels[start : start + length])
