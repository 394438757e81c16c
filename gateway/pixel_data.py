"""Frames of Pixel Data as parts of an answer: as they are stored, or recoded one at a time."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from archive.dicom_json import PIXEL_DATA, decode
from archive.errors import NotFound
from archive.json_values import Attributes
from archive.media_type import MediaType, media_type, multipart
from archive.pixels.fragments import locate_frames
from archive.pixels.layout import Layout, Undecodable, layout_of
from archive.pixels.recode import recode_frame
from archive.pixels.source import Frame, native_spans
from archive.pixels.syntaxes import DEFLATED
from archive.search import Place
from gateway import body, ranges
from gateway.body import CHUNK, FileRange, PartsResponse, Segment, load, size
from gateway.bulkdata import find_bulkdata
from gateway.frames import encapsulated_frames, native_frames, pick
from gateway.multipart import close, new_boundary, open_part, render
from gateway.negotiation import Offer, preferences
from gateway.services import services_of
from gateway.stored import Result, StoredFiles
from gateway.transfer_syntax import choose_frames, pixel_syntax
from gateway.workers import FRAME_SECONDS

_PIXELS = tuple(f"{number:08X}" for number in PIXEL_DATA)
Part = tuple[dict[str, str], Sequence[Segment]]


@dataclass(frozen=True)
class StoredPixels:
    """An instance's pixels: where its file is, where in it they are, and its metadata as DICOM JSON."""

    files: StoredFiles
    place: Place
    rendered: bytes

    @cached_property
    def attributes(self) -> Attributes:
        return decode(self.rendered)

    @cached_property
    def layout(self) -> Layout:
        """Raises Undecodable."""
        return layout_of(self.attributes)

    async def whole(self) -> Sequence[Segment]:
        """Native Pixel Data. Raises Undecodable, and as StoredFiles does."""
        return await self._read(lambda path: load([native_pixels(path, self.place)]))

    async def as_stored(self, numbers: Sequence[int] | None) -> Sequence[Sequence[Segment]]:
        """The segments of the frames of these numbers from 1; None is all of them.

        Raises NotFound for one that is not there, NotAcceptable where they can't be told apart, and as StoredFiles
        does.
        """
        if (pixels := self.at_once()) is not None:
            return _picked(native_frames(pixels, self.attributes), numbers)
        return await self._read(lambda path: self._stored_frames(path, numbers))

    async def to_decode(self) -> list[Frame]:
        """Every frame, to be decoded by a worker process. Raises NotFound, NotAcceptable, and as StoredFiles does."""
        return await self._read(self.frames_to_decode)

    def at_once(self) -> bytes | None:
        """Native Pixel Data that is small and lies in memory; None where it has to be waited for."""
        offset, length = self.place.pixel_offset, self.place.pixel_length
        if offset is None or length is None or length > CHUNK:
            return None
        return self.files.read_at_once(self.place, offset, length)

    async def _read(self, work: Callable[[Path], Result]) -> Result:
        return await self.files.read([self.place], lambda paths: work(paths[0]))

    def _stored_frames(self, path: Path, numbers: Sequence[int] | None) -> Sequence[Sequence[Segment]]:
        place = self.place
        if place.pixel_offset is None:
            frames = native_frames(self._inflated(path), self.attributes)
        elif place.pixel_length is None:
            frames = encapsulated_frames(path, place.pixel_offset, place.number_of_frames)
        else:
            frames = native_frames(native_pixels(path, place), self.attributes)
        picked = _picked(frames, numbers)
        small = sum(map(size, picked)) <= CHUNK
        return [load(frame) for frame in picked] if small else picked

    def _inflated(self, path: Path) -> bytes:
        """The pixels of a deflated data set, which lie nowhere in the file: it is inflated as a whole."""
        if not (present := [name for name in _PIXELS if name in self.attributes]):
            raise NotFound("the instance has no frames")
        return find_bulkdata(path, present[0])

    def frames_to_decode(self, path: Path) -> list[Frame]:
        """As `to_decode`, of a file whose proof has been checked."""
        place, syntax = self.place, self.place.transfer_syntax_uid
        if "7FE00010" not in self.attributes:
            raise NotFound("the instance has no frames")
        if syntax == DEFLATED:
            spans: Sequence[tuple[tuple[int, int], ...]] = [()] * self.layout.frames
        elif place.pixel_offset is None:
            raise NotFound("the instance has no frames")
        elif place.pixel_length is None:
            spans = locate_frames(path, place.pixel_offset, place.number_of_frames)
        else:
            spans = native_spans(place.pixel_offset, place.pixel_length, self.layout)
        return [Frame(path, each, self.layout, syntax, number) for number, each in enumerate(spans)]


def _picked(frames: list[list[Segment]], numbers: Sequence[int] | None) -> list[list[Segment]]:
    return pick(frames, numbers) if numbers else frames


def native_pixels(path: Path, place: Place) -> FileRange:
    """The whole of native Pixel Data. Raises Undecodable where the file ends within it."""
    offset, length = place.pixel_offset or 0, place.pixel_length or 0
    if offset + length > place.size:
        raise Undecodable("the stored bytes of an instance end within its pixels")
    return FileRange(path, offset, length)


async def send(request: Request, pixels: StoredPixels, numbers: Sequence[int] | None) -> Response:
    """The frames of these numbers from 1 in their order; None is all of them, native ones as one part."""
    place = pixels.place
    whole = numbers is None and place.pixel_length is not None
    count = 1 if whole else len(numbers) if numbers else place.number_of_frames
    chosen = choose_frames(preferences(request), place.transfer_syntax_uid, single=count == 1)
    if chosen.transfer_syntax_uid != pixel_syntax(place.transfer_syntax_uid):
        return await _recode(request, pixels, numbers, chosen)
    parts = [await pixels.whole()] if whole else await pixels.as_stored(numbers)
    return respond(request, [(_fields(chosen), part) for part in parts], chosen.media_type)


async def _recode(
    request: Request, pixels: StoredPixels, numbers: Sequence[int] | None, chosen: Offer
) -> Response:
    """A frame after another; the first is made before the answer begins, so that it can fail."""
    everything = await pixels.to_decode()
    frames = pick(everything, numbers) if numbers else everything
    if not frames:
        raise NotFound("the instance has no frames")
    workers, syntax = services_of(request).workers, chosen.transfer_syntax_uid
    first = await workers.make(request, FRAME_SECONDS, recode_frame, frames[0], syntax)
    if len(frames) == 1:
        return respond(request, [(_fields(chosen), first)], chosen.media_type)
    boundary = new_boundary()

    async def parts() -> AsyncGenerator[Sequence[Segment], None]:
        for number, frame in enumerate(frames):
            again = (
                await workers.make(request, FRAME_SECONDS, recode_frame, frame, syntax) if number else first
            )
            yield [open_part(_fields(chosen), boundary, first=number == 0), *again]
        yield [close(boundary)]

    content_type = str(multipart(chosen.media_type.parameter("type") or "", boundary=boundary))
    return PartsResponse(parts(), content_type, headers={"cache-control": "no-store"})


def _fields(chosen: Offer) -> dict[str, str]:
    kind = chosen.media_type.parameter("type") or chosen.media_type.essence
    return {"Content-Type": str(media_type(kind, transfer_syntax=chosen.transfer_syntax_uid))}


def respond(request: Request, parts: Sequence[Part], chosen: MediaType) -> Response:
    """The parts as multipart/related, or the one part as it is, or a range of it."""
    if chosen.essence == "multipart/related":
        boundary = new_boundary()
        rendered = render(parts, boundary)
        content_type = str(multipart(chosen.parameter("type") or "", boundary=boundary))
        return body.respond(rendered, content_type, headers={"cache-control": "no-store"})
    ((fields, segments),) = parts
    return ranges.respond(request.headers, segments, fields["Content-Type"])
