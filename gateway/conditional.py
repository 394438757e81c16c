"""Conditional requests: an answer's ETag, from what the index says before any byte is read (RFC 9110 section 13).

Tags are weak: a multipart body's boundary is another one each time.
"""

import re
from collections.abc import Iterable
from hashlib import blake2b
from http import HTTPStatus
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive.search import Place
from gateway.services import services_of

_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_VERSION = version("senogate")  # another one may render the same instance otherwise
_VARY = (b"vary", b"accept, accept-encoding")
_REVALIDATE = (b"cache-control", b"private, no-cache")


class NotModified(Exception):
    """The client has what it asks for already."""


def revalidate(request: Request, places: Iterable[Place]) -> None:
    """Give the answer that is made of these instances its ETag. Raises NotModified where the client has it."""
    revalidate_states(request, (place.state for place in places))


def revalidate_states(request: Request, states: Iterable[str]) -> None:
    """The same of instances by their states, in their order. Raises NotModified."""
    about = (
        services_of(request).settings.dicomweb_url,
        request.scope["path"],
        request.scope["query_string"].decode("latin-1"),
        "\0".join(request.headers.getlist("accept")),
    )
    _compare(request, (text.encode("utf-8", "surrogateescape") for text in (*about, *states)))


def revalidate_content(request: Request, kind: str, content: Iterable[bytes]) -> None:
    """Give an answer its ETag by what it says, such as the rows that a search finds. Raises NotModified."""
    base_url = services_of(request).settings.dicomweb_url.encode()
    _compare(request, (base_url, kind.encode("utf-8", "surrogateescape"), *content))


def _compare(request: Request, parts: Iterable[bytes]) -> None:
    told = b"\0".join((_VERSION.encode(), *parts))
    tag = f'"{blake2b(told, digest_size=16).hexdigest()}"'
    request.scope["etag"] = f"W/{tag}".encode()
    if is_conditional(request) and _matches(", ".join(request.headers.getlist("if-none-match")), tag):
        raise NotModified


def is_conditional(request: Request) -> bool:
    return "if-none-match" in request.headers


def _matches(condition: str, tag: str) -> bool:
    """Weak comparison (RFC 9110 section 8.8.3.2); `*` is met by whatever exists."""
    return condition.strip() == "*" or tag in _TAG.findall(condition)


async def on_not_modified(request: Request, error: Exception) -> Response:
    return Response(status_code=HTTPStatus.NOT_MODIFIED)


class EntityTags:
    """Adds the ETag that an endpoint has set to its answer, and lets the client keep that to ask again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            if message["type"] == "http.response.start" and "etag" in scope and message["status"] < 400:
                kept = [field for field in message["headers"] if field[0] not in (b"cache-control", b"vary")]
                message["headers"] = [*kept, (b"etag", scope["etag"]), _VARY, _REVALIDATE]
            await send(message)

        await self._app(scope, receive, add)
