"""The header of a stored Part 10 file, read quickly: elements as they are encoded, up to the pixels (PS3.5 section 7).

Only what sites store most: little endian, explicit or implicit, sequences of defined or undefined length. Whatever else
there is, or is not as it should be, is `Unusual`, and for a reader that knows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import BinaryIO

from pydicom.datadict import dictionary_VR

from archive.resource import is_uid

IMPLICIT, DEFLATED, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
PIXELS = frozenset([0x7FE00008, 0x7FE00009, 0x7FE00010])
UNDEFINED = 0xFFFFFFFF
_LONG = frozenset(  # VRs with a length of four bytes
    ["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]
)
_SHORT = frozenset(
    [
        *(
            "AE",
            "AS",
            "AT",
            "CS",
            "DA",
            "DS",
            "DT",
            "FD",
            "FL",
            "IS",
            "LO",
            "LT",
            "PN",
            "SH",
            "SL",
            "SS",
            "ST",
        ),
        *("TM", "UI", "UL", "US"),
    ]
)
_VRS = {vr.encode(): vr for vr in (*_LONG, *_SHORT)}
_SHORT_VRS = {vr.encode(): vr for vr in _SHORT}
_BEGIN = Struct("<HH2sH").unpack_from
_NO_VALUES = frozenset([0x7FE0, 0xFFFE])  # groups of pixels and of items
_BEGINNING = 16 * 1024  # bytes that are read at first: more than most headers have
_MOST = 64 * 1024**2
_DEEPEST = 16  # sequences within each other
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


class Unusual(Exception):
    """A file that this reader leaves to another one."""


class _TooShort(Exception):
    """The file goes on where the bytes that were read end."""


Element = tuple[str, "bytes | list[Elements]"]
"""An element as it is encoded: its VR, of the dictionary where none is, and its value.

Of SQ its items, or, where it is no item's itself and tells its length, the bytes of these, for `read_items`.
"""
Elements = Mapping[int, Element]


@dataclass(frozen=True, slots=True)
class Header:
    """What precedes the pixels; where the value of the pixels begins, and its length, None where encapsulated.

    Without pixels `pixels` is None.
    """

    transfer_syntax_uid: str
    is_explicit: bool  # of VRs
    elements: Elements
    pixels: tuple[int, str, int, int | None] | None  # tag, VR, offset and length in bytes


def read_header(file: BinaryIO) -> Header:
    """The header of an open file, from its beginning. Raises Unusual."""
    file.seek(0)
    data, size = file.read(_BEGINNING), _BEGINNING
    while True:
        try:
            return _header(data, is_whole=len(data) < size)
        except _TooShort:
            if len(data) < size or size >= _MOST:
                raise Unusual from None
            more = file.read(3 * size)
            data, size = data + more, 4 * size
        except (ValueError, KeyError, RecursionError):
            raise Unusual from None


def _header(data: bytes, is_whole: bool) -> Header:
    if data[128:132] != b"DICM" or data[132:140] != b"\x02\x00\x00\x00UL\x04\x00":
        raise Unusual
    start = 144 + int.from_bytes(data[140:144], "little")
    syntax = _transfer_syntax(data, start)
    if syntax in (DEFLATED, BIG):
        raise Unusual
    is_explicit = syntax != IMPLICIT
    reader = _Reader(data, is_explicit)
    elements, at = reader.read(start, len(data), 0)
    if at == len(data):
        if not is_whole:
            raise _TooShort
        return Header(syntax, is_explicit, elements, None)
    return Header(syntax, is_explicit, elements, reader.pixels(at))


def read_items(value: bytes, is_explicit: bool) -> "list[Elements]":
    """The items of a sequence's value. Raises Unusual."""
    try:
        return _Reader(value, is_explicit).items(0, len(value), 0)[0]
    except (_TooShort, ValueError, KeyError, RecursionError):
        raise Unusual from None


def _transfer_syntax(data: bytes, end: int) -> str:
    """The Transfer Syntax UID of File Meta Information that ends there (PS3.10 section 7.1)."""
    at, last, found = 144, 0, b""
    while at < end:
        if at + 12 > len(data):
            raise _TooShort
        group, member, code, length = _BEGIN(data, at)
        start = at + 8
        if code not in _SHORT_VRS:
            if code != b"OB":
                raise Unusual
            length, start = int.from_bytes(data[at + 8 : at + 12], "little"), at + 12
        at = start + length
        if group != 2 or member <= last:
            raise Unusual
        if member == 0x10:
            found = data[start:at] if code == b"UI" else b""
        last = member
    uid = found.rstrip(b"\0 ").decode("ascii")
    if at != end or data[end : end + 2] == b"\x02\0" or not is_uid(uid):
        raise Unusual
    return uid


class _Reader:
    """Walks over bytes."""

    __slots__ = ("_data", "_explicit")

    def __init__(self, data: bytes, explicit: bool) -> None:
        self._data = data
        self._explicit = explicit

    def read(self, at: int, end: int, depth: int) -> tuple[dict[int, Element], int]:
        """The elements up to `end`, the pixels of the instance itself, or the end of an item; and where that is."""
        data, size, last = self._data, len(self._data), -1
        elements: dict[int, Element] = {}
        if depth > _DEEPEST:
            raise Unusual
        short_vrs = _SHORT_VRS if self._explicit else {}
        while at < end:
            if at + 8 <= size:  # most elements are so: the rest is below
                group, member, code, length = _BEGIN(data, at)
                start = at + 8
                tag = group << 16 | member
                if code in short_vrs and group not in _NO_VALUES and last < tag and start + length <= size:
                    at = start + length
                    elements[tag] = short_vrs[code], data[start:at]
                    last = tag
                    continue
            tag, vr, length, start = self._begin(at)
            if tag in PIXELS and not depth:
                return elements, at
            if tag == _ITEM_END and depth:
                return elements, start
            if tag <= last or tag >> 16 == 0xFFFE:  # in ascending order, each once (PS3.5 section 7.1)
                raise Unusual
            last = tag
            if vr == "SQ" and (depth or length == UNDEFINED):
                items, at = self.items(start, length, depth)
                elements[tag] = vr, items
                continue
            if length == UNDEFINED:
                raise Unusual
            at = start + length
            if at > size:
                raise _TooShort
            elements[tag] = vr, data[start:at]
        if at != end:
            raise Unusual
        return elements, at

    def pixels(self, at: int) -> tuple[int, str, int, int | None]:
        tag, vr, length, start = self._begin(at)
        if not self._explicit:
            vr = {0x7FE00008: "OF", 0x7FE00009: "OD"}.get(tag, "OW")
        return tag, vr, start, None if length == UNDEFINED else length

    def _begin(self, at: int) -> tuple[int, str, int, int]:
        """The tag, VR and length of the element that begins here, and where its value does."""
        data = self._data
        if at + 8 > len(data):
            raise _TooShort
        group, member, code, length = _BEGIN(data, at)
        tag = group << 16 | member
        if group == 0xFFFE:
            return tag, "", int.from_bytes(data[at + 4 : at + 8], "little"), at + 8
        if not self._explicit:
            return tag, _known_vr(tag), int.from_bytes(data[at + 4 : at + 8], "little"), at + 8
        vr = _VRS.get(code)
        if vr is None or vr == "UN":
            raise Unusual
        if vr in _SHORT:
            return tag, vr, length, at + 8
        if at + 12 > len(data):
            raise _TooShort
        return tag, vr, int.from_bytes(data[at + 8 : at + 12], "little"), at + 12

    def items(self, at: int, length: int, depth: int) -> "tuple[list[Elements], int]":
        """The items of a sequence, and where it ends."""
        data = self._data
        items: list[Elements] = []
        end = len(data) if length == UNDEFINED else at + length
        if end > len(data):
            raise _TooShort
        while at < end:
            if at + 8 > len(data):
                raise _TooShort
            tag = int.from_bytes(data[at : at + 2], "little") << 16 | int.from_bytes(
                data[at + 2 : at + 4], "little"
            )
            item_length = int.from_bytes(data[at + 4 : at + 8], "little")
            at += 8
            if tag == _SEQUENCE_END and length == UNDEFINED:
                return items, at
            if tag != _ITEM:
                raise Unusual
            item_end = len(data) if item_length == UNDEFINED else at + item_length
            if item_end > len(data):
                raise _TooShort
            item, at = self.read(at, item_end, depth + 1)
            if item_length == UNDEFINED and data[at - 8 : at - 4] != b"\xfe\xff\x0d\xe0":
                raise _TooShort
            if item_length != UNDEFINED and at != item_end:
                raise Unusual
            items.append(item)
        if length == UNDEFINED or at != end:
            raise _TooShort
        return items, at


@lru_cache(4096)
def _known_vr(tag: int) -> str:
    """The VR of the dictionary, which may be a choice. Raises Unusual where the dictionary does not have it."""
    if tag & 0xFFFF == 0:
        return "UL"
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        raise Unusual from None
    if vr in ("UN", "NONE"):
        raise Unusual
    return vr
