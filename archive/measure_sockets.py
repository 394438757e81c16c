"""How the processes of a site tell one another what they counted: each answers at a socket in the site's home.

So whichever gateway Prometheus happens to ask tells of all of them, as it is at that moment, and of the worker and the
keeper, which listen on no port. Nothing is kept on disk: who ended is told of no more, and who starts again begins at
zero, which Prometheus' `rate` knows of. Only the site's own user may connect, and who may write to the folder.
"""

import asyncio
import fcntl
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from archive import measures
from archive.settings import Settings

MOST = 64  # processes of one name
PATIENCE = 1.0  # seconds for a process to answer
_LONGEST = 8 * 1024**2  # bytes of an answer
_PAUSE = 0.2  # seconds before one looks again who asks, where the process had no handle left for it
_log = logging.getLogger("senogate.measures")


def folder_of(settings: Settings) -> Path:
    """Where the sockets lie."""
    return settings.home / "measures"


@contextmanager
def published(settings: Settings, part: str) -> Iterator[None]:
    """Answer as `part`-N, the first N that is free, until the block ends.

    Where the home can't be written to, this process tells of itself alone.
    """
    try:
        listening = _listen(folder_of(settings), part)
    except OSError as error:
        _log.warning("other processes can't ask what this one counted (%s)", type(error).__name__)
        measures.IDENTITY.name = f"{part}-1"
        yield
        return
    ended = threading.Event()
    threading.Thread(target=_answer, args=(listening, ended), name="measures", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        with suppress(OSError):
            os.unlink(measures.IDENTITY.socket)
        listening.close()


def _listen(folder: Path, part: str) -> socket.socket:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        for number in range(1, MOST + 1):
            path = folder / f"{part}-{number}.sock"
            if not _is_alive(path):
                listening = _bind(path)
                measures.IDENTITY.name, measures.IDENTITY.socket = path.stem, str(path)
                return listening
    raise OSError("every name is taken")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process looks for a name meanwhile."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _is_alive(path: Path) -> bool:
    with _reached(path) as address, socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PATIENCE)
        try:
            probe.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True  # one that is busy, or another user's
        return True


def _bind(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    with _reached(path) as address:
        listening.bind(address)
    path.chmod(
        0o600 | path.parent.stat().st_mode & 0o060
    )  # where parts have users of their own, by its group
    listening.listen(8)
    return listening


@contextmanager
def _reached(path: Path) -> Iterator[str]:
    """A way to a socket that is short enough for any home: a socket's address has 107 bytes at most (unix(7))."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _answer(listening: socket.socket, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            asking, _ = listening.accept()
        except OSError:
            ended.wait(_PAUSE)
            continue
        with asking, suppress(OSError):
            asking.settimeout(PATIENCE)
            asking.sendall(measures.text().encode())


async def ask_others(settings: Settings) -> dict[str, str]:
    """By the name of each other process what it counted; an empty text for one that did not answer in time."""
    try:
        paths = sorted(folder_of(settings).glob("*.sock"))
    except OSError:
        return {}
    others = [path for path in paths if str(path) != measures.IDENTITY.socket]
    answers = await asyncio.gather(*map(_ask, others))
    return {path.stem: said for path, said in zip(others, answers, strict=True) if said is not None}


async def _ask(path: Path) -> str | None:
    """None where nobody listens: whoever did has ended."""
    try:
        with _reached(path) as address:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_unix_connection(address, limit=_LONGEST)
                try:
                    said = (await reader.read(-1)).decode()
                    return said if said.endswith("\n") else ""  # else it was cut off
                finally:
                    writer.close()
    except (ConnectionRefusedError, FileNotFoundError):
        return None
    except (OSError, TimeoutError, UnicodeDecodeError):
        return ""
