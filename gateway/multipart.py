"""multipart/related (RFC 2387, RFC 2046 section 5.1): rendered as segments, parsed as it arrives."""

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from archive.errors import BadRequest, PayloadTooLarge
from archive.media_type import MediaType
from gateway.body import Segment

MAXIMUM_HEADERS = 16 * 1024  # bytes of one part's header fields
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")


@dataclass(frozen=True, slots=True)
class Part:
    """One part's header fields, names in lower case, and its bytes."""

    headers: dict[str, str]
    body: bytes


def new_boundary() -> str:
    """A boundary that no content was made to contain."""
    return secrets.token_hex(16)


def render(parts: Iterable[tuple[dict[str, str], Sequence[Segment]]], boundary: str) -> list[Segment]:
    """The segments of a body with these parts, each of header fields and segments."""
    segments: list[Segment] = []
    for number, (headers, body) in enumerate(parts):
        segments += [open_part(headers, boundary, first=number == 0), *body]
    return [*segments, close(boundary, empty=not segments)]


def open_part(headers: dict[str, str], boundary: str, *, first: bool) -> bytes:
    """What comes before a part's bytes."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    opening = "" if first else "\r\n"
    return f"{opening}--{boundary}\r\n{fields}\r\n".encode()


def close(boundary: str, *, empty: bool = False) -> bytes:
    """What comes after the last part's bytes."""
    return ("" if empty else "\r\n").encode() + f"--{boundary}--\r\n".encode("ascii")


def boundary_of(content_type: MediaType) -> bytes:
    """The boundary that a Content-Type names. Raises BadRequest."""
    boundary = content_type.parameter("boundary") or ""
    if not _BOUNDARY.fullmatch(boundary):
        raise BadRequest("the Content-Type names no valid boundary of 1 to 70 characters")
    return boundary.encode("ascii")


class Parser:
    """Takes a body's bytes as they arrive and gives its parts, holding one part at most.

    Lines may end in CR LF or LF alone. What comes before the first boundary and after the last one is passed
    over. A part longer than `maximum` bytes raises PayloadTooLarge; a body that is not what its Content-Type
    says, BadRequest.
    """

    def __init__(self, boundary: bytes, maximum: int) -> None:
        # A delimiter begins a line; where it does so first in the body there is no line end before it.
        self._delimiter = b"\n--" + boundary
        self._maximum = maximum
        self._buffer = bytearray(b"\n")
        self._searched = 0
        self._state: Callable[[], Part | None] = self._preamble

    def feed(self, data: bytes) -> Iterator[Part]:
        """Take more bytes; the parts that they complete."""
        if self._state == self._epilogue:
            return
        self._buffer += data
        while True:
            before = (self._state, len(self._buffer))
            part = self._state()
            if part:
                yield part
            if before == (self._state, len(self._buffer)):
                return

    def close(self) -> None:
        """Say that the body has ended. Raises BadRequest where its closing boundary has not come."""
        if self._state != self._epilogue:
            raise BadRequest("the multipart body ends before its closing boundary")

    def _preamble(self) -> None:
        position = self._find(MAXIMUM_HEADERS, "the multipart body has no opening boundary")
        if position >= 0:
            self._drop(position + len(self._delimiter))
            self._state = self._after_delimiter

    def _after_delimiter(self) -> None:
        """The rest of a boundary's line: `--` closes the body, else a part begins after it."""
        if self._buffer.startswith(b"--"):
            self._drop(len(self._buffer))
            self._state = self._epilogue
            return
        end = self._buffer.find(b"\n")
        if end < 0 and len(self._buffer) <= MAXIMUM_HEADERS:
            return
        if end < 0 or self._buffer[:end].strip(b" \t\r"):
            raise BadRequest("a boundary of the multipart body is followed by text on its line")
        del self._buffer[:end]  # the line end stays: header fields are searched for an empty line
        self._state = self._head

    def _head(self) -> None:
        ends = [position for ending in (b"\n\n", b"\n\r\n") if (position := self._buffer.find(ending)) >= 0]
        if min(ends, default=len(self._buffer)) > MAXIMUM_HEADERS:
            raise BadRequest(f"a part's header fields are longer than {MAXIMUM_HEADERS} bytes")
        if not ends:
            return
        self._headers = _parse_headers(bytes(self._buffer[: min(ends)]))
        # The empty line's end stays: the delimiter of an empty part begins with it.
        del self._buffer[: self._buffer.index(b"\n", min(ends) + 1)]
        self._searched = 0
        self._state = self._body

    def _body(self) -> Part | None:
        position = self._find(self._maximum + 2, None)
        if position < 0:
            return None
        end = position - 1 if position > 1 and self._buffer[position - 1] == 0x0D else position
        with memoryview(self._buffer) as view:
            body = bytes(view[1 : max(end, 1)])
        if len(body) > self._maximum:
            raise _too_large(self._maximum)
        self._drop(position + len(self._delimiter))
        self._state = self._after_delimiter
        return Part(self._headers, body)

    def _epilogue(self) -> None:
        self._buffer.clear()

    def _find(self, maximum: int, problem: str | None) -> int:
        """Where the delimiter begins, -1 where it is not in what has come; never searches a byte twice."""
        position = self._buffer.find(self._delimiter, self._searched)
        if position < 0:
            self._searched = max(len(self._buffer) - len(self._delimiter), 0)
            if len(self._buffer) > maximum + len(self._delimiter):
                raise BadRequest(problem) if problem else _too_large(self._maximum)
        return position

    def _drop(self, length: int) -> None:
        del self._buffer[:length]
        self._searched = 0


def _too_large(maximum: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"an instance is larger than the {maximum} bytes that are taken")


def _parse_headers(block: bytes) -> dict[str, str]:
    """Header fields, continuation lines unfolded. Raises BadRequest for a line that is no field."""
    text = re.sub(r"\r?\n[ \t]+", " ", block.decode("latin-1").strip("\r\n"))
    headers: dict[str, str] = {}
    for line in filter(None, re.split(r"\r?\n", text)):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise BadRequest("a part's header has a line that is no field")
        headers[name.strip().lower()] = value.strip()
    return headers
