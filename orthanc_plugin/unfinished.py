"""Files that Orthanc was storing when it was killed: no row of its index names them, and no erasure would find them.

Orthanc writes a file first and its row afterwards. So each file is named in a journal before it is written, and when
Orthanc starts, the last ones named are compared with what it holds.
"""

import errno
import json
import os
import re
import threading
from collections.abc import Callable
from math import inf
from pathlib import Path

from archive.errors import SenogateError
from deidentification import part10

_LAST = 1000  # names that are looked at; far more than Orthanc stores at a time
_LINE = 37  # bytes: a UUID on a line of its own
_MOST = 200  # attachments that Orthanc can have been storing at a time
_LATELY = 60.0  # seconds before the last one was written in which another can have been begun, and not be in the index
_LONGEST = 1000 * _LAST * _LINE
_BEGINNING = 4096  # bytes of a file in which its File Meta Information lies
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def journal_of(storage: str) -> Path:
    """Where the journal lies: in the storage folder, the one place that Orthanc may write to however a site is run."""
    return Path(storage) / "begun"


class ForeignIndex(SenogateError):
    """Orthanc was started with an index that is not that of its files; not `is_certain` where it may be the clock."""

    def __init__(self, message: str, *, is_certain: bool = True) -> None:
        super().__init__(message)
        self.is_certain = is_certain


class Journal:
    """The names of attachments, in the order in which they were begun. Safe for use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._lock = threading.Lock()

    def note(self, place: str) -> None:
        """Note that an attachment is about to be written. Raises OSError."""
        line = f"\n{place}".encode()  # after whatever was cut short before it
        with self._lock:
            descriptor = self._open()
            try:
                if os.write(descriptor, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                self._descriptor = None  # the folder may be another when it is back
                os.close(descriptor)
                raise

    def _open(self) -> int:
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
        return self._descriptor

    def last(self) -> list[str]:
        """The last names, to be read before the first one is noted; the journal is cut to them where it is long."""
        try:
            content = self._path.read_bytes()
        except OSError:
            return []
        end = content[-_LAST * _LINE :]
        if len(content) > _LONGEST:
            self._path.write_bytes(end)
        return [name for name in end.decode("ascii", "replace").splitlines() if _UUID.fullmatch(name)]


class Orthanc:
    """What Orthanc holds, asked from inside of it: `get`, `post` and `delete` are those of its REST API."""

    def __init__(
        self,
        get: Callable[[str], bytes],
        post: Callable[[str, bytes], bytes],
        delete: Callable[[str], object],
    ) -> None:
        self._get = get
        self._post = post
        self._delete = delete

    def places(self, sop_instance_uid: str) -> set[str]:
        """The attachments that the instances of a SOP Instance UID have."""
        found = json.loads(self._post("/tools/lookup", sop_instance_uid.encode()))
        return {
            place for each in found if each["Type"] == "Instance" for place in self._attachments(each["Path"])
        }

    def place_of(self, identifier: str) -> str:
        """The attachment that an instance is, by Orthanc's identifier of it."""
        return json.loads(self._get(f"/instances/{identifier}/attachments/dicom/info"))["Uuid"]

    def store(self, instance: bytes) -> tuple[str, str]:
        """Hand it an instance: what it says of it, such as AlreadyStored, and its identifier."""
        answer = json.loads(self._post("/instances", instance))
        return answer["Status"], answer["ID"]

    def delete(self, identifier: str) -> None:
        """Delete an instance, by Orthanc's identifier of it."""
        self._delete(f"/instances/{identifier}")

    def _attachments(self, path: str) -> list[str]:
        names = json.loads(self._get(f"{path}/attachments"))
        return [json.loads(self._get(f"{path}/attachments/{name}/info"))["Uuid"] for name in names]


def remove_unfinished(files: list[Path], orthanc: Orthanc) -> int:
    """Remove those of the files that Orthanc does not hold; their number. `files` are named by their attachments.

    Raises ForeignIndex, with nothing removed, where they are more than Orthanc can have been storing, or one is older
    than what it can have been storing when it ended: its index is another than the one that they were stored under,
    and they may be all that there is of what was acknowledged.
    """
    unfinished = [file for file in files if is_held(file, orthanc) is False]
    if (
        len(unfinished) > _MOST
        or _last_written(files) - min(map(_written, unfinished), default=inf) > _LATELY
    ):
        raise ForeignIndex(
            f"Orthanc's index knows nothing of {len(unfinished)} files that were stored last",
            is_certain=len(unfinished) > _MOST,
        )
    for file in unfinished:
        file.unlink(missing_ok=True)
    return len(unfinished)


def _last_written(files: list[Path]) -> float:
    return max(map(_written, filter(Path.exists, files)), default=0.0)


def _written(file: Path) -> float:
    return file.stat().st_mtime


def is_held(file: Path, orthanc: Orthanc) -> bool | None:
    """Whether Orthanc's index names the file; None where there is no such file."""
    uid = sop_instance_uid(file)
    return None if uid is None else bool(uid) and file.name in orthanc.places(uid)


def sop_instance_uid(file: Path) -> str | None:
    """What the file is of; empty where it was cut off before it says so, None where there is no such file."""
    try:
        with open(file, "rb") as opened:
            return part10.read_sop_instance_uid(opened.read(_BEGINNING))
    except OSError:
        return None
