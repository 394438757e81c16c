"""The bytes of an instance, as Orthanc's storage folder holds them: an unchanged Part 10 file (PS3.10) each."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def path(storage: str, place: str) -> Path:
    """Where the attachment with the UUID `place` lies below `storage`.

    Raises ValueError when `place` is not a UUID, so that it can never lead out of the folder.
    """
    if not _UUID.fullmatch(place):
        raise ValueError("the place of an instance must be a UUID in lower case")
    return Path(storage, place[:2], place[2:4], place)


def write(storage: str, place: str, data: bytes) -> None:
    """Store an attachment durably: its bytes and its name are on disk when this returns.

    Raises OSError, with nothing left behind.
    """
    target = path(storage, place)
    levels = (target.parent, target.parent.parent)
    made = [folder for folder in levels if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    folders = [target.parent, *(folder.parent for folder in made)]  # new names have to last as well
    write_durably(target, data, folders)


def write_durably(target: Path, data: bytes, folders: Sequence[Path] = ()) -> None:
    """Make a new file: its bytes and its name are on disk when this returns. Raises OSError, with nothing left.

    `folders` are those whose names have to last, its own where none are given.
    """
    with open(target, "xb", buffering=0) as file:
        try:
            _write_all(file.fileno(), data)
            os.fsync(file.fileno())
            for folder in folders or [target.parent]:
                sync_folder(folder)
        except OSError:
            target.unlink(missing_ok=True)
            raise


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
