"""The worker's side of its model process: orders go there, and when it dies they come back as failures.

A codec or a network that ends its process ends that one alone. Which of the readings under way did it can't be told,
so each of them is tried again by itself (`alone`), and only the one at fault ends the process again.
"""

import itertools
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing.connection import Connection

from archive import measures
from inference.errors import ModelProcessEnded
from inference.execution.messages import Order, Reply

MODULE = "inference.execution.process"
_ENDING = 10.0  # seconds that a process may take to end
_log = logging.getLogger("senogate.execution")


class Host:
    """Runs one model process, started when it is first needed and again after it has ended."""

    def __init__(self, arguments: Sequence[str] = (), *, seconds: float = 900, module: str = MODULE) -> None:
        self._command = [sys.executable, "-m", module]
        self._arguments = list(arguments)
        self._seconds = seconds
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._doors = Doors()
        self._process: _Process | None = None

    def read(self, folder: str, paths: Sequence[str], *, density: str = "", alone: bool = False) -> Reply:
        """Have a reading done (`Order` tells of what); with `alone`, while no other is under way.

        Raises ModelProcessEnded where the process ended meanwhile, or was ended as it took too long.
        """
        with self._doors.alone() if alone else self._doors.together():
            process = self._running()
            reply = process.submit(Order(next(self._numbers), folder, paths, density))
            try:
                return reply.result(self._seconds)
            except TimeoutError:
                reason = f"a reading took longer than {self._seconds:g} seconds"
                process.end(reason)
                raise ModelProcessEnded(reason) from None

    def prepare(self) -> None:
        """Start the process, unless it runs."""
        self._running()

    @property
    def pid(self) -> int | None:
        """The process's id, None where none runs."""
        process = self._process
        return process.pid if process and process.is_alive() else None

    def close(self) -> None:
        """End the process, and wait for its end."""
        with self._lock:
            if self._process:
                self._process.end("it is needed no more")
                self._process = None

    def _running(self) -> "_Process":
        with self._lock:
            if self._process is None or not self._process.is_alive():
                if self._process:
                    self._process.end()
                self._process = _Process(self._command, self._arguments)
                measures.MODEL_STARTS.inc()
                _log.info("a model process has started")
            return self._process


class _Process:
    """One process, and the orders that it has not answered yet."""

    def __init__(self, command: Sequence[str], arguments: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._popen = subprocess.Popen(
                [*command, str(theirs.fileno()), *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self.pid = self._popen.pid
        self._connection = Connection(ours.detach())
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Reply]] = {}
        self._ended = self._told = ""
        self._receiver = threading.Thread(target=self._receive, name="model process", daemon=True)
        self._receiver.start()

    def is_alive(self) -> bool:
        return not self._ended and self._popen.poll() is None

    def submit(self, order: Order) -> "Future[Reply]":
        future: Future[Reply] = Future()
        with self._lock:
            if self._ended:
                raise ModelProcessEnded(self._ended)
            self._waiting[order.number] = future
            try:
                self._connection.send_bytes(order.to_bytes())
            except OSError:  # it has ended; whoever receives will notice and answer
                return future
        return future

    def end(self, reason: str = "") -> None:
        self._told = reason
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait(_ENDING)
        self._receiver.join(_ENDING)

    def _receive(self) -> None:
        try:
            while True:
                reply = Reply.from_bytes(self._connection.recv_bytes())
                with self._lock:
                    future = self._waiting.pop(reply.number)
                future.set_result(reply)
        except (EOFError, OSError):
            reason = _how_it_ended(self._popen)
        reason = self._told or reason
        with self._lock:
            self._ended = reason
            left, self._waiting = list(self._waiting.values()), {}
            self._connection.close()
        level = logging.WARNING if left or not self._told else logging.INFO
        _log.log(level, "a model process has ended with %d readings under way: %s", len(left), reason)
        for future in left:
            future.set_exception(ModelProcessEnded(reason))


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    try:
        status = process.wait(_ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait(_ENDING)
    if status >= 0:
        return f"it ended with status {status}"
    name = signal.Signals(-status).name if -status in signal.valid_signals() else str(-status)
    memory = ", as it does for want of memory" if -status == signal.SIGKILL else ""
    return f"it was ended by {name}{memory}"


class Doors:
    """Lets many in together, or one alone, who waits for those inside and holds up those who come later."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._wanting = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._wanting)
            self._inside += 1
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._wanting += 1
            self._changed.wait_for(lambda: not self._inside)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._wanting -= 1
            self._leave()

    def _leave(self) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()
