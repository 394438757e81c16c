"""Server-sent events of pages (HTML Standard, section 9.2): which studies of the worklist changed, and how many have
come; that a federation's runs or members changed.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from archive import policy, summaries
from archive.errors import Unavailable
from archive.summaries import Filters
from gateway.announcements import Watch
from gateway.api.management import manages
from gateway.body import until_disconnected
from gateway.services import principal_of, services_of

HEARTBEAT = 15.0  # seconds after which something is sent though nothing has changed
PAUSE = 0.5  # seconds between two looks at what has
RECONNECT = 2000  # milliseconds after which a browser connects again
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


@dataclass(frozen=True, slots=True)
class Watched:
    """What a page shows: the studies of a scope that pass its filters, as they were at a snapshot."""

    scope: policy.Scope
    filters: Filters
    snapshot: str


class EventStream(Response):
    """An answer that goes on as long as its session does: `over` says that the session has ended.

    What else is told, subclasses say. Raises TooManyRequests before it begins.
    """

    of_runs = False

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.raw_headers = _HEADERS
        self._services, self._principal = services_of(request), principal_of(request)
        has_session = "session" in request.scope
        self._cookie = (self._services.sessions.cookie_of(request) or "") if has_session else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = self._services.sessions.name_of(self._cookie) if self._cookie else ""
        subject, announcements = self._principal.subject, self._services.announcements
        with announcements.watch(subject, session, of_runs=self.of_runs) as watch:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            gone = asyncio.create_task(until_disconnected(receive))
            try:
                await self._send_events(watch, gone, send)
            finally:
                gone.cancel()

    async def _send_events(self, watch: Watch, gone: asyncio.Task[None], send: Send) -> None:
        with contextlib.suppress(Unavailable):  # a browser connects again
            async for event in self._events(watch, gone):
                await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
        if not gone.done():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self, watch: Watch, gone: asyncio.Task[None]) -> AsyncGenerator[str, None]:
        yield f"retry: {RECONNECT}\n\n"
        looks_at = 0.0
        while not watch.is_over and not self._services.announcements.is_ending:
            changed = watch.take()
            if changed is None or time.monotonic() >= looks_at:
                lasts = await self._lasts()
                if not lasts:
                    break
                looks_at = time.monotonic() + min(HEARTBEAT, lasts)
            async for event in self._told(changed):
                yield event
            await asyncio.wait([gone], timeout=PAUSE)
            await _either(gone, watch.woken, looks_at - time.monotonic())
            if gone.done():
                return
        if not self._services.announcements.is_ending:
            yield _event("over", {})

    def _told(self, changed: set[str] | None) -> AsyncGenerator[str, None]:
        """What is told of what changed, None for whatever; a comment where there is nothing."""
        raise NotImplementedError

    async def _lasts(self) -> float:
        """The seconds until the session ends by itself; a token has none."""
        return await self._services.sessions.lasts(self._cookie) if self._cookie else HEARTBEAT


class StudyEvents(EventStream):
    """`changed` names studies that the principal may see, `all` says that any may have changed.

    `new` tells how many have come since the snapshot.
    """

    def __init__(self, request: Request, watched: Watched) -> None:
        super().__init__(request)
        self._watched = watched
        self._number = 0

    async def _told(self, changed: set[str] | None) -> AsyncGenerator[str, None]:
        async for event in self._changes(changed):
            yield event
        if changed != set() and (found := await self._number_of_new()) != self._number:
            self._number = found
            yield _event("new", {"number": found, "most": summaries.MOST_NEW})

    async def _changes(self, changed: set[str] | None) -> AsyncGenerator[str, None]:
        if changed is None:
            yield _event("all", {})
        elif changed:
            async with self._services.connection() as connection:
                seen = await summaries.seen_among(connection, self._watched.scope, sorted(changed))
            if seen:
                yield _event("changed", {"studies": seen})
        else:
            yield ": nothing new\n\n"

    async def _number_of_new(self) -> int:
        watched = self._watched
        async with self._services.connection() as connection:
            return await summaries.count_arrived(
                connection, watched.scope, self._principal.subject, watched.filters, watched.snapshot
            )


class RunEvents(EventStream):
    """`all` says that a run or a member may have changed. It ends when who listens may see them no more."""

    of_runs = True

    async def _told(self, changed: set[str] | None) -> AsyncGenerator[str, None]:
        yield _event("all", {}) if changed is None else ": nothing new\n\n"

    async def _lasts(self) -> float:
        is_allowed = manages(self._principal, await self._services.granted.of(self._principal))
        return await super()._lasts() if is_allowed else 0.0


async def _either(gone: asyncio.Task[None], woken: asyncio.Event, seconds: float) -> None:
    waiting = asyncio.create_task(woken.wait())
    try:
        await asyncio.wait([gone, waiting], timeout=max(seconds, 0), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _event(name: str, data: dict[str, object]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
