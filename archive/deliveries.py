"""What is to be delivered to which clinical PACS, and what has become of it: the rows of the table `delivery`.

Whatever makes a result calls `want` in the transaction that makes the result known; the worker delivers what is due.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import psycopg
from psycopg.rows import kwargs_row

from archive.audit import Event, Outcome, write
from archive.destinations import Destination
from archive.errors import Conflict, NotFound
from archive.pool import queries
from archive.settings import Settings

MOST = 1000  # rows that are listed


class State(StrEnum):
    """How far a delivery is."""

    WAITING = "waiting"  # for its next try
    DELIVERING = "delivering"
    STORED = "stored"  # the destination said so
    COMMITTED = "committed"  # and that it keeps it (storage commitment)
    REFUSED = "refused"  # it will not be taken as it is: a person has to look
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Result:
    """An instance that was made here, in a study of the site. `content` is its data set's SHA-256, in hexadecimal."""

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    kind: str  # one of destinations.KINDS
    content: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row as people and programs see it. UIDs are pseudonyms."""

    id: int
    destination: str
    kind: str
    state: State
    attempts: int
    next_try: datetime | None
    status: int | None
    reason: str
    study_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    is_uncertain: bool
    wanted_at: datetime
    changed_at: datetime
    stored_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        moments = {k: v.isoformat() for k, v in values.items() if isinstance(v, datetime)}
        return values | moments | {"status": None if self.status is None else f"0x{self.status:04X}"}


def want(
    connection: psycopg.Connection,
    destinations: Sequence[Destination],
    study_instance_uid: str,
    results: Sequence[Result],
    *,
    series: Sequence[str] = (),
) -> int:
    """Have results of a study delivered to each destination that takes their kind; how many deliveries became due.

    Part of the connection's transaction. A result whose content is as it was is not delivered again. `series` are
    all that the same maker's results lie in: what waits of them and is not among `results` is given up.
    """
    sql = queries("delivery.sql")
    if series:
        given = [each.sop_instance_uid for each in results]
        connection.execute(sql["forget_superseded"], {"series": list(series), "given": given})
    rows = [
        asdict(result) | {"destination": destination.name, "study_instance_uid": study_instance_uid}
        for destination in destinations
        for result in results
        if result.kind in destination.results
    ]
    return sum(connection.execute(sql["want"], row).rowcount for row in rows)


def find(
    connection: psycopg.Connection,
    *,
    destination: str | None = None,
    state: State | None = None,
    study_instance_uid: str | None = None,
    id: int | None = None,  # noqa: A002
    limit: int = MOST,
) -> list[Delivery]:
    """Deliveries, the newest first."""
    wanted = {
        "destination": destination,
        "state": state,
        "study": study_instance_uid,
        "id": id,
        "limit": limit,
    }
    with connection.cursor(row_factory=kwargs_row(_delivery)) as cursor:
        return cursor.execute(queries("delivery.sql")["list"], wanted).fetchall()


def _delivery(**row: Any) -> Delivery:
    return Delivery(**row | {"state": State(row["state"])})


def read(connection: psycopg.Connection, identifier: int) -> Delivery:
    """Raises NotFound."""
    found = find(connection, id=identifier)
    if not found:
        raise NotFound(f"no delivery has the number {identifier}")
    return found[0]


def retry(connection: psycopg.Connection, identifier: int, *, by: str) -> None:
    """Have a delivery tried at once, also one that was refused or cancelled. Raises NotFound, Conflict."""
    _change(connection, "retry", identifier, by, "is stored, on its way, or its study is withheld")


def cancel(connection: psycopg.Connection, identifier: int, *, by: str) -> None:
    """Have a delivery given up. Raises NotFound, and Conflict for one that is stored."""
    _change(connection, "cancel", identifier, by, "is stored or cancelled already")


def _change(connection: psycopg.Connection, name: str, identifier: int, by: str, otherwise: str) -> None:
    with connection.transaction():
        row = connection.execute(queries("delivery.sql")[name], {"id": identifier}).fetchone()
        if row is None:
            read(connection, identifier)
            raise Conflict(f"delivery {identifier} {otherwise}")
        destination, study, instance = row
        detail = {"state": name, "destination": destination, "sop_instance_uid": instance}
        write(connection, Event.DELIVERY_CHANGED, subject=by, study_instance_uid=study, detail=detail)


def record(
    connection: psycopg.Connection,
    outcome: Outcome,
    study_instance_uid: str,
    detail: Mapping[str, str | int],
    *,
    by: str,
) -> None:
    """Put on record what was sent where, and what came of it."""
    write(
        connection,
        Event.DELIVERY_DONE,
        subject=by,
        outcome=outcome,
        study_instance_uid=study_instance_uid,
        detail=detail,
    )


def note_acknowledgement(connection: psycopg.Connection, settings: Settings, *, by: str) -> bool:
    """Put on record that the site acknowledges research use, in which words, or no longer does; whether that is new."""
    sql = queries("delivery.sql")
    with connection.transaction():
        connection.execute(sql["lock_acknowledgement"])
        ((before,),) = connection.execute(sql["acknowledged"]).fetchall() or [("",)]
        if before == settings.acknowledge:
            return False
        connection.execute(sql["acknowledge"], {"by": by, "sentence": settings.acknowledge})
        detail = {
            "state": "acknowledged" if settings.acknowledge else "withdrawn",
            "sentence": settings.acknowledge,
            "destinations": " ".join(each.name for each in settings.destinations),
        }
        write(connection, Event.DELIVERY_ACKNOWLEDGED, subject=by, detail=detail)
    return True
