"""Instances through Orthanc's door: what each is, whether it was taken, and under which pseudonyms."""

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from http import HTTPStatus

import httpx
from anyio.to_thread import run_sync

from archive import trace_context
from archive.errors import Unavailable
from archive.resource import Resource, is_uid
from archive.search import withheld_among
from deidentification.deidentify import Deidentified, Deidentifier, Identity, Reason, Refused
from gateway.readiness import AT_THE_DOOR
from gateway.services import Services

TIMEOUT = httpx.Timeout(10.0, read=300.0, write=300.0)
DICOM = "application/dicom"
MayAdd = Callable[[str], Awaitable[bool]]
"""Whether a study, by its pseudonym, may be added to."""
_CHUNK = 256 * 1024  # bytes of an instance that are handed on at a time


class FailureReason(IntEnum):
    """Values of Failure Reason (0008,1197): PS3.18 table I.2-2."""

    PROCESSING_FAILURE = 0x0110
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_MISMATCH = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122


LENGTHS = "senogate-lengths"
"""The header field with the lengths of the instances of a body, where it holds them one after the other."""
_REASONS = {
    Reason.TRANSFER_SYNTAX_NOT_SUPPORTED: FailureReason.TRANSFER_SYNTAX_NOT_SUPPORTED,
    Reason.SOP_CLASS_NOT_SUPPORTED: FailureReason.SOP_CLASS_NOT_SUPPORTED,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one instance.

    Stored: its pseudonyms, and whether they differ from what came. Held until its pixels are cleaned: the UIDs its
    sender gave it. Failed: a reason, and those UIDs where they could be read.
    """

    failure: FailureReason | None = None
    sop_class_uid: str = ""
    resource: Resource = Resource()
    is_held: bool = False
    is_coerced: bool = False


@dataclass(frozen=True, slots=True)
class Sendable:
    """An instance that may go to the door: who the door will take it for, and what its sender calls it."""

    instance: bytes
    known: Deidentified
    sent: Resource

    def end(self, failure: FailureReason | None, *, is_held: bool = False) -> Outcome:
        """The outcome under the UIDs that its sender gave it."""
        return Outcome(failure, self.known.sop_class_uid, self.sent, is_held=is_held)

    def stored(self) -> Outcome:
        """The outcome under its pseudonyms."""
        known = self.known
        stored = Resource(known.study_instance_uid, known.series_instance_uid, known.sop_instance_uid)
        return Outcome(None, known.sop_class_uid, stored, is_coerced=stored != self.sent)


async def deliver(
    services: Services, instances: Sequence[bytes], target: Resource, may_add: MayAdd
) -> list[Outcome]:
    """Put instances through the door together, which has to have proven a moment ago that it is one.

    One that belongs to another study than the target names is not delivered, nor is one that names a study of this
    site that the site does not hold for that patient, or that may not be added to: nothing of it is stored.
    """
    examined = await run_sync(_examine, services.deidentifier, instances, target)
    waiting = [each for each in examined if isinstance(each, Sendable)]
    ended = iter(await _deliver(services, waiting, may_add))
    return [next(ended) if isinstance(each, Sendable) else each for each in examined]


def _examine(
    deidentifier: Deidentifier, instances: Sequence[bytes], target: Resource
) -> list[Sendable | Outcome]:
    return [_examine_one(deidentifier, instance, target) for instance in instances]


def _examine_one(deidentifier: Deidentifier, instance: bytes, target: Resource) -> Sendable | Outcome:
    try:
        known = deidentifier.recognise(instance)
    except Refused as refused:
        return _refused(deidentifier, instance, refused)
    sent = _named(known.identity)
    if sent is None:
        return Outcome(FailureReason.CANNOT_UNDERSTAND)
    if target.study_instance_uid not in (None, sent.study_instance_uid):
        return Outcome(FailureReason.DATA_SET_MISMATCH, known.sop_class_uid, sent)
    return Sendable(instance, known, sent)


async def _deliver(services: Services, waiting: Sequence[Sendable], may_add: MayAdd) -> list[Outcome]:
    """The outcome of each."""
    if not waiting:
        return []
    try:
        await services.readiness.require_plugin(AT_THE_DOOR)
        belong = [each for each in waiting if await _may_go(services, each.known, may_add)]
        statuses = iter(await _hand_over(services.orthanc, [each.instance for each in belong]))
    except (httpx.TransportError, Unavailable):
        return [each.end(FailureReason.OUT_OF_RESOURCES) for each in waiting]
    return [
        _ended(each, next(statuses)) if each in belong else each.end(FailureReason.DATA_SET_MISMATCH)
        for each in waiting
    ]


async def _may_go(services: Services, known: Deidentified, may_add: MayAdd) -> bool:
    """Whether it belongs here and its study may be added to; both are always asked, so that neither tells by time."""
    is_allowed = await may_add(known.study_instance_uid)
    return await _belongs(services, known) and is_allowed


def _refused(deidentifier: Deidentifier, instance: bytes, refused: Refused) -> Outcome:
    """The outcome of what the door would refuse as well, under its sender's UIDs where it has them."""
    reason = _REASONS.get(refused.reason, FailureReason.CANNOT_UNDERSTAND)
    try:
        identity = deidentifier.identify(instance)
    except Refused:
        return Outcome(reason)
    sent = _named(identity)
    return Outcome(reason, identity.sop_class_uid, sent) if sent else Outcome(reason)


def _named(identity: Identity) -> Resource | None:
    """What an instance calls itself; None where that is not whole, or no UIDs."""
    sent = Resource(identity.study_instance_uid, identity.series_instance_uid, identity.sop_instance_uid)
    return sent if len(sent.uids) == 3 and all(map(is_uid, (identity.sop_class_uid, *sent.uids))) else None


async def _belongs(services: Services, known: Deidentified) -> bool:
    """Whether what is said to be of a study of this site, under its pseudonym, finds that study of that patient."""
    if not services.deidentifier.pseudonyms.is_own_uid(known.identity.study_instance_uid):
        return True
    answer = await services.orthanc.get(f"/studies/{study_identifier(known)}", timeout=TIMEOUT)
    if answer.status_code not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
        raise Unavailable(f"Orthanc answers with the status {answer.status_code}")
    return answer.status_code == HTTPStatus.OK and not await _is_hidden(services, known.study_instance_uid)


async def _is_hidden(services: Services, study_instance_uid: str) -> bool:
    async with services.connection() as connection:
        return bool(await withheld_among(connection, [study_instance_uid]))


def study_identifier(known: Deidentified) -> str:
    """Orthanc's identifier of a study: SHA-1 of its patient's identifier and its own, in groups of eight digits."""
    digest = hashlib.sha1(f"{known.patient_id}|{known.study_instance_uid}".encode(), usedforsecurity=False)
    return "-".join(re.findall(".{8}", digest.hexdigest()))


async def _hand_over(orthanc: httpx.AsyncClient, instances: Sequence[bytes]) -> list[object]:
    """What the plugin says became of each instance: 200 stored, 202 held, all else is a failure.

    Orthanc's own answer would name the identified studies that the instances came from.
    """
    if not instances:
        return []
    lengths = [len(instance) for instance in instances]
    headers = {
        "content-type": DICOM,
        "content-length": str(sum(lengths)),
        LENGTHS: ",".join(map(str, lengths)),
    }
    if (context := trace_context.current.get()) and context.is_sampled:
        headers[trace_context.HEADER] = context.header
    content = _in_chunks(instances)
    answer = await orthanc.post("/senogate/instances", content=content, headers=headers, timeout=TIMEOUT)
    if answer.status_code != HTTPStatus.OK:
        return [answer.status_code] * len(instances)
    try:
        statuses = answer.json()
    except ValueError:
        statuses = None
    if not isinstance(statuses, list) or len(statuses) != len(instances):
        return [HTTPStatus.BAD_GATEWAY] * len(instances)
    return list(statuses)


async def _in_chunks(instances: Sequence[bytes]) -> AsyncIterator[bytes]:
    """So that what lies between here and the socket never copies an instance whole."""
    for instance in instances:
        view = memoryview(instance)
        for start in range(0, len(instance), _CHUNK):
            yield bytes(view[start : start + _CHUNK])


def _ended(each: Sendable, status: object) -> Outcome:
    if status == HTTPStatus.OK:
        return each.stored()
    if status == HTTPStatus.ACCEPTED:
        return each.end(None, is_held=True)
    return each.end(_failure(status))


def _failure(status: object) -> FailureReason:
    """500 is what the door refused or Orthanc did not store; 400 what is no request to the door."""
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE):
        return FailureReason.OUT_OF_RESOURCES
    return (
        FailureReason.CANNOT_UNDERSTAND
        if status == HTTPStatus.BAD_REQUEST
        else FailureReason.PROCESSING_FAILURE
    )
