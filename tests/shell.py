"""A shell for scripts that call `senogate`, which forks from a process that has loaded what commands need."""

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tests.commands import FORKS

_CLIENT = Path(__file__).with_name("hand_over.py")


@dataclass(frozen=True)
class Done:
    """What a command came to; `status` is None where it ended the shell, or took too long."""

    status: int | None
    output: str
    errors: str


class Shell:
    """A bash that is told one command after the other: what it sets, and where it goes, stays."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--norc", "-o", "pipefail"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            cwd=folder, env=dict(environment), start_new_session=True,
        )  # fmt: skip
        self._files = tempfile.TemporaryDirectory(prefix="senogate-shell-")

    def run(self, command: str, patience: float, stdin: str = "") -> Done:
        """Run a command to its end, with `stdin` as its standard input."""
        given, output, errors = (Path(self._files.name, name) for name in "012")
        given.write_text(stdin)
        script = f"{{ {command}\n}} <{given} >{output} 2>{errors}; echo $?\n"
        assert self._bash.stdin
        self._bash.stdin.write(script.encode())
        self._bash.stdin.flush()
        status = self._status(patience)
        return Done(status, *(each.read_text(errors="replace") for each in (output, errors)))

    def _status(self, patience: float) -> int | None:
        assert self._bash.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(self._bash.stdout, selectors.EVENT_READ)
            if not selector.select(patience):
                return None
        line = self._bash.stdout.readline()
        return int(line) if line else None

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.communicate()
        self._files.cleanup()


@contextmanager
def program(folder: Path) -> Iterator[None]:
    """Have a program `senogate` in a folder for as long as this lasts."""
    theirs, ours = FORKS.Pipe(duplex=False)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "senogate.socket"))
        listener.listen(64)
        process = FORKS.Process(target=_serve, args=(listener, theirs))
        process.start()
    script = folder / "senogate"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {_CLIENT} {folder}/senogate.socket "$@"\n')
    script.chmod(0o755)
    try:
        yield
    finally:
        ours.close()
        theirs.close()
        process.join()


def _serve(listener: socket.socket, alive: Connection) -> None:
    """Fork for each who connects, until the other end of `alive` is closed, or its process has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with selectors.DefaultSelector() as selector:
        for each in (listener, alive):
            selector.register(each, selectors.EVENT_READ)
        while not any(key.fileobj is alive for key, _ in selector.select()):
            connection = listener.accept()[0]
            if not os.fork():
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _attend(connection)
                os._exit(0)
            connection.close()


def _attend(connection: socket.socket) -> None:
    files = socket.recv_fds(connection, 1, 3)[1]
    with connection.makefile("rb") as order:
        arguments, folder, environment = json.load(order)
    child = os.fork()
    if not child:
        connection.close()
        os._exit(_run(arguments, folder, environment, files))
    for each in files:
        os.close(each)
    connection.sendall(bytes([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 255]))


def _run(arguments: list[str], folder: str, environment: dict[str, str], files: list[int]) -> int:
    from senogate.cli import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - multiprocessing has closed it
    sys.argv = ["senogate", *arguments]
    status: object = 0
    try:
        main()
    except SystemExit as end:
        status = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    return status if isinstance(status, int) else int(status is not None)
