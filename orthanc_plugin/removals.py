"""What Orthanc removes, noted durably for the index: its own log has no removals.

A note is committed before the file goes, so that nothing is served for long that Orthanc no longer holds. Where
PostgreSQL does not answer the file goes all the same, and its note follows. What is noted when Orthanc starts makes the
worker compare, so that a note which was lost with the process is none the worse.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg

from archive.durable import DurableConnection
from archive.errors import Unavailable
from archive.pool import queries
from deidentification import part10

_BEGINNING = 4096  # bytes of a file in which its File Meta Information lies
_MOST = 10_000  # notes that are kept while PostgreSQL does not answer; then all is compared
_PAUSE = 2.0  # seconds between two attempts

Note = tuple[
    str | None, str | None
]  # SOP Instance UID, if it is known, and place; of neither: whatever may be gone
UNKNOWN: Note = (None, None)


class Removals:
    """Notes that are committed at once where that is possible, else soon. Safe for use from several threads."""

    def __init__(self, connection: DurableConnection, warn: Callable[[str], None]) -> None:
        self._connection = connection
        self._warn = warn
        self._lock = threading.Lock()
        self._notes: list[Note] = []
        self._retry: threading.Timer | None = None

    def begin(self) -> None:
        """Note that Orthanc starts."""
        with self._lock:
            self._notes.append(UNKNOWN)
            self._try_again(0)

    def note(self, file: Path, place: str) -> None:
        """Note that the instance in `file`, the attachment `place`, is about to be removed. Never raises."""
        uid = _sop_instance_uid(file)
        with self._lock:
            is_first = not self._notes
            self._notes.append((uid, place))
            if is_first:  # else the ones before have to wait too
                self._commit()

    def _commit(self) -> None:
        values = {"uids": [uid for uid, _ in self._notes], "places": [place for _, place in self._notes]}
        try:
            self._connection.execute(queries("index.sql")["note_removal"], values)
        except (Unavailable, psycopg.Error) as error:
            self._connection.close()
            if len(self._notes) > _MOST:
                self._notes = [UNKNOWN]
            self._warn(f"a removal can't be noted yet ({type(error).__name__})")
            self._try_again(_PAUSE)
        else:
            self._notes.clear()

    def _try_again(self, pause: float) -> None:
        self._retry = threading.Timer(pause, self._commit_later)
        self._retry.daemon = True
        self._retry.start()

    def _commit_later(self) -> None:
        with self._lock:
            self._commit()


def _sop_instance_uid(file: Path) -> str | None:
    """The UID in the File Meta Information; None where it can't be read."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError:
        return None
    try:
        return part10.read_sop_instance_uid(os.pread(descriptor, _BEGINNING, 0)) or None
    except OSError:
        return None
    finally:
        os.close(descriptor)
