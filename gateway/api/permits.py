"""/api/permits: asked for by anybody who is known here, decided on by stewards."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from psycopg import AsyncConnection
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import applications, permits
from archive.errors import Forbidden, NotFound
from archive.permits import Application, Terms, Wanted
from archive.policy import Action
from archive.purpose import Purpose
from gateway.api.applications import require_asker
from gateway.api.management import is_manager, require_manager
from gateway.api.payload import Payload, read_payload, respond
from gateway.services import principal_of, services_of


class AllPermits(HTTPEndpoint):
    """/api/permits: list and ask for."""

    async def get(self, request: Request) -> Response:
        """All permits, or those of the parameter `subject`; who does not manage them sees its own."""
        subject = (
            request.query_params.get("subject") if is_manager(request) else principal_of(request).subject
        )
        async with services_of(request).connection() as connection:
            found = await permits.list_permits(connection, subject)
        named = principal_of(request).permit
        return respond([each for each in found if named in (None, each.permit_id)])

    async def post(self, request: Request) -> Response:
        """Ask for a permit, for oneself unless one manages them."""
        by, payload = require_asker(request), await read_payload(request)
        wanted = _wanted(payload, payload.text("subject", by))
        if wanted.subject != by and not is_manager(request):
            raise Forbidden("a permit is asked for by its holder, or by a steward")
        async with services_of(request).connection() as connection:
            permit_id = await permits.request(connection, wanted, by=by)
            return respond(await permits.show(connection, permit_id), HTTPStatus.CREATED)


def _wanted(payload: Payload, subject: str) -> Wanted:
    return Wanted(
        subject=subject,
        datasets=payload.texts("datasets"),
        purpose=payload.choice("purpose", Purpose),
        legal_basis=payload.text("legal_basis"),
        actions=payload.choices("actions", Action, [Action.READ]),
        hdab_identifier=payload.text("hdab_identifier", ""),
        conditions=payload.text("conditions", ""),
    )


async def show(request: Request) -> Response:
    """All that is known of a permit."""
    async with services_of(request).connection() as connection:
        found = await permits.show(connection, request.path_params["permit"])
    principal = principal_of(request)
    is_own = found.subject == principal.subject and principal.permit in (None, found.permit_id)
    if not is_own and not is_manager(request):
        raise NotFound("no such permit")
    return respond(found)


async def grant(request: Request) -> Response:
    """Grant what was requested."""
    by, payload = require_manager(request), await read_payload(request)
    terms = Terms(
        since=payload.moment("since"),
        until=payload.moment("until"),
        conditions=payload.text("conditions") if payload.has("conditions") else None,
        actions=payload.choices("actions", Action, []) or None,
        reason=payload.text("reason", ""),
    )
    needed, read = services_of(request).settings.committee_votes, payload.number("revision")
    return await _decided(
        request,
        lambda connection, permit_id: applications.grant(
            connection, permit_id, terms, votes_needed=needed, read=read, by=by
        ),
    )


async def reject(request: Request) -> Response:
    """Refuse what was requested."""
    by, reason = require_manager(request), (await read_payload(request)).text("reason", "")
    return await _decided(
        request, lambda connection, permit_id: applications.reject(connection, permit_id, reason, by=by)
    )


async def revoke(request: Request) -> Response:
    """End a permit now."""
    by, reason = require_manager(request), (await read_payload(request)).text("reason", "")
    return await _decided(
        request, lambda connection, permit_id: permits.revoke(connection, permit_id, reason, by=by)
    )


async def _decided(request: Request, decide: Callable[[AsyncConnection, str], Awaitable[None]]) -> Response:
    permit_id = request.path_params["permit"]
    async with services_of(request).connection() as connection:
        await decide(connection, permit_id)
        found: Application = await permits.show(connection, permit_id)
    return respond(found)


ROUTES = [
    Route("/api/permits", AllPermits),
    Route("/api/permits/{permit}", show),
    Route("/api/permits/{permit}/grant", grant, methods=["POST"]),
    Route("/api/permits/{permit}/reject", reject, methods=["POST"]),
    Route("/api/permits/{permit}/revoke", revoke, methods=["POST"]),
]
