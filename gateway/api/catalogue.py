"""/api/catalogue: what stewards write of the node and of its datasets, and which records everybody sees."""

import re
from dataclasses import asdict
from http import HTTPStatus

from anyio.to_thread import run_sync
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import catalogue
from archive.catalogue_fields import LONGEST, Node, Written, parse_fields
from archive.errors import BadRequest
from gateway.api.management import require_manager
from gateway.api.payload import read_payload, respond
from gateway.catalogue.publishing import edit_node, problems, publish
from gateway.services import services_of


class TheNode(HTTPEndpoint):
    """/api/catalogue: what the node says of itself."""

    async def get(self, request: Request) -> Response:
        """What the node says of itself in its catalogue."""
        require_manager(request)
        async with services_of(request).connection() as connection:
            record, revision = await catalogue.node_to_edit(connection)
        return _tagged(respond(asdict(record)), revision)

    async def put(self, request: Request) -> Response:
        """Replace what the node says of itself, unless it is another one than If-Match names."""
        by, payload, services = require_manager(request), await read_payload(request), services_of(request)
        record = parse_fields(Node, payload.members)
        async with services.connection() as connection:
            revision = await edit_node(
                connection, services.settings, record, by=by, revision=_revision(request)
            )
        return _tagged(respond(asdict(record)), revision)


class OneRecord(HTTPEndpoint):
    """/api/catalogue/{dataset}: what is written of a dataset."""

    async def get(self, request: Request) -> Response:
        """A dataset's record: what is written, what was counted, and what keeps it from being published."""
        require_manager(request)
        services = services_of(request)
        async with services.connection() as connection:
            node = await catalogue.node(connection)
            entry = await catalogue.entry(connection, request.path_params["dataset"], published=False)
        found = await run_sync(problems, services.settings, node, entry)
        return _tagged(respond(asdict(entry) | {"problems": [str(one) for one in found]}), entry.revision)

    async def put(self, request: Request) -> Response:
        """Replace what is written of a dataset, unless it is another one than If-Match names."""
        by, payload = require_manager(request), await read_payload(request)
        written = parse_fields(Written, payload.members)
        async with services_of(request).connection() as connection:
            name = request.path_params["dataset"]
            revision = await catalogue.edit(connection, name, written, by=by, revision=_revision(request))
        return _tagged(respond(asdict(written)), revision)


class Publication(HTTPEndpoint):
    """/api/catalogue/{dataset}/publication: whether everybody sees a record."""

    async def put(self, request: Request) -> Response:
        """Let everybody see what is written of a dataset, if it conforms; `notes` say what changed."""
        by, services, payload = require_manager(request), services_of(request), await read_payload(request)
        async with services.connection() as connection:
            await publish(
                connection,
                services.settings,
                request.path_params["dataset"],
                by=by,
                notes=payload.text("notes", "")[:LONGEST],
                revision=_revision(request),
            )
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def delete(self, request: Request) -> Response:
        """Let stewards alone see it again."""
        by = require_manager(request)
        async with services_of(request).connection() as connection:
            await catalogue.withdraw(connection, request.path_params["dataset"], by=by)
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _revision(request: Request) -> int | None:
    """The revision that If-Match names; None where it names none, or any (RFC 9110 section 13.1.1).

    Raises BadRequest for what no answer here was tagged with.
    """
    told = request.headers.get("if-match", "*").strip()
    if told == "*":
        return None
    if not (named := re.fullmatch('"([0-9]{1,9})"', told)):
        raise BadRequest('If-Match takes the ETag of an answer, such as "3"')
    return int(named[1])


def _tagged(response: Response, revision: int) -> Response:
    response.headers["etag"] = f'"{revision}"'
    return response


ROUTES = [
    Route("/api/catalogue", TheNode),
    Route("/api/catalogue/{dataset}", OneRecord),
    Route("/api/catalogue/{dataset}/publication", Publication),
]
