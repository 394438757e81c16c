"""Who works on a run: one process at a time, seen from outside at once when it ends, however it ends."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from archive.errors import Unavailable

_FILE = "lock"


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether a process works on a run now, and under which of Flower's numbers the last one did; None for none yet."""

    is_there: bool
    number: int | None


@contextmanager
def alone(folder: Path, number: int, patience: float = 30.0) -> Iterator[None]:
    """Be the one who works on a run, under this number of Flower's. Raises Unavailable where another does not end."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, patience)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(number).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def look(folder: Path) -> Presence:
    """Whether somebody works on a run now."""
    try:
        descriptor = os.open(folder / _FILE, os.O_RDWR)
    except FileNotFoundError:
        return Presence(False, None)
    try:
        text = os.pread(descriptor, 32, 0)
        number = int(text) if text.isdigit() else None
        return Presence(not _try(descriptor), number)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, patience: float) -> None:
    deadline, pause = time.monotonic() + patience, threading.Event()
    while not _try(descriptor):
        if time.monotonic() > deadline:
            raise Unavailable("another process works on this run")
        pause.wait(0.2)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
