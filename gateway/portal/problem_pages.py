"""Errors as people see them: a page in their language, where a browser asks for one; all others get problem details.

Of what is no page (`/api`, `/dicom-web` and the like) errors stay as programs read them, whoever asks.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from archive.errors import (
    Gone,
    NotFound,
    SenogateError,
    Unauthenticated,
    Unavailable,
)
from gateway import problem
from gateway.portal.languages import gettext, marked, told
from gateway.portal.pages import page
from gateway.portal.visits import visit_of, visiting
from gateway.services import services_of

_OF_PROGRAMS = re.compile(
    r"/(?:api|dicom-web|wado|oauth|federation/v1|health|metrics|\.well-known)(?:/.*)?|/openapi\.json|/fdp"
    r"|/viewer/scripts/.*|.*\.(?:css|js|svg|sh)"
)
_PAGE = re.compile(r"text/html(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", re.IGNORECASE)
_OF_ANSWERS = ("allow", "connection", "retry-after", "www-authenticate")
_NOTHING = marked("Nothing is here")
_TITLES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: marked("You are not signed in"),
    HTTPStatus.FORBIDDEN: marked("Not for you"),
    HTTPStatus.NOT_FOUND: _NOTHING,
    HTTPStatus.GONE: _NOTHING,
    HTTPStatus.TOO_MANY_REQUESTS: marked("Too often"),
    HTTPStatus.SERVICE_UNAVAILABLE: marked("Not at the moment"),
}
_OTHERS = marked("That did not work")
_SAID: Mapping[type[SenogateError], str] = {
    Unauthenticated: marked("Sign in, go back, and send the form again."),
    NotFound: marked("There is no such page, or it is not for you."),
    Unavailable: marked("A part of this node does not answer. Try again in a moment."),
}
"""What is said of errors whose own texts are for programs."""


async def on_error(request: Request | WebSocket, error: Exception) -> Response:
    """The answer to an error that is raised on purpose."""
    answer = await problem.on_error(request, error)
    if isinstance(request, WebSocket) or not wants_page(request):
        return answer
    assert isinstance(error, SenogateError)
    said = [gettext(text) for kind, text in _SAID.items() if isinstance(error, kind)]
    return await _page(request, answer, said[0] if said and not isinstance(error, Gone) else told(error))


async def on_http_exception(request: Request, error: Exception) -> Response:
    """The answer where no route or no method of it was met."""
    answer = await problem.on_http_exception(request, error)
    if request.method == "OPTIONS" or not wants_page(request):
        return answer
    return await _page(request, answer, gettext(_SAID[NotFound]))


def wants_page(request: Request) -> bool:
    """Whether a browser shows somebody what is answered."""
    accepted = ", ".join(request.headers.getlist("accept"))
    return bool(_PAGE.search(accepted)) and not _OF_PROGRAMS.fullmatch(request.url.path)


async def _page(request: Request, answer: Response, said: str) -> Response:
    """The page, with the status and the header fields that the problem has."""
    services, status = services_of(request), HTTPStatus(answer.status_code)
    with visiting(await visit_of(request, services.sessions, services.granted)):
        made = page("problem.html", status, title=gettext(_TITLES.get(status, _OTHERS)), said=said)
    made.headers.update({name: answer.headers[name] for name in _OF_ANSWERS if name in answer.headers})
    return made


HANDLERS = {SenogateError: on_error, HTTPException: on_http_exception}
