"""The worker's side of a job's process: started for one job, asked for its answers, ended with it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any

from archive.errors import BadRequest, SenogateError
from federation.jobs.messages import Failure, Order, receive, send_order

MODULE = "federation.jobs.process"
LOOK = 0.5  # seconds between two looks whether the job may still go on
_ENDING = 10.0  # seconds that a process may take to end
_HANDED_ON = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "LD_LIBRARY_PATH")

Told = Mapping[str, Any] | None


class ChildEnded(SenogateError):
    """A job's process has ended before the job had, or was ended as it took too long."""


def work(
    order: Order,
    look: Callable[[int], None],
    *,
    folder: str = "",
    seconds: int,
    memory: int = 0,
    threads: int = 1,
    module: str = MODULE,
) -> list[Told]:
    """What came of each exam, in their order. `look` is called again and again with how many are done, and may raise.

    Raises ChildEnded; BadRequest where the job can't be done, as its process says.
    """
    limits = ("--seconds", str(seconds), "--memory", str(memory), "--threads", str(threads))
    images = [str(path) for exam in order.exams for path in exam.paths]
    where = ("--folder", folder, "--images", *_folders(images))
    process, connection = _start([module, *where, *limits])
    try:
        _send(connection, order)
        return _collect(connection, process, len(order.exams), look, time.monotonic() + seconds)
    finally:
        connection.close()
        if process.poll() is None:
            process.kill()
        process.wait(_ENDING)


def _folders(images: Sequence[str]) -> list[str]:
    """The storage folder with its own, as far as images lie there, and the folder of each other image."""
    paths = [Path(each) for each in images]
    stored = [str(path) for path in paths if path.parent.name == path.name[2:4]]
    others = {str(path.parent) for path in paths if path.parent.name != path.name[2:4]}
    return [*([os.path.commonpath(stored)] if stored else []), *sorted(others)]


def _start(arguments: Sequence[str]) -> tuple["subprocess.Popen[bytes]", Connection]:
    """A process that has nothing of this one's environment: neither a way to the database nor a password."""
    module, *rest = arguments
    ours, theirs = socket.socketpair()
    environment = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(theirs.fileno()), *rest],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
    return process, Connection(ours.detach())


def _send(connection: Connection, order: Order) -> None:
    """In a thread, for a process that never reads would hold up who sends."""

    def send() -> None:
        with suppress(OSError):
            send_order(connection, order)

    Thread(target=send, name="job order", daemon=True).start()


def _collect(
    connection: Connection,
    process: "subprocess.Popen[bytes]",
    exams: int,
    look: Callable[[int], None],
    until: float,
) -> list[Told]:
    found: list[Told] = []
    looked_at = 0.0
    while len(found) < exams:
        if time.monotonic() - looked_at > LOOK:
            look(len(found))
            looked_at = time.monotonic()
        if time.monotonic() > until:
            raise ChildEnded("it took longer than a job may")
        if connection.poll(LOOK):
            found.append(_next(connection, process))
    look(len(found))
    return found


def _next(connection: Connection, process: "subprocess.Popen[bytes]") -> Told:
    try:
        message = receive(connection)
    except (EOFError, OSError, ValueError):
        raise ChildEnded(_how(process)) from None
    if isinstance(message, Failure):
        raise BadRequest(message.message)
    return message.told


def _how(process: "subprocess.Popen[bytes]") -> str:
    with suppress(subprocess.TimeoutExpired):
        status = process.wait(_ENDING)
        if status >= 0:
            return f"it ended with status {status}"
        known = -status in signal.valid_signals()
        return f"it was ended by {signal.Signals(-status).name if known else -status}"
    return "it answers no more"
