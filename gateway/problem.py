"""Errors as problem details (RFC 9457). Of what was not foreseen only the log gets the kind and the place."""

import json
import logging
import traceback
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from archive.errors import (
    Forbidden,
    RequestTimeout,
    SenogateError,
    TooManyRequests,
    Unauthenticated,
    is_shortage,
    status_of,
)
from gateway.authentication import AmbiguousCredentials, InvalidToken
from gateway.body import BrokenOff
from gateway.sessions import CrossSite

# The most particular kind first: the code is of RFC 6750 section 3.1, none where no token came.
_BEARER_ERRORS: dict[type[SenogateError], str] = {
    InvalidToken: "invalid_token",
    AmbiguousCredentials: "invalid_request",
    Unauthenticated: "",
    Forbidden: "insufficient_scope",
}
RETRY_AFTER = "5"  # seconds
_LOG = logging.getLogger(__name__)


class ProblemResponse(Response):
    """An `application/problem+json` body."""

    media_type = "application/problem+json"

    def __init__(
        self, status: HTTPStatus, detail: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        problem = {"type": "about:blank", "title": status.phrase, "status": int(status)}
        content = problem | ({"detail": detail} if detail else {})
        own = {"cache-control": "no-store"}
        own |= {"retry-after": RETRY_AFTER} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
        super().__init__(json.dumps(content).encode("utf-8"), status, own | dict(headers or {}))


async def on_error(request: Request | WebSocket, error: Exception) -> Response:
    """The answer to an error that is raised on purpose."""
    assert isinstance(error, SenogateError)
    return ProblemResponse(status_of(error), str(error), _challenge(error) | _wait(error))


def _challenge(error: SenogateError) -> dict[str, str]:
    """What RFC 6750 section 3 has an answer say of the token that it asks for or refuses."""
    if isinstance(error, CrossSite):
        return {}
    for kind, code in _BEARER_ERRORS.items():
        if isinstance(error, kind):
            return {"www-authenticate": 'Bearer realm="senogate"' + (f', error="{code}"' if code else "")}
    return {}


def _wait(error: SenogateError) -> dict[str, str]:
    """What RFC 6585 section 4 has an answer say of when to ask again."""
    if isinstance(error, RequestTimeout):
        return {"connection": "close"}
    return {"retry-after": str(error.retry_after)} if isinstance(error, TooManyRequests) else {}


async def on_http_exception(request: Request, error: Exception) -> Response:
    """The answer where no route or no method of it was met; OPTIONS tells the methods (RFC 9110 section 9.3.7)."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = _allowed(headers["Allow"])
    if status == HTTPStatus.METHOD_NOT_ALLOWED and request.method == "OPTIONS":
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
    return ProblemResponse(status, headers=headers)


def _allowed(methods: str) -> str:
    """A resource's methods with those that every one has: HEAD beside GET, and OPTIONS."""
    named = set(methods.replace(",", " ").split())
    return ", ".join(sorted(named | {"OPTIONS"} | ({"HEAD"} if "GET" in named else set())))


HANDLERS = {SenogateError: on_error, HTTPException: on_http_exception}


class LastResort:
    """The outermost frame: an error that nobody foresaw becomes a problem without details.

    An error's own text may hold values of attributes, so neither client nor log gets it. Once an answer has
    begun it can only be broken off, which the client sees from its Content-Length.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except ClientDisconnect:
            _LOG.info("a client went away before its request was whole")
        except BrokenOff as error:
            _LOG.warning("an answer was broken off: %s", error)
        except Exception as error:
            if "\0" in scope["path"] and not begun:  # no name has one, and PostgreSQL takes none
                return await ProblemResponse(HTTPStatus.NOT_FOUND)(scope, receive, send)
            _LOG.error("unforeseen %s at %s", type(error).__name__, _place(error))
            if not begun:
                await ProblemResponse(status_of_unforeseen(error))(scope, receive, send)


def status_of_unforeseen(error: Exception) -> HTTPStatus:
    """503 where the machine ran out of something, which may be there again when the client asks again; else 500."""
    return HTTPStatus.SERVICE_UNAVAILABLE if is_shortage(error) else HTTPStatus.INTERNAL_SERVER_ERROR


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames))
