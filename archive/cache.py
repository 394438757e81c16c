"""Copies at hand of instances that lie in the bucket: a folder that never holds more than it may.

What was not used for longest goes first, and nothing that was used within the last minutes: it may be being read. The
folder may be shared by all processes of a host. Nothing in it is needed: it may be emptied at any time.
"""

import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from archive import instances
from archive.bucket import Bucket
from archive.errors import Unavailable

IN_USE = 600.0  # seconds after its last use in which a copy stays
_TOUCH = IN_USE / 4  # seconds after which another use is noted
_ROOM = 0.9  # share of what it may hold that is left when room was made
_PART = ".part-"


@dataclass(slots=True)
class _Turns:
    """Who fetches what in this process, so that nobody fetches it twice. Not handed to other processes."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    room: threading.Lock = field(default_factory=threading.Lock)
    taken: dict[str, threading.Lock] = field(default_factory=dict)

    @contextmanager
    def of(self, place: str) -> Iterator[None]:
        with self.lock:
            turn = self.taken.setdefault(place, threading.Lock())
        with turn:
            yield
        with self.lock:
            self.taken.pop(place, None)


@dataclass(frozen=True, slots=True)
class Cache:
    """`most`: bytes that the folder may hold."""

    folder: str
    most: int
    _turns: _Turns = field(default_factory=_Turns, compare=False, repr=False)

    def __reduce__(self) -> tuple[type["Cache"], tuple[str, int]]:
        return Cache, (self.folder, self.most)

    def file(self, place: str) -> Path:
        """Where the copy of an instance lies, there or not."""
        return Path(self.folder, place)

    def path(self, place: str, bucket: Bucket) -> Path:
        """The copy of an instance, fetched where there is none. Raises as `Tiers.path`."""
        instances.path(self.folder, place)  # a UUID, and no way out of the folder
        copy = self.file(place)
        if not self._use(copy):
            with self._turns.of(place):
                if not self._use(copy):
                    self._fetch(place, copy, bucket)
        return copy

    def forget(self, place: str) -> None:
        """Remove the copy of an instance. Raises OSError."""
        self.file(place).unlink(missing_ok=True)

    def _use(self, copy: Path) -> bool:
        """Note that a copy is used; whether there is one."""
        try:
            found = copy.stat()
        except FileNotFoundError:
            return False
        if time.time() - found.st_atime > _TOUCH:
            with suppress(PermissionError):  # another user's: it goes as if it had not been used again
                os.utime(copy, ns=(time.time_ns(), found.st_mtime_ns))
        return True

    def _fetch(self, place: str, copy: Path, bucket: Bucket) -> None:
        """The copy appears whole, written when the instance was."""
        part = copy.with_name(f"{_PART}{uuid.uuid4()}")
        try:
            Path(self.folder).mkdir(mode=0o2770, parents=True, exist_ok=True)
            with open(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640), "wb") as file:
                kept = bucket.fetch(place, file, partial(self._make_room, file.fileno()))
                file.flush()
            os.utime(part, ns=(time.time_ns(), kept.written_at))
            part.rename(copy)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Unavailable(f"no copy of an instance can be made ({type(error).__name__})") from None
        finally:
            part.unlink(missing_ok=True)  # of what was made whole there is none

    def _make_room(self, descriptor: int, size: int) -> None:
        """Make a file so large, once there is room for it. Raises Unavailable."""
        with self._turns.room:
            self._free(size)
            os.ftruncate(descriptor, size)  # so that who makes room next counts it

    def _free(self, size: int) -> None:
        """Remove what was not used for longest until so many bytes fit. Raises Unavailable where they can't."""
        found = list(self._found())
        held = sum(each.st_size for _, each in found)
        if held + size <= self.most:
            return
        now, wanted = time.time(), max(self.most * _ROOM - size, 0)
        for name, each in sorted(found, key=lambda one: one[1].st_atime):
            if held <= wanted or now - each.st_atime < IN_USE:
                break
            Path(self.folder, name).unlink(missing_ok=True)
            held -= each.st_size
        if held + size > self.most:
            raise Unavailable("the copies at hand that are being read leave no room for another")

    def _found(self) -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    yield entry.name, entry.stat(follow_symlinks=False)
