"""POST /language: the language that a person chooses at the foot of any page, signed in or not."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.portal.forms import local_path, read_form
from gateway.portal.languages import COOKIE, LANGUAGES
from gateway.services import services_of
from gateway.sessions import check_origin

LASTS = 365 * 24 * 3600  # seconds


async def choose(request: Request) -> Response:
    """Keep the choice in a cookie that says nothing else, and lead back to the page.

    Raises CrossSite for what another site's page sends, BadRequest, UnsupportedMediaType.
    """
    sessions = services_of(request).sessions
    check_origin(request, sessions.origin)
    form = await read_form(request)
    after = local_path(form.text("next", "/"))
    answer = RedirectResponse(after, HTTPStatus.SEE_OTHER, {"cache-control": "no-store"})
    if (code := form.text("language", "")) in LANGUAGES:
        answer.set_cookie(
            COOKIE, code, LASTS, path="/", secure=sessions.is_secure, httponly=True, samesite="lax"
        )
    return answer


ROUTES = [Route("/language", choose, methods=["POST"], include_in_schema=False)]
