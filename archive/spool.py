"""The spool: instances that may not be stored as they came, sealed, until they are cleaned or decided on.

A row says what is to become of an instance, its file holds the instance; the row is the truth. A file is durable before
its row, and goes after it: a file without a row is one that nobody was told of.
"""

import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from archive.audit import WORKER, Event, Record
from archive.durable import DurableConnection
from archive.errors import Conflict, NotFound
from archive.instances import write_durably
from archive.pool import queries

_ZEROS = bytes(1024 * 1024)
_ORPHANED = 3600.0  # seconds after which a file without a row is no longer one that is just being held


class State(StrEnum):
    """What is to become of an instance in the spool, or became of it."""

    WAITING = "waiting"
    CLEANING = "cleaning"
    QUARANTINED = "quarantined"  # for a person to decide on
    RELEASED = "released"
    DISCARDED = "discarded"


class Purpose(StrEnum):
    """What a held instance is opened for."""

    CLEAN = "clean"
    LOOK = "look"
    RELEASE = "release"


class Opening(NamedTuple):
    """That a held instance was opened."""

    opened_at: datetime
    opened_by: str
    purpose: str


OPEN = (State.WAITING, State.CLEANING, State.QUARANTINED)


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of an instance that is to be held. UIDs are pseudonyms, `size` is in bytes."""

    digest: bytes
    state: State
    reason: str
    patient_id: str
    study_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the spool; nothing in it says whom the instance is about."""

    id: str
    state: State
    reason: str
    sop_class_uid: str
    study_instance_uid: str
    sop_instance_uid: str
    size: int
    attempts: int
    received_at: datetime
    changed_at: datetime
    masks: Sequence[Sequence[int]] | None  # what the cleaning masks: x, y, width and height in pixels
    decision: Mapping[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        times = {name: getattr(self, name).isoformat() for name in ("received_at", "changed_at")}
        return {field.name: getattr(self, field.name) for field in fields(self)} | times


class Spool:
    """The sealed files in `folder` and their rows. Methods raise Unavailable, and what they name.

    Not safe for use from several threads at once; the caller serialises.
    """

    def __init__(self, folder: Path, connection: DurableConnection) -> None:
        self._folder = folder
        self._connection = connection
        self._sql = queries("spool.sql")

    def hold(self, arrival: Arrival, seal: Callable[[str], bytes]) -> None:
        """Take an instance in, durably; one that is held already is not held twice.

        `seal` gives the sealed bytes for the identifier that it is given. Raises OSError as well.
        """
        digest = {"digest": arrival.digest}
        if self._connection.execute(self._sql["is_held"], digest)[0][0]:
            return
        identifier = str(uuid.uuid4())
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(self._path(identifier), seal(identifier))
        self._connection.execute(self._sql["hold"], asdict(arrival) | {"id": identifier})
        if self._connection.execute(self._sql["held_as"], digest) != [(identifier,)]:
            self.forget(identifier)

    def due(self) -> list[str]:
        """The identifiers of what waits to be cleaned, oldest first."""
        return [identifier for (identifier,) in self._connection.execute(self._sql["due"])]

    def begin(self, identifier: str) -> int | None:
        """Begin a cleaning: how many were begun so far, this one included; None where none is due."""
        rows = self._connection.execute(self._sql["begin"], {"id": identifier})
        return rows[0][0] if rows else None

    def put_back(self, identifier: str) -> None:
        """End a cleaning that could not be done now; it does not count."""
        self._connection.execute(self._sql["put_back"], {"id": identifier})

    def finish(
        self, identifier: str, state: State, reason: str, masks: Sequence[Sequence[int]] | None
    ) -> None:
        """End a cleaning that came to `masks`, or to none. The sealed file goes when the instance is released."""
        found = None if masks is None else Jsonb(masks)
        values = {"id": identifier, "state": state, "reason": reason, "masks": found}
        self._connection.execute(self._sql["finish"], values)
        if state not in OPEN:
            self.forget(identifier)

    def decide(self, identifier: str, state: State, reason: str, decision: Mapping[str, Any]) -> None:
        """Record a person's decision; the sealed file goes. Raises Conflict where it was decided before."""
        values = {"id": identifier, "state": state, "reason": reason, "decision": Jsonb(decision)}
        if not self._connection.execute(self._sql["decide"], values):
            raise Conflict(f"{identifier} is not held: it was released or discarded before")
        self.forget(identifier)

    def entries(self, state: State | None = None) -> list[Entry]:
        """The rows, or those in one state, oldest first."""
        return [_entry(row) for row in self._connection.execute(self._sql["list"], {"state": state})]

    def entry(self, identifier: str) -> Entry:
        """One row. Raises NotFound."""
        rows = self._connection.execute(self._sql["show"], {"id": identifier})
        if not rows:
            raise NotFound(f"the spool has no {identifier}")
        return _entry(rows[0])

    def count_open(self) -> dict[State, int]:
        """How many instances are held, by state; those of which there are none too."""
        counted = dict(self._connection.execute(self._sql["count_open"]))
        return {state: counted.get(state, 0) for state in OPEN}

    def openings(self, identifier: str) -> list[Opening]:
        """Who opened an instance, oldest first."""
        return [Opening(*row) for row in self._connection.execute(self._sql["openings"], {"id": identifier})]

    def read(self, identifier: str, by: str, purpose: Purpose) -> bytes:
        """The sealed bytes of an instance, after it is on record who opens them and what for.

        Raises NotFound where there are none (any more).
        """
        study = [row[0] for row in self._connection.execute(self._sql["study"], {"id": identifier})]
        subject = WORKER if purpose == Purpose.CLEAN else f"os:{by}"
        detail = {"spool": identifier, "purpose": purpose.value}
        record = Record(Event.SPOOL_OPENED, subject, study_instance_uid=(study or [None])[0], detail=detail)
        values = {"id": identifier, "by": by, "purpose": purpose, "content": record.content()}
        self._connection.execute(self._sql["record_opening"], values)
        try:
            return self._path(identifier).read_bytes()
        except OSError as error:
            raise NotFound(
                f"the sealed file of {identifier} can't be read ({type(error).__name__})"
            ) from None

    def forget(self, identifier: str) -> None:
        """Remove a sealed file."""
        self._path(identifier).unlink(missing_ok=True)

    def shred(self, identifier: str) -> None:
        """Write over a sealed file, and remove it."""
        path = self._path(identifier)
        with suppress(FileNotFoundError):
            with open(path, "r+b", buffering=0) as file:
                for _ in range(0, os.fstat(file.fileno()).st_size, len(_ZEROS)):
                    file.write(_ZEROS)
                os.fsync(file.fileno())
            path.unlink()

    def sweep(self) -> int:
        """Remove sealed files that no open row has, left by a process that was killed; their number."""
        held = {identifier for (identifier,) in self._connection.execute(self._sql["open_ids"])}
        removed = 0
        for path in self._folder.glob("*"):
            with suppress(FileNotFoundError):
                if path.name not in held and path.stat().st_mtime < time.time() - _ORPHANED:
                    path.unlink()
                    removed += 1
        return removed

    def _path(self, identifier: str) -> Path:
        return self._folder / str(uuid.UUID(identifier))


def _entry(row: tuple[Any, ...]) -> Entry:
    return Entry(row[0], State(row[1]), *row[2:])
