"""A bound for all that a gateway works on at a time, by whatever door it came."""

from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.problem import ProblemResponse

_ALWAYS = "/health/live"  # who asks whether the process lives might end it for being busy


class Crowding:
    """Answers 503 while the process works on `most` requests, before anything is read or asked for those beyond."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._left = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == _ALWAYS:
            return await self._app(scope, receive, send)
        if not self._left:
            return await ProblemResponse(HTTPStatus.SERVICE_UNAVAILABLE)(scope, receive, send)
        self._left -= 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._left += 1
