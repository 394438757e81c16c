"""PostgreSQL: whether it answers, whether its schema is this release's, and what it tells of itself."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg

from archive import migration
from archive.errors import Unavailable
from archive.pool import connect, queries
from senogate.doctor.finding import Finding, act, consider, fine
from senogate.doctor.place import Place

_OLDEST = 150000  # PostgreSQL 15, as server_version_num has it
_FULL = 0.9  # share of the connections that are in use
_WORN = 1_500_000_000  # of the 2,147,483,648 transactions after which PostgreSQL takes no more
_APART = timedelta(seconds=30)
_STATEMENT = "set statement_timeout = '5s'"


def look(place: Place) -> Iterator[Finding]:
    """What PostgreSQL answers; nothing where it is not to run."""
    if not place.settings.database_url or (place.has_cluster and place.is_new):
        return
    try:
        connection = connect(place.settings.database_url, autocommit=True)
    except Unavailable as error:
        if not place.has_cluster or place.pid is not None:
            yield _silent(place, str(error))
        return
    with connection:
        connection.execute(_STATEMENT)
        yield from _server(connection)
        yield from _schema(connection)


def _silent(place: Place, said: str) -> Finding:
    todo = "Nothing is received, served or read until it answers."
    if place.has_cluster:
        log = place.settings.home / "logs" / "postgresql.log"
        return act("postgresql", said, f"The end of {log} says why. {todo}", f"tail {log}")
    where = "See whether it runs, and whether SENOGATE_DATABASE_URL names it, its user and its password."
    return act("postgresql", said, f"{where} {todo}")


def _server(connection: psycopg.Connection) -> Iterator[Finding]:
    row = connection.execute(queries("doctor.sql")["server"]).fetchone()
    assert row is not None  # noqa: S101 - of functions alone
    number, version, now, most, used, damaged, worn, is_standby, is_durable = row
    if number < _OLDEST:
        yield act("postgresql", f"version {version}", "Take 15 or newer (docs/settings.md).")
    elif is_standby:
        yield act(
            "postgresql", "it is a standby, which takes nothing in", "Name the primary in database_url."
        )
    elif not is_durable:
        todo = "Set fsync and full_page_writes to on: what is acknowledged would be lost in a power cut."
        yield act("postgresql", "it does not wait for the disk", todo)
    else:
        yield fine("postgresql", f"version {version} answers")
    if damaged:
        todo = "A disk is failing: back up what can be read, put another in, and restore (docs/backup.md)."
        yield act("postgresql-damage", f"{damaged} of its pages were damaged on disk", todo)
    if used >= most * _FULL:
        yield consider(
            "postgresql-connections", f"{used} of {most} connections are in use", "Raise max_connections."
        )
    if worn > _WORN:
        todo = (
            "Run VACUUM FREEZE on it: its autovacuum does not keep up, and it will stop taking anything in."
        )
        yield act(
            "postgresql-age", "it nears the end of its transaction numbers", todo, "vacuumdb --all --freeze"
        )
    if abs(datetime.now(UTC) - now) > _APART:
        said = (
            f"this machine's and PostgreSQL's differ by {abs(datetime.now(UTC) - now).total_seconds():.0f} s"
        )
        yield act("clock-postgresql", said, "Have both machines keep time (chrony or systemd-timesyncd).")


def _schema(connection: psycopg.Connection) -> Iterator[Finding]:
    pending, foreign = migration.compare(connection)
    if foreign:
        said = f"it is of a newer release: {', '.join(foreign)}"
        todo = "Run that release, or restore the backup of before it was installed (docs/upgrade.md)."
        yield act("schema", said, todo)
    elif pending:
        said = f"{len(pending)} migrations are not applied, from {pending[0]} on"
        yield act(
            "schema",
            said,
            "Start the site again, or apply them: what runs now is of two releases.",
            "senogate init",
        )
    else:
        yield fine("schema", "it is up to date")
