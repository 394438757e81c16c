"""What a codestream says of its size, read before it is decoded: it may claim no more than its header admits to."""

import struct

Size = tuple[int, int, int]
"""Rows, columns and components."""

UNKNOWN: Size = (0, 0, 0)
_NO_FRAME_HEADERS = (0xC4, 0xC8, 0xCC)
_END, _TAIL = b"\xff\xd9", 64
_ADOBE = 14  # bytes of its segment; decoders pass over a shorter one
_START_OF_CODESTREAM = b"\xff\x4f\xff\x51"


def is_cut_short(frame: bytes) -> bool:
    """Whether the marker that ends a codestream (T.81 and T.87 EOI, T.800 EOC) is missing; padding may follow it."""
    return _END not in frame[-_TAIL:]


def size_of_jpeg(frame: bytes) -> Size:
    """From the frame header (ITU-T T.81 section B.2.2, T.87 section C.2.2)."""
    position = 2
    while position + 10 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME_HEADERS):
            rows, columns, components = struct.unpack_from(">HHB", frame, position + 5)
            return rows, columns, components
        position += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", frame, position + 2)[0]
    return UNKNOWN


def has_adobe_marker(frame: bytes) -> bool:
    """Whether an APP14 segment tells the colour transform, before the frame header."""
    position = 2
    while position + 10 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        (length,) = struct.unpack_from(">H", frame, position + 2)
        if marker == 0xEE and length >= _ADOBE and frame[position + 4 : position + 9] == b"Adobe":
            return True
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME_HEADERS or marker == 0xDA:
            return False
        position += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", frame, position + 2)[0]
    return False


def size_of_jpeg_2000(frame: bytes) -> Size:
    """From the image and tile size marker segment (ITU-T T.800 section A.5.1)."""
    start = frame.find(_START_OF_CODESTREAM, 0, 4096)
    if start < 0 or len(frame) < start + 42:
        return UNKNOWN
    right, bottom, left, top = struct.unpack_from(">IIII", frame, start + 8)
    (components,) = struct.unpack_from(">H", frame, start + 40)
    return bottom - top, right - left, components


def depth_of_jpeg_2000(frame: bytes) -> int:
    """Bits of the first component (ITU-T T.800 table A.11); 0 where it has a sign, or there is no such segment."""
    start = frame.find(_START_OF_CODESTREAM, 0, 4096)
    if start < 0 or len(frame) < start + 43 or frame[start + 42] & 0x80:
        return 0
    return frame[start + 42] + 1
