"""Entries of the audit trail as they are asked for: by time, kind and subject, or all about a patient or a permit."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import psycopg

from archive.audit import Event, instant
from archive.audit_codes import Entry, read_entry
from archive.pool import queries

_AT_ONCE = 2000  # entries that are held in memory


def entries(
    connection: psycopg.Connection,
    *,
    after: int = 0,
    since: datetime | None = None,
    until: datetime | None = None,
    event: Event | None = None,
    subject: str | None = None,
    last: int | None = None,
) -> Iterator[Entry]:
    """Entries in their order, a few at a time, or the `last` so many in the reverse of it."""
    values = {
        "after": after,
        "since": since and instant(since),
        "until": until and instant(until),
        "event": event,
        "subject": subject,
        "limit": last,
    }
    return _read(connection, "entries", values, direction="desc" if last else "asc")


def of_patient(connection: psycopg.Connection, patient_id: str) -> Iterator[Entry]:
    """All that names a patient, by the pseudonym, or a study that is the patient's."""
    return _read(connection, "of_patient", {"patient": patient_id})


def of_permit(connection: psycopg.Connection, permit: str) -> Iterator[Entry]:
    """All that was done under a permit, or to it."""
    return _read(connection, "of_permit", {"permit": permit})


def _read(
    connection: psycopg.Connection, name: str, values: Mapping[str, Any], **parts: str
) -> Iterator[Entry]:
    with connection.transaction(), connection.cursor("audit_entries") as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(queries("audit.sql")[name].format(**parts).encode(), values)
        for number, content, patient in cursor:
            yield read_entry(number, content, patient)
