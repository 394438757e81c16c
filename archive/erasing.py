"""Erasure carried out: out of Orthanc, index, readings, worklist, spool and crosswalk, with a signed receipt.

Who is killed half-way is followed by who does it again.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg

from archive import audit, optout, search_facts
from archive.audit import Event
from archive.erasure import TOUCHED, Erasure, Kind, read
from archive.errors import Conflict, Unavailable
from archive.orthanc import Orthanc
from archive.pool import queries
from archive.spool import Spool
from archive.tiers import Tiers

MOST_ROUNDS = 5  # looks for what came while the rest was erased


@dataclass(frozen=True, slots=True)
class Site:
    """What is erased from. `sign` gives a signature of the receipt, `index` indexes instances of Orthanc anew.

    `forget_prepared` removes what is prepared of studies for training, and gives how many files that were.
    """

    connection: psycopg.Connection  # in no transaction
    orthanc: Orthanc
    tiers: Tiers
    spool: Spool
    sign: Callable[[bytes], str]
    index: Callable[[Sequence[str]], object]
    forget_prepared: Callable[[Sequence[str]], int]
    name: str


def carry_out(site: Site, identifier: str, advance: Callable[[], object] = lambda: None) -> str:
    """Erase what was asked for, and give the signed receipt; of what was erased before, its receipt.

    `advance` is called for each instance. Raises Conflict where another process erases, Unavailable where a part of
    the site does not answer: then the same call goes on from there.
    """
    with _alone(site.connection):
        erasure = read(site.connection, identifier)
        if erasure.receipt is None:
            _await_stores(site.connection)
            for _ in range(MOST_ROUNDS):
                if not _erase_found(site, identifier, advance):
                    break
            else:
                raise Unavailable(
                    "what is to be erased keeps coming: who sends it? The erasure goes on when asked again"
                )
            search_facts.bring_studies_up_to_date(site.connection, read(site.connection, identifier).studies)
            _complete(site, identifier)
            _vacuum(site.connection)
            erasure = read(site.connection, identifier)
        return erasure.receipt or ""


@contextmanager
def _alone(connection: psycopg.Connection) -> Iterator[None]:
    sql = queries("erasure.sql")
    if connection.execute(sql["erase_alone"]).fetchall() != [(True,)]:
        raise Conflict("another process is erasing; try again when it has ended")
    try:
        yield
    finally:
        connection.execute(sql["erase_no_longer_alone"])


def _await_stores(connection: psycopg.Connection) -> None:
    """Until whoever began to store before the erasure was asked for has ended."""
    with connection.transaction():
        connection.execute(queries("erasure.sql")["await_stores"])


def _erase_found(site: Site, identifier: str, advance: Callable[[], object]) -> bool:
    """One look for what there is, and its erasure; whether there was anything."""
    erasure = read(site.connection, identifier)
    found = _find(site, erasure)
    values = {"id": identifier, "studies": found.studies, "instances": found.instances}
    site.connection.execute(queries("erasure.sql")["note_found"], values)
    site.tiers.require_mounted()  # Orthanc forgets an instance also where its file can't be removed
    for instance in found.instances:
        site.orthanc.delete(instance)
        advance()
    erasure = read(site.connection, identifier)
    _forget_indexed(site, replace(erasure, studies=found.studies))
    spooled = _forget_spooled(site, erasure)
    identities = _forget(site.connection, erasure, "identities", "forget_identities")
    if others := read(site.connection, identifier).others:
        site.index(others)
    return bool(found.studies or found.instances or spooled or identities)


@dataclass(frozen=True, slots=True)
class _Found:
    studies: list[str]
    instances: list[str]


def _find(site: Site, erasure: Erasure) -> _Found:
    """Studies by all that knows of them, and what Orthanc holds of them, indexed or not."""
    rows = site.connection.execute(queries("erasure.sql")["find"], _values(erasure)).fetchall()
    studies = {study: set(patients or ()) for study, patients in rows}
    held: set[str] = set()
    if erasure.kind == Kind.PATIENT:
        for patient in erasure.pseudonyms:
            held |= set(site.orthanc.instances_below("patients", _orthanc_identifier(patient)))
    else:
        for study, patients in studies.items():
            for patient in patients:
                held |= set(site.orthanc.instances_below("studies", _orthanc_identifier(patient, study)))
    return _Found(sorted(studies), sorted(held))


def _orthanc_identifier(*named: str) -> str:
    """How Orthanc calls a patient, or a study of a patient: SHA-1 of the identifiers, in groups of eight digits."""
    digest = hashlib.sha1("|".join(named).encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


def _values(erasure: Erasure) -> dict[str, Any]:
    return {
        "id": erasure.id,
        "kind": erasure.kind,
        "pseudonyms": erasure.pseudonyms,
        "patients": erasure.patients,
        "studies": erasure.studies,
        "instances": erasure.instances,
    }


def _forget_indexed(site: Site, erasure: Erasure) -> None:
    """Take the studies out of the index, all at once, and note what of them is another patient's."""
    sql, values, connection = queries("erasure.sql"), _values(erasure), site.connection
    with connection.transaction():
        connection.execute(sql["await_stores"])
        _require_gone(site, connection.execute(sql["places"], values).fetchall())
        _forget_moved(site, erasure)
        connection.execute(sql["note_others"], values)
        for what in ("readings", "reviews"):
            _count(connection, erasure, what, connection.execute(sql[what], values).fetchall()[0][0])
        _count(connection, erasure, "prepared", site.forget_prepared(erasure.studies))
        connection.execute(sql["forget_deleted"], values)
        connection.execute(sql["forget_jobs"], values)
        connection.execute(sql["forget_set_aside"], values)
        for what in ("workitems", "instances", "series", "studies"):
            _count(connection, erasure, what, connection.execute(sql[f"forget_{what}"], values).rowcount)


def _require_gone(site: Site, places: Sequence[tuple[str]]) -> None:
    """Raise Unavailable where a file is still there that Orthanc was told to delete, or that can't be told."""
    site.tiers.require_mounted()
    if any(site.tiers.is_in_folder(place) for (place,) in places):
        raise Unavailable("Orthanc has not deleted a stored file yet; the erasure goes on when asked again")


def _forget_moved(site: Site, erasure: Erasure) -> None:
    """Remove from the bucket what lies there, or is being put there. Raises Unavailable where it does not answer."""
    sql = queries("tiers.sql")
    for (place,) in site.connection.execute(
        sql["hold_of_instances"], {"instances": erasure.instances}
    ).fetchall():
        if site.tiers.bucket is None:
            raise Unavailable("an instance lies in a bucket that the settings don't name any more")
        site.tiers.remove(place)
        site.connection.execute(sql["forget"], {"place": place})


def _forget_spooled(site: Site, erasure: Erasure) -> int:
    """Overwrite and remove the sealed files, each before its row."""
    rows = site.connection.execute(queries("erasure.sql")["spooled"], _values(erasure)).fetchall()
    for (spooled,) in rows:
        site.spool.shred(spooled)
        _forget(site.connection, erasure, "spooled", "forget_spooled", spooled=spooled)
    return len(rows)


def _forget(connection: psycopg.Connection, erasure: Erasure, what: str, name: str, **more: str) -> int:
    with connection.transaction():
        gone = connection.execute(queries("erasure.sql")[name], _values(erasure) | more).rowcount
        _count(connection, erasure, what, gone)
    return gone


def _count(connection: psycopg.Connection, erasure: Erasure, what: str, number: int) -> None:
    values = {"id": erasure.id, "what": what, "number": number}
    connection.execute(queries("erasure.sql")["count_removed"], values)


def _complete(site: Site, identifier: str) -> None:
    """Write the receipt, and the record in the audit trail, in one transaction."""
    connection, at = site.connection, datetime.now(UTC)
    with connection.transaction():
        connection.execute("set local synchronous_commit = on")
        erasure = read(connection, identifier)
        trained = optout.trained_on(connection, erasure.patients)
        _forget(connection, erasure, "training_uses", "forget_training")
        connection.execute(queries("erasure.sql")["forget_aliases"], _values(erasure))
        erasure = read(connection, identifier)
        stored = {"stored_instances": len(erasure.instances)} | erasure.removed
        content = _statement(erasure, stored, at, site.name)
        content["models_that_learnt_from_the_patient"] = [each.to_json() for each in trained]
        values = {"id": identifier, "at": at, "receipt": make_receipt(content, site.sign)}
        connection.execute(queries("erasure.sql")["complete"], values)
        detail: dict[str, str | int] = {"state": "completed", **stored}
        audit.write(connection, Event.ERASURE, subject=erasure.asked_by, detail=detail, **erasure.about)


def _statement(erasure: Erasure, removed: Mapping[str, int], at: datetime, site: str) -> dict[str, Any]:
    return {
        "erasure": erasure.id,
        "site": site,
        "kind": str(erasure.kind),
        "pseudonyms": erasure.pseudonyms,
        "studies": erasure.studies,
        "removed": dict(sorted(removed.items())),
        "asked_at": audit.instant(erasure.asked_at),
        "asked_by": erasure.asked_by,
        "reason": erasure.reason,
        "completed_at": audit.instant(at),
    }


def make_receipt(statement: Mapping[str, Any], sign: Callable[[bytes], str]) -> str:
    """The statement with the SHA-256 of its canonical JSON, and a signature of that JSON."""
    payload = audit.canonical(statement).encode()
    receipt = {
        "statement": statement,
        "sha256": hashlib.sha256(payload).hexdigest(),
        "signature": sign(payload),
    }
    return json.dumps(receipt, ensure_ascii=False, indent=2)


def _vacuum(connection: psycopg.Connection) -> None:
    """Free the room of the rows in their tables, for other rows to be written over them."""
    for table in TOUCHED:
        connection.execute(f"vacuum {table}".encode())
