"""Entries of the audit trail as they are asked for: by time, kind and subject, or all about a patient or a permit."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from archive.audit import Event, instant, mark_of
from archive.audit_codes import Entry, read_entry
from archive.pool import queries

_AT_ONCE = 2000  # entries that are held in memory


class Gaps(NamedTuple):
    """Searches that don't say which studies they listed: how many, the last one's number and time.

    `first` is the first record that is still in the table.
    """

    searches: int
    last: int | None
    until: str | None
    first: int | None


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
    """All that names a patient, by the pseudonym, or a study of hers, or listed one.

    Of what was listed each entry has the patient's own studies alone.
    """
    rows = connection.execute(queries("audit.sql")["studies_of_patient"], {"patient": patient_id})
    studies = [study for (study,) in rows]
    marks = {mark_of(study) for study in studies}
    asked = {"patient": patient_id, "studies": studies, "marks": sorted(marks)}
    for entry in _read(connection, "of_patient", asked):
        yield replace(entry, shown=tuple(mark for mark in entry.shown if mark in marks))


def gaps(connection: psycopg.Connection) -> Gaps:
    """What no patient's report can tell."""
    row = connection.execute(queries("audit.sql")["unlisted"]).fetchone()
    return Gaps(*row) if row else Gaps(0, None, None, None)


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
