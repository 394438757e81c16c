"""/api/roles: what principals are at the site, which administrators decide."""

from http import HTTPStatus

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import permits
from archive.policy import Role
from gateway.api.management import require_administrator
from gateway.api.payload import Payload, read_payload, respond
from gateway.services import services_of


class Roles(HTTPEndpoint):
    """/api/roles: list, give and take."""

    async def get(self, request: Request) -> Response:
        """Every role that was given here."""
        require_administrator(request)
        async with services_of(request).connection() as connection:
            return respond(await permits.list_roles(connection))

    async def post(self, request: Request) -> Response:
        """Give a principal a role."""
        by, payload = require_administrator(request), await read_payload(request)
        subject, role = payload.text("subject"), payload.choice("role", Role)
        async with services_of(request).connection() as connection:
            await permits.add_role(connection, subject, role, by=by)
        return respond({"subject": subject, "role": role}, HTTPStatus.CREATED)

    async def delete(self, request: Request) -> Response:
        """Take the role of the parameter `role` from the principal of the parameter `subject`."""
        by, named = require_administrator(request), Payload(dict(request.query_params))
        subject, role = named.text("subject"), named.choice("role", Role)
        async with services_of(request).connection() as connection:
            await permits.remove_role(connection, subject, role, by=by)
        return Response(status_code=HTTPStatus.NO_CONTENT)


ROUTES = [Route("/api/roles", Roles)]
