"""Data sets as answers: DICOM JSON, or XML in parts (PS3.18 sections 8.7.3, F.2 and F.3)."""

import gzip
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from http import HTTPStatus

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from archive.dicom_json import BASE, decode
from archive.json_values import Attributes
from archive.media_type import MediaType, media_type, multipart, parse_accept, select
from gateway.conditional import revalidate_content
from gateway.multipart import new_boundary
from gateway.native_model import render_native_model
from gateway.negotiation import preferences
from gateway.services import services_of

XML = "application/dicom+xml"
JSON = (media_type("application/dicom+json"), media_type("application/json"))
"""What DICOM JSON is offered as; the second name is from before it had one of its own."""
WORTH_COMPRESSING = 16 * 1024  # bytes of JSON; of fewer the network is not what a client waits for
OFFERS = (*JSON, multipart(XML))
SINGLE = (media_type(XML),)


def choose(request: Request, *, single: bool = False) -> MediaType:
    """The one of OFFERS that the request wants most; a `single` data set can be had as one part of XML too.

    Raises NotAcceptable, or BadRequest.
    """
    if b"accept" in request.scope["query_string"]:
        return select(preferences(request), (*OFFERS, *SINGLE) if single else OFFERS)
    return _choose(", ".join(request.headers.getlist("accept")), single)


@lru_cache(256)
def _choose(accept: str, single: bool) -> MediaType:
    return select(parse_accept(accept), (*OFFERS, *SINGLE) if single else OFFERS)


async def respond(
    request: Request, rows: Sequence[bytes], chosen: MediaType, headers: Mapping[str, str] | None = None
) -> Response:
    """Rows of DICOM JSON as the chosen one of OFFERS, or of SINGLE for a single one, their URLs complete.

    In JSON no row is an empty list; a multipart body without a part can't be, and so there is none. An answer that
    has no ETag yet gets one by what it says. Raises NotModified.
    """
    if "etag" not in request.scope:
        revalidate_content(request, str(chosen), rows)
    base_url = services_of(request).settings.dicomweb_url
    own = {"cache-control": "no-store", "vary": "accept, accept-encoding"} | dict(headers or {})
    if chosen in SINGLE:
        document = render_native_model(_complete(rows[0], base_url))
        return Response(document, headers=own | {"content-type": XML})
    if chosen.essence != "multipart/related":
        body = join(rows, base_url)
        if len(body) >= WORTH_COMPRESSING and takes_gzip(request):
            body = await run_sync(partial(gzip.compress, compresslevel=1, mtime=0), body)
            own["content-encoding"] = "gzip"
        return Response(body, headers=own | {"content-type": str(chosen)})
    if not rows:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=own)
    boundary = new_boundary()
    content_type = str(multipart(XML, boundary=boundary))
    parts = _xml_parts(rows, base_url, boundary)
    return StreamingResponse(parts, headers=own | {"content-type": content_type})


def takes_gzip(request: Request) -> bool:
    """Whether the client takes gzip (RFC 9110 section 12.5.3)."""
    for coding in ",".join(request.headers.getlist("accept-encoding")).split(","):
        name, _, quality = coding.replace(" ", "").lower().partition(";q=")
        if name in ("gzip", "x-gzip"):
            return not re.fullmatch(r"0(\.0*)?", quality)
    return False


def join(rows: Iterable[bytes], base_url: str) -> bytes:
    """A JSON array of rows of DICOM JSON, their URLs complete. Without a row it is empty (PS3.18 section 8.3.4.4)."""
    return b"[" + b",".join(rows).replace(BASE.encode(), base_url.encode()) + b"]"


async def _xml_parts(rows: Iterable[bytes], base_url: str, boundary: str) -> AsyncIterator[bytes]:
    for row in rows:
        document = render_native_model(_complete(row, base_url))
        yield f"--{boundary}\r\nContent-Type: {XML}\r\n\r\n".encode() + document + b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _complete(row: bytes, base_url: str) -> Attributes:
    return decode(row.replace(BASE.encode(), base_url.encode()))
