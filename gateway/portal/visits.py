"""Who looks at a page, from where, and how it is to look: what every page's frame is drawn from (layout.html)."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive.errors import Unauthenticated, Unavailable
from archive.policy import Grants, Role
from gateway.api.management import manages
from gateway.granted import Granted
from gateway.sessions import Session, Sessions


class Appearance(StrEnum):
    """Which colours a person wants: those that the device asks for, or always the same."""

    DEVICE = "device"
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class Visit:
    """One look at a page. `path` is where it is; `subject` is empty for a visitor."""

    path: str = "/"
    appearance: Appearance = Appearance.DEVICE
    subject: str = ""
    roles: frozenset[Role] = frozenset()
    manages: bool = False
    csrf: str = field(default="", repr=False)

    def current(self, path: str) -> str:
        """The value of aria-current for a link to a page: of the page itself, and of those below it."""
        if self.path.rstrip("/") == path.rstrip("/"):
            return "page"
        return "true" if path != "/" and self.path.startswith(path.rstrip("/") + "/") else ""

    def has(self, *roles: str) -> bool:
        """Whether the person has one of the roles."""
        return any(role in self.roles for role in roles)


_NOBODYS = Visit()
_VISIT: ContextVar[Visit] = ContextVar("visit")


def current_visit() -> Visit:
    """That which the page being made is for."""
    return _VISIT.get(_NOBODYS)


class Visits:
    """Notes who visits a page, for its frame; a page that is for anybody shows who is signed in all the same.

    A page of who is signed in is kept by no cache.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions, granted: Granted) -> None:
        self._app = app
        self._sessions = sessions
        self._granted = granted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = await visit_of(HTTPConnection(scope), self._sessions, self._granted)

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if visit.subject and headers.get("content-type", "").startswith("text/html"):
                    headers["cache-control"] = "no-store"
            await send(message)

        with visiting(visit):
            await self._app(scope, receive, add)


@contextmanager
def visiting(visit: Visit) -> Iterator[None]:
    """Have pages that are made within be for the visit."""
    token = _VISIT.set(visit)
    try:
        yield
    finally:
        _VISIT.reset(token)


async def visit_of(request: HTTPConnection, sessions: Sessions, granted: Granted) -> Visit:
    """Who asks for a page, and how it is to look."""
    session, grants = await _who(request, sessions, granted)
    principal = session.principal if session else request.scope.get("principal")
    chosen = request.cookies.get(appearance_cookie(sessions), "")
    return Visit(
        path=request.url.path,
        appearance=Appearance(chosen) if chosen in list(Appearance) else Appearance.DEVICE,
        subject=principal.subject if principal else "",
        roles=grants.roles,
        manages=principal is not None and manages(principal, grants),
        csrf=session.csrf if session else "",
    )


async def _who(
    request: HTTPConnection, sessions: Sessions, granted: Granted
) -> tuple[Session | None, Grants]:
    """The person's session and grants: those that were found already, or that the cookie stands for."""
    if "grants" in request.scope:
        return request.scope.get("session"), request.scope["grants"]
    value = sessions.cookie_of(request)
    with suppress(Unavailable, Unauthenticated):
        session = await sessions.find(value) if value else None
        if session:
            return session, await granted.of(session.principal)
    return None, Grants()


def appearance_cookie(sessions: Sessions) -> str:
    """The name of the cookie that keeps the choice."""
    return sessions.cookie + "-appearance"
