"""Compressed frames: what a decoder does not need is left out, and entropy-coded data is not touched.

Comments, application segments, padding and whatever follows the end of a frame can hold a name. Segments are
walked by their lengths and entropy-coded data is passed by one search for the next marker, so that no frame
is decoded and the decoded pixels stay the same.
"""

import re
import zlib
from collections.abc import Callable

from deidentification import jpeg2000
from deidentification.pieces import Piece, Pieces, broken

_RLE, _DEFLATED_FRAMES, _UNCOMPRESSED = (f"1.2.840.10008.1.2.{end}" for end in ("5", "8.1", "1.98"))
_JPEG = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 53, 55, 57, 70))
_JPEG_LS = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (80, 81))
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 92, 93, 201, 202, 203))

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SOS, _FILL = 0xDA, 0xFF
# In entropy-coded data FF is followed by 00 or a restart marker (T.81 F.1.2.3), in JPEG-LS by a byte below
# 80 (T.87 A.1).
_NEXT_JPEG = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]").search
_NEXT_JPEG_LS = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]").search
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xDE, 0xF7}

_APPLICATION, _HUFFMAN, _ARITHMETIC, _QUANTIZATION, _PARAMETERS = range(0xE0, 0xF0), 0xC4, 0xCC, 0xDB, 0xF8
_LENGTHS = {0xDC: 4, 0xDD: 4, 0xDF: 3}  # number of lines, restart interval, expansion
_IDLE = frozenset({*range(0xF0, 0xF7), *range(0xF9, 0xFF)})  # comments and what is reserved for extensions

# Application segments on which decoded colours depend, as they are written anew: JFIF's and Adobe's, and the
# colour transform of JPEG-LS.
_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x00\x00"
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
_HP_TRANSFORM = b"\xff\xe8\x00\x07mrfx"

_JPEG_XL_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_JPEG_XL_BOXES = frozenset(b"ftyp jxlc jxlp jxll".split())
_RLE_HEADER = 64

Cleaner = Callable[[bytes, int, int, int], list[Piece]]


def clean(data: bytes, start: int, stop: int, transfer_syntax: str, size: int) -> list[Piece]:
    """The frame that lies at `start` to `stop`, without what carries no pixel, in pieces.

    `size` is the length of the decoded frame in bytes. Raises Refused (bad-codestream) where the bytes are no
    frame of the transfer syntax.
    """
    if transfer_syntax in _JPEG or transfer_syntax in _JPEG_LS:
        search = _NEXT_JPEG if transfer_syntax in _JPEG else _NEXT_JPEG_LS
        return _clean_jpeg(data, start, stop, search)
    if transfer_syntax in _JPEG_2000:
        return jpeg2000.clean(data, start, stop)
    others: dict[str, Cleaner] = {
        _RLE: _clean_rle,
        _UNCOMPRESSED: _cut_uncompressed,
        _DEFLATED_FRAMES: _cut_deflated,
    }
    return others.get(transfer_syntax, _clean_jpeg_xl)(data, start, stop, size)


def needs_size(transfer_syntax: str) -> bool:
    """Whether the length of a decoded frame decides where an encoded one ends."""
    return transfer_syntax in (_UNCOMPRESSED, _DEFLATED_FRAMES)


def begins_frame(data: bytes, start: int) -> bool:
    """Whether a frame of the JPEG family begins here: JPEG, JPEG-LS or JPEG 2000."""
    return data[start : start + 2] == _SOI or data[start : start + 4] == jpeg2000.START


def _clean_jpeg(
    data: bytes, start: int, stop: int, search: Callable[[bytes, int, int], re.Match[bytes] | None]
) -> list[Piece]:
    """T.81 Annex B, T.87 Annex C."""
    if data[start : start + 2] != _SOI:
        raise broken()
    pieces = Pieces(start)
    position = start + 2
    while position < stop:
        if data[position] != 0xFF or position + 2 > stop:
            raise broken()
        code = data[position + 1]
        if code == _FILL:
            position = pieces.leave_out(position, position + 1)
            continue
        if data[position : position + 2] == _EOI:
            return pieces.end(position + 2)
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if end < position + 4 or end > stop:
            raise broken()
        segment = data[position:end] if code != _SOS else data[position : position + 5]
        kept = _keep_segment(code, segment, end - position - 2)
        position = end if kept is segment else pieces.replace(position, end, kept)
        if code == _SOS:
            found = search(data, position, stop)
            position = found.start() if found else stop
    return [*pieces.end(stop), _EOI]


def _keep_segment(code: int, segment: bytes, length: int) -> bytes:
    """The segment itself, what stands for it, or nothing. Raises Refused for one that is malformed."""
    if code in _APPLICATION:
        return _keep_application(segment)
    if code in _IDLE:
        return b""
    if not _is_well_formed(code, segment, length):
        raise broken()
    return segment


def _is_well_formed(code: int, segment: bytes, length: int) -> bool:
    """Whether a segment has the length that its content asks for, so that nothing rides behind it."""
    if code in _FRAME_HEADERS:
        return length > 7 and length == 8 + 3 * segment[9]
    if code == _HUFFMAN:
        return _fits(segment, lambda at: 17 + sum(segment[at + 1 : at + 17]))
    if code == _QUANTIZATION:
        return _fits(segment, lambda at: 129 if segment[at] >> 4 else 65)
    if code == _SOS:
        return len(segment) == 5 and length == 6 + 2 * segment[4]
    if code == _ARITHMETIC:
        return length % 2 == 0
    return code == _PARAMETERS or _LENGTHS.get(code) == length


def _fits(segment: bytes, measure: Callable[[int], int]) -> bool:
    position = 4
    while position < len(segment):
        position += measure(position)
    return position == len(segment)


def _keep_application(segment: bytes) -> bytes:
    """An application segment that decoders heed, with nothing in it but what they heed."""
    wanted = b""
    if segment[1] == 0xE0 and segment[4:9] == b"JFIF\0":
        wanted = _JFIF
    elif segment[1] == 0xEE and segment[4:9] == b"Adobe" and len(segment) >= 16:
        wanted = _ADOBE + bytes([min(segment[15], 2)])
    elif segment[1] == 0xE8 and segment[4:8] == b"mrfx" and len(segment) == 9:
        wanted = _HP_TRANSFORM + bytes([min(segment[8], 5)])
    return segment if segment == wanted else wanted


def _clean_jpeg_xl(data: bytes, start: int, stop: int, size: int) -> list[Piece]:
    """ISO/IEC 18181-2: a bare codestream, or boxes, of which those with pixels stay."""
    if data[start : start + 2] == b"\xff\x0a":
        return [(start, stop)]
    if data[start : start + 12] != _JPEG_XL_CONTAINER:
        raise broken()
    pieces = Pieces(start)
    position = start + 12
    while position + 8 <= stop:
        length = int.from_bytes(data[position : position + 4], "big")
        if length == 1:
            length = int.from_bytes(data[position + 8 : position + 16], "big")
        end = position + length if length else stop
        if end > stop or end < position + 8:
            raise broken()
        kept = data[position + 4 : position + 8] in _JPEG_XL_BOXES
        position = end if kept else pieces.leave_out(position, end)
    return pieces.end(position)


def _clean_rle(data: bytes, start: int, stop: int, size: int) -> list[Piece]:
    """PS3.5 G.5: the offsets that a header does not use are zero."""
    used = 4 + 4 * int.from_bytes(data[start : start + 4], "little")
    if stop - start < _RLE_HEADER or not 8 <= used <= _RLE_HEADER:
        raise broken()
    return [(start, start + used), bytes(_RLE_HEADER - used), (start + _RLE_HEADER, stop)]


def _cut_uncompressed(data: bytes, start: int, stop: int, size: int) -> list[Piece]:
    """PS3.5 A.4.11: a frame as it is, and no byte more."""
    if stop - start < size:
        raise broken()
    return [(start, start + size)]


def _cut_deflated(data: bytes, start: int, stop: int, size: int) -> list[Piece]:
    """PS3.5 A.4.12: a deflated stream of one frame, and no byte more."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = len(stream.decompress(memoryview(data)[start:stop], size + 2))
    except zlib.error:
        raise broken() from None
    if not stream.eof or not size <= inflated <= size + 1:
        raise broken()
    return [(start, stop - len(stream.unused_data))]
