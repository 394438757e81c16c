"""Where the frames of Pixel Data lie in a file, found without reading a pixel (PS3.3 C.7.6.3, PS3.5 A.4)."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from archive.attributes import tag
from archive.errors import NotAcceptable, NotFound
from archive.json_values import Attributes
from gateway.body import FileRange, Segment, cut, size

_ITEM = b"\xfe\xff\x00\xe0"
_MAXIMUM_TABLE = 64 * 1024 * 1024  # bytes of a Basic Offset Table
# How a frame's codestream begins: JPEG and JPEG-LS, JPEG 2000 and HTJ2K, JPEG XL bare and in a container.
_BEGINNINGS = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_LONGEST_BEGINNING = max(map(len, _BEGINNINGS))


@dataclass(frozen=True, slots=True)
class _Fragment:
    """An item of encapsulated pixel data: `start` is its header's place after the first fragment's."""

    start: int
    offset: int  # of its value in the file
    length: int


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


def encapsulated_frames(path: Path, offset: int, count: int) -> list[list[FileRange]]:
    """Each frame's fragments. Reads headers of items, so call it off the event loop.

    Raises NotFound where the file is gone, NotAcceptable where the frames can't be told apart.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            table, fragments = _read_items(file.fileno(), offset)
            if fragments and fragments[-1].offset + fragments[-1].length > os.fstat(file.fileno()).st_size:
                raise NotFound("the stored bytes of an instance end within its pixels")
            groups = _group(file.fileno(), table, fragments, count)
    except OSError:
        raise NotFound("the stored bytes of an instance are no longer there") from None
    return [[FileRange(path, fragment.offset, fragment.length) for fragment in group] for group in groups]


def _read_items(descriptor: int, offset: int) -> tuple[list[int], list[_Fragment]]:
    table_length = _item_length(descriptor, offset)
    if table_length is None or table_length > _MAXIMUM_TABLE:
        raise NotAcceptable("the encapsulated Pixel Data has no Basic Offset Table")
    data = os.pread(descriptor, table_length, offset + 8)
    table = [int.from_bytes(data[index : index + 4], "little") for index in range(0, len(data), 4)]
    first = position = offset + 8 + table_length
    fragments = []
    while (length := _item_length(descriptor, position)) is not None:
        fragments.append(_Fragment(position - first, position + 8, length))
        position += 8 + length
    return table, fragments


def _item_length(descriptor: int, position: int) -> int | None:
    """The length of the item at the position; None for anything else, such as the delimiter."""
    header = os.pread(descriptor, 8, position)
    return int.from_bytes(header[4:], "little") if len(header) == 8 and header[:4] == _ITEM else None


def _group(
    descriptor: int, table: list[int], fragments: list[_Fragment], count: int
) -> list[list[_Fragment]]:
    """Which fragments make each frame: all of one, one each, as the table says, or as codestreams begin."""
    if count == 1:
        return [fragments]
    if len(fragments) == count:
        return [[fragment] for fragment in fragments]
    starts = set(table)
    if len(table) != count or not starts <= {fragment.start for fragment in fragments}:
        starts = {part.start for part in fragments if _begins_codestream(descriptor, part)}
    groups: list[list[_Fragment]] = []
    for fragment in fragments:
        if fragment.start in starts or not groups:
            groups.append([])
        groups[-1].append(fragment)
    if len(groups) != count:
        raise NotAcceptable("the frames of the encapsulated Pixel Data can't be told apart")
    return groups


def _begins_codestream(descriptor: int, fragment: _Fragment) -> bool:
    return os.pread(descriptor, _LONGEST_BEGINNING, fragment.offset).startswith(_BEGINNINGS)


def pick(frames: Sequence[Sequence[Segment]], numbers: Sequence[int]) -> list[Sequence[Segment]]:
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
