"""One instance through Orthanc's door: what it is, whether it was taken, and under which pseudonyms."""

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from http import HTTPStatus

import httpx
from anyio.to_thread import run_sync

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


_HELD = "FilteredOut"  # what Orthanc says when its door keeps an instance for itself
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


async def deliver(services: Services, instance: bytes, target: Resource, may_add: MayAdd) -> Outcome:
    """Put one instance through the door, which has to have proven a moment ago that it is one.

    One that belongs to another study than the target names is not delivered, nor is one that names a study of this
    site that the site does not hold for that patient, or that may not be added to: nothing of it is stored.
    """
    try:
        known = await run_sync(services.deidentifier.recognise, instance)
    except Refused as refused:
        return await run_sync(_refused, services.deidentifier, instance, refused)
    sent = _named(known.identity)
    if sent is None:
        return Outcome(FailureReason.CANNOT_UNDERSTAND)
    if target.study_instance_uid not in (None, sent.study_instance_uid):
        return Outcome(FailureReason.DATA_SET_MISMATCH, known.sop_class_uid, sent)
    try:
        await services.readiness.require_plugin(AT_THE_DOOR)
        is_allowed = await may_add(known.study_instance_uid)
        if not await _belongs(services, known) or not is_allowed:
            return Outcome(FailureReason.DATA_SET_MISMATCH, known.sop_class_uid, sent)
        return await _deliver(services.orthanc, instance, known, sent)
    except (httpx.TransportError, Unavailable):
        return Outcome(FailureReason.OUT_OF_RESOURCES, known.sop_class_uid, sent)


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


async def _deliver(
    orthanc: httpx.AsyncClient, instance: bytes, known: Deidentified, sent: Resource
) -> Outcome:
    """Orthanc's own answer is not passed on: it names the identified study that the instance came from."""
    headers = {"content-type": DICOM, "content-length": str(len(instance))}
    answer = await orthanc.post("/instances", content=_in_chunks(instance), headers=headers, timeout=TIMEOUT)
    if answer.status_code != HTTPStatus.OK:
        return Outcome(_failure(answer.status_code), known.sop_class_uid, sent)
    identifier, status = (answer.json().get(name) for name in ("ID", "Status"))
    if not identifier and status == _HELD:
        return Outcome(None, known.sop_class_uid, sent, is_held=True)
    if not identifier:
        return Outcome(FailureReason.PROCESSING_FAILURE, known.sop_class_uid, sent)
    stored = Resource(known.study_instance_uid, known.series_instance_uid, known.sop_instance_uid)
    return Outcome(None, known.sop_class_uid, stored, is_coerced=stored != sent)


async def _in_chunks(body: bytes) -> AsyncIterator[bytes]:
    """So that what lies between here and the socket never copies an instance whole."""
    view = memoryview(body)
    for start in range(0, len(body), _CHUNK):
        yield bytes(view[start : start + _CHUNK])


def _failure(status: int) -> FailureReason:
    """Orthanc's answer to an instance that its door refused is 500; 400 is one that it can't parse."""
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE):
        return FailureReason.OUT_OF_RESOURCES
    return (
        FailureReason.CANNOT_UNDERSTAND
        if status == HTTPStatus.BAD_REQUEST
        else FailureReason.PROCESSING_FAILURE
    )
