"""The audit trail: what was done, by whom, under which permit. No attribute's value is ever in it.

A record is canonical JSON, and what is hashed is that text (`archive.chain`). Who changes something writes its record
with `write`, in the transaction of the change: both are committed, or neither.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice

from psycopg import AsyncConnection, Connection

from archive.pool import queries

LONGEST = 256  # characters of a name or a value; what is longer is cut
MOST_DETAILS = 32
MARK = 16  # digits of the end of a study's UID by which a record of a search names it
UNKNOWN = "unknown"
WORKER = "site:worker"  # the subject of what no person and no program asked for
_RANDOM = 38  # characters; no UID of 2.25 that is not random is longer
_UNWRITABLE = re.compile(
    "[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]"
)  # in PostgreSQL, XML or FHIR, or on a terminal

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode

Detail = Mapping[str, str | int]


class Event(StrEnum):
    """What was done."""

    READ = "access.read"
    SEARCH = "access.search"
    WRITE = "access.write"
    DENIED = "access.denied"
    ARRIVED = "instances.arrived"
    LOGIN = "login"
    LOGOUT = "logout"
    TOKEN = "token"  # noqa: S105 - the name of an event
    PERMIT_REQUESTED = "permit.requested"
    PERMIT_GRANTED = "permit.granted"
    PERMIT_REJECTED = "permit.rejected"
    PERMIT_REVOKED = "permit.revoked"
    PERMIT_EXPIRED = "permit.expired"
    PERMIT_WITHDRAWN = "permit.withdrawn"
    APPLICATION_CHANGED = "application.changed"
    RULES_PUBLISHED = "rules.published"
    CONSENT_RECORDED = "consent.recorded"
    CONSENT_DEMANDED = "consent.demanded"
    DATASET_CREATED = "dataset.created"
    DATASET_FROZEN = "dataset.frozen"
    DATASET_DELETED = "dataset.deleted"
    ROLE_CHANGED = "role.changed"
    OPTOUT_ADDED = "optout.added"
    OPTOUT_WITHDRAWN = "optout.withdrawn"
    ERASURE = "erasure"
    CROSSWALK_OPENED = "crosswalk.opened"
    SPOOL_OPENED = "spool.opened"
    INFERENCE_DONE = "inference.done"
    REVIEW = "inference.reviewed"
    DELIVERY_DONE = "delivery.done"
    DELIVERY_CHANGED = "delivery.changed"
    DELIVERY_ACKNOWLEDGED = "delivery.acknowledged"
    NOTICE_SENT = "notice.sent"
    TRAINING_ROUND = "training.round"
    CLIENT_CHANGED = "client.changed"
    ACCOUNT_CHANGED = "account.changed"
    ISSUER_CHANGED = "issuer.changed"
    KEY_ROTATED = "key.rotated"
    CONFIGURATION_CHANGED = "configuration.changed"
    MODEL_CHANGED = "model.changed"
    LABELS_CHANGED = "labels.changed"
    FEDERATION_RUN = "federation.run"
    FEDERATION_ANSWER = "federation.answer"
    WEBHOOK_CHANGED = "webhook.changed"
    FEDERATION_MEMBER = "federation.member"
    FEDERATION_SEARCH = "federation.search"
    MODEL_REGISTERED = "model.registered"
    MODEL_SENT = "model.sent"
    JOB_SUBMITTED = "job.submitted"
    JOB_DECIDED = "job.decided"
    JOB_RUN = "job.run"
    JOB_RELEASED = "job.released"
    PACKAGE_RECEIVED = "package.received"
    CATALOGUE_CHANGED = "catalogue.changed"
    CATALOGUE_DRIFTED = "catalogue.drifted"
    BACKUP_MADE = "backup.made"
    RESTORED = "backup.restored"
    EXPORT = "export"


class Outcome(StrEnum):
    """How it ended (the four of DICOM PS3.15 table A.5.1, EventOutcomeIndicator)."""

    SUCCESS = "success"
    REFUSED = "refused"  # 4: the request was at fault, or not allowed
    FAILED = "failed"  # 8: the site could not do it
    UNAVAILABLE = "unavailable"  # 12: a part of the site did not answer


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of the trail. UIDs and the PatientID are pseudonyms; `detail` holds no attribute's value.

    `shown` are the studies that an answer listed, by their UIDs; None of what lists no studies.
    """

    event: Event
    subject: str
    outcome: Outcome = Outcome.SUCCESS
    permits: Sequence[str] = ()
    study_instance_uid: str | None = None
    patient_id: str | None = None
    detail: Detail = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    shown: Sequence[str] | None = None

    def content(self) -> str:
        """Canonical JSON, names in order, nothing empty but a list of studies, no white space; times in UTC."""
        members: dict[str, object] = {
            "event": self.event,
            "outcome": self.outcome,
            "subject": _clean(self.subject) or UNKNOWN,
            "time": instant(self.at),
        }
        if details := _details(self.detail):
            members["detail"] = details
        if self.patient_id:
            members["patient"] = _clean(self.patient_id)
        if permits := [_clean(permit) for permit in self.permits if permit]:
            members["permits"] = permits
        if self.shown is not None:
            members["shown"] = [mark_of(study) for study in dict.fromkeys(self.shown)]
        if self.study_instance_uid:
            members["study"] = _clean(self.study_instance_uid)
        return canonical(members)


def mark_of(study_instance_uid: str) -> str:
    """What a record names one of many studies by: the last digits of a UID that is a random number, else the UID.

    UIDs of 2.25 hold 122 random bits in 39 digits (DICOM PS3.5 section B.2), the last 16 of them more than 53, so that
    among a million studies the chance that another one has this study's mark is one in ten thousand million.
    """
    is_random = study_instance_uid.startswith("2.25.") and len(study_instance_uid) > _RANDOM
    return study_instance_uid[-MARK:] if is_random else _clean(study_instance_uid)


def canonical(members: Mapping[str, object]) -> str:
    """JSON with its names in order and without white space: equal values have equal texts."""
    return _encode(members)


def instant(at: datetime) -> str:
    """A moment in UTC, always of the same length, so that texts order as moments do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def write(
    connection: Connection,
    event: Event,
    *,
    subject: str,
    outcome: Outcome = Outcome.SUCCESS,
    permits: Sequence[str] = (),
    study_instance_uid: str | None = None,
    patient_id: str | None = None,
    detail: Detail = {},  # noqa: B006 - never changed
) -> None:
    """Record what the connection's transaction does; it is in the trail when that is committed, and not otherwise.

    The end of the chain is locked during the commit alone, so a transaction may go on long after it has written.
    """
    record = Record(event, subject, outcome, permits, study_instance_uid, patient_id, detail)
    connection.execute(queries("audit.sql")["append_at_commit"], {"content": record.content()})


async def write_async(
    connection: AsyncConnection,
    event: Event,
    *,
    subject: str,
    outcome: Outcome = Outcome.SUCCESS,
    permits: Sequence[str] = (),
    study_instance_uid: str | None = None,
    patient_id: str | None = None,
    detail: Detail = {},  # noqa: B006 - never changed
) -> None:
    """As `write`, on an asynchronous connection."""
    record = Record(event, subject, outcome, permits, study_instance_uid, patient_id, detail)
    await connection.execute(queries("audit.sql")["append_at_commit"], {"content": record.content()})


def _details(detail: Detail) -> dict[str, str | int]:
    told: dict[str, str | int] = {}
    for name, value in islice(detail.items(), MOST_DETAILS):
        cleaned = value if isinstance(value, int) else _clean(value)
        if name and cleaned != "":
            told[_clean(name)] = cleaned
    return told


def _clean(text: str) -> str:
    """As everything can hold it, cut where it is longer than any name that the site gives."""
    text = text[:LONGEST]
    return text if text.isprintable() else _UNWRITABLE.sub("�", text)
