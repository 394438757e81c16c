"""The pixel data behind a rewritten header: taken over as it lies, cut to what is described, searched for text."""

from typing import NamedTuple

from deidentification import borders, fragments, part10, pixels
from deidentification.elements import UNDEFINED, require_order
from deidentification.part10 import encode_head
from deidentification.refusal import Reason, Refused
from deidentification.source import Source

FIRST_TAG = 0x7FE00008
"""Float Pixel Data; a dataset is rewritten up to here."""

NOTHING = memoryview(b"")
_PIXEL_DATA = 0x7FE00010
_FLOATS = {0x7FE00008: (32, b"OF"), 0x7FE00009: (64, b"OD")}
_BEYOND = (_PIXEL_DATA + 1, b"", 0, 0)


class Dataset(NamedTuple):
    """An encoded dataset, cut around the value of its pixel data."""

    head: bytes
    pixels: memoryview
    tail: bytes


def add_pixels(head: bytes, source: Source, position: int) -> Dataset:
    """The dataset with its pixel data, which begins at `position`. Whatever follows that is left out.

    Raises Refused where there is none, or less than its description asks for.
    """
    data = source.data
    tag, vr, length, start = source.read(data, position) if position < len(data) else _BEYOND
    if tag > _PIXEL_DATA:
        require_order(data, position, source.read)
        pixels.require_none(source.values)
        return Dataset(head, NOTHING, b"")
    if tag == _PIXEL_DATA and part10.is_encapsulated(source.transfer_syntax):
        if length != UNDEFINED:
            raise Refused(Reason.BAD_LENGTH, tag)
        return _add_fragments(head, source, start)
    if length == UNDEFINED:
        raise Refused(Reason.BAD_LENGTH, tag)
    if start + length > len(data):
        raise Refused(Reason.TRUNCATED, tag)
    bits, kept_vr = _FLOATS.get(tag, (0, b"OB" if vr == b"OB" else b"OW"))
    needed = pixels.needed_length(source.values, length, bits)
    head += encode_head(tag, kept_vr, needed + needed % 2, source.explicit)
    return Dataset(head, memoryview(data)[start : start + needed], b"\0" * (needed % 2))


def _add_fragments(head: bytes, source: Source, start: int) -> Dataset:
    """Encapsulated pixel data, its frames without what carries no pixel."""
    cleaned = fragments.clean(source.data, start, source.values, source.transfer_syntax)
    head += cleaned.extended_table + encode_head(_PIXEL_DATA, b"OB", UNDEFINED, explicit=True) + cleaned.table
    return Dataset(head, cleaned.fragments, b"")


def shows_text(source: Source, dataset: Dataset) -> bool:
    """Whether native pixels show text in their border bands, where they are of a class that is searched."""
    if part10.is_encapsulated(source.transfer_syntax):
        return False
    return any(map(borders.shows_text, pixels.frames_to_search(source.values, dataset.pixels)))
