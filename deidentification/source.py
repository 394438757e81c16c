"""An instance as it came: its transfer syntax, its dataset, and the few values that are read before it is rewritten."""

from collections.abc import Container, Mapping
from typing import NamedTuple

from deidentification import big_endian, part10
from deidentification.elements import Read, collect, read_explicit


class Source(NamedTuple):
    """An instance as it came, and what must be known of it before it is rewritten."""

    file: bytes  # the file, in little endian
    transfer_syntax: str
    start: int  # offset of the dataset in the file
    data: bytes  # the file, or, where the dataset is deflated, the inflated dataset
    position: int  # offset of the dataset in `data`
    read: Read
    values: Mapping[int, bytes]  # raw values of the outermost dataset, by tag

    @property
    def explicit(self) -> bool:
        return self.read is read_explicit


def open_source(file: bytes, wanted: Container[int], last: int, max_inflated_bytes: int) -> Source:
    """Read the head of a Part 10 file and the `wanted` values below the tag `last`.

    Big endian is converted first. Raises Refused, and struct.error where the head of an element goes past the end.
    """
    transfer_syntax, start = part10.read_meta(file)
    if transfer_syntax == part10.BIG_ENDIAN:
        return open_source(big_endian.convert(file, start), wanted, last, max_inflated_bytes)
    read, position, data = part10.reader(transfer_syntax), start, file
    if transfer_syntax == part10.DEFLATED:
        data, position = part10.inflate(file, start, max_inflated_bytes), 0
    return Source(
        file, transfer_syntax, start, data, position, read, collect(data, position, read, wanted, last)
    )


def as_bytes(instance: bytes | memoryview) -> bytes:
    """The same bytes as an object of `bytes`; copied only where they are not a whole one already."""
    if isinstance(instance, memoryview):
        whole = instance.obj
        return whole if isinstance(whole, bytes) and len(whole) == instance.nbytes else instance.tobytes()
    return instance if type(instance) is bytes else bytes(instance)
