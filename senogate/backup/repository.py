"""A folder of backups of one site: a folder for each, and files that never change, which they share.

    site.json                  whose backups they are
    files/instances/ab/cd/…    by the UUID under which the site stores them; so are headers
    files/spool-KEY/ab/cd/…    what is spooled, KEY being from the hash of the key that it is sealed to
    backups/NAME/              manifest.json, and sealed parts; its name is the moment at which it was begun
    backups/.NAME.part/        one that is under way, or was cut short: it is no backup

A backup is there when its folder has its name, which is the last thing that happens to it.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple

from archive.errors import BadRequest, Conflict, NotFound, Unavailable
from archive.instances import sync_folder
from senogate.backup.manifest import Manifest

_BLOCK = 1024 * 1024
_NAME = re.compile(r"\d{8}T\d{6}Z")
_SITE = "site.json"
_SECTION = re.compile(r"instances|headers|spool(-[0-9a-f]{16})?")
SPOOL = "spool"
"""What the names of sections of spooled files begin with."""


class Kept(NamedTuple):
    """A file that never changes, as a backup lists it. `section`: instances, headers, or one of spooled files."""

    section: str
    place: str
    size: int
    sha256: bytes


class Repository:
    """The backups in `folder`. What its methods raise of the disk is OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._backups = self.folder / "backups"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody else writes here. Raises Conflict where somebody does."""
        self._backups.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self.folder / ".lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict("another backup is being made there") from None
            for part in self._backups.glob(".*.part"):  # of one that was cut short
                shutil.rmtree(part)
            yield

    @contextmanager
    def held(self, mark: str) -> Iterator[None]:
        """While a backup of the site with this mark is made. Raises Conflict, BadRequest for another site's backups."""
        with self.alone():
            self._belong_to(mark)
            yield

    def _belong_to(self, mark: str) -> None:
        file = self.folder / _SITE
        if not file.exists():
            if any(self._backups.iterdir()):
                raise BadRequest(f"{self.folder} says no longer whose backups it holds: {_SITE} is missing")
            write_whole(file, json.dumps({"site": mark}).encode() + b"\n")
        if json.loads(file.read_bytes()).get("site") != mark:
            raise BadRequest(f"{self.folder} holds backups of another site")

    def names(self) -> list[str]:
        """The whole backups, the oldest first."""
        if not self._backups.is_dir():
            return []
        return sorted(each.name for each in self._backups.iterdir() if _NAME.fullmatch(each.name))

    def choose(self, name: str = "") -> str:
        """The backup of this name, or the newest. Raises NotFound."""
        names = self.names()
        if not names or (name and name not in names):
            raise NotFound(f"{self.folder} holds no {f'backup {name}' if name else 'whole backup'}")
        return name or names[-1]

    def path(self, name: str) -> Path:
        return self._backups / name

    def manifest(self, name: str) -> Manifest:
        """Raises BadRequest for one that can't be read."""
        return Manifest.read(self.path(name) / "manifest.json")

    def begin(self, name: str) -> Path:
        """The folder of a backup under way."""
        part = self._backups / f".{name}.part"
        part.mkdir(mode=0o700)
        return part

    def complete(self, name: str) -> None:
        """Make what is under way a backup, once all of it is on the disk."""
        os.sync()  # the files that are shared, of which there may be millions
        part = self._backups / f".{name}.part"
        part.rename(self.path(name))
        sync_folder(self._backups)

    def shared(self, section: str, place: str) -> Path:
        """Where a file that backups share lies."""
        return self.folder / "files" / section / place[:2] / place[2:4] / place

    def holds(self, kept: Kept) -> bool:
        """Whether a file is there, and not cut off."""
        try:
            return self.shared(kept.section, kept.place).stat().st_size == kept.size
        except FileNotFoundError:
            return False

    def take(self, source: BufferedReader, section: str, place: str) -> Kept:
        """Copy a file in: whole, or not at all. What a backup that was cut short left here is not written again."""
        target, size = self.shared(section, place), os.fstat(source.fileno()).st_size
        with suppress(FileNotFoundError), open(target, "rb") as there:
            if os.fstat(there.fileno()).st_size == size:
                held, found = _digest(there), _digest(source)
                if held == found:
                    return Kept(section, place, size, held)
                source.seek(0)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = target.with_name(f".{place}.part")
        try:
            with open(part, "wb") as copy:
                digest, size = copy_digesting(source, copy)
            part.replace(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        return Kept(section, place, size, digest)

    def remove(self, name: str) -> None:
        """Remove a backup; what it shares with others stays."""
        gone = self._backups / f".{name}.part"
        self.path(name).rename(gone)
        shutil.rmtree(gone)

    def sweep(self, wanted: set[tuple[str, str]]) -> int:
        """Remove shared files that are not `wanted` (section and place); their number."""
        removed = 0
        for section in (self.folder / "files").glob("*"):
            for folder, _, names in os.walk(section):
                for name in names:
                    if (section.name, name) not in wanted:
                        os.unlink(os.path.join(folder, name))
                        removed += 1
        return removed


def is_place(name: str) -> bool:
    """Whether it is what files are stored under: a UUID as the site writes it, which leads nowhere else."""
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


def is_section(name: str) -> bool:
    """Whether it is one of those that backups have."""
    return _SECTION.fullmatch(name) is not None


@contextmanager
def told_of_disks(what: str) -> Iterator[None]:
    """Raise Unavailable, which says why, where a disk is full or takes nothing."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else "a file changed while it was read; try again"
        raise Unavailable(f"{what} failed: {why}") from None
    except sqlite3.OperationalError as error:
        raise Unavailable(f"{what} failed: {error.sqlite_errorname}") from None


def copy_digesting(source: BinaryIO, target: BinaryIO) -> tuple[bytes, int]:
    """Copy to the end; the SHA-256 and the number of bytes."""
    digest, size = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        digest.update(block)
        target.write(block)
        size += len(block)
    return digest.digest(), size


def write_whole(target: Path, content: bytes) -> None:
    """Write a file durably: whole, or not at all."""
    part = target.with_name(f".{target.name}.part")
    with open(part, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)
    sync_folder(target.parent)


def _digest(file: BufferedReader) -> bytes:
    return hashlib.file_digest(file, "sha256").digest()
