"""The numbered migrations of `archive/schema`, applied when a site starts."""

from collections.abc import Iterator
from importlib import resources

import psycopg

from archive.errors import ConfigurationError
from archive.pool import autocommitting

_LOCK = 0x5E0A_0001  # key of the advisory lock that lets one process migrate at a time


def migrate(database_url: str) -> list[str]:
    """Bring the schema up to date, one transaction a migration, and return what was applied.

    Safe to call from any number of processes at once. Raises Unavailable, and ConfigurationError for a schema that a
    newer release made.
    """
    with autocommitting(database_url) as connection:
        connection.execute("select pg_advisory_lock(%s)", [_LOCK])
        connection.execute(
            "create table if not exists migration (name text primary key, applied_at timestamptz default now())"
        )
        applied = _applied(connection)
        pending = [(name, sql) for name, sql in _migrations() if name not in applied]
        for name, sql in pending:
            with connection.transaction():
                connection.execute(sql.encode())
                connection.execute("insert into migration (name) values (%s)", [name])
    return [name for name, _ in pending]


def compare(connection: psycopg.Connection) -> tuple[list[str], list[str]]:
    """Which migrations of this release a database lacks, and which it has that this release does not know."""
    applied, known = _recorded(connection), [name for name, _ in _migrations()]
    return [name for name in known if name not in applied], [name for name in applied if name not in known]


def find_pending(database_url: str) -> tuple[str, list[str]]:
    """The last migration that was applied, empty where none was, and those that are due. Raises as `migrate` does."""
    with autocommitting(database_url) as connection:
        applied = _applied(connection)
        return max(applied, default=""), [name for name, _ in _migrations() if name not in applied]


def newest() -> str:
    """The last migration that this release knows."""
    return [name for name, _ in _migrations()][-1]


def _recorded(connection: psycopg.Connection) -> list[str]:
    """In their order; none where the database is new."""
    if connection.execute("select to_regclass('migration') is null").fetchone() == (True,):
        return []
    return [name for (name,) in connection.execute("select name from migration order by name")]


def _applied(connection: psycopg.Connection) -> set[str]:
    """Raises ConfigurationError where this release does not know all of them."""
    applied = set(_recorded(connection))
    if unknown := applied - {name for name, _ in _migrations()}:
        raise ConfigurationError(
            f"a newer release of Senogate has worked with this database ({max(unknown)}): install that one,"
            " or go back to the state before its upgrade with its `senogate rollback` (docs/upgrade.md)"
        )
    return applied


def _migrations() -> Iterator[tuple[str, str]]:
    """Procrastinate's own schema first, then ours in the order of their numbers."""
    from procrastinate.schema import SchemaManager

    yield "0000_procrastinate", SchemaManager.get_schema()
    files = resources.files("archive").joinpath("schema").iterdir()
    for file in sorted(files, key=lambda file: file.name):
        if file.name.endswith(".sql"):
            yield file.name.removesuffix(".sql"), file.read_text("utf-8")
