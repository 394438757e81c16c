"""What came long ago goes to the bucket, what Orthanc removed goes from there; by one process of a site at a time.

Each step is committed before the next begins, and may be done twice: an instance is named in `moved`; put into the
bucket and read back from it; noted as being there. Only then the plugin removes it from the storage folder
(`orthanc_plugin/moved.py`), and whoever reads it asks the bucket. A row is held while its object is put or removed, so
that an erasure, which wants it, waits.
"""

import hashlib
import logging
import os
import threading
import time
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from archive import measures
from archive.bucket import MOST, Bucket, Kept
from archive.errors import SenogateError, Unavailable
from archive.orthanc import Orthanc
from archive.pool import connect, queries, translated_errors
from archive.settings import Settings
from archive.tiers import Tiers
from deidentification.stored import is_proven

LOCK = 0x5E0A_0046
"""Key of the advisory lock that lets one process move at a time."""
BATCH = 100
_AGAIN = 3600.0  # seconds after which all studies are gone through once more
_MOST_WAITING = 1000  # studies; more are left to the next time that all are gone through
_BEGINNING = (datetime(1970, 1, 1, tzinfo=UTC), "")
_log = logging.getLogger("senogate.moving")


class Mover:
    """Moves what is due, over a connection that commits each statement. Methods raise Unavailable."""

    def __init__(self, settings: Settings, proof_key: bytes, ended: threading.Event | None = None) -> None:
        self._settings, self._tiers, self._proof_key = settings, Tiers.of(settings), proof_key
        self._ended = ended or threading.Event()
        self._sql = queries("tiers.sql")
        self._after = _BEGINNING
        self._begins_at = 0.0  # when all are gone through anew, on the monotonic clock
        self._waiting: set[str] = set()

    @property
    def is_wanted(self) -> bool:
        """Whether the site has a bucket."""
        return self._tiers.bucket is not None

    def end(self) -> None:
        """Let `run` end after the instance under way."""
        self._ended.set()

    def run(self) -> int:
        """Do what is due, unless another process does; how many instances were moved or removed."""
        if self._tiers.bucket is None:
            return 0
        with connect(self._settings.database_url, autocommit=True) as connection, translated_errors():
            if connection.execute(self._sql["move_alone"], {"key": LOCK}).fetchone() != (True,):
                return 0
            return self.step(connection, self._tiers.bucket)

    def step(self, connection: psycopg.Connection, bucket: Bucket) -> int:
        """Name some instances, put those that are named, and remove what is gone; how many."""
        if time.monotonic() >= self._begins_at:
            self._begins_at, self._after = time.monotonic() + _AGAIN, _BEGINNING
            self.note_lost(connection)
            self._sweep(connection)
        self.choose(connection)
        try:
            done = self._remove_gone(connection)
            return done + self._put_named(connection, bucket)
        except Unavailable:
            measures.BUCKET.labels("unavailable").inc()
            raise

    def choose(self, connection: psycopg.Connection) -> None:
        """Name the instances of some studies; those that somebody is about to read wait for the next time."""
        after, study = self._after
        values = {
            "after": after,
            "study": study,
            "days": self._settings.storage_s3_after_days,
            "limit": BATCH,
        }
        found = connection.execute(self._sql["page"], values).fetchall()
        if found:
            self._after = (found[-1][1], found[-1][0])
        studies = {*self._waiting, *(uid for uid, _ in found)}
        rows = connection.execute(self._sql["busy"], {"studies": list(studies)})
        busy = {uid for (uid,) in rows}
        self._waiting = busy if len(busy) <= _MOST_WAITING else set()
        if idle := list(studies - busy):
            with connection.transaction():
                connection.execute(queries("erasure.sql")["store_together"])
                connection.execute(self._sql["choose"], {"studies": idle, "most": MOST})

    def note_lost(self, connection: psycopg.Connection) -> None:
        """Note what Orthanc removed while nobody could note it."""
        unknown = connection.execute(self._sql["unindexed"]).fetchall()
        with closing(Orthanc(self._settings)) as orthanc:
            if unknown and orthanc.index_state().is_own is False:  # it lost its index, and removed nothing
                return
            for start in range(0, len(unknown), BATCH):
                some = unknown[start : start + BATCH]
                held = set(orthanc.places([identifier for _, identifier in some]).values())
                gone = [place for place, _ in some if place not in held]
                connection.execute(self._sql["note_gone"], {"places": gone})

    def put(self, connection: psycopg.Connection, bucket: Bucket, place: str) -> bool:
        """Put one instance into the bucket; whether it is there now."""
        with connection.transaction():
            if not connection.execute(self._sql["hold_to_put"], {"place": place}).fetchone():
                return False
            try:
                kept = self._put(bucket, place)
            except Unavailable:
                raise
            except (SenogateError, OSError) as error:
                _log.warning("the instance at %s stays in its folder (%s)", place, type(error).__name__)
                measures.BUCKET.labels("refused").inc()
                connection.execute(self._sql["not_put"], {"place": place})
                return False
            row: dict[str, Any] = {"place": place, "size": kept.size, "written_at": kept.written_at}
            connection.execute(self._sql["put"], row)
        measures.BUCKET.labels("moved").inc()
        return True

    def _put(self, bucket: Bucket, place: str) -> Kept:
        with open(self._tiers.folder_path(place), "rb") as file:
            if not is_proven(self._proof_key, file.fileno()):
                raise SenogateError("a stored file carries no valid proof of de-identification")
            digest, status = hashlib.file_digest(file, "sha256").digest(), os.fstat(file.fileno())
            file.seek(0)
            kept = Kept(digest, status.st_size, status.st_mtime_ns)
            bucket.put(place, file, kept)
            return kept

    def _put_named(self, connection: psycopg.Connection, bucket: Bucket) -> int:
        named = connection.execute(self._sql["to_be_put"], {"limit": BATCH}).fetchall()
        return sum(self.put(connection, bucket, place) for (place,) in named if not self._ended.is_set())

    def _remove_gone(self, connection: psycopg.Connection) -> int:
        gone = connection.execute(self._sql["gone"], {"limit": BATCH}).fetchall()
        for (place,) in gone:
            with connection.transaction():
                if connection.execute(self._sql["hold_gone"], {"place": place}).fetchone():
                    self._tiers.remove(place)
                    connection.execute(self._sql["forget"], {"place": place})
        return len(gone)

    def _sweep(self, connection: psycopg.Connection) -> None:
        """Remove copies at hand of what is in the bucket no longer."""
        folder = Path(self._settings.storage_cache)
        with suppress(FileNotFoundError):
            names = os.listdir(folder)
            known = {
                place for (place,) in connection.execute(self._sql["known"], {"places": names}).fetchall()
            }
            for name in names:
                if name not in known and not _is_fresh_part(folder / name):
                    (folder / name).unlink(missing_ok=True)


def _is_fresh_part(path: Path) -> bool:
    """Whether somebody may still be writing it."""
    try:
        return path.name.startswith(".part-") and time.time() - path.stat().st_mtime < _AGAIN
    except FileNotFoundError:
        return True
