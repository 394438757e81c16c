"""A stretch of bytes without some of its parts, as slices that are not copied before they are joined."""

from deidentification.refusal import Reason, Refused


def broken() -> Refused:
    """What is raised for a frame that is not what its transfer syntax says."""
    return Refused(Reason.BAD_CODESTREAM, 0x7FE00010)


class Pieces:
    """What stays of the bytes from `start` on."""

    def __init__(self, data: bytes, start: int) -> None:
        self._view = memoryview(data)
        self._from = start
        self._kept: list[bytes | memoryview] = []

    def leave_out(self, start: int, stop: int) -> int:
        """Leave out a part; gives the offset behind it."""
        return self.replace(start, stop, b"")

    def replace(self, start: int, stop: int, by: bytes) -> int:
        """Put other bytes in the place of a part; gives the offset behind it."""
        if self._from < start:
            self._kept.append(self._view[self._from : start])
        if by:
            self._kept.append(by)
        self._from = stop
        return stop

    def end(self, stop: int) -> list[bytes | memoryview]:
        """All that stays, up to `stop`."""
        self.replace(stop, stop, b"")
        return self._kept
