"""Data sets as answers: DICOM JSON, or XML in parts (PS3.18 sections 8.7.3, F.2 and F.3)."""

from collections.abc import AsyncIterator, Iterable, Sequence
from http import HTTPStatus

from starlette.responses import Response, StreamingResponse

from archive.dicom_json import BASE, decode
from archive.json_values import Attributes
from archive.media_type import MediaType, media_type, multipart
from gateway.multipart import new_boundary
from gateway.native_model import render_native_model

XML = "application/dicom+xml"
JSON = (media_type("application/dicom+json"), media_type("application/json"))
"""What DICOM JSON is offered as; the second name is from before it had one of its own."""
OFFERS = (*JSON, multipart(XML))


def respond(
    rows: Sequence[bytes], chosen: MediaType, base_url: str, headers: dict[str, str] | None = None
) -> Response:
    """Rows of DICOM JSON as the chosen one of OFFERS, their URLs complete.

    In JSON no row is an empty list; a multipart body without a part can't be, and so there is none.
    """
    headers = {"cache-control": "no-store"} | (headers or {})
    if chosen.essence != "multipart/related":
        return Response(join(rows, base_url), headers=headers | {"content-type": str(chosen)})
    if not rows:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
    boundary = new_boundary()
    content_type = str(multipart(XML, boundary=boundary))
    return StreamingResponse(
        _xml_parts(rows, base_url, boundary), headers=headers | {"content-type": content_type}
    )


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
