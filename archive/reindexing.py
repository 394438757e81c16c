"""The index, built anew from what Orthanc holds, in steps that are whole each: one that is killed is gone on with.

What is to be done is listed in PostgreSQL when it begins. A step reads some of the listed instances, writes them and
forgets what is no longer there, in one transaction with how far that is. Meanwhile every search finds each instance,
as it was or as it is; and the worker may follow Orthanc beside it.
"""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import psycopg
from psycopg import errors

from archive.errors import Conflict
from archive.follow import read_found
from archive.index import UNREADABLE, Found, Index
from archive.orthanc import Orthanc
from archive.pool import queries
from archive.tiers import Tiers

BATCH = 500  # instances a step
LOCK = 0x5E0A_0041
"""Key of the advisory lock that lets one process reindex at a time."""
_TRIES = 5  # of a step that another process stood in the way of
_AHEAD = 2  # steps for each process that are read before they can be written

IsProven = Callable[[int], bool]
Seen = list["Found | Unread"]


@dataclass(frozen=True, slots=True)
class Listed:
    """An instance to look at, and what the index said of it when that began."""

    number: int
    orthanc_id: str
    sop_instance_uid: str | None
    place: str | None


@dataclass(frozen=True, slots=True)
class Unread:
    """An instance whose file can't be read, and the kind of error by which."""

    orthanc_id: str
    reason: str


class Reindexing:
    """One process that reindexes. `connection` commits by itself; methods raise Unavailable, and what they name.

    `is_proven` is as a Follower has it, and can be pickled where there are several `processes`.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        orthanc: Orthanc,
        tiers: Tiers,
        is_proven: IsProven,
        processes: int = 1,
    ) -> None:
        self._connection = connection
        self._orthanc = orthanc
        self._tiers = tiers
        self._read = partial(read_all, tiers, is_proven)
        self._processes = processes
        self._index = Index(connection)
        self._sql = queries("reindexing.sql")

    def run(self, identifiers: Callable[[], Iterable[str]], advance: Callable[[int], object]) -> int:
        """Index all instances that Orthanc lists anew and forget all others; the number of those that are indexed.

        `identifiers` is asked where none is under way. `advance` is told how many are done, first of those that were
        before. Raises Conflict where another process reindexes.
        """
        with self._alone():
            position, total, _ = self._under_way() or self._begin(identifiers())
            advance(position)
            for some, seen in self._seen(position):
                self._persist(some, seen)
                advance(len(some))
            return self._end()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        key = {"key": LOCK}
        row = self._connection.execute(self._sql["alone"], key).fetchone()
        if not (row and row[0]):
            raise Conflict("another process reindexes")
        try:
            yield
        finally:
            if not self._connection.closed:
                self._connection.execute(self._sql["leave"], key)

    def _under_way(self) -> tuple[int, int, int] | None:
        row = self._connection.execute(self._sql["under_way"]).fetchone()
        return row and (row[0], row[1], row[2])

    def _begin(self, identifiers: Iterable[str]) -> tuple[int, int, int]:
        """List what is to be done."""
        with self._connection.transaction():
            self._connection.execute(self._sql["list"])
            with self._connection.cursor() as cursor, cursor.copy(self._sql["copy"]) as copy:
                for identifier in identifiers:
                    copy.write_row((identifier,))
            for name in ("forget_list", "fill", "begin"):
                self._connection.execute(self._sql[name])
            self._connection.execute(queries("index.sql")["forget_set_aside"])
        found = self._under_way()
        assert found
        return found

    def _seen(self, position: int) -> Iterator[tuple[list[Listed], Seen]]:
        """The steps after a position, in their order, each with what its files say."""
        with _pool(self._processes) as submit:
            waiting: deque[tuple[list[Listed], Future[Seen]]] = deque()
            for some in self._steps(position):
                places = self._orthanc.places([each.orthanc_id for each in some])
                waiting.append((some, submit(self._read, list(places.items()))))
                while len(waiting) > _AHEAD * (self._processes - 1):
                    done, future = waiting.popleft()
                    yield done, future.result()
            for done, future in waiting:
                yield done, future.result()

    def _steps(self, position: int) -> Iterator[list[Listed]]:
        while True:
            values = {"after": position, "limit": BATCH}
            some = [Listed(*row) for row in self._connection.execute(self._sql["next"], values)]
            if not some:
                return
            yield some
            position = some[-1].number

    def _persist(self, some: Sequence[Listed], seen: Seen) -> None:
        """Write a step, again where another process that writes to the index stood in its way."""
        for attempt in range(1, _TRIES + 1):
            try:
                self._write(some, seen)
                return
            except (errors.DeadlockDetected, errors.SerializationFailure, errors.ForeignKeyViolation):
                if attempt == _TRIES:
                    raise

    def _write(self, some: Sequence[Listed], seen: Seen) -> None:
        """What was erased after its file was read is not written: no erasure ends while the lock is held."""
        read = [each for each in seen if isinstance(each, Found)]
        with self._connection.transaction():
            self._connection.execute(queries("erasure.sql")["store_together"])
            found = [each for each in read if self._written_at(each.place)]
            for each in seen:
                if isinstance(each, Unread):
                    self._index.set_aside(each.orthanc_id, each.reason)
            there = {each.orthanc_id for each in read}
            gone = [each for each in some if each.sop_instance_uid and each.orthanc_id not in there]
            self._index.forget([(str(each.sop_instance_uid), str(each.place)) for each in gone])
            written = self._index.write(self._newest(found))
            self._index.render(each.record.study_instance_uid for each in found)
            values = {"position": some[-1].number, "indexed": len(written)}
            self._connection.execute(self._sql["advance"], values)

    def _newest(self, found: Sequence[Found]) -> list[Found]:
        """In the order in which they were stored, without those of which the index has one that was stored later."""
        values = {
            "uids": [each.record.sop_instance_uid for each in found],
            "places": [each.place for each in found],
        }
        later = {
            uid: self._written_at(place)
            for uid, place in self._connection.execute(self._sql["others"], values)
        }
        kept = [each for each in found if each.written_at >= later.get(each.record.sop_instance_uid, 0)]
        return sorted(kept, key=lambda each: each.written_at)

    def _written_at(self, place: str) -> int:
        """When an instance was written, in nanoseconds, also one that lies in the bucket; 0 where it has gone."""
        if (found := self._tiers.written_at(place)) or not self._tiers.bucket:
            return found
        row = self._connection.execute(queries("tiers.sql")["written_at"], {"place": place}).fetchone()
        return row[0] if row else 0

    def _end(self) -> int:
        """Forget what is empty by now; the worker compares what was removed meanwhile."""
        with self._connection.transaction():
            self._index.forget_empty(None)
            self._connection.execute(queries("index.sql")["want_comparison"])
            found = self._under_way()
            for name in ("end", "forget_list"):
                self._connection.execute(self._sql[name])
        return found[2] if found else 0


def read_all(tiers: Tiers, is_proven: IsProven, places: Sequence[tuple[str, str]]) -> Seen:
    """What the files of instances say, by Orthanc's identifiers and where they lie. Raises Unavailable."""
    seen: Seen = []
    for identifier, place in places:
        try:
            seen.append(read_found(tiers, is_proven, identifier, place))
        except UNREADABLE as error:
            seen.append(Unread(identifier, type(error).__name__))
    return seen


@contextmanager
def _pool(processes: int) -> Iterator[Callable[..., "Future[Seen]"]]:
    """What has a function called: in a process of several, or here and now."""
    if processes < 2:
        yield _now
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes - 1, context) as pool:
        yield pool.submit


def _now(function: Callable[..., Seen], *arguments: object) -> "Future[Seen]":
    done: Future[Seen] = Future()
    done.set_result(function(*arguments))
    return done
