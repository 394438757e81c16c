"""People who are signed in: a random value in a cookie, of which the database has the hash alone.

A browser sends cookies whoever had it ask. So what changes something has to bring the session's own token as well,
in the header X-CSRF-Token or in the form field `csrf_token`, which is the first of a form with files, and comes from a
page of this site where the browser says from where it comes.
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from psycopg import AsyncConnection
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Message, Receive

from archive.errors import BadRequest, Forbidden, PayloadTooLarge
from archive.media_type import parse_media_type
from archive.policy import Action, Principal, Role
from archive.pool import queries
from archive.settings import Settings
from gateway.multipart import Parser, boundary_of

CSRF_FIELD = "csrf_token"
CSRF_HEADER = "x-csrf-token"
MAXIMUM_FORM = (
    1280 * 1024
)  # bytes: six for each letter of the longest rules, in a script that is not the Latin one
MAXIMUM_VISITORS_FORM = 64 * 1024  # of who is not signed in
SEEN = 0.5  # seconds for which a session that was found is not looked for again
_LONGEST_TOKEN = 256  # bytes
_KNOWN = 1024  # sessions of which that is remembered
_TOKEN_FIELD = re.compile(rf'form-data; *name="?{CSRF_FIELD}"?', re.IGNORECASE)
_SAFE = ("GET", "HEAD", "OPTIONS")


class CrossSite(Forbidden):
    """A request that a signed-in person's browser may have been made to send by another site."""


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in person."""

    principal: Principal
    csrf: str = field(repr=False)  # what a form or a script of this site sends along


class Sessions:
    """Starts, finds and ends sessions."""

    def __init__(
        self, settings: Settings, connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]]
    ) -> None:
        self.origin = origin_of(settings.public_url)
        self.is_secure = self.origin.startswith("https:")
        self.cookie = "__Host-senogate" if self.is_secure else "senogate"
        self._idle = settings.session_idle
        self._lifetime = settings.session_lifetime
        self._connect = connect
        self._seen: OrderedDict[bytes, tuple[Session, float]] = OrderedDict()

    def cookie_of(self, request: HTTPConnection) -> str | None:
        return request.cookies.get(self.cookie)

    def name_of(self, value: str) -> str:
        """By what PostgreSQL announces that the session of a cookie's value was ended."""
        return _hash(value).hex()

    async def find(self, value: str, *, is_attended: bool = True) -> Session | None:
        """The session of a cookie's value; None where it is none, or over. Raises Unavailable.

        What a page asks by itself, and nobody attends to, does not count as being there.
        """
        digest = _hash(value)
        session, until = self._seen.get(digest, (None, 0.0))
        if session is None or time.monotonic() > until:
            session = await self._look_up(digest, value, is_attended)
            self._seen.pop(digest, None)
            if session:
                self._seen[digest] = session, time.monotonic() + SEEN
            while len(self._seen) > _KNOWN:
                self._seen.popitem(last=False)
        return session

    async def lasts(self, value: str) -> float:
        """The seconds that a session lasts if nobody is there any more; 0 where it is over. Raises Unavailable."""
        async with self._connect() as connection:
            rows = await connection.execute(
                queries("session.sql")["session_lasts"], {"id": _hash(value), "idle": self._idle}
            )
            row = await rows.fetchone()
        return float(row[0]) if row else 0.0

    async def _look_up(self, digest: bytes, value: str, is_attended: bool) -> Session | None:
        async with self._connect() as connection:
            row_of = await connection.execute(
                queries("session.sql")["find_session"], {"id": digest, "idle": self._idle}
            )
            row = await row_of.fetchone()
            if row is None:
                return None
            subject, roles, is_to_be_noted = row
            if is_to_be_noted and is_attended:
                await connection.execute(queries("session.sql")["see_session"], {"id": digest})
        return Session(
            Principal(subject, frozenset(Action), frozenset(map(Role, roles))), derive(value, "csrf")
        )

    async def start(self, connection: AsyncConnection, subject: str, roles: Iterable[Role] = ()) -> str:
        """Sign somebody in and return the value of the cookie: 256 random bits."""
        value = secrets.token_urlsafe(32)
        row = {"id": _hash(value), "subject": subject, "roles": list(roles), "lifetime": self._lifetime}
        await connection.execute(queries("session.sql")["forget_sessions"], {"idle": self._idle})
        await connection.execute(queries("session.sql")["start_session"], row)
        return value

    async def end(self, connection: AsyncConnection, value: str) -> None:
        """Sign out; what was signed out already stays so."""
        self._seen.pop(_hash(value), None)
        await connection.execute(queries("session.sql")["end_session"], {"id": _hash(value)})

    def set_cookie(self, response: Response, value: str) -> None:
        response.set_cookie(
            self.cookie, value, path="/", secure=self.is_secure, httponly=True, samesite="lax",
        )  # fmt: skip

    def clear_cookie(self, response: Response) -> None:
        response.delete_cookie(self.cookie, path="/", secure=self.is_secure, httponly=True, samesite="lax")


def origin_of(url: str) -> str:
    """Scheme, host and port as browsers write them (RFC 6454 section 6.2)."""
    parts = urlsplit(url)
    port = "" if parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}"


def derive(value: str, purpose: str) -> str:
    """Another secret, for one purpose, of a secret value: who has the one can't tell the other."""
    digest = hmac.new(value.encode("utf-8", "replace"), purpose.encode("ascii"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def check_origin(request: HTTPConnection, origin: str) -> None:
    """Where the browser says from where a request comes, that must be this site. Raises CrossSite."""
    said = request.headers.getlist("origin")
    if said not in ([], [origin]) or request.headers.get("sec-fetch-site", "none") not in (
        "same-origin",
        "none",
    ):
        raise CrossSite("the request comes from a page of another site")


async def check_same_site(
    request: HTTPConnection, session: Session, receive: Receive, origin: str
) -> Receive:
    """Refuse what another site may have made the browser send; returns where the body is to be read from.

    Raises CrossSite; PayloadTooLarge for a form that is longer than any here.
    """
    if request.scope["type"] == "websocket":
        if request.headers.getlist("origin") != [origin]:
            raise CrossSite("the request comes from a page of another site")
        return receive
    if request.scope["method"] in _SAFE:
        return receive
    check_origin(request, origin)
    given, read = request.headers.get(CSRF_HEADER, ""), list[Message]()
    if not given and is_form(request):
        body = await read_body(receive, MAXIMUM_FORM)
        read = [{"type": "http.request", "body": body, "more_body": False}]
        given = dict(parse_qsl(body.decode("utf-8", "replace"))).get(CSRF_FIELD, "")
    elif not given and has_files(request):
        given, read = await _first_token(request, receive)
    if not hmac.compare_digest(given.encode("utf-8", "replace"), session.csrf.encode()):
        raise CrossSite(
            "a signed-in person's request needs the session's token in %(header)s or %(field)s",
            header=CSRF_HEADER,
            field=CSRF_FIELD,
        )
    return _again(read, receive) if read else receive


def is_form(request: HTTPConnection) -> bool:
    return _content_type(request) == "application/x-www-form-urlencoded"


def has_files(request: HTTPConnection) -> bool:
    """Whether a form comes as browsers send one with files (RFC 7578)."""
    return _content_type(request) == "multipart/form-data"


def _content_type(request: HTTPConnection) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(receive: Receive, most: int = MAXIMUM_VISITORS_FORM) -> bytes:
    """A short body as a whole. Raises PayloadTooLarge."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most:
            raise PayloadTooLarge("the form is too long")
        if not message.get("more_body", False):
            return bytes(body)


async def _first_token(request: HTTPConnection, receive: Receive) -> tuple[str, list[Message]]:
    """The token of a form with files where that is its first field, else nothing; and what was read up to there."""
    read: list[Message] = []
    with suppress(BadRequest, PayloadTooLarge):
        parser = Parser(boundary_of(parse_media_type(request.headers["content-type"])), _LONGEST_TOKEN)
        is_whole = False
        while not is_whole:
            read.append(await receive())
            is_whole = not read[-1].get("more_body", False)
            for part in parser.feed(read[-1].get("body", b"")):
                is_token = _TOKEN_FIELD.fullmatch(part.headers.get("content-disposition", ""))
                return part.body.decode("utf-8", "replace") if is_token else "", read
    return "", read


def _again(messages: Iterable[Message], receive: Receive) -> Receive:
    """Gives the messages of a body that were read a second time, and then what comes after them."""
    waiting = deque(messages)

    async def replay() -> Message:
        return waiting.popleft() if waiting else await receive()

    return replay


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "replace")).digest()
