"""Where instances lie: in the storage folder, or in a bucket with a copy at hand. Whoever reads one asks here."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from archive import instances
from archive.bucket import Bucket, access_of
from archive.cache import Cache
from archive.errors import Unavailable, is_away
from archive.settings import Settings

_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Tiers:
    """The storage folder, where its file system is mounted, and the bucket with the folder of its copies at hand.

    Values alone, so that it can be handed to another process.
    """

    storage: str
    mount: str = ""
    bucket: Bucket | None = None
    cache: Cache | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Tiers":
        """Those of a site."""
        if not (access := access_of(settings)):
            return cls(settings.storage, settings.storage_mount)
        cache = Cache(settings.storage_cache, settings.storage_cache_gib * _GIB)
        return cls(settings.storage, settings.storage_mount, Bucket(access), cache)

    def folder_path(self, place: str) -> Path:
        """Where an instance lies or lay in the storage folder. Raises ValueError."""
        return instances.path(self.storage, place)

    def path(self, place: str) -> Path:
        """A file with the bytes of an instance: fetched, where they lie in the bucket. It may go when it is not used.

        Raises FileNotFoundError where there are none, Unavailable where disk or bucket do not answer, Unproven where
        what the bucket gives is not what was put there.
        """
        own = self.folder_path(place)
        if self.bucket is None or self.cache is None or self.is_in_folder(place):
            return own
        return self.cache.path(place, self.bucket)

    def at_once(self, place: str) -> Iterator[Path]:
        """Where its bytes may lie without being fetched, there or not."""
        yield self.folder_path(place)
        if self.cache:
            yield self.cache.file(place)

    @contextmanager
    def open(self, place: str) -> Iterator[BufferedReader]:
        """An instance to be read through once; what lies in the bucket is not kept at hand. Raises as `path`."""
        with translated_absence():
            found = self._open_in_folder(place)
            with found or self._fetched(place) as file:
                yield file

    def open_at_hand(self, place: str) -> BufferedReader:
        """The file that `path` names, open. Raises as that does."""
        return self._open_in_folder(place) or open(self.path(place), "rb")

    def _open_in_folder(self, place: str) -> BufferedReader | None:
        """None for one that may lie in the bucket. What is removed meanwhile stays readable."""
        try:
            return open(self.folder_path(place), "rb")
        except FileNotFoundError:
            self.require_mounted()
            if self.bucket is None:
                raise
            return None

    def _fetched(self, place: str) -> BufferedReader:
        """A file without a name."""
        assert self.bucket
        with tempfile.TemporaryFile(buffering=0) as file:
            self.bucket.fetch(place, file, _any)
            return open(f"/proc/self/fd/{file.fileno()}", "rb")

    def read(self, place: str) -> bytes:
        """All bytes of an instance. Raises as `path`."""
        with self.open(place) as file:
            return file.read()

    def written_at(self, place: str) -> int:
        """When the file in the storage folder was written, in nanoseconds since 1970; 0 where there is none."""
        try:
            return os.stat(self.folder_path(place)).st_mtime_ns
        except (OSError, ValueError):
            return 0

    def is_in_folder(self, place: str) -> bool:
        """Raises Unavailable where the disk does not answer, or is not there."""
        with translated_absence():
            if self.folder_path(place).exists():
                return True
            self.require_mounted()
            return False

    def remove(self, place: str) -> None:
        """Remove an instance from the bucket, for good, and its copy at hand. Raises Unavailable."""
        if self.bucket and self.cache:
            self.bucket.remove(place)
            self.cache.forget(place)

    def require_mounted(self) -> None:
        """Raise Unavailable where the file system with the storage folder is to be mounted and is not."""
        with translated_absence():
            instances.require_mounted(self.mount)


def _any(size: int) -> None:
    """Room for a file that goes when it is closed: there is, or writing it says that there is not."""
    if size > shutil.disk_usage(tempfile.gettempdir()).free:
        raise Unavailable("there is no room for an instance of the bucket")


@contextmanager
def translated_absence() -> Iterator[None]:
    """Make Unavailable of what a disk that does not answer raises: nothing is known of its files then."""
    try:
        yield
    except OSError as error:
        if is_away(error):
            raise Unavailable("the disk of the images does not answer") from None
        raise
