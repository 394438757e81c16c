"""/api/session: what a script of this site has to know of who is signed in."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive.errors import Forbidden
from archive.policy import NOTHING, Action, decide
from gateway.api.payload import respond
from gateway.services import grants_of, principal_of


async def show(request: Request) -> Response:
    """Who asks, what they may do beside reading, and the token that a signed-in person's changes have to carry."""
    session, principal, grants = request.scope.get("session"), principal_of(request), grants_of(request)
    return respond(
        {
            "subject": principal.subject,
            "roles": sorted(grants.roles) if principal.has_roles else [],
            "may_review": _may_review(request),
            "csrf_token": session.csrf if session else None,
        }
    )


def _may_review(request: Request) -> bool:
    """Whether there is any study of which they may review what models found."""
    try:
        return decide(principal_of(request), grants_of(request), Action.REVIEW) != NOTHING
    except Forbidden:
        return False


ROUTES = [Route("/api/session", show)]
