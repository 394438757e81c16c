"""The frames of Pixel Data as segments of the file that they lie in (PS3.3 C.7.6.3, PS3.5 A.4)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from archive.attributes import tag
from archive.errors import NotAcceptable, NotFound
from archive.json_values import Attributes
from archive.pixels.fragments import locate_frames
from gateway.body import FileRange, Segment, cut, size

Frame = TypeVar("Frame")


def native_frames(pixels: Segment, attributes: Attributes) -> list[list[Segment]]:
    """Each frame's bytes. Raises NotAcceptable where a frame does not begin and end on a byte."""
    count, bits = _number(attributes, "NumberOfFrames", 1), _frame_bits(attributes)
    if count > 1 and bits % 8:
        raise NotAcceptable(
            "the frames don't begin on whole bytes; the whole Pixel Data is offered as bulk data"
        )
    length = (bits + 7) // 8
    there = min(count, size([pixels]) // length) if length else 0
    return [cut([pixels], number * length, (number + 1) * length - 1) for number in range(there)]


def _frame_bits(attributes: Attributes) -> int:
    samples = _number(attributes, "SamplesPerPixel", 1)
    if _text(attributes, "PhotometricInterpretation") == "YBR_FULL_422":
        samples = 2  # every second pixel has chroma
    pixels = _number(attributes, "Rows", 0) * _number(attributes, "Columns", 0)
    return pixels * samples * _number(attributes, "BitsAllocated", 8)


def encapsulated_frames(path: Path, offset: int, count: int) -> list[list[Segment]]:
    """Each frame's fragments. Reads headers of items, so call it off the event loop.

    Raises NotFound where the file is gone, NotAcceptable where the frames can't be told apart.
    """
    return [[FileRange(path, *span) for span in spans] for spans in locate_frames(path, offset, count)]


def pick(frames: Sequence[Frame], numbers: Sequence[int]) -> list[Frame]:
    """The frames of these numbers from 1, in their order. Raises NotFound for one that is not there."""
    if max(numbers) > len(frames):
        raise NotFound("the instance has no frame of that number")
    return [frames[number - 1] for number in numbers]


def _text(attributes: Attributes, keyword: str) -> str:
    values = attributes.get(tag(keyword), {}).get("Value") or [""]
    return str(values[0])


def _number(attributes: Attributes, keyword: str, absent: int) -> int:
    text = _text(attributes, keyword)
    return int(text) if text.isdigit() else absent
