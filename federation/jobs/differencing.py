"""Whether answers about several sets of patients, put together, tell of a few: the audit of sums (Chin and Ozsoyoglu,
IEEE Trans. Software Engineering 8 (1982) 574).

A mean of a known number of patients is a sum over them, so whoever has several may add and subtract them as she likes.
Patients who are in the same sets are told apart by nothing (an atom). Sums give away fewer than `least` patients where
some combination of the sets is nothing but on atoms that count fewer together: where the sets' rank falls when those
atoms are left out.
"""

from collections import Counter
from collections.abc import Iterator, Sequence, Set

import numpy as np
import numpy.typing as npt

MOST_SMALL = 12
"""Small atoms whose combinations are tried; of more, all are left out at once, which refuses rather too much."""

Rows = npt.NDArray[np.float64]


def gives_away(sets: Sequence[Set[bytes]], least: int) -> bool:
    """Whether sums over these sets tell of fewer than `least` of their members."""
    atoms = Counter(_memberships(sets))
    rows = np.array([[atom >> place & 1 for atom in atoms] for place in range(len(sets))], np.float64)
    sizes = list(atoms.values())
    small = [place for place, size in enumerate(sizes) if size < least]
    if not _falls(rows, small):
        return False
    if len(small) > MOST_SMALL:
        return True
    return any(_falls(rows, some) for some in _together(small, sizes, least))


def _memberships(sets: Sequence[Set[bytes]]) -> Iterator[int]:
    """Of each member a number whose bits say in which sets it is."""
    found: dict[bytes, int] = {}
    for place, one in enumerate(sets):
        for member in one:
            found[member] = found.get(member, 0) | 1 << place
    yield from found.values()


def _falls(rows: Rows, places: Sequence[int]) -> bool:
    left = np.delete(rows, places, axis=1)
    return bool(_rank(left) < _rank(rows))


def _rank(rows: Rows) -> int:
    return int(np.linalg.matrix_rank(rows)) if rows.size else 0


def _together(places: Sequence[int], sizes: Sequence[int], least: int) -> Iterator[list[int]]:
    """The combinations of atoms that count fewer than `least` together."""
    for chosen in range(1, 1 << len(places)):
        some = [place for at, place in enumerate(places) if chosen >> at & 1]
        if sum(sizes[place] for place in some) < least:
            yield some
