"""Explicit VR big endian (retired, PS3.5-2016 A.3) as explicit VR little endian: values are swapped by VR."""

import struct
from array import array

from deidentification.elements import DEEPEST, ITEM, ITEM_END, LONG_VRS, SEQUENCE_END, SHORT_VRS, UNDEFINED
from deidentification.part10 import EXPLICIT, encode, encode_head
from deidentification.refusal import Reason, Refused

_HEAD = struct.Struct(">HH2sH").unpack_from
_LENGTH = struct.Struct(">L").unpack_from
_ITEM_HEAD = struct.Struct(">HHL").unpack_from
_WORDS = {
    **dict.fromkeys(b"AT OW SS US".split(), "H"),
    **dict.fromkeys(b"FL OF OL SL UL".split(), "I"),
    **dict.fromkeys(b"FD OD OV SV UV".split(), "Q"),
}
_BITS_ALLOCATED, _PIXEL_DATA = 0x00280100, 0x7FE00010


def convert(data: bytes, start: int) -> bytes:
    """The instance whose big-endian dataset begins at `start`, as one in explicit VR little endian.

    Elements with the VR UN go, for nobody can say how they are to be swapped. Raises Refused for elements
    that can't be, and struct.error where the head of one goes past the end.
    """
    meta = encode(0x00020010, b"UI", EXPLICIT.encode(), explicit=True)
    converter = _Converter(data)
    converter.convert(start, len(data), depth=0)
    return b"".join((bytes(128), b"DICM", meta, *converter.out))


class _Converter:
    def __init__(self, data: bytes) -> None:
        self.out: list[bytes] = []
        self._data = data
        self._bits = 0

    def convert(self, position: int, limit: int, depth: int) -> int:
        """Convert elements up to `limit` or the end of an item; gives the offset behind."""
        data = self._data
        while position < limit:
            group, element, vr, length = _HEAD(data, position)
            tag, start = group << 16 | element, position + 8
            if tag == ITEM_END and depth:
                return position + 8
            if vr in LONG_VRS:
                length, start = _LENGTH(data, position + 8)[0], position + 12
            elif vr not in SHORT_VRS:
                raise Refused(Reason.UNKNOWN_VR, tag)
            if vr == b"SQ":
                position = self._convert_items(tag, start, limit, length, depth + 1)
                continue
            if length == UNDEFINED:
                raise Refused(Reason.BAD_LENGTH, tag)
            position = start + length
            if position > limit:
                raise Refused(Reason.TRUNCATED, tag)
            if vr != b"UN":
                self._convert_value(tag, vr, start, position)
        return position

    def _convert_value(self, tag: int, vr: bytes, start: int, stop: int) -> None:
        value = self._data[start:stop]
        if vr in _WORDS:
            words = array(_WORDS[vr])
            if len(value) % words.itemsize or (tag == _PIXEL_DATA and self._bits not in (8, 16)):
                raise Refused(Reason.BAD_LENGTH, tag)
            words.frombytes(value)
            words.byteswap()
            value = words.tobytes()
        if tag == _BITS_ALLOCATED:
            self._bits = int.from_bytes(value, "little")
        self.out.append(encode(tag, vr, value, explicit=True))

    def _convert_items(self, tag: int, position: int, limit: int, length: int, depth: int) -> int:
        if depth > DEEPEST:
            raise Refused(Reason.NESTING_TOO_DEEP, tag)
        stop = limit if length == UNDEFINED else position + length
        if stop > limit:
            raise Refused(Reason.TRUNCATED, tag)
        self.out.append(encode_head(tag, b"SQ", UNDEFINED, explicit=True))
        while position < stop or length == UNDEFINED:
            group, element, size = _ITEM_HEAD(self._data, position)
            position += 8
            if group << 16 | element == SEQUENCE_END and length == UNDEFINED:
                break
            end = stop if size == UNDEFINED else position + size
            if group << 16 | element != ITEM or end > stop:
                raise Refused(Reason.BAD_STRUCTURE, tag)
            self.out.append(encode_head(ITEM, b"", UNDEFINED, explicit=False))
            position = self.convert(position, end, depth)
            self.out.append(encode_head(ITEM_END, b"", 0, explicit=False))
        self.out.append(encode_head(SEQUENCE_END, b"", 0, explicit=False))
        return position
