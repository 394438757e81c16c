"""Text in the border bands of an uncompressed grey picture, sought by sampled rows and without decoding.

Around a breast lies air: one grey level, or nearly. Text in it is a row of short runs far from that level, between
quiet stretches of it, that go on in the rows beside. A breast, a collimator's edge and a large lead marker have
longer runs or fewer of them, or are not as long as they are high. The bands at the sides are searched for upright
text as well, in columns instead of rows.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

_LEAST_SIDE = 64  # pixels; smaller pictures hold no name that can be read
_BAND = 10  # a band is this part of a side
_LEAST_BAND = 128  # pixels
_STEP = 6  # rows; a small letter of 14 pixels reaches over 7
_LEVELS = 40  # of 256: what is nearer to the background than this belongs to it
_CALM = 14  # of 256: what is no further from the background is air, and no tissue
_MARGIN = 24  # pixels of air beside a text
_QUIET = b"\0" * 28  # what separates texts, in pixels
_WIDEST = 7, 16  # pixels of a stroke, and of a stroke of large letters
_FEWEST = 5, 14, 8  # strokes in a row of text, of large letters, and of a line of large letters that is long
_FEWEST_BEGINNINGS = 2  # of strokes of upright text that every sixth row tells
_LONGEST_BAR = 36  # pixels; of an E or a T of 60 pixels
_LONG = 6  # times its height: no view marker is as long
_TALLEST = 80  # pixels; what goes on for longer is no letter
_MOST_ROWS = 12  # rows of a band that are looked at closely


class Frame(NamedTuple):
    """One frame of grey samples of 8 or 16 bits, little endian, from `start` on in `data`."""

    data: memoryview
    start: int
    rows: int
    columns: int
    size: int  # bytes a sample
    stored: int  # Bits Stored


class _Band(NamedTuple):
    """Rows and columns of a frame, ends exclusive."""

    top: int
    bottom: int
    left: int
    right: int


class _Shades:
    """Tells what is far from the background, row by row: a byte a sample, 1 where it is."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._shift = 0
        sample = b"".join(self._raw(row, 0, frame.columns) for row in _spread(frame.rows))
        if frame.size == 2:
            high = max(sample[1::32], default=0)
            bits = 8 + high.bit_length() if high else min(frame.stored, 8)
            self._shift = max(0, bits - 8)
        grey = self._shades(sample)[::17]
        self.background, count = Counter(grey).most_common(1)[0]
        unit = (
            8 - self._shift if self._shift >= 4 else 0
        )  # binary logarithm of the levels that a shade stands for
        self._table = self._beyond(_LEVELS >> unit)
        self._calm = self._beyond(_CALM >> unit)
        self.is_known = count * 20 >= len(grey)

    def _beyond(self, levels: int) -> bytes:
        near = range(self.background - levels, self.background + levels + 1)
        return bytes(shade not in near for shade in range(256))

    def has(self, row: int) -> bool:
        """Whether there is such a row."""
        return 0 <= row < self._frame.rows

    def is_air(self, row: int, left: int, right: int) -> bool:
        """Whether nearly all of a part of a row is background; so is what lies outside the frame."""
        if not self.has(row) or left >= right:
            return True
        raw = self._raw(row, left, right)
        restless = self._shades(raw).translate(self._calm)
        return restless.count(b"\1") * 50 <= len(restless)

    def _raw(self, row: int, left: int, right: int) -> bytes:
        frame = self._frame
        at = frame.start + (row * frame.columns + left) * frame.size
        return bytes(frame.data[at : at + (right - left) * frame.size])

    def _shades(self, raw: bytes) -> bytes:
        """The highest eight bits of each sample that are in use."""
        if self._frame.size == 1:
            return raw
        if self._shift == 0:
            return raw[::2]
        if self._shift >= 4:  # the upper byte has 16 shades or more
            return raw[1::2]
        return (int.from_bytes(raw, "little") >> self._shift).to_bytes(len(raw), "little")[::2]

    def far(self, row: int, left: int, right: int) -> bytes:
        """A part of a row."""
        return self._shades(self._raw(row, left, right)).translate(self._table)

    def far_rows(self, band: _Band) -> bytes:
        """Every sixth row of a band, one behind the other."""
        frame = self._frame
        stride, width = frame.columns * frame.size * _STEP, (band.right - band.left) * frame.size
        first = frame.start + (band.top * frame.columns + band.left) * frame.size
        count = (band.bottom - band.top + _STEP - 1) // _STEP
        data = frame.data
        parts = [data[at : at + width] for at in range(first, first + count * stride, stride)]
        return self._shades(b"".join(parts)).translate(self._table)


class _Turned(_Shades):
    """The same column by column: where a row is asked for it is a column, and the other way round."""

    def __init__(self, shades: _Shades) -> None:
        self.__dict__.update(shades.__dict__)

    def has(self, row: int) -> bool:
        return 0 <= row < self._frame.columns

    def _raw(self, row: int, left: int, right: int) -> bytes:
        frame = self._frame
        stride = frame.columns * frame.size
        first = frame.start + row * frame.size + left * stride
        last = first + (right - left - 1) * stride + 1
        if frame.size == 1:
            return bytes(frame.data[first:last:stride])
        raw = bytearray(2 * (right - left))
        if self._shift < 4:
            raw[::2] = frame.data[first:last:stride]
        raw[1::2] = frame.data[first + 1 : last + 1 : stride]
        return bytes(raw)


def shows_text(frame: Frame) -> bool:
    """Whether something in the border bands of a frame looks like a line of text."""
    if min(frame.rows, frame.columns) < _LEAST_SIDE:
        return False
    shades = _Shades(frame)
    if not shades.is_known:
        return False
    return any(_holds_text(shades, band) for band in _bands(frame)) or any(
        _holds_upright(shades, band) for band in _sides(frame)
    )


def _bands(frame: Frame) -> Iterator[_Band]:
    rows, columns = frame.rows, frame.columns
    high = min(max(_LEAST_BAND, rows // _BAND), rows // 2)
    wide = min(max(_LEAST_BAND, columns // _BAND), columns // 2)
    yield _Band(0, high, 0, columns)
    yield _Band(rows - high, rows, 0, columns)
    if rows > 2 * high:
        yield _Band(high, rows - high, 0, wide)
        yield _Band(high, rows - high, columns - wide, columns)


def _sides(frame: Frame) -> Iterator[_Band]:
    wide = min(max(_LEAST_BAND, frame.columns // _BAND), frame.columns // 2)
    yield _Band(0, frame.rows, 0, wide)
    yield _Band(0, frame.rows, frame.columns - wide, frame.columns)


def _spread(rows: int) -> range:
    return range(rows // 64, rows, max(1, rows // 12))


def _holds_text(shades: _Shades, band: _Band) -> bool:
    far, width = shades.far_rows(band), band.right - band.left
    most = width // 5
    if b"\1" not in far:
        return False
    rows = [
        row
        for row, at in enumerate(range(0, len(far), width))
        if _FEWEST[0] <= far.count(b"\0\1", at, at + width) + 1 <= most
    ]
    for row in rows[:: max(1, len(rows) // _MOST_ROWS)]:
        for start, stop in _lines(far[row * width : (row + 1) * width]):
            if _goes_on(shades, band, band.top + row * _STEP, band.left + start, band.left + stop):
                return True
    return False


def _holds_upright(shades: _Shades, band: _Band) -> bool:
    """Whether some column crosses strokes as a row crosses those of a line of text."""
    turned, across = _Turned(shades), _Band(band.left, band.right, band.top, band.bottom)
    for column in _columns_with_strokes(shades, band):
        for start, stop in _lines(turned.far(column, band.top, band.bottom)):
            if _goes_on(turned, across, column, band.top + start, band.top + stop):
                return True
    return False


def _columns_with_strokes(shades: _Shades, band: _Band) -> list[int]:
    """Every sixth column in which ink begins more than once, judged by every sixth row: not where a breast lies."""
    far, width = shades.far_rows(band), band.right - band.left
    if b"\1" not in far:
        return []
    return [
        band.left + column
        for column in range(0, width, _STEP)
        if far[column::width].count(b"\0\1") >= _FEWEST_BEGINNINGS
    ]


def _lines(far: bytes) -> Iterator[tuple[int, int]]:
    """Where a row may cross a line of text: start and stop, between quiet stretches."""
    at = 0
    for part in far.split(_QUIET):
        if part.count(b"\0\1") + 1 >= _FEWEST[0] and _is_text(part):
            yield at + part.index(b"\1"), at + len(part.rstrip(b"\0"))
        at += len(part) + len(_QUIET)


def _is_text(ink: bytes) -> bool:
    runs = [len(run) for run in ink.split(b"\0") if run]
    narrow = [run for run in runs if run <= _WIDEST[0]]
    if max(runs, default=0) > _LONGEST_BAR:
        return False
    few = len(narrow) < max(_FEWEST[0], len(runs) // 2 + 1)
    return not few or sum(run <= _WIDEST[1] for run in runs) >= _FEWEST[2]


def _must_be_long(ink: bytes) -> bool:
    """Whether strokes are so wide and so few that they may be a large view marker's."""
    runs = [len(run) for run in ink.split(b"\0") if run]
    narrow = sum(run <= _WIDEST[0] for run in runs)
    return (
        narrow < max(_FEWEST[0], len(runs) // 2 + 1) and sum(run <= _WIDEST[1] for run in runs) < _FEWEST[1]
    )


def _goes_on(shades: _Shades, band: _Band, row: int, left: int, right: int) -> bool:
    """Whether strokes stand above one another in the rows beside, and end."""
    here = shades.far(row, left, right)
    alike = 0
    for beside in (row - 2, row - 1, row + 1, row + 2):
        if shades.has(beside):
            there = shades.far(beside, left, right)
            alike += _is_alike(here, there) and there.count(b"\0\1") + 2 >= _FEWEST[0]
    return alike >= 2 and _stands_alone(shades, band, row, left, right)


def _is_alike(one: bytes, other: bytes) -> bool:
    first, second = int.from_bytes(one, "little"), int.from_bytes(other, "little")
    return 5 * (first & second).bit_count() >= 2 * (first | second).bit_count()


def _stands_alone(shades: _Shades, band: _Band, row: int, left: int, right: int) -> bool:
    """Whether there is air on both sides, as far as the band goes, above and below; and room for a name."""
    before, behind = max(band.left, left - _MARGIN), min(band.right, right + _MARGIN)
    if left - before + behind - right < 2:
        return False
    if not (shades.is_air(row, before, left - 3) and shades.is_air(row, right + 3, behind)):
        return False
    up, down = (_reach(shades, row, sign, left, right) for sign in (-1, 1))
    if up is None or down is None:
        return False
    return right - left >= _LONG * (up + down) or not _must_be_long(shades.far(row, left, right))


def _reach(shades: _Shades, row: int, sign: int, left: int, right: int) -> int | None:
    """How many rows away there is air; None where that is farther than a letter is high."""
    return next((away for away in range(3, _TALLEST) if shades.is_air(row + sign * away, left, right)), None)
