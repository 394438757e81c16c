"""What is to be erased for good, a study or all of a patient, and what may still be stored meanwhile.

A row says what is to be erased until all of it has gone (archive/erasing.py); it is withheld from the moment it is
asked for.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import psycopg

from archive import audit
from archive.audit import Event
from archive.errors import NotFound
from archive.pool import queries

TOUCHED = (
    *("study", "series", "instance", "reading", "crosswalk", "spool", "workitem", "workitem_event"),
    *("deleted", "other_patient", "training_use", "patient_alias", "dataset_study"),
    *("inference_log", "review", "study_summary", "delivery", "notice", "unlisted_reading", "label"),
    *("search_fact", "search_stale", "job_study", "image_quality", "study_quality", "quality_due"),
    *("quality_worst", "quality_attempt", "arrival", "moved"),
)
"""The tables that rows are erased from."""


class Kind(StrEnum):
    """What is erased as a whole."""

    STUDY = "study"
    PATIENT = "patient"


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is to be erased, by pseudonyms; how much of it has gone; and the receipt, once all has."""

    id: str
    kind: Kind
    pseudonyms: list[str]
    asked_at: datetime
    asked_by: str
    reason: str
    studies: list[str]
    instances: list[str]  # Orthanc's identifiers
    others: list[str]  # of other patients in the same studies: to be indexed anew
    removed: dict[str, int]
    completed_at: datetime | None
    receipt: str | None

    @property
    def patients(self) -> list[str]:
        return self.pseudonyms if self.kind == Kind.PATIENT else []

    @property
    def about(self) -> dict[str, Any]:
        """Whom a record of the audit trail names."""
        name = "patient_id" if self.kind == Kind.PATIENT else "study_instance_uid"
        return {name: self.pseudonyms[0]}


def ask(
    connection: psycopg.Connection, kind: Kind, pseudonyms: Sequence[str], *, by: str, reason: str
) -> str:
    """Note durably what is to be erased, and withhold it; the identifier under which it is done.

    What is due already is not asked for twice.
    """
    identifier = str(uuid.uuid4())
    row = {
        "id": identifier,
        "kind": kind,
        "pseudonyms": sorted(pseudonyms),
        "by": by,
        "reason": reason,
    }
    sql = queries("erasure.sql")
    with connection.transaction():
        connection.execute("set local synchronous_commit = on")
        if connection.execute(sql["ask"], row).rowcount:
            about = read(connection, identifier).about
            audit.write(connection, Event.ERASURE, subject=by, detail={"state": "asked"}, **about)
        ((due,),) = connection.execute(sql["due_as"], row).fetchall()
        return str(due)


def read(connection: psycopg.Connection, identifier: str) -> Erasure:
    """Raises NotFound."""
    row = connection.execute(queries("erasure.sql")["read"], {"id": identifier}).fetchone()
    if row is None:
        raise NotFound("no such erasure")
    return _erasure(row)


def find(connection: psycopg.Connection) -> list[Erasure]:
    """All that were asked for, the first first."""
    return [_erasure(row) for row in connection.execute(queries("erasure.sql")["list"])]


def cut_short(connection: psycopg.Connection, age: float) -> list[str]:
    """Those that were asked for so many seconds ago and are not complete, the first first."""
    rows = connection.execute(queries("erasure.sql")["cut_short"], {"age": age})
    return [identifier for (identifier,) in rows]


def _erasure(row: Sequence[Any]) -> Erasure:
    identifier, kind, *rest = row
    return Erasure(identifier, Kind(kind), *rest)


@contextmanager
def storing(connection: psycopg.Connection, study_instance_uid: str) -> Iterator[bool]:
    """While something made here is brought into a study: whether that is allowed, the study being here for use.

    An erasure that begins waits for the end of the block.
    """
    with _storing(connection, "may_store", study_instance_uid) as allowed:
        yield allowed


@contextmanager
def storing_spooled(connection: psycopg.Connection, identifier: str) -> Iterator[bool]:
    """While an instance of the spool is stored: whether it is still there. As `storing`."""
    with _storing(connection, "may_store_spooled", identifier) as allowed:
        yield allowed


@contextmanager
def _storing(connection: psycopg.Connection, name: str, identifier: str) -> Iterator[bool]:
    sql = queries("erasure.sql")
    with connection.transaction():
        connection.execute(sql["store_together"])
        yield connection.execute(sql[name], {"id": identifier}).fetchall() == [(True,)]
