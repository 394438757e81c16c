"""Response bodies of bytes and ranges of files: of a length known beforehand, and never held in memory."""

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from archive.errors import SenogateError

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")
CHUNK = 1024 * 1024  # bytes read and sent at a time


@dataclass(frozen=True, slots=True)
class FileRange:
    """Bytes of a file."""

    path: Path
    offset: int
    length: int
    keep: object = field(default=None, compare=False, repr=False)  # what the file is there as long as


class Scratch:
    """A file without a name, for what a worker process makes: it is gone with this object, however a process ends.

    It is closed when nobody holds it any more: not this object, and no range of it.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self.path = Path(f"/proc/{os.getpid()}/fd/{self._file.fileno()}")

    def ranges(self) -> list["FileRange"]:
        """All of it."""
        return [FileRange(self.path, 0, os.fstat(self._file.fileno()).st_size, keep=self)]


Segment = bytes | FileRange
Again = Callable[[Path], Path]
"""Where a file lies that is not where it was a moment ago."""


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
            found.append(replace(segment, offset=segment.offset + low, length=high - low))
        elif low < high and isinstance(segment, bytes):
            found.append(segment[low:high])
        position += length
    return found


def load(segments: Sequence[Segment]) -> list[Segment]:
    """The segments with their files read, where they are so few bytes as are read at a time anyhow.

    Reads files, so call it off the event loop. Raises OSError where one is gone or has become shorter.
    """
    if size(segments) > CHUNK:
        return list(segments)
    return [_read(segment) if isinstance(segment, FileRange) else segment for segment in segments]


def respond(
    segments: Sequence[Segment],
    media_type: str,
    status_code: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """The segments as one body, from memory where they all lie there."""
    if size(segments) > CHUNK or not all(isinstance(segment, bytes) for segment in segments):
        return SegmentsResponse(segments, media_type, status_code, headers)
    body = b"".join(segment for segment in segments if isinstance(segment, bytes))
    return Response(body, status_code, {"content-type": media_type} | (headers or {}))


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
        self._again: Again = _unmoved
        own = {"content-type": media_type, "content-length": str(size(segments))}
        super().__init__(status_code=status_code, headers=own | (headers or {}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            if "app" in scope:
                self._again = scope["app"].state.services.stored.again
            gone = asyncio.ensure_future(until_disconnected(receive))
            try:
                await self._send_chunks(send, gone)
            finally:
                gone.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_chunks(self, send: Send, gone: asyncio.Future[None]) -> None:
        """A server takes and drops what is sent to a client that has gone: reading on would be for nobody."""
        async with aclosing(_chunks(self._segments, self._again)) as chunks:
            async for chunk in chunks:
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": chunk, "more_body": True})


class BrokenOff(Exception):
    """The rest of an answer that has begun can't be made; the connection is closed without its end."""


class PartsResponse(SegmentsResponse):
    """Sends lists of segments, each made when the one before has been taken. Their length is not known beforehand.

    Raises BrokenOff where one can't be made.
    """

    def __init__(
        self, parts: AsyncGenerator[Sequence[Segment], None], media_type: str, headers: dict[str, str]
    ) -> None:
        super().__init__((), media_type, headers=headers)
        del self.headers["content-length"]
        self._parts = parts

    async def _send_chunks(self, send: Send, gone: asyncio.Future[None]) -> None:
        try:
            async with aclosing(self._parts) as parts:
                async for segments in parts:
                    self._segments = segments
                    await super()._send_chunks(send, gone)
                    if gone.done():
                        return
        except SenogateError as error:
            raise BrokenOff(str(error)) from None


async def until_disconnected(receive: Receive) -> None:
    """Wait until who asked has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _in_thread(function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
    """The event loop's own way to a thread costs half of what anyio's does."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


async def _chunks(segments: Sequence[Segment], again: Again) -> AsyncGenerator[bytes, None]:
    for segment in segments:
        if isinstance(segment, FileRange) and segment.length <= CHUNK:
            yield await _in_thread(_read, segment, again)
        elif isinstance(segment, FileRange):
            async with aclosing(_file_chunks(segment, again)) as chunks:
                async for chunk in chunks:
                    yield chunk
        else:
            yield segment


def _unmoved(path: Path) -> Path:
    return path


def _open(path: Path, again: Again) -> int:
    """Raises OSError, and what `again` does."""
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return os.open(again(path), os.O_RDONLY)


def _read(part: FileRange, again: Again = _unmoved) -> bytes:
    """Raises OSError where the file is gone or has become shorter."""
    descriptor = _open(part.path, again)
    try:
        data = os.pread(descriptor, part.length, part.offset)
    finally:
        os.close(descriptor)
    if len(data) != part.length:
        raise OSError("a stored file has become shorter")
    return data


async def _file_chunks(part: FileRange, again: Again) -> AsyncGenerator[bytes, None]:
    """Raises OSError where the file is gone or has become shorter: the answer then breaks off."""
    descriptor = await _in_thread(_open, part.path, again)
    try:
        position, end = part.offset, part.offset + part.length
        while position < end:
            chunk = await _in_thread(os.pread, descriptor, min(CHUNK, end - position), position)
            if not chunk:
                raise OSError("a stored file has become shorter")
            position += len(chunk)
            yield chunk
    finally:
        os.close(descriptor)
