"""/api/search: counts of a node's and its federation's datasets; and the same as EUCAIM's mediators ask for them."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from archive.errors import BadRequest, PayloadTooLarge
from archive.media_type import media_type, parse_accept, parse_media_type, select
from gateway.api.payload import MAXIMUM, Payload, read_payload, respond
from gateway.search import eucaim
from gateway.search.answering import answer
from gateway.search.askers import asker_of, note_question
from gateway.search.asking import answer_here, ask
from gateway.search.lens import parse_json, parse_tree, unwrap
from gateway.search.question import Question, read_question
from gateway.search.sites import SiteAnswer
from gateway.services import services_of

JSON, LINES, EVENTS = map(media_type, ("application/json", "application/x-ndjson", "text/event-stream"))
EUCAIM = "/api/datasets/eucaimSearch"
_NOT_KEPT = {"cache-control": "no-store", "x-accel-buffering": "no"}


async def search(request: Request) -> Response:
    """Count what a question holds for, in each published dataset of this node and, where wanted, of its federation."""
    chosen = select(parse_accept(", ".join(request.headers.getlist("accept")) or None), (JSON, LINES, EVENTS))
    asker, payload = asker_of(request), await read_payload(request)
    question, federated = _question(payload), payload.members.get("federated", False)
    if not isinstance(federated, bool):
        raise BadRequest("federated is true or false")
    found = answers(request, question, asker, federated=federated)
    if chosen == JSON:
        async with aclosing(found):
            return respond({"sites": [each.to_json() async for each in found]})
    write = _line if chosen == LINES else _event
    return StreamingResponse(await begun(found, write), headers=_NOT_KEPT, media_type=str(chosen))


async def answers(
    request: Request, question: Question, asker: str, *, federated: bool
) -> AsyncGenerator[SiteAnswer, None]:
    """This node's answer, then those of the others as they come. Raises TooManyRequests before the first."""
    note_question(request, question)
    services = services_of(request)
    if federated:
        async with aclosing(ask(services, question, asker)) as found:
            async for each in found:
                yield each
    else:
        yield await answer_here(services, question, asker)


async def begun(found: AsyncGenerator[SiteAnswer, None], write: Any) -> AsyncIterator[bytes]:
    """The answers as they are written, once there is a first one: until then an error can be told as one."""
    first = await anext(found)

    async def written() -> AsyncIterator[bytes]:
        async with aclosing(found):
            yield write(first)
            async for each in found:
                yield write(each)
            if write is _event:
                yield b"event: end\ndata: {}\n\n"

    return written()


def _line(found: SiteAnswer) -> bytes:
    """A line of NDJSON."""
    return json.dumps(found.to_json()).encode() + b"\n"


def _event(found: SiteAnswer) -> bytes:
    """A server-sent event (HTML Standard, section 9.2)."""
    return b"event: site\ndata: " + _line(found) + b"\n"


def _question(payload: Payload) -> Question:
    """The question, or the Lens query tree under `ast`. Raises BadRequest."""
    members = payload.members
    if ("question" in members) == ("ast" in members):
        raise BadRequest("a search has a question, or an ast")
    return parse_tree(members["ast"]) if "ast" in members else read_question(members["question"])


class EucaimSearch(HTTPEndpoint):
    """/api/datasets/eucaimSearch: EUCAIM's node API, in both its forms."""

    async def get(self, request: Request) -> Response:
        """Count what the parameters hold for, in each published dataset."""
        asker = asker_of(request)
        return await _collections(request, eucaim.parse_parameters(request.query_params.multi_items()), asker)

    async def post(self, request: Request) -> Response:
        """Count what a query tree holds for, in each published dataset."""
        asker = asker_of(request)
        return await _collections(request, parse_tree(unwrap(await read_json(request))), asker)


async def _collections(request: Request, question: Question, asker: str) -> Response:
    note_question(request, question)
    found = await answer(services_of(request), question, asker)
    return Response(
        eucaim.render(found.rows), headers={"cache-control": "no-store"}, media_type="application/json"
    )


def eucaim_error(status: int, message: str) -> dict[str, Any]:
    """An error in the form of EUCAIM's nodes."""
    return {"error": message, "status_code": status}


async def read_json(request: Request) -> Any:
    """A request's JSON, which may be whatever it is. Raises BadRequest, also for another type; PayloadTooLarge."""
    if parse_media_type(request.headers.get("content-type", "missing/missing")).essence != "application/json":
        raise BadRequest("the content type is application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAXIMUM:
            raise PayloadTooLarge(f"a request has at most {MAXIMUM} bytes")
    try:
        return parse_json(bytes(body))
    except ValueError:
        raise BadRequest("the payload is not JSON") from None


ROUTES = [Route("/api/search", search, methods=["POST"])]
EUCAIM_ROUTES = [Route(EUCAIM, EucaimSearch)]
