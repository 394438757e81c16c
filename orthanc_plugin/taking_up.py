"""Files of the storage folder that Orthanc's index does not name, registered with Orthanc again.

Orthanc can only be handed bytes, for which it asks to have a file written under a new name: the file that is there is
linked to that name, so that nothing is copied, and its old name goes once nobody needs it. Whoever is killed anywhere
leaves a file with one name more, which the same call finds.
"""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from archive import instances
from archive.durable import DurableConnection
from archive.errors import Unavailable
from archive.pool import queries
from deidentification.refusal import Refused
from orthanc_plugin.received import Door
from orthanc_plugin.unfinished import Orthanc, is_held, sop_instance_uid

_SIDE_BY_SIDE = 4  # files on their way to Orthanc


class Verdict(StrEnum):
    """What became of a file. Those after `ERASED` are left as they are."""

    HELD = "held"  # Orthanc's index names it
    REGISTERED = "registered"  # it does so now, by another name
    LINKED = "linked"  # an older name of a file that it names
    AGAIN = "again"  # the instance was stored again since, in another file
    ERASED = "erased"  # its study or patient was erased after it was written
    UNPROVEN = "unproven"  # it was cut short, or altered, or not made here
    UNKNOWN = "unknown"  # the crosswalk does not say whom it is about
    GONE = "gone"
    NOT_NOW = "not now"


_SUPERFLUOUS = frozenset([Verdict.LINKED, Verdict.AGAIN, Verdict.ERASED])


@dataclass(frozen=True, slots=True)
class _Taken:
    place: str
    instance: bytes


class TakingUp:
    """Of one Orthanc and its storage folder; `began` is when this process did, in seconds since 1970."""

    def __init__(
        self, storage: str, door: Door, orthanc: Orthanc, database: DurableConnection, began: float
    ) -> None:
        self._storage, self._door, self._orthanc, self._began = storage, door, orthanc, began
        self._database = database
        self._asking = threading.Lock()  # of the database
        self._current = threading.local()
        self._workers = ThreadPoolExecutor(_SIDE_BY_SIDE, "taking-up")

    def take_up(self, places: Sequence[str], *, clear: bool) -> dict[str, str]:
        """Register files by the attachments that they were; what became of each.

        With `clear` those go that are superfluous, but for what this process may be storing. Raises ValueError.
        """
        for place in places:
            instances.path(self._storage, place)
        found = self._workers.map(partial(self._settle, clear=clear), places)
        return dict(zip(places, map(str, found), strict=True))

    def clear_headers(self, places: Sequence[str]) -> int:
        """Remove the copies of headers that Orthanc's index does not name; their number. Raises ValueError."""
        files = [instances.header_path(self._storage, place) for place in places]
        gone = [file for file in files if self._is_older(file) and is_held(file, self._orthanc) is False]
        for file in gone:
            file.unlink(missing_ok=True)
        return len(gone)

    def link(self, place: str, instance: bytes) -> bool:
        """Store what this thread takes up at another place; whether it was that, and is there. Raises OSError."""
        taken: _Taken | None = getattr(self._current, "taken", None)
        if taken is None or taken.instance != instance:
            return False
        return instances.link(self._storage, taken.place, place)

    def _settle(self, place: str, *, clear: bool) -> Verdict:
        file = instances.path(self._storage, place)
        try:
            verdict = self._weigh(place, file)
        except FileNotFoundError:
            return Verdict.GONE
        except (Unavailable, OSError, MemoryError):
            return Verdict.NOT_NOW
        if clear and verdict in _SUPERFLUOUS and self._is_older(file):
            file.unlink(missing_ok=True)
        return verdict

    def _is_older(self, file: Path) -> bool:
        """Whether a file was written before this process began, and so is none that it is writing."""
        with suppress(OSError):
            return file.stat().st_mtime < self._began
        return False

    def _weigh(self, place: str, file: Path) -> Verdict:
        """Raises OSError, Unavailable."""
        uid = sop_instance_uid(file)
        if uid is None:
            file.stat()
            raise OSError("a file can't be read")
        held = self._orthanc.places(uid) if uid else set()
        if place in held:
            return Verdict.HELD
        if any(_is_same(file, instances.path(self._storage, each)) for each in held):
            return Verdict.LINKED
        instance = file.read_bytes()
        return self._refusal(instance, file) or self._register(place, instance)

    def _refusal(self, instance: bytes, file: Path) -> Verdict | None:
        if not self._door.is_proven(instance):
            return Verdict.UNPROVEN
        try:
            study, patient = self._door.subject_of(instance)
        except Refused:
            return Verdict.UNPROVEN
        values = {"pseudonyms": [study, patient], "written": file.stat().st_mtime}
        with self._asking:
            if self._database.execute(queries("erasure.sql")["erased_since"], values):
                return Verdict.ERASED
        return None if self._door.is_known(instance, study) else Verdict.UNKNOWN

    def _register(self, place: str, instance: bytes) -> Verdict:
        status, identifier = self._store(place, instance)
        if status != "AlreadyStored":
            return Verdict.REGISTERED
        if self._is_sound(self._orthanc.place_of(identifier)):
            return Verdict.AGAIN
        self._orthanc.delete(identifier)
        self._store(place, instance)
        return Verdict.REGISTERED

    def _store(self, place: str, instance: bytes) -> tuple[str, str]:
        with self._taking(_Taken(place, instance)):
            return self._door.keep(instance, self._orthanc.store, is_new=False)

    def _is_sound(self, place: str) -> bool:
        """Whether what Orthanc holds instead is there, with its proof."""
        try:
            return self._door.is_proven(instances.path(self._storage, place).read_bytes())
        except FileNotFoundError:
            return False

    @contextmanager
    def _taking(self, taken: _Taken) -> Iterator[None]:
        self._current.taken = taken
        try:
            yield
        finally:
            self._current.taken = None


def _is_same(file: Path, other: Path) -> bool:
    with suppress(OSError):
        return os.path.samefile(file, other)
    return False


def asked(body: bytes) -> tuple[list[str], list[str], bool]:
    """What a request names: places of instances and of headers, and whether to clear. Raises ValueError."""
    try:
        told = json.loads(body)
        places, headers = told.get("places", []), told.get("headers", [])
        clear = told.get("clear", False)
    except AttributeError:
        raise ValueError("it is no object") from None
    are_lists = isinstance(places, list) and isinstance(headers, list)
    if not are_lists or not all(isinstance(each, str) for each in [*places, *headers]):
        raise ValueError("it names no places")
    if not isinstance(clear, bool):
        raise ValueError("it does not say whether to clear")
    return places, headers, clear
