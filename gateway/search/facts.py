"""The facts of all studies in a process's memory: loaded when the first question comes, brought up to date by each.

About 40 bytes a study. What changed since the last question is told by revisions, which are committed in their order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from archive.errors import Unavailable
from archive.pool import queries
from archive.search_facts import bring_up_to_date, read_kinds
from gateway.search.matching import Columns, Kinds, Mask

_SQL = "search_facts.sql"
_NUMBERS = {
    "day": "i4",
    "age": "i2",
    "sex": "i2",
    "kinds": "i4",
    "views": "i2",
    "laterality": "i2",
    "density": "i2",
    "assessment": "i2",
    "diagnosis": "i2",
    "findings": "i2",
    "round": "i2",
}
_HELD = _NUMBERS | dict.fromkeys(
    ("sex", "views", "laterality", "density", "assessment", "diagnosis"), "i1"
)  # as they lie in memory
_FIELDS = {"number": "i4", "revision": "i8", "patient": "i8"} | _NUMBERS | {"is_present": "i2"}
_HEADER = 19  # bytes of PostgreSQL's binary format before its rows
_BLOCK = 4 * 1024 * 1024  # bytes that are read at a time


@dataclass(frozen=True, slots=True)
class Published:
    """A dataset of the catalogue that everybody may read of."""

    number: int
    name: str
    title: str
    description: str
    published_at: datetime


@dataclass(slots=True)
class Facts:
    """A row for each number that a study has had; `is_present` are those that count.

    `patients` are codes of patients. `states` tell of each dataset which studies with which facts it has: they change
    whenever any of that does.
    """

    columns: Columns = field(default_factory=lambda: Columns(_empty(0), Kinds()))
    is_present: Mask = field(default_factory=lambda: np.zeros(0, bool))
    patients: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    published: list[Published] = field(default_factory=list)
    members: dict[int, Mask] = field(default_factory=dict)
    states: dict[int, int] = field(default_factory=dict)
    number_of_patients: int = 0
    _revision: int = -1
    _is_whole: bool = True
    _kinds: int = 0
    _signs: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    _sorted: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _others: dict[int, int] = field(default_factory=dict)
    _shown: dict[int, datetime] = field(default_factory=dict)

    @property
    def revision(self) -> int:
        """Which state of the node's facts these are; -1: none yet."""
        return self._revision

    def refresh(self, connection: psycopg.Connection, *, most: int = 20_000) -> None:
        """Learn what has changed. `connection` commits by itself.

        Raises Unavailable where more studies changed than can be waited for: the next call goes on.
        """
        if not bring_up_to_date(connection, most=most):
            raise Unavailable("what the node holds is being counted: ask again in a minute")
        with connection.transaction():
            connection.execute("set transaction isolation level repeatable read read only")
            ((revision,),) = connection.execute(queries(_SQL)["revision"]).fetchall()
            rows = connection.execute(queries(_SQL)["published"]).fetchall()
            self.published = [
                Published(n, name, title or name, text or "", at) for n, name, title, text, at in rows
            ]
            if revision < self._revision or not self._is_whole:  # of a database that was put back; cut short
                self._forget()
            self._is_whole = False
            if revision != self._revision:
                self._learn(connection)
            self._learn_members(connection)
            self._revision, self._is_whole = revision, True

    def _forget(self) -> None:
        self.columns = Columns(_empty(0), Kinds())
        self._revision, self._kinds, self.number_of_patients = -1, 0, 0
        self.is_present, self.patients = np.zeros(0, bool), np.zeros(0, np.int32)
        self._signs, self._sorted = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        for held in (self.members, self.states, self._shown, self._others):
            held.clear()

    def _learn(self, connection: psycopg.Connection) -> None:
        """Take in the rows that changed, and of these which of the known datasets they are of."""
        for code, kinds in connection.execute(queries(_SQL)["kinds"], {"code": self._kinds}):
            self.columns.kinds.add(code, read_kinds(kinds))
            self._kinds = code
        ((last,),) = connection.execute(queries(_SQL)["last_number"]).fetchall()
        self._grow(last + 1)
        statement = queries(_SQL)["facts"].format(revision=self._revision)
        changed = [self._take(rows) for rows in _blocks(connection, statement, _FIELDS)]
        if changed:
            places, hashes = (np.concatenate(parts) for parts in zip(*changed, strict=True))
            self.patients[places] = self._codes(hashes)
            self._place(connection, places)
            self._sign(places, 1)

    def _take(self, rows: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Take in a block of rows; their places, and the hashes of their patients."""
        places = rows["number"].astype(np.int32)
        self._sign(places, -1)
        for name in _NUMBERS:
            self.columns.numbers[name][places] = rows[name]
        self.is_present[places] = rows["is_present"] != 0
        self._signs[places] = _mixed(rows["number"].astype(np.uint64), rows["revision"].astype(np.uint64))
        return places, rows["patient"].astype(np.int64)

    def _place(self, connection: psycopg.Connection, places: NDArray[np.int32]) -> None:
        if not self.members:
            return
        for members in self.members.values():
            members[places] = False
        values = {"revision": self._revision, "datasets": list(self.members)}
        for number, dataset in connection.execute(queries(_SQL)["changed_members"], values):
            self.members[dataset][number] = True

    def _sign(self, places: NDArray[np.int32], sign: int) -> None:
        """Take the signs of these studies away from the states of the datasets that they are of, or add them."""
        for dataset, members in self.members.items():
            held = self._signs[places][members[places] & self.is_present[places]]
            total = int(held.sum(dtype=np.uint64))
            self.states[dataset] = (self.states[dataset] + sign * total) % 2**64

    def _learn_members(self, connection: psycopg.Connection) -> None:
        """Load the datasets that were published since, and forget those that are no more."""
        wanted = {each.number: each.published_at for each in self.published}
        for number in [number for number, at in self._shown.items() if wanted.get(number) != at]:
            del self.members[number], self.states[number], self._shown[number]
        for number in wanted.keys() - self.members.keys():
            statement = queries(_SQL)["members"].format(dataset=number)
            members = np.zeros(len(self.is_present), bool)
            for rows in _blocks(connection, statement, {"number": "i4"}):
                members[rows["number"]] = True
            self.members[number], self._shown[number] = members, wanted[number]
            self.states[number] = int(self._signs[members & self.is_present].sum(dtype=np.uint64))

    def _grow(self, length: int) -> None:
        """Make room; somewhat more than asked for, so that it is not made for each study."""
        if length <= len(self.is_present):
            return
        more = max(length - len(self.is_present), len(self.is_present) // 8 if len(self.is_present) else 0)
        numbers = {name: _longer(held, more) for name, held in self.columns.numbers.items()}
        self.columns = Columns(numbers, self.columns.kinds)
        self.is_present, self.patients = _longer(self.is_present, more), _longer(self.patients, more)
        self._signs = _longer(self._signs, more)
        self.members = {number: _longer(held, more) for number, held in self.members.items()}

    def _codes(self, hashes: NDArray[np.int64]) -> NDArray[np.int32]:
        """The codes of patients, new ones for those who are new."""
        if not self.number_of_patients:
            self._sorted, codes = np.unique(hashes, return_inverse=True)
            self.number_of_patients = len(self._sorted)
            return codes.astype(np.int32)
        places = np.minimum(np.searchsorted(self._sorted, hashes), len(self._sorted) - 1)
        is_known = self._sorted[places] == hashes
        for row in np.flatnonzero(~is_known).tolist():
            code = self._others.setdefault(int(hashes[row]), self.number_of_patients)
            self.number_of_patients = max(self.number_of_patients, code + 1)
            places[row] = code
        return places.astype(np.int32)


def _empty(length: int) -> dict[str, NDArray[Any]]:
    return {name: np.zeros(length, kind) for name, kind in _HELD.items()}


def _longer(held: NDArray[Any], more: int) -> NDArray[Any]:
    return np.concatenate([held, np.zeros(more, held.dtype)])


def _mixed(numbers: NDArray[np.uint64], revisions: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64 bits for each pair (S. Vigna's splitmix64)."""
    with np.errstate(over="ignore"):
        mixed = (revisions << np.uint64(32)) + numbers + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def _blocks(connection: psycopg.Connection, statement: str, fields: dict[str, str]) -> Iterator[NDArray[Any]]:
    """What a COPY in PostgreSQL's binary format gives, all of whose columns have one width and a value."""
    parts: list[tuple[str, str]] = [("width", ">i2")]
    for name, kind in fields.items():
        parts += [(f"length of {name}", ">i4"), (name, f">{kind}")]
    row = np.dtype(parts)
    held, begin = bytearray(), _HEADER
    with connection.cursor().copy(statement.encode()) as copy:
        for chunk in copy:
            held += chunk
            if len(held) >= _BLOCK:
                whole = (len(held) - begin) // row.itemsize
                yield np.frombuffer(bytes(held), row, whole, begin)
                held, begin = held[begin + whole * row.itemsize :], 0
    whole = (len(held) - begin) // row.itemsize  # two bytes that end it are left
    if whole:
        yield np.frombuffer(bytes(held), row, whole, begin)
