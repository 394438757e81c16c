"""Connections to PostgreSQL, and named SQL."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import Any, LiteralString, cast

import psycopg
from psycopg.conninfo import make_conninfo

from archive.errors import Unavailable

CONNECT_TIMEOUT = 5  # seconds
_OPTIONS = {"jit": "off", "max_parallel_workers_per_gather": "0", "random_page_cost": "1.1"}
SESSION: dict[str, Any] = {
    "options": " ".join(f"-c {name}={value}" for name, value in _OPTIONS.items()),
    "prepare_threshold": 2,
}
"""How connections that serve searches are opened.

To compile a plan, or to start processes for it, takes longer than most searches do; and pages in their order are to be
read along an index, which costs no more than any other way where the index lies in memory or on flash.
"""


@cache
def queries(file: str) -> dict[str, LiteralString]:
    """The statements of `archive/sql/<file>`, by the name in the `-- name:` line above each."""
    text = resources.files("archive").joinpath("sql", file).read_text("utf-8")
    parts = re.split(r"^-- name: (\w+).*$", text, flags=re.MULTILINE)[1:]
    return {
        name: cast(LiteralString, body.strip()) for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


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


@contextmanager
def autocommitting(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection in no transaction, which is closed when the block ends. Raises Unavailable, however it is lost."""
    with connect(database_url, autocommit=True) as connection, translated_errors():
        yield connection


def answers(database_url: str) -> bool:
    """Whether a connection can be opened."""
    try:
        connect(database_url).close()
    except Unavailable:
        return False
    return True
