"""A copy of Orthanc's own index, of one moment, while Orthanc writes to it.

Orthanc holds its SQLite file under an exclusive lock, so SQLite itself lets nobody in. But the file changes only when
the log beside it is worked into it, and the log is only added to until it begins anew: where neither happened while
both were copied, the copies are what a power cut would have left, which SQLite is made to open. Where Orthanc is so
busy that it always happens, it is held still for the moment.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from archive.errors import ConfigurationError, Unavailable
from archive.settings import Settings
from orthanc_plugin.lineage import PROPERTY, mark_of

_LOG_HEADER = 32  # bytes of a write-ahead log that are others whenever it begins anew
_TICK = 0.05  # seconds; more than the grain of a file's times
_ATTEMPTS = 5
_INSTANCE = 1  # FileContentType_Dicom of Orthanc; other attachments here are copies of headers


class Attachment(NamedTuple):
    """A file that Orthanc's index names."""

    place: str
    is_instance: bool


def find(settings: Settings) -> Path:
    """Where Orthanc's index lies. Raises ConfigurationError where it is in neither of the places that it may be in."""
    for folder in (settings.home / "orthanc" / "index", Path(settings.storage)):
        if (folder / "index").is_file():
            return folder / "index"
    raise ConfigurationError(
        "Orthanc's index is neither in the home nor in the storage folder: it is backed up where it is SQLite's"
    )


def target(settings: Settings) -> Path:
    """Where it belongs on a site that has none yet."""
    own = Path(settings.storage) == settings.home / "orthanc" / "storage"
    return (settings.home / "orthanc" / "index" if own else Path(settings.storage)) / "index"


def copy(settings: Settings, into: Path) -> Path:
    """Copy the index to a single file in the folder `into`. Raises Unavailable, ConfigurationError, OSError."""
    source = find(settings)
    made = into / ".orthanc-index"
    pause = threading.Event()
    for attempt in range(_ATTEMPTS):
        pause.wait(_TICK * attempt)
        if _copy_undisturbed(source, made):
            break
    else:
        with _held_still(settings):
            if not _copy_undisturbed(source, made):
                raise Unavailable("Orthanc writes to its index all the time: try again when it is less busy")
    _fold(made)
    return made


def attachments(index: Path) -> Iterator[Attachment]:
    """What the index of a copy names, in the order of the places."""
    with closing(sqlite3.connect(index)) as connection:
        for place, kind in connection.execute("select uuid, fileType from AttachedFiles order by uuid"):
            yield Attachment(place, kind == _INSTANCE)


def is_of_files(index: Path, storage: str) -> bool:
    """Whether the index of a copy is that of the stored files (orthanc_plugin/lineage.py)."""
    try:
        noted = mark_of(storage).read_text()
    except FileNotFoundError:
        return True  # of a release that gave none
    with closing(sqlite3.connect(index)) as connection:
        found = connection.execute("select value from GlobalProperties where property = ?", [PROPERTY])
        return found.fetchone() == (noted,)


def forget(index: Path, places: Sequence[str]) -> None:
    """Take the instances out of a copy of the index whose files had gone before they were copied."""
    with closing(sqlite3.connect(index)) as connection, connection:
        for function in ("SignalFileDeleted", "SignalResourceDeleted", "SignalRemainingAncestor"):
            connection.create_function(function, -1, lambda *values: None)  # which its triggers call
        connection.execute("pragma foreign_keys = on")
        connection.execute("pragma recursive_triggers = on")
        for place in places:
            connection.execute(
                "delete from Resources where internalId in (select id from AttachedFiles where uuid = ?)",
                [place],
            )


def is_sound(index: Path) -> bool:
    """Whether a file is a sound SQLite database with what Orthanc's index has."""
    try:
        with closing(sqlite3.connect(index)) as connection:
            connection.execute("select count(*) from AttachedFiles").fetchone()
            return connection.execute("pragma quick_check").fetchone() == ("ok",)
    except sqlite3.Error:
        return False


def _copy_undisturbed(source: Path, made: Path) -> bool:
    """Copy the file and its log; whether nothing of it may be of another moment."""
    log, copied_log = _log_of(source), _log_of(made)
    copied_log.unlink(missing_ok=True)
    before = _state(source, log)
    if 0 <= time.time_ns() - before[1] < _TICK * 1e9:  # what follows might not show in it
        return False
    shutil.copyfile(source, made)
    if log.exists():
        shutil.copyfile(log, copied_log)
    return _state(source, log) == before


def _state(source: Path, log: Path) -> tuple[int, int, bytes]:
    found = source.stat()
    try:
        with open(log, "rb") as file:
            header = file.read(_LOG_HEADER)
    except FileNotFoundError:
        header = b""
    return found.st_size, found.st_mtime_ns, header


def _log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def _fold(made: Path) -> None:
    """Work the log into the file, and leave the file alone."""
    try:
        with closing(sqlite3.connect(made)) as connection:
            connection.execute("pragma journal_mode = delete").fetchone()
    except sqlite3.Error as error:
        raise Unavailable(f"the copy of Orthanc's index is not sound ({type(error).__name__})") from None


@contextmanager
def _held_still(settings: Settings) -> Iterator[None]:
    """While the site's Orthanc, where it is a process of this machine, does nothing."""
    found = list(_orthancs(settings.home / "orthanc" / "orthanc.json"))
    with _woken_in_any_case(found):
        for pid in found:
            os.kill(pid, signal.SIGSTOP)
        threading.Event().wait(2 * _TICK)
        yield


@contextmanager
def _woken_in_any_case(pids: Sequence[int]) -> Iterator[None]:
    """Let processes go on at the end of the block, by another process: this one may be killed in it."""
    command = ["sh", "-c", 'read ended; kill -CONT "$@"', "sh", *map(str, pids)]
    waker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        waker.communicate()


def _orthancs(configuration: Path) -> Iterator[int]:
    """The processes that run Orthanc with this configuration: `senogate up` or the system started one."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended, or is another user's
        if bytes(configuration) in arguments and any(each.endswith(b"/Orthanc") for each in arguments):
            yield int(folder.name)
