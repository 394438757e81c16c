"""The site's database by PostgreSQL's own tools, of the server's version or newer: dumped at one moment, restored."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from archive.errors import ConfigurationError, Unavailable
from archive.pool import answers, connect, translated_errors
from archive.settings import Settings
from senogate.cluster import complete, locate
from senogate.process import Process, Program

_BINARIES = Path("/usr/lib/postgresql")
_BLOCK = 1024 * 1024
_PATIENCE = 60.0  # seconds for the private cluster to answer
IDENTITIES = ("crosswalk", "patient_alias")
"""Tables of a later moment: whom an instance is about is committed before Orthanc stores it."""


class Snapshot:
    """What the database holds at one moment; while it is held, dumps of it are of that moment."""

    def __init__(self, connection: psycopg.Connection, name: str) -> None:
        self.connection, self.name = connection, name


@contextmanager
def snapshot(settings: Settings) -> Iterator[Snapshot]:
    """Raises Unavailable."""
    with connect(settings.database_url) as connection, translated_errors():
        connection.execute("set transaction isolation level repeatable read read only")
        ((name,),) = connection.execute("select pg_export_snapshot()").fetchall()
        yield Snapshot(connection, str(name))


def dump(
    settings: Settings, write: Callable[[bytes], object], *options: str, moment: Snapshot | None = None
) -> None:
    """Give the dump, in PostgreSQL's custom format, to `write`. Raises Unavailable, ConfigurationError."""
    arguments = [
        "--format=custom",
        "--no-owner",
        "--no-privileges",
        "--exclude-schema=senogate_aside",
        *options,
    ]
    if moment:
        arguments.append(f"--snapshot={moment.name}")
    process = _start(settings, "pg_dump", arguments, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    with process, ExitStack() as unfinished:
        unfinished.callback(process.kill)
        while block := process.stdout.read(_BLOCK):
            write(block)
        said = process.stderr.read()
        unfinished.pop_all()
    _require_success("pg_dump", process.returncode, said)


def restore(settings: Settings, file: Path, *options: str) -> None:
    """Bring back what a file of `dump` holds. Raises Unavailable, ConfigurationError."""
    process = _start(
        settings, "pg_restore", ["--exit-on-error", "--no-owner", "--no-privileges", *options, str(file)]
    )
    said = process.stderr.read() if process.stderr else b""
    process.wait()
    _require_success("pg_restore", process.returncode, said)


def is_dump(settings: Settings, file: Path) -> bool:
    """Whether PostgreSQL can read the table of contents of a dump."""
    program = str(_binary(settings, "pg_restore"))
    done = subprocess.run([program, "--list", str(file)], capture_output=True, check=False, cwd="/")
    return done.returncode == 0 and b"TABLE" in done.stdout


def is_empty(settings: Settings) -> bool:
    """Whether the database holds no site yet. Raises Unavailable."""
    with connect(settings.database_url) as connection, translated_errors():
        ((found,),) = connection.execute(
            "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
        ).fetchall()
        return found == 0


def size(connection: psycopg.Connection) -> int:
    """Bytes that the database takes; a dump of it takes less."""
    ((found,),) = connection.execute("select pg_database_size(current_database())").fetchall()
    return int(found)


@contextmanager
def answering(settings: Settings) -> Iterator[Settings]:
    """The settings with a database that answers: the private cluster is made where there is none, and runs meanwhile.

    Raises Unavailable, ConfigurationError.
    """
    completed = complete(settings)
    if settings.database_url or answers(completed.database_url):
        yield completed
        return
    cluster = locate(settings.home)
    cluster.create()
    logs = settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    process = Process(Program("postgresql", cluster.command(), {}, signal.SIGINT, 60), logs)
    process.start()
    try:
        _await(process, completed)
        yield completed
    finally:
        process.stop()


def _await(process: Process, settings: Settings) -> None:
    deadline, pause = time.monotonic() + _PATIENCE, threading.Event()
    while not answers(settings.database_url):
        if time.monotonic() > deadline or not process.is_running():
            raise Unavailable(f"PostgreSQL does not start:\n{process.last_lines()}")
        pause.wait(0.1)


def _start(
    settings: Settings, program: str, arguments: Sequence[str], stdout: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    """Run a tool on the database; the password is not among its arguments, which every user can see."""
    address = conninfo_to_dict(settings.database_url)
    secret = {"PGPASSWORD": str(address.pop("password"))} if address.get("password") else {}
    command = [str(_binary(settings, program)), "--dbname", make_conninfo("", **address), *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, cwd="/",
        env=os.environ | {"LC_ALL": "C"} | secret,
    )  # fmt: skip


def _require_success(program: str, status: int, said: bytes) -> None:
    """What a tool says may quote a row, so that only its first line is told, without what is quoted."""
    if status:
        first = next(iter(said.decode("utf-8", "replace").splitlines()), "")
        raise Unavailable(f"{program} failed: {re.split('DETAIL|CONTEXT|: .*=', first)[0][:200]}")


def _binary(settings: Settings, program: str) -> Path:
    """The tool of the server's version, or the oldest newer one. Raises ConfigurationError."""
    cluster = locate(settings.home)
    if settings.database_url == cluster.database_url:
        return cluster.binary(program)
    with connect(settings.database_url) as connection:
        server = connection.info.server_version // 10_000
    installed = {
        int(path.name): path / "bin" / program for path in _BINARIES.glob("*") if path.name.isdigit()
    }
    fitting = [installed[version] for version in sorted(installed) if version >= server]
    if found := next((path for path in fitting if path.exists()), None):
        return found
    path = shutil.which(program)
    if path and _version(path) >= server:
        return Path(path)
    raise ConfigurationError(
        f"there is no {program} of PostgreSQL {server} or newer here: apt-get install postgresql-client-{server}"
    )


def _version(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)[.\d]*\s*(\(|$)", said.strip())
    return int(found[1]) if found else 0
