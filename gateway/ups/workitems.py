"""Workitems: create, retrieve, update, change their state, ask for their cancellation, search (PS3.18 11.4 to 11.9)."""

import re
import uuid
from http import HTTPStatus
from typing import cast

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import workitem as ups
from archive import worklist
from archive.attributes import tag
from archive.dicom_json import encode
from archive.errors import BadRequest, Conflict, NotFound
from archive.json_values import Attributes
from archive.policy import Action
from archive.query import parse_parameters, parse_query
from archive.resource import is_uid, parse_uid
from gateway import datasets
from gateway.auditing import note, note_shown
from gateway.problem import ProblemResponse
from gateway.services import services_of
from gateway.ups.access import viewer_of
from gateway.ups.payload import read_dataset

_MODIFIED = "The Workitem was created with modifications."


class Workitems(HTTPEndpoint):
    """/workitems: search and create."""

    async def get(self, request: Request) -> Response:
        """Search for workitems."""
        viewer = viewer_of(request, Action.READ)
        query = parse_query(None, parse_parameters(request.scope["query_string"]))
        chosen = datasets.choose(request)
        async with services_of(request).connection() as connection:
            page = await worklist.search(connection, viewer, query)
        note(request, results=len(page.rows))
        note_shown(request, page.studies)
        more = _warning(request, "There are additional results that can be requested.")
        return await datasets.respond(request, page.rows, chosen, more if page.more else None)

    async def post(self, request: Request) -> Response:
        """Create a workitem; its UID is the query, or the data set's, or made here."""
        viewer = viewer_of(request, Action.WRITE)
        named = _uid_in_query(request, "workitem")
        payload = await read_dataset(request)
        uid = named or _one_uid(payload, "SOPInstanceUID") or _one_uid(payload, "AffectedSOPInstanceUID")
        uid = uid or f"2.25.{uuid.uuid4().int}"
        async with services_of(request).connection() as connection:
            await worklist.create(connection, viewer, uid, payload)
        location = f"{services_of(request).settings.dicomweb_url}/workitems/{uid}"
        headers = {"location": location, "content-location": location, **_warning(request, _MODIFIED)}
        return Response(status_code=HTTPStatus.CREATED, headers=headers)


class OneWorkitem(HTTPEndpoint):
    """/workitems/{workitem}: retrieve and update."""

    async def get(self, request: Request) -> Response:
        """Retrieve a workitem."""
        viewer = viewer_of(request, Action.READ)
        uid, chosen = _workitem(request), datasets.choose(request, single=True)
        async with services_of(request).connection() as connection:
            found = await worklist.retrieve(connection, viewer, uid)
        note_shown(request, list(ups.studies_of(found.attributes)))
        return await datasets.respond(request, [encode(found.attributes)], chosen)

    async def post(self, request: Request) -> Response:
        """Update a workitem; who has claimed it names the Transaction UID."""
        viewer = viewer_of(request, Action.WRITE)
        uid, named = _workitem(request), _uid_in_query(request, "transaction-uid", "transaction")
        payload = await read_dataset(request)
        transaction = named or _one_uid(payload, "TransactionUID")
        try:
            async with services_of(request).connection() as connection:
                await worklist.change(
                    connection, viewer, uid, lambda item: ups.update(item, payload, transaction)
                )
        except BadRequest as error:
            return ProblemResponse(HTTPStatus.BAD_REQUEST, str(error), _warning(request, str(error)))
        return _done(request, uid)


async def change_state(request: Request) -> Response:
    """Claim, complete or cancel a workitem."""
    viewer = viewer_of(request, Action.WRITE)
    uid = _workitem(request)
    payload = await read_dataset(request)
    wanted = ups.values(payload, tag("ProcedureStepState"))
    transaction = _one_uid(payload, "TransactionUID")
    if len(wanted) != 1:
        raise BadRequest("the payload needs one ProcedureStepState")
    try:
        async with services_of(request).connection() as connection:
            changed = await worklist.change(
                connection, viewer, uid, lambda item: ups.change_state(item, wanted[0], transaction)
            )
    except Conflict as error:
        return ProblemResponse(HTTPStatus.CONFLICT, str(error), _warning(request, str(error)))
    already = f"The UPS is already in the requested state of {wanted[0]}."
    return _done(request, uid, {} if changed else _warning(request, already))


async def request_cancellation(request: Request) -> Response:
    """Ask for a workitem's cancellation; one that nobody has claimed is canceled."""
    viewer = viewer_of(request, Action.WRITE)
    uid = _workitem(request)
    payload = await read_dataset(request, required=False)
    headers: dict[str, str] = {}
    try:
        async with services_of(request).connection() as connection:
            left = await worklist.change(connection, viewer, uid, lambda item: ups.cancel(item, payload))
            if left is None:
                headers = _warning(request, "The UPS is already in the requested state of CANCELED.")
            elif left.state == ups.State.IN_PROGRESS:
                await worklist.tell_cancel_requested(connection, viewer, uid, ups.clean(payload))
    except Conflict as error:
        return ProblemResponse(HTTPStatus.CONFLICT, str(error), _warning(request, str(error)))
    return Response(status_code=HTTPStatus.ACCEPTED, headers=headers)


def _workitem(request: Request) -> str:
    uid = parse_uid(request.path_params["workitem"])
    if uid in (ups.GLOBAL_WORKLIST, ups.FILTERED_WORKLIST):
        raise NotFound("the worklist itself is no workitem")
    return uid


def _uid_in_query(request: Request, *names: str) -> str | None:
    """The UID that is the query, or a parameter of it (PS3.18 sections 11.4.1.1 and 11.6.1.1). Raises BadRequest."""
    for name, value in parse_parameters(request.scope["query_string"]):
        if name in names or (is_uid(name) and not value):
            return parse_uid(value or name)
        if name.lower() in ("affectedsopinstanceuid", "transactionuid"):
            return parse_uid(value)
    return None


def _one_uid(payload: Attributes, keyword: str) -> str | None:
    found = ups.values(payload, tag(keyword))
    if any(not isinstance(uid, str) or not is_uid(uid) for uid in found) or len(found) > 1:
        raise BadRequest(f"the {keyword} is no UID")
    return cast(str, found[0]) if found else None


def _done(request: Request, uid: str, headers: dict[str, str] | None = None) -> Response:
    location = f"{services_of(request).settings.dicomweb_url}/workitems/{uid}"
    return Response(status_code=HTTPStatus.OK, headers={"content-location": location} | (headers or {}))


def _warning(request: Request, text: str) -> dict[str, str]:
    """RFC 7234 section 5.5, as PS3.18 words it."""
    plain = re.sub(r'[^\x20-\x7e]|["\\]', "", text)
    return {"warning": f'299 {services_of(request).settings.dicomweb_url} "{plain}"'}


ROUTES = [
    Route("/workitems", Workitems),
    Route("/workitems/{workitem}", OneWorkitem),
    Route("/workitems/{workitem}/state", change_state, methods=["PUT"]),
    Route("/workitems/{workitem}/cancelrequest", request_cancellation, methods=["POST"]),
]
