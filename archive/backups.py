"""The backups of a site as its database knows them, and the wishes of patients that outlive a restored one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from archive import audit
from archive.audit import Event
from archive.pool import queries


@dataclass(frozen=True, slots=True)
class Backup:
    """A whole backup: when it was begun, its name, and how much it holds. `size` is in bytes."""

    at: datetime
    name: str = ""
    instances: int = 0
    size: int = 0


def last(connection: psycopg.Connection) -> Backup | None:
    """The last whole backup that was made of the site; None where there never was one."""
    row = connection.execute(queries("backups.sql")["last"]).fetchone()
    if row is None:
        return None
    at, told = row
    return Backup(at, told.get("name", ""), told.get("instances", 0), told.get("size", 0))


def note(connection: psycopg.Connection, made: Backup, *, by: str) -> None:
    """Keep that a backup was made, and record it in the trail: both, or neither."""
    _note(connection, made, Event.BACKUP_MADE, by)


def note_restored(connection: psycopg.Connection, restored: Backup, *, by: str) -> None:
    """Keep that the site is as this backup had it, and record it in the trail: both, or neither."""
    _note(connection, restored, Event.RESTORED, by)


def _note(connection: psycopg.Connection, backup: Backup, event: Event, by: str) -> None:
    detail: dict[str, str | int] = {"name": backup.name, "instances": backup.instances, "size": backup.size}
    with connection.transaction():
        connection.execute(queries("backups.sql")["note"], {"at": backup.at, "detail": Jsonb(detail)})
        audit.write(connection, event, subject=by, detail=detail)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for for good: erasures, done or due, and opt-outs. By pseudonyms alone."""

    erasures: Sequence[Mapping[str, Any]] = field(default_factory=list)
    opt_outs: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {"erasures": _plain(self.erasures), "opt_outs": _plain(self.opt_outs)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Wishes":
        return cls(found["erasures"], found["opt_outs"])

    def and_also(self, other: "Wishes") -> "Wishes":
        return Wishes([*self.erasures, *other.erasures], [*self.opt_outs, *other.opt_outs])


_ERASURE = ("id", "kind", "pseudonyms", "asked_at", "asked_by", "reason")
_OPT_OUT = ("patient_id", "added_at", "added_by")


def wishes(connection: psycopg.Connection) -> Wishes:
    """All that hold now."""
    sql = queries("backups.sql")
    erasures = [dict(zip(_ERASURE, row, strict=True)) for row in connection.execute(sql["erasures"])]
    opt_outs = [dict(zip(_OPT_OUT, row, strict=True)) for row in connection.execute(sql["opt_outs"])]
    return Wishes(erasures, opt_outs)


def honour(connection: psycopg.Connection, asked: Wishes, *, by: str) -> tuple[int, int]:
    """Make those hold again that an older state of the database does not know; how many erasures and opt-outs.

    What is to be erased is withheld at once, and a worker erases it.
    """
    sql, erasures, opt_outs = queries("backups.sql"), 0, 0
    with connection.transaction():
        for wish in asked.erasures:
            if connection.execute(sql["erase_again"], dict(wish)).rowcount:
                erasures += 1
                audit.write(
                    connection, Event.ERASURE, subject=by, detail={"state": "asked again"}, **_about(wish)
                )
        for wish in asked.opt_outs:
            if connection.execute(sql["opt_out_again"], dict(wish)).rowcount:
                opt_outs += 1
                audit.write(connection, Event.OPTOUT_ADDED, subject=by, patient_id=wish["patient_id"])
    return erasures, opt_outs


def _about(wish: Mapping[str, Any]) -> dict[str, Any]:
    name = "patient_id" if wish["kind"] == "patient" else "study_instance_uid"
    return {name: wish["pseudonyms"][0]}


def _plain(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        for row in rows
    ]
