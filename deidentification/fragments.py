"""Encapsulated pixel data (PS3.5 A.4): which fragments make a frame, and frames written anew once cleaned."""

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from deidentification import codestream, pixels
from deidentification.elements import ITEM, SEQUENCE_END, read_item
from deidentification.part10 import encode, encode_head
from deidentification.pieces import is_unchanged, join
from deidentification.refusal import Reason, Refused

EXTENDED_OFFSET_TABLE = 0x7FE00001
_PIXEL_DATA = 0x7FE00010
_EXTENDED_LENGTHS = 0x7FE00002
_END = encode_head(SEQUENCE_END, b"", 0, explicit=False)

Fragment = tuple[int, int]  # the offsets in the file of its first byte and of the byte behind it


class Found(NamedTuple):
    """Encapsulated pixel data as it lies in a file."""

    table: tuple[int, ...]  # the basic offset table
    fragments: list[Fragment]
    stop: int  # behind the delimiter


class Encapsulated(NamedTuple):
    """Cleaned pixel data: what goes before its first fragment, and the fragments with their delimiter."""

    extended_table: bytes  # elements, or nothing
    table: bytes  # the item
    fragments: memoryview


def clean(data: bytes, start: int, values: Mapping[int, bytes], transfer_syntax: str) -> Encapsulated:
    """Clean the frames whose basic offset table lies at `start`.

    Frames in which nothing is to be left out stay as they lie; any other becomes one fragment. Offset tables
    that were there are written to fit. `values` maps tags of `pixels.WANTED` and `EXTENDED_OFFSET_TABLE` to
    raw values. Raises Refused.
    """
    found = find(data, start)
    frames = group(data, found, pixels.count_frames(values))
    size = pixels.needed_length(values, 1 << 63, 0, frames=1) if codestream.needs_size(transfer_syntax) else 0
    written = [_clean_frame(data, frame, transfer_syntax, size) for frame in frames]
    whole = sum(map(len, frames)) == len(found.fragments)
    if whole and not any(written):
        fragments = memoryview(data)[found.fragments[0][0] - 8 : found.stop]
    else:
        as_they_lie = (memoryview(data)[frame[0][0] - 8 : frame[-1][1]] for frame in frames)
        parts = [new or old for new, old in zip(written, as_they_lie, strict=True)]
        fragments = memoryview(b"".join((*parts, _END)))
    lengths = [
        [len(new) - 8] if new else [stop - begin for begin, stop in frame]
        for new, frame in zip(written, frames, strict=True)
    ]
    extended = EXTENDED_OFFSET_TABLE in values and all(len(frame) == 1 for frame in lengths)
    return Encapsulated(
        _encode_extended(lengths) if extended else b"",
        _encode_table(lengths if found.table and not extended else []),
        fragments,
    )


def find(data: bytes, start: int) -> Found:
    """Walk the fragments. Raises Refused for a missing end or impossible lengths."""
    limit = len(data)
    tag, length, position = read_item(data, start, limit)
    if tag == SEQUENCE_END or length % 4:
        raise Refused(Reason.BAD_STRUCTURE, tag)
    table = struct.unpack_from(f"<{length // 4}L", data, position)
    position += length
    fragments = []
    while True:
        tag, length, position = read_item(data, position, limit)
        if tag == SEQUENCE_END:
            break
        if length & 1:
            raise Refused(Reason.BAD_LENGTH, tag)
        fragments.append((position, position + length))
        position += length
    if not fragments:
        raise Refused(Reason.PIXEL_DATA_TOO_SHORT, _PIXEL_DATA)
    return Found(table, fragments, position)


def group(data: bytes, found: Found, count: int) -> list[list[Fragment]]:
    """The fragments of each of `count` frames: by the offset table, by their number, or by how frames begin.

    Raises Refused where none of these tells.
    """
    fragments = found.fragments
    first = fragments[0][0] - 8
    places = {begin - 8 - first: index for index, (begin, _) in enumerate(fragments)}
    if count == 1:
        starts = [0]
    elif len(found.table) == count and all(offset in places for offset in found.table):
        starts = [places[offset] for offset in found.table]
    elif len(fragments) == count:
        starts = list(range(count))
    else:
        starts = [i for i, (begin, _) in enumerate(fragments) if codestream.begins_frame(data, begin)]
    if len(fragments) < count:
        raise Refused(Reason.PIXEL_DATA_TOO_SHORT, _PIXEL_DATA)
    if (
        len(starts) != count
        or starts[0] != 0
        or any(a >= b for a, b in zip(starts, starts[1:], strict=False))
    ):
        raise Refused(Reason.PIXEL_DATA_AMBIGUOUS, _PIXEL_DATA)
    return [fragments[a:b] for a, b in zip(starts, [*starts[1:], len(fragments)], strict=True)]


def _clean_frame(data: bytes, frame: list[Fragment], transfer_syntax: str, size: int) -> bytes:
    """The frame as one fragment with its head; nothing where it may stay as it lies."""
    start, stop = frame[0][0], frame[-1][1]
    if len(frame) > 1:
        data = b"".join(data[begin:end] for begin, end in frame)
        start, stop = 0, len(data)
    pieces = codestream.clean(data, start, stop, transfer_syntax, size)
    if is_unchanged(pieces, data, start, stop):
        return b""
    written = join(pieces, data)
    padding = len(written) % 2
    return encode_head(ITEM, b"", len(written) + padding, explicit=False) + written + bytes(padding)


def _encode_table(lengths: Sequence[Sequence[int]]) -> bytes:
    """The basic offset table as an item; without frames it is empty."""
    offsets = _offsets(lengths)
    if offsets and offsets[-1] >> 32:
        offsets = []
    head = encode_head(ITEM, b"", 4 * len(offsets), explicit=False)
    return head + struct.pack(f"<{len(offsets)}L", *offsets)


def _encode_extended(lengths: Sequence[Sequence[int]]) -> bytes:
    """Extended Offset Table and its lengths (PS3.3 C.7.6.3.1.8)."""
    offsets = struct.pack(f"<{len(lengths)}Q", *_offsets(lengths))
    sizes = struct.pack(f"<{len(lengths)}Q", *(frame[0] for frame in lengths))
    return encode(EXTENDED_OFFSET_TABLE, b"OV", offsets, True) + encode(_EXTENDED_LENGTHS, b"OV", sizes, True)


def _offsets(lengths: Sequence[Sequence[int]]) -> list[int]:
    offsets, position = [], 0
    for frame in lengths:
        offsets.append(position)
        position += sum(length + 8 for length in frame)
    return offsets
