"""What a request may be answered from: its principal's grants, looked up before an endpoint decides by them."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive.errors import Unavailable
from gateway.body import BrokenOff
from gateway.granted import Granted, UnderWay

POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1


class Authorization:
    """Puts the Grants of `scope["principal"]` into `scope["grants"]`.

    What is decided by them goes into `scope["decided"]`. What is under way when a permit that it needs is revoked or
    expires is broken off.
    """

    def __init__(self, app: ASGIApp, granted: Granted) -> None:
        self._app = app
        self._granted = granted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "principal" in scope:  # OPTIONS has none
            scope["grants"] = await self._granted.of(scope["principal"])
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        with self._granted.watching(scope["principal"], scope) as request:
            scope["decided"] = request.decided
            try:
                return await self._app(scope, receive, watch)
            except asyncio.CancelledError:
                if not _is_only_revoked(request):
                    raise
        return await _end(scope, send, begun)


def _is_only_revoked(request: UnderWay) -> bool:
    """Whether nobody else wants the task cancelled."""
    return request.is_revoked and request.task.uncancel() == 0


async def _end(scope: Scope, send: Send, begun: bool) -> None:
    """An answer that has begun is broken off; one that has not can be asked for again."""
    if scope["type"] == "websocket" and begun:
        return await send(
            {"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "no longer permitted"}
        )
    if begun:
        raise BrokenOff("it is no longer permitted")
    raise Unavailable("what is permitted has changed meanwhile")
