"""The warm client: a process that has loaded everything, and forks itself for each piece of work.

Work that crashes, hangs, or wants more memory or time than it may have ends its own process, and nothing else.
"""

import ctypes
import json
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import connection as connections
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

from archive.errors import SenogateError, Unavailable

_KILL_ON_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_SLACK = 30  # seconds after which work that took too long ends itself, if nobody ended it
_NICE = 5  # what people wait for at the site comes first
_ENDING = 10.0  # seconds that a process may take to end


class WorkEnded(SenogateError):
    """The process of the work has ended before the work had."""


class WorkRefused(SenogateError):
    """The work could not be done, as an error of ours says, of the class `kind`; `may_be_tried` says whether soon."""

    def __init__(self, kind: str, message: str, *, may_be_tried: bool) -> None:
        super().__init__(message)
        self.kind, self.may_be_tried = kind, may_be_tried


@dataclass(frozen=True, slots=True)
class Limits:
    """What a piece of work may take: seconds, and MiB of memory, 0 for any."""

    seconds: int
    memory: int = 0


class Warm:
    """Starts work in processes forked from one that has imported `modules`."""

    def __init__(self, modules: Sequence[str], limits: Limits) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(modules))
        self._limits = limits

    def prepare(self) -> None:
        """Begin to load, unless that was done."""
        forkserver.ensure_running()

    def begin(self, work: str, *arguments: Any) -> "Work":
        """Start a function, `module:name`, which answers some bytes; it may raise SenogateError."""
        ours, theirs = self._context.Pipe()
        told = (theirs, self._limits, work, arguments)
        process = self._context.Process(target=_work, args=told, daemon=True)
        process.start()
        theirs.close()
        return Work(process, ours, time.monotonic() + self._limits.seconds)


class Work:
    """A piece of work under way. Whoever began it ends it."""

    def __init__(self, process: Any, connection: Connection, until: float) -> None:
        self._process, self._connection, self._until = process, connection, until

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def wait(self, seconds: float) -> list[bytes] | None:
        """What came of it, None where it goes on. Raises WorkRefused where it said no, WorkEnded where it ended."""
        connections.wait([self._connection, self._process.sentinel], seconds)
        if self._connection.poll():
            try:
                return self._read()
            except (EOFError, OSError):
                raise WorkEnded(self._how()) from None
        if not self._process.is_alive():
            raise WorkEnded(self._how())
        if time.monotonic() > self._until:
            raise WorkEnded("it took longer than it may")
        return None

    def end(self) -> None:
        """End its process, if it has not ended."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join(_ENDING)
        self._connection.close()

    def _read(self) -> list[bytes]:
        told = json.loads(self._connection.recv_bytes())
        if "kind" in told:
            raise WorkRefused(told["kind"], told["message"], may_be_tried=told["may_be_tried"])
        return [self._connection.recv_bytes() for _ in range(told["parts"])]

    def _how(self) -> str:
        self._process.join(_ENDING)
        status = self._process.exitcode
        if status is None or status >= 0:
            return f"it ended with status {status}"
        known = -status in signal.valid_signals()
        name = signal.Signals(-status).name if known else str(-status)
        return f"it was ended by {name}"


def _work(answer: Connection, limits: Limits, work: str, arguments: Sequence[Any]) -> None:
    """Do it in the forked process, within the limits; what is wrong is logged without the text of any error."""
    _limit(limits)
    threading.Thread(target=_end_with, args=(answer,), daemon=True).start()
    try:
        module, _, name = work.partition(":")
        parts = getattr(import_module(module), name)(*arguments)
    except SenogateError as error:
        told = {"kind": type(error).__name__, "message": str(error)}
        answer.send_bytes(json.dumps(told | {"may_be_tried": isinstance(error, Unavailable)}).encode())
    except Exception as error:  # noqa: BLE001 - its text, or a traceback, could quote a value
        _tell(error)
        os._exit(1)
    else:
        answer.send_bytes(json.dumps({"parts": len(parts)}).encode())
        for part in parts:
            answer.send_bytes(part)


def _limit(limits: Limits) -> None:
    ctypes.CDLL(None).prctl(_KILL_ON_PARENT, signal.SIGKILL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.alarm(limits.seconds + _SLACK)
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits.memory:
        most = limits.memory * 1024**2
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _end_with(answer: Connection) -> None:
    """End where nobody waits for the answer any more."""
    try:
        answer.recv_bytes()  # nothing is ever sent this way
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGKILL)


def _tell(error: Exception) -> None:
    """Where it went wrong, without what."""
    for frame in traceback.extract_tb(error.__traceback__):
        sys.stderr.write(f"  {frame.filename}:{frame.lineno} in {frame.name}\n")
    sys.stderr.write(f"the work failed: {type(error).__name__}\n")
    sys.stderr.flush()
