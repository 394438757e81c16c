"""Light or dark: chosen by a button, kept in a cookie of the browser, as no page needs a script for it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.portal.forms import back_to, local_path, read_form
from gateway.portal.visits import Appearance, appearance_cookie
from gateway.services import services_of
from gateway.sessions import check_origin

A_YEAR = 365 * 24 * 3600  # seconds


async def choose(request: Request) -> Response:
    """POST /appearance: light, dark, or as the device has it. Raises BadRequest, CrossSite."""
    sessions = services_of(request).sessions
    check_origin(request, sessions.origin)
    form = await read_form(request)
    answer = back_to(local_path(form.text("next", "/")))
    answer.set_cookie(
        *(appearance_cookie(sessions), form.choice("appearance", Appearance).value, A_YEAR),
        path="/",
        secure=sessions.is_secure,
        httponly=True,
        samesite="lax",
    )
    return answer


ROUTES = [Route("/appearance", choose, methods=["POST"], include_in_schema=False)]
