"""Lines of a stream that another node sends: JSON, each ended by a line feed, of bounded length."""

import json
from collections.abc import AsyncIterator
from typing import Any

from archive.errors import BadRequest

MEDIA_TYPE = "application/x-ndjson"


async def read_lines(chunks: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """Each line as it is whole, without its end. Raises BadRequest for one of more bytes than this."""
    held = bytearray()
    async for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            held += end
            _check(held, most)
            yield bytes(held)
            held.clear()
        held += rest
        _check(held, most)


def _check(line: bytearray, most: int) -> None:
    if len(line) > most:
        raise BadRequest("a line of the other node is longer than is read")


def to_line(content: Any) -> bytes:
    """A line with its end."""
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"
