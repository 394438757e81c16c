"""Problems in the form that an interface of others wants, with the statuses and header fields that they have anyway."""

import json
from collections.abc import Callable
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive.errors import SenogateError
from gateway.problem import ProblemResponse, on_error, on_http_exception

Render = Callable[[int, str], dict[str, Any]]
"""What is answered where a request ends with a status, for a reason."""


class ErrorForm:
    """Renders what would be problem details (gateway.problem) otherwise."""

    def __init__(self, app: ASGIApp, render: Render) -> None:
        self._app = app
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: Message | None = None

        async def rewrite(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_problem(message):
                held = message
            elif held is not None:
                body = self._rewritten(held, message["body"])
                await send(held)
                await send({**message, "body": body})
            else:
                await send(message)

        try:
            await self._app(scope, receive, rewrite)
        except (SenogateError, HTTPException) as error:
            handle = on_error if isinstance(error, SenogateError) else on_http_exception
            response = await handle(Request(scope), error)
            await response(scope, receive, rewrite)

    def _rewritten(self, start: Message, body: bytes) -> bytes:
        """The body in its other form; the header fields that tell of it are changed."""
        problem = json.loads(body)
        told = json.dumps(self._render(problem["status"], problem.get("detail", problem["title"]))).encode()
        headers = MutableHeaders(raw=start["headers"])
        headers["content-type"], headers["content-length"] = "application/json", str(len(told))
        return told


def _is_problem(start: Message) -> bool:
    kind = MutableHeaders(raw=start["headers"]).get("content-type", "")
    return kind == ProblemResponse.media_type
