"""Connections to PostgreSQL, named SQL, and the numbered migrations of `archive/schema`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import LiteralString, cast

import psycopg
from psycopg.conninfo import make_conninfo

from archive.errors import Unavailable

CONNECT_TIMEOUT = 5  # seconds
_MIGRATION_LOCK = 0x5E0A_0001  # key of the advisory lock that lets one process migrate at a time


@cache
def queries(file: str) -> dict[str, LiteralString]:
    """The statements of `archive/sql/<file>`, by the name in the `-- name:` line above each."""
    text = resources.files("archive").joinpath("sql", file).read_text("utf-8")
    parts = re.split(r"^-- name: (\w+).*$", text, flags=re.MULTILINE)[1:]
    return {name: cast(LiteralString, body.strip()) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def connection_string(database_url: str) -> str:
    """The address with a bounded wait, so that an absent PostgreSQL is an error and not a hang."""
    return make_conninfo(database_url, connect_timeout=CONNECT_TIMEOUT)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn a lost or refused connection into Unavailable, which names no value."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable(f"PostgreSQL does not answer ({type(error).__name__})") from None


def connect(database_url: str, *, autocommit: bool = False) -> psycopg.Connection:
    """Open one connection. Raises Unavailable."""
    with translated_errors():
        return psycopg.connect(connection_string(database_url), autocommit=autocommit)


def migrate(database_url: str) -> list[str]:
    """Bring the schema up to date, one transaction a migration, and return what was applied.

    Safe to call from any number of processes at once. Raises Unavailable.
    """
    with connect(database_url, autocommit=True) as connection, translated_errors():
        connection.execute("select pg_advisory_lock(%s)", [_MIGRATION_LOCK])
        connection.execute("create table if not exists migration (name text primary key, applied_at timestamptz default now())")
        applied = {name for (name,) in connection.execute("select name from migration")}
        pending = [(name, sql) for name, sql in _migrations() if name not in applied]
        for name, sql in pending:
            with connection.transaction():
                connection.execute(sql)
                connection.execute("insert into migration (name) values (%s)", [name])
    return [name for name, _ in pending]


def _migrations() -> Iterator[tuple[str, LiteralString]]:
    """Procrastinate's own schema first, then ours in the order of their numbers."""
    from procrastinate.schema import SchemaManager

    yield "0000_procrastinate", SchemaManager.get_schema()
    files = resources.files("archive").joinpath("schema").iterdir()
    for file in sorted(files, key=lambda file: file.name):
        if file.name.endswith(".sql"):
            yield file.name.removesuffix(".sql"), cast(LiteralString, file.read_text("utf-8"))
