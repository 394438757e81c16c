"""What patients say of the use of their data: consents that are given and withdrawn, each kept as it was recorded.

A withdrawal withholds all studies of the patient as an opt-out does (`archive.optout`), until she consents again. A
dataset may want a consent: then others see of it the studies of patients alone who gave it. Patients are pseudonyms.
"""

import re
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import psycopg
from psycopg.errors import DeadlockDetected

from archive import audit, optout
from archive.audit import Event
from archive.datasets import parse_name
from archive.errors import BadRequest, Conflict, NotFound, Unavailable
from archive.optout import TrainingUse
from archive.pool import queries

LONGEST = 400  # characters of a reference to the evidence
MOST = 1000  # statements in a list
_ATTEMPTS = 5  # of a change that waits in a circle with the index's own
_SHA256 = re.compile("[0-9a-f]{64}")
_ALL = {"patients": None, "id": None, "limit": MOST}


class Scope(StrEnum):
    """What a patient consents to."""

    SECONDARY_USE = "secondary-use"
    DONATION = "donation"
    TRAINING = "training"


class Decision(StrEnum):
    """What she says."""

    GIVEN = "given"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Statement:
    """What a patient said, when, and on which text; `evidence` is where the signed paper or its record is.

    `text_sha256` is that of the text that she was shown, in hexadecimal.
    """

    decision: Decision
    scope: Scope
    text_sha256: str
    evidence: str
    stated_at: datetime

    def __post_init__(self) -> None:
        """Raises BadRequest."""
        if not _SHA256.fullmatch(self.text_sha256):
            raise BadRequest("text_sha256 is the SHA-256 of the consent's text: 64 small hexadecimal digits")
        evidence = self.evidence.strip()
        if not evidence or len(self.evidence) > LONGEST or not self.evidence.isprintable():
            raise BadRequest("evidence is a reference of %(most)s characters at most", most=LONGEST)
        if self.stated_at > datetime.now(UTC) + timedelta(days=1):
            raise BadRequest("nobody has said anything in the future")


@dataclass(frozen=True, slots=True)
class Consent:
    """A statement as it was recorded; `is_current`: she has said nothing of its scope since."""

    id: uuid.UUID
    patients: list[str]
    decision: str
    scope: str
    stated_at: datetime
    text_sha256: str
    evidence: str
    recorded_at: datetime
    recorded_by: str
    is_current: bool

    def to_json(self) -> dict[str, Any]:
        times = {name: getattr(self, name).isoformat() for name in ("stated_at", "recorded_at")}
        return asdict(self) | times | {"id": str(self.id)}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a statement came to: how many of her studies are here and withheld, and what was done with them before."""

    consent: Consent
    studies: int
    withheld: int
    trained: list[TrainingUse]
    permits: list[str]

    def to_json(self) -> dict[str, Any]:
        done = {"trained": [each.to_json() for each in self.trained], "permits": self.permits}
        return {
            "consent": self.consent.to_json(),
            "studies": self.studies,
            "withheld": self.withheld,
        } | done


def record(
    connection: psycopg.Connection, patients: Sequence[str], statement: Statement, *, by: str
) -> Recorded:
    """Keep what the patient with these pseudonyms said, and withhold or give back her studies.

    Durable on return; `connection` is in no transaction. Raises Unavailable; Conflict where she consents and the
    Patient ID is of several patients, for it may be another's, and where she withdrew on a later day.
    """
    meant = sorted({*patients, *(known := optout.patients(connection, patients))})
    if statement.decision == Decision.GIVEN and len(set(known) - set(patients)) > 1:
        raise Conflict("patients of several issuers have this Patient ID: name the issuer")
    for _ in range(_ATTEMPTS):
        try:
            identifier = _record_once(connection, meant, statement, by)
            break
        except DeadlockDetected:
            continue
    else:
        raise Unavailable("the index is being written; try again")
    studies, withheld = _row(connection, "studies", patients=meant)
    trained, permits = touched(connection, meant)
    return Recorded(show(connection, identifier), studies, withheld, trained, permits)


def _record_once(
    connection: psycopg.Connection, patients: list[str], statement: Statement, by: str
) -> uuid.UUID:
    row = asdict(statement) | {"patients": patients, "by": by}
    with connection.transaction():
        connection.execute("set local synchronous_commit = on")
        recorded = connection.execute(queries("consents.sql")["record"], row).fetchone()
        if recorded is None:
            raise Conflict("she withdrew it on a later day: what she said before gives nothing back")
        (identifier,) = recorded
        detail = {"decision": str(statement.decision), "scope": str(statement.scope), "id": str(identifier)}
        for patient in patients:
            audit.write(connection, Event.CONSENT_RECORDED, subject=by, patient_id=patient, detail=detail)
    found: uuid.UUID = identifier
    return found


def touched(connection: psycopg.Connection, patients: Sequence[str]) -> tuple[list[TrainingUse], list[str]]:
    """Which models learnt from a patient, and under which permits her studies were read."""
    rows = connection.execute(queries("consents.sql")["permits"], {"patients": list(patients)})
    return optout.trained_on(connection, patients), [permit for (permit,) in rows]


def find(connection: psycopg.Connection, patients: Sequence[str] | None = None) -> list[Consent]:
    """The newest statements first: of everybody, or of the patient with one of these pseudonyms."""
    given = None if patients is None else sorted({*patients, *optout.patients(connection, patients)})
    rows = connection.execute(queries("consents.sql")["list"], _ALL | {"patients": given})
    return [Consent(*row) for row in rows]


def show(connection: psycopg.Connection, identifier: uuid.UUID) -> Consent:
    """Raises NotFound."""
    row = connection.execute(queries("consents.sql")["list"], _ALL | {"id": identifier}).fetchone()
    if row is None:
        raise NotFound("no such consent")
    return Consent(*row)


def demand(connection: psycopg.Connection, dataset: str, scope: Scope | None, *, by: str) -> None:
    """Let others see of a dataset and its versions the studies alone whose patients gave a consent, or all again.

    Of the dataset of all studies: let nobody see any others. Raises BadRequest, NotFound.
    """
    name, version = parse_name(dataset)
    if version:
        raise BadRequest("versions want what their dataset wants")
    with connection.transaction():
        row = {"name": name, "scope": scope and str(scope)}
        if not connection.execute(queries("consents.sql")["demand"], row).rowcount:
            raise NotFound("no such dataset")
        detail = {"dataset": name, "scope": str(scope or "none")}
        audit.write(connection, Event.CONSENT_DEMANDED, subject=by, detail=detail)


def demanded(connection: psycopg.Connection) -> dict[str, Scope]:
    """The datasets that want a consent, and of which scope."""
    rows = connection.execute(queries("consents.sql")["demanded"])
    return {name: Scope(scope) for name, scope in rows}


def _row(connection: psycopg.Connection, name: str, **values: Any) -> tuple[Any, ...]:
    row = connection.execute(queries("consents.sql")[name], values).fetchone()
    assert row is not None
    return tuple(row)
