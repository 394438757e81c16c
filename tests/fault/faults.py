"""What goes wrong. Each fault is a context: it is so while the block runs; what ends it is not the site's doing.

A site gets no help with what it does about it: parts are started again by `senogate up` or not at all, and that one
by whoever keeps services running.
"""

import os
import random
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import psutil
import psycopg

from tests.fault.ground import Ground
from tests.live import LiveSite, eventually

DAY = 24 * 3600


@dataclass(frozen=True)
class Fault:
    """`make` begins it, where there is what it needs; it lasts at most some seconds. The wire is that of senders."""

    make: Callable[[Ground, random.Random], AbstractContextManager[None]]
    needs: frozenset[str] = frozenset()
    seconds: float = 0
    pace: int = 0  # bytes a second
    length: int = 0  # bytes after which a connection breaks off
    damaged: int = 0  # files among those sent


def _parts(site: LiveSite, name: str) -> list[psutil.Process]:
    """The processes of one part, the first of them first; none where it does not run now."""
    with suppress(AssertionError, psutil.NoSuchProcess, FileNotFoundError):
        first = psutil.Process(site.child(name))
        return [first, *first.children(recursive=True)]
    return []


@contextmanager
def _killed(name: str, ground: Ground, chance: random.Random) -> Iterator[None]:
    for process in _parts(ground.site, name)[:1]:
        process.kill()
    yield


@contextmanager
def _model_process_killed(ground: Ground, chance: random.Random) -> Iterator[None]:
    for process in _parts(ground.site, "worker")[1:]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    yield


@contextmanager
def _everything_killed(ground: Ground, chance: random.Random) -> Iterator[None]:
    """As by a power cut, but for what the kernel has not written yet; then the service is started again."""
    parts = psutil.Process(ground.site.pid).children(recursive=True)
    ground.site.stop(signal.SIGKILL)
    for process in parts:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    yield
    eventually(lambda: not [each for each in parts if each.is_running()])
    ground.site.start()


@contextmanager
def _stopped(name: str, number: signal.Signals, ground: Ground, chance: random.Random) -> Iterator[None]:
    for process in _parts(ground.site, name)[:1]:
        process.send_signal(number)
    yield


@contextmanager
def _hanging(name: str, ground: Ground, chance: random.Random) -> Iterator[None]:
    """Every process of the part stands still."""
    found = _parts(ground.site, name)
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@contextmanager
def _connections_cut(ground: Ground, chance: random.Random) -> Iterator[None]:
    """All connections to PostgreSQL, when it begins and when it ends."""
    _cut(ground.site)
    yield
    _cut(ground.site)


def _cut(site: LiveSite) -> None:
    with suppress(psycopg.OperationalError), site.database() as database:
        database.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
        )


@contextmanager
def _full(disk: str, ground: Ground, chance: random.Random) -> Iterator[None]:
    found = getattr(ground, disk)
    try:
        found.fill()
        yield
    finally:
        found.empty()


@contextmanager
def _read_only(disk: str, ground: Ground, chance: random.Random) -> Iterator[None]:
    found = getattr(ground, disk)
    found.lock()
    try:
        yield
    finally:
        found.unlock()


@contextmanager
def _no_folder(ground: Ground, chance: random.Random) -> Iterator[None]:
    """The folder of images does not let anybody write: its mode, where nothing can be mounted."""
    folders = [path for path in ground.images.folder.rglob("*") if path.is_dir()]
    for folder in folders:
        os.chmod(folder, 0o500)
    try:
        yield
    finally:
        for folder in folders:
            os.chmod(folder, 0o755)


@contextmanager
def _clock_off(seconds: int, ground: Ground, chance: random.Random) -> Iterator[None]:
    ground.clock.move(seconds)
    try:
        yield
    finally:
        ground.clock.move(0)


@contextmanager
def _nothing(ground: Ground, chance: random.Random) -> Iterator[None]:
    yield


_DISKS, _CLOCK = frozenset({"disks"}), frozenset({"clock"})
FAULTS: Mapping[str, Fault] = {
    "postgresql killed": Fault(partial(_killed, "postgresql")),
    "orthanc killed": Fault(partial(_killed, "orthanc")),
    "gateway killed": Fault(partial(_killed, "gateway")),
    "worker killed": Fault(partial(_killed, "worker")),
    "keeper killed": Fault(partial(_killed, "keeper")),
    "model process killed": Fault(_model_process_killed),
    "everything killed": Fault(_everything_killed, seconds=1),
    "postgresql stopped": Fault(partial(_stopped, "postgresql", signal.SIGINT), seconds=1),
    "postgresql hangs": Fault(partial(_hanging, "postgresql"), seconds=7),
    "orthanc hangs": Fault(partial(_hanging, "orthanc"), seconds=5),
    "worker hangs": Fault(partial(_hanging, "worker"), seconds=5),
    "connections cut": Fault(_connections_cut, seconds=1),
    "disk full": Fault(partial(_full, "home"), _DISKS, seconds=4),
    "disk of images full": Fault(partial(_full, "images"), _DISKS, seconds=3),
    "disk read-only": Fault(partial(_read_only, "home"), _DISKS, seconds=4),
    "images read-only": Fault(partial(_read_only, "images"), _DISKS, seconds=3),
    "folder of images locked": Fault(_no_folder, seconds=3),
    "clock a day ahead": Fault(partial(_clock_off, DAY), _CLOCK, seconds=4),
    "clock an hour behind": Fault(partial(_clock_off, -3600), _CLOCK, seconds=4),
    "files damaged": Fault(_nothing, damaged=12),
    "network slow": Fault(_nothing, seconds=2, pace=150_000),
    "network breaks off": Fault(_nothing, seconds=3, length=400_000),
}
