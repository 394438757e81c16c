"""Where the frames of encapsulated Pixel Data lie in a file, found without reading a pixel (PS3.5 section A.4)."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from archive.errors import NotAcceptable, NotFound

Span = tuple[int, int]
"""Offset in a file, and length in bytes."""

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


@lru_cache(maxsize=64)
def locate_frames(path: Path, offset: int, count: int) -> tuple[tuple[Span, ...], ...]:
    """Each frame's fragments. Reads headers of items, and remembers where they were: stored files don't change.

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
    return tuple(tuple((fragment.offset, fragment.length) for fragment in group) for group in groups)


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
