"""A walk over the data elements of a dataset, at byte level (PS3.5 clause 7).

Explicit and implicit VR little endian, sequences and items of defined and undefined length, UN-encoded
sequences, encapsulated frames. Nothing is copied and no object is made for an element.
"""

import struct
from collections.abc import Callable, Container

from deidentification.refusal import Reason, Refused

UNDEFINED = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_END = 0xFFFEE00D
SEQUENCE_END = 0xFFFEE0DD
DEEPEST = 16

# PS3.5 tables 7.1-1 and 7.1-2: the VRs with a length of 32 bits, and those of 16.
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_FRAGMENTED_VRS = frozenset(b"OB OW".split())

_EXPLICIT = struct.Struct("<HH2sH").unpack_from
_IMPLICIT = struct.Struct("<HHL").unpack_from
_LENGTH = struct.Struct("<L").unpack_from

# A reader takes (bytes, offset of an element) and gives (tag, VR, length, offset of the value).
Read = Callable[[bytes, int], tuple[int, bytes, int, int]]


def read_explicit(data: bytes | memoryview, position: int) -> tuple[int, bytes, int, int]:
    """Read the head of an element in explicit VR little endian. Raises struct.error past the end."""
    group, element, vr, length = _EXPLICIT(data, position)
    if vr in SHORT_VRS:
        return group << 16 | element, vr, length, position + 8
    if vr in LONG_VRS:
        return group << 16 | element, vr, _LENGTH(data, position + 8)[0], position + 12
    if group == 0xFFFE:
        return group << 16 | element, b"", _LENGTH(data, position + 4)[0], position + 8
    raise Refused(Reason.UNKNOWN_VR, group << 16 | element)


def read_implicit(data: bytes, position: int) -> tuple[int, bytes, int, int]:
    """Read the head of an element in implicit VR, its VR empty. Raises struct.error past the end."""
    group, element, length = _IMPLICIT(data, position)
    return group << 16 | element, b"", length, position + 8


def skip(data: bytes, position: int, limit: int, vr: bytes, read: Read, depth: int = 1) -> int:
    """The offset behind a value of undefined length that begins at `position` and ends at or before `limit`.

    A value with the VR UN is a sequence in implicit VR (PS3.5 6.2.2, note 2); some writers leave it in
    explicit VR.
    """
    if vr in _FRAGMENTED_VRS:
        return skip_fragments(data, position, limit)
    if vr == b"UN":
        read = reader_of_unknown(data, position)
    elif vr not in (b"", b"SQ"):
        raise Refused(Reason.BAD_LENGTH)
    if depth > DEEPEST:
        raise Refused(Reason.NESTING_TOO_DEEP)
    while True:
        tag, length, position = read_item(data, position, limit)
        if tag == SEQUENCE_END:
            return position
        if length != UNDEFINED:
            position += length
        else:
            position = _skip_item(data, position, limit, read, depth)


def _skip_item(data: bytes, position: int, limit: int, read: Read, depth: int) -> int:
    while True:
        tag, vr, length, position = read(data, position)
        if tag == ITEM_END and length == 0:
            return position
        if tag >= ITEM:
            raise Refused(Reason.BAD_STRUCTURE, tag)
        if length == UNDEFINED:
            position = skip(data, position, limit, vr, read, depth + 1)
        else:
            position += length
        if position > limit:
            raise Refused(Reason.TRUNCATED, tag)


def reader_of_unknown(data: bytes, position: int) -> Read:
    """How the items of a UN-encoded sequence are encoded, seen from its first element."""
    vr = data[position + 12 : position + 14]
    return read_explicit if vr in SHORT_VRS or vr in LONG_VRS else read_implicit


def read_item(data: bytes, position: int, limit: int) -> tuple[int, int, int]:
    """Read the head of an item or the end of a sequence: its tag, its length, the offset of its content.

    Raises Refused for anything else, and for an item that goes past `limit`.
    """
    tag, _, length, position = read_implicit(data, position)
    if tag == ITEM:
        if length != UNDEFINED and position + length > limit:
            raise Refused(Reason.TRUNCATED, tag)
    elif tag != SEQUENCE_END or length != 0:
        raise Refused(Reason.BAD_STRUCTURE, tag)
    if position > limit:
        raise Refused(Reason.TRUNCATED, tag)
    return tag, length, position


def skip_fragments(data: bytes, position: int, limit: int) -> int:
    """The offset behind the fragments of an encapsulated value and their delimiter (PS3.5 A.4)."""
    while True:
        tag, length, position = read_item(data, position, limit)
        if tag == SEQUENCE_END:
            return position
        if length & 1:
            raise Refused(Reason.BAD_LENGTH, tag)
        position += length


def collect(data: bytes, position: int, read: Read, wanted: Container[int], last: int) -> dict[int, bytes]:
    """The values of the wanted elements of the outermost dataset with a tag below `last`, by tag.

    Raises Refused where an element does not lie wholly within the bytes.
    """
    found: dict[int, bytes] = {}
    limit = len(data)
    while position < limit:
        tag, vr, length, start = read(data, position)
        if tag >= last:
            break
        if length == UNDEFINED:
            position = skip(data, start, limit, vr, read)
            continue
        position = start + length
        if position > limit:
            raise Refused(Reason.TRUNCATED, tag)
        if tag in wanted:
            found.setdefault(tag, data[start:position])
    return found


def require_order(data: bytes, position: int, read: Read) -> None:
    """Refuse elements from `position` to the end that are not in order, or do not lie within the bytes."""
    limit, last = len(data), -1
    while position < limit:
        tag, vr, length, start = read(data, position)
        if tag >= ITEM:
            raise Refused(Reason.BAD_STRUCTURE, tag)
        if tag <= last:
            raise Refused(Reason.TAG_ORDER, tag)
        last = tag
        position = skip(data, start, limit, vr, read) if length == UNDEFINED else start + length
        if position > limit:
            raise Refused(Reason.TRUNCATED, tag)
