"""JPEG 2000 and HTJ2K codestreams (ISO/IEC 15444-1 Annex A) without their comments."""

from deidentification.pieces import Piece, Pieces, broken, join

START = b"\xff\x4f\xff\x51"  # SOC, SIZ
_END = b"\xff\xd9"
_COMMENT, _TILE_PART, _TILE_DATA, _TILE_LENGTHS = 0xFF64, 0xFF90, 0xFF93, 0xFF55
# Segments that decoding needs, of part 1, part 2 and part 15.
_KEPT = frozenset({*range(0xFF50, 0xFF64), *range(0xFF70, 0xFF7A)}) - {0xFF54, 0xFF5A, 0xFF5B, 0xFF62}
_DROPPED = frozenset({_COMMENT, _TILE_LENGTHS})


def clean(data: bytes, start: int, stop: int) -> list[Piece]:
    """The codestream without comments and without what follows its end. Raises Refused where it is none.

    A comment that goes from the header of a tile-part shortens it, so its length is written anew, and the
    optional index of all those lengths goes.
    """
    pieces, shortened = _clean(data, start, stop, _KEPT)
    return _clean(data, start, stop, _KEPT - {_TILE_LENGTHS})[0] if shortened else pieces


def _clean(data: bytes, start: int, stop: int, kept: frozenset[int]) -> tuple[list[Piece], bool]:
    if data[start : start + 4] != START:
        raise broken()
    pieces = Pieces(start)
    position, _ = _pass_header(data, start + 2, stop, _TILE_PART, kept, pieces)
    shortened = False
    while _marker(data, position) == _TILE_PART:
        position, change = _pass_tile_part(data, position, stop, kept, pieces)
        shortened |= change
    if data[position : position + 2] == _END and position + 2 <= stop:
        return pieces.end(position + 2), shortened
    if data[position:stop].strip(b"\0"):
        raise broken()
    return [*pieces.end(position), _END], shortened


def _pass_header(
    data: bytes, position: int, stop: int, until: int, kept: frozenset[int], pieces: Pieces
) -> tuple[int, int]:
    """Pass the segments up to a marker; gives its offset and how many bytes were left out."""
    left_out = 0
    while (marker := _marker(data, position)) != until:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if end > stop or end < position + 4 or not (marker in kept or marker in _DROPPED):
            raise broken()
        if marker not in kept:
            pieces.leave_out(position, end)
            left_out += end - position
        position = end
    return position, left_out


def _pass_tile_part(
    data: bytes, position: int, stop: int, kept: frozenset[int], pieces: Pieces
) -> tuple[int, bool]:
    """Pass a tile-part; gives the offset behind it and whether it was shortened."""
    length = int.from_bytes(data[position + 6 : position + 10], "big")
    if data[position + 2 : position + 4] != b"\0\x0a" or position + 12 > stop:
        raise broken()
    header = Pieces(position + 12)
    body, left_out = _pass_header(data, position + 12, stop, _TILE_DATA, kept, header)
    end = position + length if length else _find_end(data, body + 2, stop)
    if not body + 2 <= end <= stop:
        raise broken()
    if left_out:
        stated = (length - left_out if length else 0).to_bytes(4, "big")
        kept_of_header = join(header.end(body), data)
        start_of_tile = data[position : position + 6] + stated + data[position + 10 : position + 12]
        pieces.replace(position, body, start_of_tile + kept_of_header)
    return end, left_out > 0


def _find_end(data: bytes, position: int, stop: int) -> int:
    """Where the last tile-part ends that gives no length: no packet holds this marker (A.3.1)."""
    found = data.find(_END, position, stop)
    return stop if found < 0 else found


def _marker(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 2], "big")
