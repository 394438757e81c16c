"""The files that pages are made with, under addresses that change with their content: a browser asks once."""

import gzip
import hashlib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import htmx

_TYPES = {"portal.css": "text/css", "icon.svg": "image/svg+xml"}
_FOR_GOOD = "public, max-age=31536000, immutable"
_BRIEFLY = "public, max-age=300"


@cache
def address(name: str) -> str:
    """Where a file is, as it is now."""
    return f"/{name}?{_digest(name)}"


async def show(request: Request) -> Response:
    """GET /portal.css, GET /icon.svg."""
    name = request.url.path.lstrip("/")
    plain, compressed = _contents(name)
    kept = _FOR_GOOD if request.url.query == _digest(name) else _BRIEFLY
    headers = {"cache-control": kept, "vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(compressed, headers=headers | {"content-encoding": "gzip"}, media_type=_TYPES[name])
    return Response(plain, headers=headers, media_type=_TYPES[name])


@cache
def _contents(name: str) -> tuple[bytes, bytes]:
    """A file, and the same compressed."""
    plain = files("gateway.portal").joinpath(name).read_bytes()
    return plain, gzip.compress(plain, 9, mtime=0)


@cache
def _digest(name: str) -> str:
    return hashlib.sha256(_contents(name)[0]).hexdigest()[:12]


ROUTES = [
    *(Route(f"/{name}", show, methods=["GET"], include_in_schema=False) for name in _TYPES),
    Route("/htmx.js", htmx.script, methods=["GET"], include_in_schema=False),
]
