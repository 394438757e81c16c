"""Problems in the form that an interface of others wants, with the statuses and header fields that they have anyway."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problem import ProblemResponse

Render = Callable[[int, str], dict[str, Any]]
"""What is answered where a request ends with a status, for a reason."""


class ErrorForms:
    """Renders what would be problem details (gateway.problem) otherwise, at and below the paths that have a form."""

    def __init__(self, app: ASGIApp, forms: Mapping[str, Render]) -> None:
        self._app = app
        self._forms = forms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        render = next((one for at, one in self._forms.items() if f"{path}/".startswith(f"{at}/")), None)
        if render is None or scope["type"] != "http":
            return await self._app(scope, receive, send)
        held: Message | None = None

        async def rewrite(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_problem(message):
                held = message
            elif held is not None:
                body = _rewritten(held, message["body"], render)
                await send(held)
                await send({**message, "body": body})
            else:
                await send(message)

        return await self._app(scope, receive, rewrite)


def _rewritten(start: Message, body: bytes, render: Render) -> bytes:
    """The body in its other form; the header fields that tell of it are changed."""
    problem = json.loads(body)
    told = json.dumps(render(problem["status"], problem.get("detail", problem["title"]))).encode()
    headers = MutableHeaders(raw=start["headers"])
    headers["content-type"], headers["content-length"] = "application/json", str(len(told))
    return told


def _is_problem(start: Message) -> bool:
    kind = MutableHeaders(raw=start["headers"]).get("content-type", "")
    return kind == ProblemResponse.media_type
