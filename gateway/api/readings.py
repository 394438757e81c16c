"""/api/studies/{study}/readings: what models found in a study, and what readers say of it.

Who a reader is, and when something was read or said, is told to those alone who see every study by a role: others see
dates that were shifted, and beside them the day of a reading would tell by how much.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import reviews
from archive.errors import Forbidden, NotFound
from archive.policy import NOTHING, Action, Scope
from archive.resource import parse_uid
from archive.reviews import Address, Decision, Opinion, Reader, Reading, Readings, Review
from archive.search import shows
from gateway.api.payload import Payload, read_payload, respond
from gateway.services import grants_of, principal_of, scope_of, services_of

_NAME = re.compile(r"[A-Za-z-]{1,16}")  # of a task or a modality
_OF_OLD: dict[str, Any] = {
    "measurements": [],
    "lesions": [],
    "operating_point": "",
}  # where findings lack them
_LONGEST_PSEUDONYM = 10  # hexadecimal digits


async def show(request: Request) -> Response:
    """What models found in a study, how far they are, and what readers said of it."""
    study, scope = parse_uid(request.path_params["study"]), scope_of(request, Action.READ)
    async with services_of(request).connection() as connection:
        found = await reviews.show(connection, scope, study)
    return respond(_document(request, study, found))


async def review(request: Request) -> Response:
    """Accept or reject what a model found in a study, or one lesion of it, or comment on it."""
    study, scope = parse_uid(request.path_params["study"]), _reviewable(request)
    services = services_of(request)
    async with services.connection() as connection:
        if not await shows(connection, scope, study):
            raise NotFound("no such study")
    address = _address(request, study)
    payload = await read_payload(request)
    fingerprint = payload.text("fingerprint") if payload.has("fingerprint") else None
    async with services.connection() as connection:
        identifier = await reviews.add(
            connection, scope, address, _opinion(payload), _reader(request), fingerprint
        )
        found = await reviews.show(connection, scope, study)
    told = [_review(request, each, found) for each in found.reviews if each.review_id == identifier]
    return respond(told[0], HTTPStatus.CREATED)


def _reviewable(request: Request) -> Scope:
    scope = scope_of(request, Action.REVIEW)
    if scope == NOTHING:
        raise Forbidden("neither a role nor a permit lets the request review what models found")
    return scope


def _address(request: Request, study: str) -> Address:
    task, modality = request.path_params["task"], request.path_params["modality"]
    if not (_NAME.fullmatch(task) and _NAME.fullmatch(modality)):
        raise NotFound("no such reading")
    return Address(study, task, modality)


def _opinion(payload: Payload) -> Opinion:
    lesion, comment = payload.text("lesion", ""), payload.text("comment", "")
    return Opinion(payload.choice("decision", Decision), lesion, comment)


def _reader(request: Request) -> Reader:
    """Who asks, and the name by which the study knows them: a keyed pseudonym, unless the site chose otherwise."""
    services, subject = services_of(request), principal_of(request).subject
    if services.settings.reviewers == "subject":
        return Reader(subject, subject)
    number = int(services.deidentifier.pseudonyms.uid(f"reader\0{subject}").rpartition(".")[2])
    return Reader(subject, f"Reader {number >> 128 - 4 * _LONGEST_PSEUDONYM:0{_LONGEST_PSEUDONYM}X}")


def _knows_readers(request: Request) -> bool:
    return grants_of(request).everything and principal_of(request).has_roles


def _document(request: Request, study: str, found: Readings) -> Mapping[str, Any]:
    return {
        "study_instance_uid": study,
        "awaits_images": found.awaits_images,
        "readings": [_reading(request, each, found) for each in found.readings],
    }


def _reading(request: Request, reading: Reading, found: Readings) -> Mapping[str, Any]:
    findings = reading.findings and _OF_OLD | reading.findings
    if findings and not _knows_readers(request):
        del findings["created_at"]
    return {
        "task": reading.task,
        "modality": reading.modality,
        "state": reading.state,
        "reason": reading.reason,
        "model": reading.model,
        "applicability": findings and findings["applicability"],
        "findings": findings,
        "fingerprint": reading.fingerprint,
        "result_sop_instance_uid": reading.result_sop_instance_uid,
        "changed_at": reading.changed_at if _knows_readers(request) else None,
        "reviews": [
            _review(request, each, found)
            for each in found.reviews
            if (each.task, each.modality) == (reading.task, reading.modality)
        ],
    }


def _review(request: Request, review: Review, found: Readings) -> Mapping[str, Any]:
    """`is_current`: it is about what the reading says now."""
    fingerprints = {(each.task, each.modality): each.fingerprint for each in found.readings}
    is_known = _knows_readers(request)
    return {
        "review_id": review.review_id,
        "decision": review.decision,
        "lesion": review.lesion,
        "comment": review.comment,
        "by": review.reviewer if is_known else review.observer,
        "at": review.at if is_known else None,
        "model": review.model,
        "is_own": review.reviewer == principal_of(request).subject,
        "is_superseded": review.is_superseded,
        "is_current": review.fingerprint == fingerprints.get((review.task, review.modality)),
        "sop_instance_uid": review.sop_instance_uid,
    }


ROUTES = [
    Route("/api/studies/{study}/readings", show),
    Route("/api/studies/{study}/readings/{task}/{modality}/reviews", review, methods=["POST"]),
]
