"""The last look: whether anything of the source's identity is still in what was written."""

import re
from collections.abc import Iterable, Mapping

_PADDING = b" \0"
_NAME = 0x00100010
_NUMBERS = (0x00100020, 0x00080050)  # Patient ID, Accession Number
# Shorter ones would hit by chance.
_SHORTEST_NAME, _SHORTEST_NUMBER = 4, 5
_UIDS = re.compile(rb"[0-9.]{9,}").findall
_MOST_SUSPECTS = 64  # a name has no more parts; each costs a search
_SEPARATORS = re.compile(rb"[\^=\\ ,]+")


def find_suspects(values: Mapping[int, bytes], pseudonym: str) -> tuple[bytes, ...]:
    """The parts of names and the numbers, in upper case, that must not be met again. The pseudonym may.

    `values` maps tags to raw values of the outermost dataset as it came.
    """
    parts = _SEPARATORS.split(values.get(_NAME, b"").strip(_PADDING))
    found = {part.upper() for part in parts if len(part) >= _SHORTEST_NAME}
    numbers = (values.get(tag, b"").strip(_PADDING) for tag in _NUMBERS)
    found.update(number.upper() for number in numbers if len(number) >= _SHORTEST_NUMBER)
    found.discard(pseudonym.encode("ascii"))
    return tuple(sorted(found, key=lambda suspect: (-len(suspect), suspect))[:_MOST_SUSPECTS])


def search(written: bytes, suspects: Iterable[bytes]) -> tuple[bytes, ...]:
    """Those suspects that are in the bytes written, whatever their case."""
    upper = written.upper()
    return tuple(suspect for suspect in suspects if suspect in upper)


def holds_unexplained(written: bytes, explained: Mapping[bytes, int], suspects: Iterable[bytes]) -> bool:
    """Whether a suspect occurs more often than values from closed vocabularies account for."""
    upper = written.upper()
    return any(upper.count(suspect) > explained.get(suspect, 0) for suspect in suspects)


def holds_uid(written: bytes, originals: Iterable[str]) -> bool:
    """Whether one of the original UIDs is in the bytes written, by itself and not as a part of another."""
    uids = {original.encode("latin-1") for original in originals}
    return not uids.isdisjoint(_UIDS(written))
