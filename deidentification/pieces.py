"""A stretch of bytes without some of its parts, told by offsets: nothing is copied before it is joined."""

from collections.abc import Iterable

from deidentification.refusal import Reason, Refused

Piece = tuple[int, int] | bytes
"""Bytes that stay, by the offsets of the first and of what lies behind the last; or bytes that stand for others."""


def broken() -> Refused:
    """What is raised for a frame that is not what its transfer syntax says."""
    return Refused(Reason.BAD_CODESTREAM, 0x7FE00010)


def join(pieces: Iterable[Piece], data: bytes) -> bytes:
    """The bytes that pieces of `data` make."""
    view = memoryview(data)
    return b"".join(piece if isinstance(piece, bytes) else view[piece[0] : piece[1]] for piece in pieces)


def is_unchanged(pieces: Iterable[Piece], data: bytes, start: int, stop: int) -> bool:
    """Whether the pieces are the bytes from `start` to `stop`, but for one that pads to an even length."""
    position = start
    for piece in pieces:
        if isinstance(piece, bytes):
            if not data.startswith(piece, position):
                return False
            position += len(piece)
        elif piece[0] != position:
            return False
        else:
            position = piece[1]
    return position == stop or (position == stop - 1 and (position - start) % 2 == 1 and data[position] == 0)


class Pieces:
    """What stays of bytes from `start` on."""

    def __init__(self, start: int) -> None:
        self._from = start
        self._kept: list[Piece] = []

    def leave_out(self, start: int, stop: int) -> int:
        """Leave out a part; gives the offset behind it."""
        return self.replace(start, stop, b"")

    def replace(self, start: int, stop: int, by: bytes) -> int:
        """Put other bytes in the place of a part; gives the offset behind it."""
        if self._from < start:
            self._kept.append((self._from, start))
        if by:
            self._kept.append(by)
        self._from = stop
        return stop

    def end(self, stop: int) -> list[Piece]:
        """All that stays, up to `stop`."""
        self.replace(stop, stop, b"")
        return self._kept
