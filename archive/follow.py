"""Orthanc's `/changes` → the index: every batch and the position it reaches are one transaction.

So a follower that is killed anywhere has either done a batch or not begun it, and doing one twice changes nothing.
Orthanc's log names no removals: of these the plugin leaves notes in the table `removal`.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import psycopg

from archive.audit import WORKER, Event, write
from archive.dicom_json import InstanceRecord, read_instance
from archive.errors import Unavailable, Unproven
from archive.index import UNREADABLE, Found, Index
from archive.orthanc import Changes, Orthanc
from archive.pool import queries
from archive.readings import Wanted, want
from archive.tiers import Tiers, translated_absence

BATCH = 200  # changes a transaction
FOLLOWER_LOCK = 0x5E0A_0002
"""Key of the advisory lock that lets one process follow at a time."""

_FOLDERS = "[0-9a-f][0-9a-f]"  # of a storage folder; an Orthanc that starts without its disk leaves other files there

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Followed:
    """What one step did: instances indexed, and whether the log's end was reached."""

    indexed: int
    done: bool


class Arrivals(Protocol):
    """Who is told what was followed, for the traces of it."""

    def note(self, written: Sequence[Found], began: int) -> None:
        """These were indexed, from `began` on, in nanoseconds since 1970."""

    def settle(self, connection: psycopg.Connection, studies: Sequence[str]) -> None:
        """Readings of these became due, in the transaction under way."""


class Follower:
    """Brings the index up to what Orthanc holds, over one connection that it holds alone.

    `is_proven` tells of an open file, by its descriptor, whether it carries a valid proof of this site; one
    that does not is never indexed.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        orthanc: Orthanc,
        tiers: Tiers,
        is_proven: Callable[[int], bool],
        arrivals: Arrivals | None = None,
    ) -> None:
        self._arrivals = arrivals
        self._connection = connection
        self._orthanc = orthanc
        self._tiers = tiers
        self._is_proven = is_proven
        self._index = Index(connection)
        self._sql = queries("index.sql")

    def is_alone(self) -> bool:
        """Whether this process is the one that follows; true until its connection ends."""
        row = self._connection.execute(self._sql["follow_alone"], {"key": FOLLOWER_LOCK}).fetchone()
        self._connection.commit()
        return bool(row and row[0])

    def step(self) -> Followed:
        """Take one batch of changes, and what was removed meanwhile, into the index. Raises Unavailable."""
        began = time.time_ns()
        with self._connection.transaction():
            self._connection.execute(queries("erasure.sql")["store_together"])
            changes = self._next_changes()
            created = [row.id for row in changes.rows if row.type == "NewInstance"]
            found = list(self._find(created))
            known = self._known(found)
            written = self._index.write(found)
            self._index.render(each.record.study_instance_uid for each in written)
            self._record_arrivals(each for each in written if each.place not in known)
            position = 0 if self._forget_removed() else changes.last
            self._connection.execute(self._sql["move_position"], {"sequence": position})
        if self._arrivals:
            self._arrivals.note(written, began)
        return Followed(len(written), changes.done and position == changes.last)

    def settle(self, age: float, wanted: Callable[[], Sequence[Wanted]]) -> int:
        """Want readings of the studies to which no image has come for `age` seconds; the number of readings wanted.

        A study is read for what is wanted then and it has images of. What Orthanc calls stable is not asked for: it
        forgets which studies are not yet when it is killed.
        """
        with self._connection.transaction():
            settled = [uid for (uid,) in self._connection.execute(self._sql["settle"], {"age": age})]
            number = want(self._connection, wanted(), settled) if settled else 0
            if number and self._arrivals:
                self._arrivals.settle(self._connection, settled)
            return number

    def index(self, identifiers: Iterable[str]) -> int:
        """Index these instances anew; their number. Raises Unavailable."""
        with self._connection.transaction():
            self._connection.execute(queries("erasure.sql")["store_together"])
            written = self._index.write(list(self._find(list(identifiers))))
            self._index.render(each.record.study_instance_uid for each in written)
            return len(written)

    def _known(self, found: Sequence[Found]) -> set[str]:
        """The places of files that did not come now: the index has them, some by the name that they had before."""
        uids = {"uids": [each.record.sop_instance_uid for each in found]}
        rows = self._connection.execute(self._sql["former_places"], uids).fetchall() if found else []
        former: dict[str, str] = dict(rows)
        return {
            each.place
            for each in found
            if self._is_same(former.get(each.record.sop_instance_uid), each.place)
        }

    def _is_same(self, former: str | None, place: str) -> bool:
        if former is None:
            return False
        with suppress(OSError):
            return os.path.samefile(self._tiers.folder_path(former), self._tiers.folder_path(place))
        return False

    def _record_arrivals(self, written: Iterable[Found]) -> None:
        """Put on record what came, by whatever door, a record for each study of the batch."""
        arrived = Counter((each.record.study_instance_uid, each.record.study.patient_id) for each in written)
        for (study, patient), number in sorted(arrived.items()):
            write(
                self._connection,
                Event.ARRIVED,
                subject=WORKER,
                study_instance_uid=study,
                patient_id=patient,
                detail={"instances": number},
            )

    def _next_changes(self) -> Changes:
        """The log after the stored position, or from its beginning when Orthanc's log is younger than that."""
        (position,) = self._connection.execute(self._sql["position"]).fetchone() or (0,)
        changes = self._orthanc.changes(position, BATCH)
        if changes.last < position:
            changes = self._orthanc.changes(0, BATCH)
        return changes

    def _forget_removed(self) -> bool:
        """Forget what the plugin noted as removed; whether Orthanc's log is another one than it was."""
        noted = self._connection.execute(self._sql["take_removals"]).fetchall()
        if gone := [(uid, place) for uid, place in noted if uid]:
            self._index.forget(gone)
        return len(gone) < len(noted) and self._compare()

    def _compare(self) -> bool:
        """Forget what Orthanc lacks, unless its index is not that of the files; whether it is another than before."""
        state = self._orthanc.index_state()
        if state.is_own is None:  # it is about to start
            self._connection.execute(self._sql["want_comparison"])
            return False
        (known,) = self._connection.execute(self._sql["index_mark"]).fetchone() or (None,)
        self._connection.execute(self._sql["follow_index"], {"mark": state.mark})
        if state.is_own:
            self._forget_what_orthanc_lacks()
        return known != state.mark and not (known is None and state.is_own)

    def _forget_what_orthanc_lacks(self) -> None:
        """Forget what was removed without a note: Orthanc was killed between the two, or PostgreSQL did not answer."""
        (count,) = self._connection.execute(self._sql["count_known"]).fetchone() or (0,)
        if count == self._orthanc.count_instances():
            return
        self._connection.execute(self._sql["list_held"])
        with self._connection.cursor() as cursor, cursor.copy(self._sql["copy_held"]) as copy:
            for identifier in self._orthanc.instances():
                copy.write_row((identifier,))
        missed = self._connection.execute(self._sql["not_held"]).fetchall()
        for some in _batches(missed):  # pages of a list shift while it is read: each is asked for by itself
            held = set(self._orthanc.places([identifier for _, identifier, _ in some]))
            self._index.forget([(uid, place) for uid, identifier, place in some if identifier not in held])

    def _find(self, identifiers: Sequence[str]) -> Iterator[Found]:
        """The instances that Orthanc still holds; one that can't be read is set aside."""
        places = self._orthanc.places(identifiers)
        for identifier in identifiers:
            if identifier in places:
                try:
                    yield read_found(self._tiers, self._is_proven, identifier, places[identifier])
                except UNREADABLE as error:
                    self._index.set_aside(identifier, type(error).__name__)


def read_found(tiers: Tiers, is_proven: Callable[[int], bool], identifier: str, place: str) -> Found:
    """What an instance's file says.

    Raises Unproven for one that this site did not make, or not this one, and as `Tiers.path`.
    """
    try:
        opened = tiers.open_at_hand(place)
    except FileNotFoundError:
        if not any(Path(tiers.storage).glob(_FOLDERS)):
            raise Unavailable(
                "the storage folder is empty: is it mounted, and does `storage` name it?"
            ) from None
        raise
    with opened as file, translated_absence():
        if not is_proven(file.fileno()):
            raise Unproven("a stored file carries no valid proof of de-identification")
        record, status = read_instance(file), os.fstat(file.fileno())
    if orthanc_id(record) != identifier:
        raise Unproven("a stored file is another instance than the one that Orthanc stored there")
    return Found(record, identifier, place, status.st_size, status.st_mtime_ns)


def orthanc_id(record: InstanceRecord) -> str:
    """The identifier by which Orthanc knows an instance: SHA-1 of its patient and UIDs, in groups of eight."""
    named = (
        record.study.patient_id,
        record.study.study_instance_uid,
        record.series.series_instance_uid,
        record.sop_instance_uid,
    )
    digest = hashlib.sha1("|".join(named).encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


def _batches(rows: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH)):
        yield batch
