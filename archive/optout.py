"""Patients who opted out: their studies are withheld from everybody, at once, until the opt-out is withdrawn.

The schema's triggers withhold the studies that are here, and those that come. Who opts out is known here by
pseudonyms alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.errors import DeadlockDetected

from archive import audit
from archive.audit import Event
from archive.errors import Conflict, NotFound, Unavailable
from archive.pool import queries

_ATTEMPTS = 5  # of a change that waits in a circle with the index's own


@dataclass(frozen=True, slots=True)
class OptOut:
    """That a patient opted out. `studies` are how many of hers the site holds and withholds."""

    patient_id: str
    added_at: datetime
    added_by: str
    studies: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"added_at": self.added_at.isoformat()}


@dataclass(frozen=True, slots=True)
class TrainingUse:
    """That a model learnt from a patient, in a run of the federation."""

    model: str
    version: str
    run: str
    at: datetime

    def to_json(self) -> dict[str, str]:
        return asdict(self) | {"at": self.at.isoformat()}


def add(connection: psycopg.Connection, patients: Sequence[str], *, by: str) -> list[OptOut]:
    """Withhold all studies of the patient with any of these pseudonyms; adding what is there changes nothing.

    Durable on return; `connection` is in no transaction. Raises Unavailable.
    """
    _change(connection, "add", Event.OPTOUT_ADDED, patients, by)
    return find(connection, patients)


def withdraw(connection: psycopg.Connection, patients: Sequence[str], *, by: str) -> None:
    """Give back what `add` withheld.

    Raises NotFound where the patient has not opted out, Conflict where her consent is withdrawn, and as `add` does.
    """
    if not _change(connection, "withdraw", Event.OPTOUT_WITHDRAWN, patients, by):
        if find(connection, patients):
            raise Conflict("her consent is withdrawn: record that she gives it again")
        raise NotFound("the patient has not opted out")


def _change(connection: psycopg.Connection, name: str, event: Event, patients: Sequence[str], by: str) -> int:
    for _ in range(_ATTEMPTS):
        try:
            return _change_once(connection, name, event, patients, by)
        except DeadlockDetected:
            continue
    raise Unavailable("the index is being written; try again")


def _change_once(
    connection: psycopg.Connection, name: str, event: Event, patients: Sequence[str], by: str
) -> int:
    """Change all or none of the rows, with a record of each that changed; their number."""
    changed = 0
    with connection.transaction():
        connection.execute("set local synchronous_commit = on")
        for patient in patients:
            row = {"patient_id": patient, "by": by}
            if connection.execute(queries("optout.sql")[name], row).rowcount:
                audit.write(connection, event, subject=by, patient_id=patient)
                changed += 1
    return changed


def find(connection: psycopg.Connection, patients: Sequence[str] | None = None) -> list[OptOut]:
    """The opt-outs, or those of these pseudonyms, the first first."""
    given = None if patients is None else list(patients)
    rows = connection.execute(queries("optout.sql")["list"], {"patients": given})
    return [OptOut(*row) for row in rows]


def patients(connection: psycopg.Connection, pseudonyms: Sequence[str]) -> list[str]:
    """Whom of the site's patients the pseudonyms may mean: several where the Patient ID is of several issuers."""
    found = connection.execute(queries("optout.sql")["patients"], {"patients": list(pseudonyms)})
    return sorted(patient for (patient,) in found)


def trained_on(connection: psycopg.Connection, patients: Sequence[str]) -> list[TrainingUse]:
    """Which models learnt from the patient before she opted out."""
    rows = connection.execute(queries("optout.sql")["trained"], {"patients": list(patients)})
    return [TrainingUse(*row) for row in rows]
