"""One instance through Orthanc's door: what it is, whether it was taken, and under which pseudonyms."""

import struct
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import IntEnum
from http import HTTPStatus

import httpx
from anyio.to_thread import run_sync

from archive.errors import Unavailable
from archive.resource import Resource, is_uid
from deidentification.elements import collect
from deidentification.part10 import DEFLATED, read_meta, reader
from deidentification.refusal import Reason, Refused
from gateway.multipart import Part
from gateway.readiness import AT_THE_DOOR
from gateway.services import Services

TIMEOUT = httpx.Timeout(10.0, read=300.0, write=300.0)
DICOM = "application/dicom"
_IDENTIFIERS = (0x00080016, 0x0020000D, 0x0020000E, 0x00080018)  # SOP class, study, series, SOP instance
_CHUNK = 256 * 1024  # bytes of an instance that are handed on at a time
_INFLATED = 4 * 1024 * 1024  # bytes of a deflated data set in which its identifiers are looked for


class FailureReason(IntEnum):
    """Values of Failure Reason (0008,1197): PS3.18 table I.2-2."""

    PROCESSING_FAILURE = 0x0110
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_MISMATCH = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122


_HELD = "FilteredOut"  # what Orthanc says when its door keeps an instance for itself
_REASONS = {Reason.TRANSFER_SYNTAX_NOT_SUPPORTED: FailureReason.TRANSFER_SYNTAX_NOT_SUPPORTED}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one instance.

    Stored: its pseudonyms. Held until its pixels are cleaned: the UIDs its sender gave it. Failed: a reason, and
    those UIDs where they could be read.
    """

    failure: FailureReason | None = None
    sop_class_uid: str = ""
    resource: Resource = Resource()
    is_held: bool = False


async def deliver(services: Services, part: Part, target: Resource) -> Outcome:
    """Put one instance through the door, which has to have proven a moment ago that it is one.

    One that belongs to another study than the target names is not delivered: nothing of it is stored.
    """
    try:
        sop_class_uid, resource = await run_sync(_read_identifiers, part)
    except Refused as refused:
        return Outcome(_REASONS.get(refused.reason, FailureReason.CANNOT_UNDERSTAND))
    if target.study_instance_uid not in (None, resource.study_instance_uid):
        return Outcome(FailureReason.DATA_SET_MISMATCH, sop_class_uid, resource)
    try:
        await services.readiness.require_plugin(AT_THE_DOOR)
        return await _deliver(services.orthanc, part.body, sop_class_uid, resource)
    except (httpx.TransportError, Unavailable):
        return Outcome(FailureReason.OUT_OF_RESOURCES, sop_class_uid, resource)


def _read_identifiers(part: Part) -> tuple[str, Resource]:
    """The SOP Class UID and identifying UIDs that the sender gave. Raises Refused for what is no instance."""
    if part.headers.get("content-type", DICOM).partition(";")[0].strip().lower() != DICOM:
        raise Refused(Reason.NOT_DICOM)
    transfer_syntax, start = read_meta(part.body)
    data = part.body
    if transfer_syntax == DEFLATED:
        data, start = _inflate_beginning(part.body, start), 0
    try:
        found = collect(data, start, reader(transfer_syntax), _IDENTIFIERS, last=max(_IDENTIFIERS) + 1)
    except struct.error:
        raise Refused(Reason.TRUNCATED) from None
    sop_class_uid, *uids = (found.get(tag, b"").rstrip(b" \0").decode("latin-1") for tag in _IDENTIFIERS)
    if not all(map(is_uid, (sop_class_uid, *uids))):
        raise Refused(Reason.NO_IDENTITY)
    return sop_class_uid, Resource(*uids)


def _inflate_beginning(data: bytes, position: int) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(memoryview(data)[position:], _INFLATED)
    except zlib.error:
        raise Refused(Reason.BAD_DEFLATE) from None


async def _deliver(orthanc: httpx.AsyncClient, body: bytes, sop_class_uid: str, sent: Resource) -> Outcome:
    headers = {"content-type": DICOM, "content-length": str(len(body))}
    answer = await orthanc.post("/instances", content=_in_chunks(body), headers=headers, timeout=TIMEOUT)
    if answer.status_code != HTTPStatus.OK:
        return Outcome(_failure(answer.status_code), sop_class_uid, sent)
    identifier, status = (answer.json().get(name) for name in ("ID", "Status"))
    if not identifier and status == _HELD:
        return Outcome(None, sop_class_uid, sent, is_held=True)
    stored = await _pseudonyms(orthanc, identifier) if identifier else None
    if stored is None:
        return Outcome(FailureReason.PROCESSING_FAILURE, sop_class_uid, sent)
    return Outcome(None, sop_class_uid, stored)


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


async def _pseudonyms(orthanc: httpx.AsyncClient, identifier: str) -> Resource | None:
    """The UIDs under which Orthanc holds an instance.

    Asked of Orthanc afterwards: its answer to a POST names the identified study that the instance came from.
    """
    wanted = "StudyInstanceUID;SeriesInstanceUID;SOPInstanceUID"
    answer = await orthanc.get(f"/instances/{identifier}?requestedTags={wanted}")  # it decodes no %3B
    if answer.status_code != HTTPStatus.OK:
        return None
    tags = answer.json().get("RequestedTags", {})
    uids = [str(tags.get(keyword, "")) for keyword in wanted.split(";")]
    return Resource(*uids) if all(map(is_uid, uids)) else None
