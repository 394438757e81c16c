"""The stored files that answers are made of: only those whose proof of de-identification holds."""

import asyncio
import errno
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from archive import measures
from archive.cached_file import open_cached, read_cached
from archive.errors import NotFound, SenogateError, Unavailable, Unproven, is_away, is_shortage
from archive.search import Place
from archive.tiers import Tiers
from deidentification import stored

_REMEMBERED = 50_000  # files whose proof was found to hold
_LOG = logging.getLogger("senogate.stored")

Result = TypeVar("Result")
_State = tuple[str, int, int, int, int]  # the instance, and its file's size, times of change and inode


class StoredFiles:
    """Checks the proof of a file once for each state that it is found in. `refused` counts the others."""

    def __init__(self, tiers: Tiers, proof_key: bytes) -> None:
        self._tiers = tiers
        self._proof_key = proof_key
        self._proven: OrderedDict[str, _State] = OrderedDict()
        self._lock = threading.Lock()
        self.refused = 0

    async def read(self, places: Sequence[Place], work: Callable[[Sequence[Path]], Result]) -> Result:
        """What `work`, called in a thread, finds in the instances' files.

        Raises NotFound where a file is gone, Unavailable where no more can be opened, Unproven where one is not the
        instance that was indexed, as this site made it, and what `work` raises.
        """
        return await asyncio.get_running_loop().run_in_executor(None, self.read_now, places, work)

    def read_at_once(self, place: Place, offset: int, length: int) -> bytes | None:
        """Bytes of an instance's file, without waiting for a disk.

        None where they are not in memory, or the file is not in a state whose proof was found to hold.
        """
        opened = map(open_cached, self._tiers.at_once(place.place))
        descriptor = next((each for each in opened if each is not None), None)
        if descriptor is None:
            return None
        try:
            is_proven = self._proven.get(place.place) == _state(place, os.fstat(descriptor))
            return read_cached(descriptor, length, offset) if is_proven else None
        finally:
            os.close(descriptor)

    async def paths(self, places: Sequence[Place]) -> list[Path]:
        """Where the instances lie. Raises as `read` does."""
        return await self.read(places, list)

    async def path(self, place: Place) -> Path:
        """Where one instance lies. Raises as `read` does."""
        if self._tiers.bucket is None and self.read_at_once(place, 0, 0) is not None:
            return self._tiers.folder_path(place.place)
        (path,) = await self.paths([place])
        return path

    def read_now(self, places: Sequence[Place], work: Callable[[Sequence[Path]], Result]) -> Result:
        """As `read`, in the thread that this is called in."""
        try:
            return self._read(places, work)
        except OSError as error:
            if is_shortage(error):
                raise Unavailable("too many files are open to read a stored one") from None
            if is_away(error):
                raise Unavailable("the disk of the images does not answer") from None
            self._tiers.require_mounted()
            raise NotFound("the stored bytes of an instance are no longer there") from None

    def again(self, path: Path) -> Path:
        """Where a file lies by now that was moved, or whose copy went, after its proof was checked; else `path`."""
        known = self._proven.get(path.name)
        try:
            found = self._tiers.path(path.name)
            with open(found, "rb") as file:
                proven = stored.check(self._proof_key, file.fileno())
                size = os.fstat(file.fileno()).st_size
        except (ValueError, OSError, SenogateError):
            return path
        return found if known and proven and (proven.sop_instance_uid, size) == known[:2] else path

    def _read(self, places: Sequence[Place], work: Callable[[Sequence[Path]], Result]) -> Result:
        """Once more, where a file is not where it was a moment ago: it was moved, or NFS knows another one."""
        try:
            return work([self._require(place) for place in places])
        except OSError as error:
            if error.errno != errno.ESTALE and (self._tiers.bucket is None or error.errno != errno.ENOENT):
                raise
            return work([self._require(place) for place in places])

    def _require(self, place: Place) -> Path:
        path = self._path(place)
        state = _state(place, os.stat(path))
        if self._proven.get(place.place) != state:
            self._check(place, path)
        return path

    def _path(self, place: Place) -> Path:
        try:
            path = self._tiers.path(place.place)
        except Unavailable:
            measures.BUCKET.labels("unavailable").inc()
            raise
        return path

    def _check(self, place: Place, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            status = os.fstat(descriptor)
            proven = stored.check(self._proof_key, descriptor) if status.st_size == place.size else None
        finally:
            os.close(descriptor)
        if proven is None or proven.sop_instance_uid != place.sop_instance_uid:
            self._refuse(place)
        with self._lock:
            self._proven[place.place] = _state(place, status)
            while len(self._proven) > _REMEMBERED:
                self._proven.popitem(last=False)

    def _refuse(self, place: Place) -> None:
        with self._lock:
            self.refused += 1
            self._proven.pop(place.place, None)
        _LOG.error("the stored file %s carries no valid proof; %d such answers", place.place, self.refused)
        raise Unproven(
            "the stored bytes of an instance carry no valid proof of de-identification, so they are not served"
        )


def _state(place: Place, status: os.stat_result) -> _State:
    return place.sop_instance_uid, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
