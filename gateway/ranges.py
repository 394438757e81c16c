"""Range requests (RFC 9110 section 14): one range of bytes of a body that is not multipart."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.responses import Response

from gateway import body
from gateway.body import Segment, cut, size
from gateway.problem import ProblemResponse

_ONE_RANGE = re.compile(r"bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)


def parse_range(header: str | None, length: int) -> tuple[int, int] | None:
    """The first and the last byte asked for; None where the whole is to be sent.

    A header that is malformed, of another unit or of several ranges is passed over, as section 14.2 lets a server.
    Raises ValueError where no byte of the range is there.
    """
    match = _ONE_RANGE.fullmatch(header or "")
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if first and last and int(first) > int(last):
        return None
    if not first:
        low, high = max(length - int(last), 0), length - 1
    else:
        low, high = int(first), min(int(last or length), length - 1)
    if low > high:
        raise ValueError("no byte of the range is there")
    return low, high


def respond(headers: Mapping[str, str], segments: Sequence[Segment], content_type: str) -> Response:
    """The segments, or what the request's Range wants of them: 200, 206 or 416. If-Range is never met: no ETag is."""
    length = size(segments)
    own = {"cache-control": "no-store", "accept-ranges": "bytes"}
    try:
        wanted = None if "if-range" in headers else parse_range(headers.get("range"), length)
    except ValueError:
        status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        return ProblemResponse(status, headers={"content-range": f"bytes */{length}"})
    if wanted is None:
        return body.respond(segments, content_type, headers=own)
    first, last = wanted
    own["content-range"] = f"bytes {first}-{last}/{length}"
    return body.respond(cut(segments, first, last), content_type, HTTPStatus.PARTIAL_CONTENT, own)
