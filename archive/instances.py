"""The bytes of an instance, as Orthanc's storage folder holds them: an unchanged Part 10 file (PS3.10) each."""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_MODE = 0o666  # what the umask leaves of it
_NO_LINKS = frozenset([errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS])
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def path(storage: str, place: str) -> Path:
    """Where the attachment with the UUID `place` lies below `storage`.

    Raises ValueError when `place` is not a UUID, so that it can never lead out of the folder.
    """
    if not _UUID.fullmatch(place):
        raise ValueError("the place of an instance must be a UUID in lower case")
    return Path(storage, place[:2], place[2:4], place)


def require_mounted(mount: str) -> None:
    """Raise OSError where `mount` is named and nothing is mounted there: what was written would lie beneath it."""
    if mount and not os.path.ismount(mount):
        raise OSError(errno.ENOTCONN, "nothing is mounted where the storage folder is to be mounted", mount)


def header_path(storage: str, place: str) -> Path:
    """Where the copy of a header that Orthanc keeps as the attachment `place` lies. Raises as `path` does."""
    return path(storage, place).parents[2] / "headers" / place[:2] / place


def write_header(storage: str, place: str, data: bytes) -> None:
    """Store Orthanc's copy of a header. It is not durable: the instance itself is, and says the same.

    Orthanc makes one of each instance, since it can't read a part of a file through a plugin. Raises OSError.
    """
    target = str(header_path(storage, place))
    try:
        descriptor = os.open(target, _NEW, _MODE)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        descriptor = os.open(target, _NEW, _MODE)
    try:
        _write_all(descriptor, data)
    finally:
        os.close(descriptor)


def write(storage: str, place: str, data: bytes) -> None:
    """Store an attachment durably: its bytes and its name are on disk when this returns.

    Raises OSError, with nothing left behind.
    """
    target = str(path(storage, place))
    folder = os.path.dirname(target)
    parents = (folder, os.path.dirname(folder))
    new = [os.path.dirname(parent) for parent in parents if not os.path.isdir(parent)]
    os.makedirs(folder, exist_ok=True)
    write_durably(target, data, [folder, *new])  # new names have to last as well


def link(storage: str, place: str, new_place: str) -> bool:
    """Give the attachment `place` another name, durably; whether its file system can. Raises OSError."""
    target = path(storage, new_place)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path(storage, place), target)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    for folder in (target.parent, *target.parents[1:3]):
        sync_folder(folder)
    return True


def places(storage: str) -> Iterator[str]:
    """The attachments that lie in the storage folder, but for copies of headers, in their order."""
    for folder in _below(storage):
        for inner in _below(folder):
            yield from sorted(filter(_UUID.fullmatch, os.listdir(inner)))


def header_places(storage: str) -> Iterator[str]:
    """The copies of headers that lie in the storage folder, in their order."""
    headers = os.path.join(storage, "headers")
    for folder in _below(headers) if os.path.isdir(headers) else ():
        yield from sorted(filter(_UUID.fullmatch, os.listdir(folder)))


def _below(folder: str) -> list[str]:
    names = sorted(filter(re.compile("[0-9a-f]{2}").fullmatch, os.listdir(folder)))
    return [os.path.join(folder, name) for name in names]


def write_durably(target: str | Path, data: bytes, folders: Sequence[str] = ()) -> None:
    """Make a new file: its bytes and its name are on disk when this returns. Raises OSError, with nothing left.

    `folders` are those whose names have to last, its own where none are given.
    """
    descriptor = os.open(target, _NEW, _MODE)
    try:
        _write_all(descriptor, data)
        os.fsync(descriptor)
        for folder in folders or [os.path.dirname(target) or os.curdir]:
            sync_folder(folder)
    except OSError:
        with suppress(OSError):  # what kept it from being written may keep it from being removed
            os.unlink(target)
        raise
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: str | Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
