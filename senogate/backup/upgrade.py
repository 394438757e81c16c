"""A site's database when another release is installed: it is dumped before it is migrated, and can go back to that.

Going back loses nothing that was received since: whom instances are about, what is spooled, the audit trail, opt-outs
and erasures are taken over, and so are budgets that were spent and what was revoked (withdrawals.py); the index is
followed from Orthanc again.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import psycopg
from psycopg import sql

from archive import migration
from archive.audit import Event, write
from archive.errors import ConfigurationError, NotFound, SenogateError, Unavailable
from archive.instances import sync_folder
from archive.pool import autocommitting
from archive.settings import Settings
from senogate.backup import database, schemas, withdrawals
from senogate.home import only_one
from senogate.user import user

Say = Callable[[str], object]
KEPT = 2  # dumps; those of upgrades before them are removed
_TAKEN_OVER = (
    *("crosswalk", "patient_alias", "opt_out", "consent", "erasure", "audit", "audit_checkpoint"),
    *("reidentification",),
)
_NUMBERED = {"audit_checkpoint": "position", "consent": "number", "reidentification": "number"}
_SPOOL = ("spool", "spool_opening")
_ERASE_AGAIN = """
    update erasure set completed_at = null, receipt = null where id in (
        select distinct on (kind, pseudonyms) id from erasure e
        where completed_at is not null and id <> all(%(done)s) and not exists (
            select from erasure due
            where due.kind = e.kind and due.pseudonyms = e.pseudonyms and due.completed_at is null)
        order by kind, pseudonyms, asked_at desc)"""


def migrate(settings: Settings, say: Say) -> None:
    """Bring the schema up to date; where there is data, a dump of how it was is made before.

    Raises ConfigurationError for a schema that a newer release made, or a rollback that was cut short; Unavailable,
    with nothing changed, where there is no room for the dump, or nothing that makes it.
    """
    _require_none_begun(settings)
    before, pending = migration.find_pending(settings.database_url)
    if pending and before and _holds_anything(settings) and settings.upgrade_backup:
        say(f"dumping the database before {len(pending)} migrations")
        try:
            dumped = _dump(settings, before)
        except SenogateError as error:
            otherwise = "where the database is backed up otherwise, set upgrade_backup to false"
            raise Unavailable(f"nothing was migrated: {error}; {otherwise}") from None
        say(f"the database as it was is in {dumped}")
    for name in migration.migrate(settings.database_url):
        if before:
            say(f"applied {name}")


def _require_none_begun(settings: Settings) -> None:
    """What a site that starts now would store is not what its rollback goes on with. Raises ConfigurationError."""
    with autocommitting(settings.database_url) as connection:
        if _is_aside(connection):
            raise ConfigurationError("a rollback was cut short here: go on with it by `senogate rollback`")


def roll_back(settings: Settings, name: str, say: Say) -> Path:
    """Put the database back as a dump of before an upgrade has it, but for what is taken over; the dump's path.

    The site is not running. How the database is now is dumped too. What was cut short is gone on with by the same call.
    Raises NotFound for no such dump, ConfigurationError where the site runs, Unavailable.
    """
    with only_one(settings.home), database.answering(settings) as connected:
        dump = _choose(settings, name)
        with autocommitting(connected.database_url) as connection:
            if not _is_aside(connection):
                say(f"the database as it is now is kept in {_dump(connected, 'rolled-back')}")
                with connection.transaction():
                    connection.execute(
                        sql.SQL("alter schema public rename to {}").format(sql.Identifier(schemas.ASIDE))
                    )
            connection.execute("drop schema if exists public cascade")
            connection.execute("create schema public")
            database.restore(connected, dump, "--single-transaction")
            with connection.transaction():
                _take_over(connection)
                connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(schemas.ASIDE)))
                detail = {"database": "rolled back", "to": _schema_of(dump)}
                write(connection, Event.CONFIGURATION_CHANGED, subject=user(), detail=detail)
    return dump


def dumps(settings: Settings) -> list[Path]:
    """The dumps of before upgrades, the oldest first."""
    found = (settings.home / "upgrades").glob("*.dump")
    return sorted(path for path in found if not path.name.endswith("-rolled-back.dump"))


def _choose(settings: Settings, name: str) -> Path:
    found = [path for path in dumps(settings) if not name or path.name == name]
    if not found:
        raise NotFound(f"{settings.home / 'upgrades'} holds no {name or 'dump of before an upgrade'}")
    return found[-1]


def _schema_of(dump: Path) -> str:
    return dump.stem.partition("-")[2]


def _holds_anything(settings: Settings) -> bool:
    """Whether anything was ever done with the site: its trail, or what came before there was one, has rows."""
    with autocommitting(settings.database_url) as connection:
        for table in ("audit", "crosswalk", "client"):
            ((found,),) = connection.execute("select to_regclass(%s)::text", [f"public.{table}"]).fetchall()
            if (
                found
                and connection.execute(
                    sql.SQL("select from {} limit 1").format(sql.Identifier(table))
                ).rowcount
            ):
                return True
    return False


def _dump(settings: Settings, schema: str) -> Path:
    """Dump the database: whole and durable when this returns. Raises Unavailable, with nothing left behind."""
    folder = settings.home / "upgrades"
    target = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{schema}.dump"
    with _durable(target) as file:
        database.dump(settings, file.write)
    for old in dumps(settings)[:-KEPT]:
        old.unlink()
    return target


@contextmanager
def _durable(target: Path) -> Iterator[BinaryIO]:
    part = target.with_suffix(".part")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise Unavailable(f"the database was not dumped: {os.strerror(error.errno or 0)}") from None
    finally:
        part.unlink(missing_ok=True)


def _is_aside(connection: psycopg.Connection) -> bool:
    return bool(connection.execute("select from pg_namespace where nspname = %s", [schemas.ASIDE]).rowcount)


def _take_over(connection: psycopg.Connection) -> None:
    """Add rows that came since the dump; of the spool the rows as they are now. What was erased since is due again."""
    done = connection.execute("select id from erasure where completed_at is not null").fetchall()
    for table in _SPOOL:
        schemas.empty(connection, table)
    for table in (*_TAKEN_OVER, *_SPOOL):
        schemas.insert_missing(connection, table)
    connection.execute(_ERASE_AGAIN, {"done": [identifier for (identifier,) in done]})
    for table, number in _NUMBERED.items():
        schemas.count_on(connection, table, number)
    withdrawals.take_over(connection)
