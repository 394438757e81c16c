"""What readers say of readings: accepted, rejected, or a comment, of all that a model found or of one lesion.

A review is about the findings as its reader saw them, is never changed, and is written into the study as an SR by the
worker. Regulation (EU) 2024/1689 articles 14 and 26 ask for it: the trail has who, when, what, and of which model.
"""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import psycopg
from psycopg import AsyncConnection

from archive import audit
from archive.audit import Event, write_async
from archive.conditions import Parameters
from archive.errors import BadRequest, Conflict, NotFound
from archive.findings import Findings, from_json
from archive.listing import restrict
from archive.policy import Scope
from archive.pool import queries

LONGEST = 2000  # characters of a comment
LONGEST_NAME = 64  # of a lesion's name
_DIRECTIONS = frozenset(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)  # they hide what a text says


class Decision(StrEnum):
    """What a reader says."""

    ACCEPT = "accept"
    REJECT = "reject"
    COMMENT = "comment"


class Address(NamedTuple):
    """The reading that is reviewed."""

    study_instance_uid: str
    task: str
    modality: str


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a reader says of a reading, or of one of its lesions by name. Raises BadRequest for what is malformed."""

    decision: Decision
    lesion: str = ""
    comment: str = ""

    def __post_init__(self) -> None:
        if len(self.lesion) > LONGEST_NAME or not self.lesion.isprintable():
            raise BadRequest(f"lesion is the name of a lesion, of {LONGEST_NAME} characters at most")
        if len(self.comment) > LONGEST or not _is_plain(self.comment):
            raise BadRequest(
                f"comment has {LONGEST} characters at most, and no control characters but line feeds"
            )
        if self.decision == Decision.COMMENT and not self.comment.strip():
            raise BadRequest("comment is missing")


def _is_plain(text: str) -> bool:
    return not any(
        each in _DIRECTIONS or (ord(each) < 0xA0 and not each.isprintable())
        for each in text.replace("\n", "")
    )


@dataclass(frozen=True, slots=True)
class Reader:
    """Who says it: the subject, for the site alone, and the name that goes into the study."""

    subject: str
    observer: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading as it stands; `findings` and `fingerprint` are there where it is done.

    `fingerprint` is that of what was found: another reading that says the same has the same.
    """

    task: str
    modality: str
    state: str
    reason: str | None
    model: str | None
    findings: dict[str, Any] | None
    fingerprint: str | None
    result_sop_instance_uid: str | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Review:
    """A review as it was said. `fingerprint` and `model` are those of what was looked at.

    `is_superseded`: the same reader has decided otherwise, or anew, since. `sop_instance_uid` is that of the SR, once
    it is written.
    """

    task: str
    modality: str
    review_id: str
    decision: str
    lesion: str
    comment: str
    reviewer: str
    observer: str
    at: datetime
    fingerprint: str
    model: str
    sop_instance_uid: str | None
    is_superseded: bool


@dataclass(frozen=True, slots=True)
class Readings:
    """The readings of a study, and what was said of them, the first first.

    `awaits_images`: the study is not complete yet, so that further readings may come.
    """

    awaits_images: bool
    readings: list[Reading]
    reviews: list[Review]


@dataclass(frozen=True, slots=True)
class Due:
    """A review of which the SR is to be written. `superseded` is the review whose place it takes, by its identifier.

    `number` counts the reviews of a study from 1.
    """

    review_id: str
    study_instance_uid: str
    lesion: str
    decision: Decision
    comment: str
    observer: str
    findings: Findings
    result_sop_instance_uid: str
    superseded: str
    number: int


async def show(connection: AsyncConnection, scope: Scope, study_instance_uid: str) -> Readings:
    """Raises NotFound for a study that is not of the scope."""
    parameters = Parameters()
    statement = queries("review.sql")["readings"].format(scope=restrict(scope, parameters))
    values = parameters.values | {"study": study_instance_uid}
    rows = await (await connection.execute(statement.encode(), values)).fetchall()
    if not rows:
        raise NotFound("no such study")
    said = await connection.execute(queries("review.sql")["of_study"], {"study": study_instance_uid})
    return Readings(
        awaits_images=rows[0][0],
        readings=[Reading(*row) for _, *row in rows if row[0] is not None],
        reviews=[Review(*row) for row in await said.fetchall()],
    )


async def add(
    connection: AsyncConnection,
    scope: Scope,
    address: Address,
    opinion: Opinion,
    reader: Reader,
    fingerprint: str | None = None,
) -> str:
    """Keep what a reader says of a reading as it is now, and put that on record; the review's identifier.

    Raises NotFound for a reading that is not of the scope, BadRequest for a lesion that it did not find, and Conflict
    where it found nothing yet, or something else than what has this fingerprint.
    """
    async with connection.transaction():
        findings, values = await _reviewed(connection, scope, address, fingerprint)
        if opinion.lesion and opinion.lesion not in [each.name for each in findings.lesions]:
            raise BadRequest("lesion is none of those that the reading found")
        said = {
            "review_id": str(uuid.uuid4()),
            "lesion": opinion.lesion,
            "decision": str(opinion.decision),
            "comment": opinion.comment.strip(),
            "reviewer": reader.subject,
            "observer": reader.observer,
        }
        row = await (await connection.execute(queries("review.sql")["add"], values | said)).fetchone()
        assert row
        digest = _digest(address, said | {"fingerprint": values["fingerprint"], "at": audit.instant(row[0])})
        await write_async(
            connection,
            Event.REVIEW,
            subject=reader.subject,
            permits=scope.permits,
            study_instance_uid=address.study_instance_uid,
            detail=_detail(address, opinion, findings, values) | {"review_sha256": digest},
        )
    return said["review_id"]


async def _reviewed(
    connection: AsyncConnection, scope: Scope, address: Address, fingerprint: str | None
) -> tuple[Findings, dict[str, Any]]:
    """What is reviewed, and the columns that tell of it."""
    parameters = Parameters()
    statement = queries("review.sql")["reviewed"].format(scope=restrict(scope, parameters))
    key = {"study": address.study_instance_uid, "task": address.task, "modality": address.modality}
    row = await (await connection.execute(statement.encode(), parameters.values | key)).fetchone()
    if row is None:
        raise NotFound("no such reading")
    state, text, present, result = row
    if state != "done":
        raise Conflict("the reading has no findings that could be reviewed")
    if fingerprint not in (None, present):
        raise Conflict("the reading has changed meanwhile: look at it again")
    findings = from_json(text)
    assert isinstance(findings, Findings)
    return findings, key | {"findings": text, "fingerprint": present, "result_sop_instance_uid": result}


def _detail(
    address: Address, opinion: Opinion, findings: Findings, values: Mapping[str, Any]
) -> dict[str, str | int]:
    return {
        "task": address.task,
        "modality": address.modality,
        "decision": str(opinion.decision),
        "lesion": opinion.lesion,
        "model_name": findings.model.name,
        "model_version": findings.model.version,
        "model_sha256": findings.model.sha256,
        "fingerprint": values["fingerprint"],
        "result_sop_instance_uid": values["result_sop_instance_uid"] or "",
    }


def _digest(address: Address, said: Mapping[str, str]) -> str:
    """SHA-256 over all that a review says: the trail shows by it that a row is as it was said, and tells nothing of it.

    The identifier in it is random, and goes with the row.
    """
    return hashlib.sha256(audit.canonical(address._asdict() | dict(said)).encode()).hexdigest()


async def due(connection: AsyncConnection) -> Sequence[str]:
    """The reviews whose SR is to be written now, the first first."""
    rows = await connection.execute(queries("review.sql")["due"])
    return [identifier for (identifier,) in await rows.fetchall()]


def study_of(connection: psycopg.Connection, review_id: str) -> str | None:
    """The study of a review whose SR is to be written; None for any other."""
    row = connection.execute(queries("review.sql")["study"], {"review_id": review_id}).fetchone()
    return row[0] if row else None


def begin(connection: psycopg.Connection, review_id: str) -> Due | None:
    """The review, for the connection's transaction alone; None where its SR is written, or is being written."""
    row = connection.execute(queries("review.sql")["begin"], {"review_id": review_id}).fetchone()
    if row is None:
        return None
    identifier, study, lesion, decision, comment, observer, text, result, superseded, number = row
    findings = from_json(text)
    assert isinstance(findings, Findings)
    said = Decision(decision)
    return Due(
        *(
            identifier,
            study,
            lesion,
            said,
            comment,
            observer,
            findings,
            result or "",
            superseded or "",
            number,
        )
    )


def context(connection: psycopg.Connection, review: Due) -> str | None:
    """Where an instance lies whose patient and study the SR is to have; None where the study has none left."""
    sources = [each.sop_instance_uid for each in review.findings.sources]
    values = {"study": review.study_instance_uid, "sources": sources}
    row = connection.execute(queries("review.sql")["context"], values).fetchone()
    return row[0] if row else None


def finish(connection: psycopg.Connection, review_id: str, sop_instance_uid: str) -> None:
    """Note that the SR is written."""
    values = {"review_id": review_id, "sop_instance_uid": sop_instance_uid}
    connection.execute(queries("review.sql")["finish"], values)


def put_off(connection: psycopg.Connection, review_id: str) -> None:
    """Have an SR that could not be written be tried again later, each time after a longer while."""
    connection.execute(queries("review.sql")["put_off"], {"review_id": review_id})
