"""Response bodies of bytes and ranges of files: of a length known beforehand, and never held in memory."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from anyio.to_thread import run_sync
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

CHUNK = 1024 * 1024  # bytes read and sent at a time


@dataclass(frozen=True, slots=True)
class FileRange:
    """Bytes of a file."""

    path: Path
    offset: int
    length: int


Segment = bytes | FileRange


def size(segments: Iterable[Segment]) -> int:
    """The number of bytes of all segments."""
    return sum(segment.length if isinstance(segment, FileRange) else len(segment) for segment in segments)


def cut(segments: Sequence[Segment], first: int, last: int) -> list[Segment]:
    """The bytes from `first` to `last`, both counted in, of all segments taken as one."""
    found: list[Segment] = []
    position = 0
    for segment in segments:
        length = size([segment])
        low, high = max(first - position, 0), min(last + 1 - position, length)
        if low < high and isinstance(segment, FileRange):
            found.append(FileRange(segment.path, segment.offset + low, high - low))
        elif low < high and isinstance(segment, bytes):
            found.append(segment[low:high])
        position += length
    return found


class SegmentsResponse(Response):
    """Sends segments in chunks, read off the event loop, no faster than the client takes them."""

    def __init__(
        self,
        segments: Sequence[Segment],
        media_type: str,
        status_code: int = 200,
        headers: dict[str, str] | None = None,
    ) -> None:
        self._segments = segments
        own = {"content-type": media_type, "content-length": str(size(segments))}
        super().__init__(status_code=status_code, headers=own | (headers or {}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            gone = asyncio.ensure_future(_until_disconnected(receive))
            try:
                await self._send_chunks(send, gone)
            finally:
                gone.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_chunks(self, send: Send, gone: asyncio.Future[None]) -> None:
        """A server takes and drops what is sent to a client that has gone: reading on would be for nobody."""
        async with aclosing(_chunks(self._segments)) as chunks:
            async for chunk in chunks:
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _chunks(segments: Sequence[Segment]) -> AsyncGenerator[bytes, None]:
    for segment in segments:
        if isinstance(segment, FileRange):
            async with aclosing(_file_chunks(segment)) as chunks:
                async for chunk in chunks:
                    yield chunk
        else:
            yield segment


async def _file_chunks(part: FileRange) -> AsyncGenerator[bytes, None]:
    """Raises OSError where the file is gone or has become shorter: the answer then breaks off."""
    descriptor = await run_sync(os.open, part.path, os.O_RDONLY)
    try:
        position, end = part.offset, part.offset + part.length
        while position < end:
            chunk = await run_sync(os.pread, descriptor, min(CHUNK, end - position), position)
            if not chunk:
                raise OSError("a stored file has become shorter")
            position += len(chunk)
            yield chunk
    finally:
        os.close(descriptor)
