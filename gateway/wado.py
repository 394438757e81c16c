"""WADO-RS: instances, metadata, frames and bulk data, as they are stored or recoded (PS3.18 section 10.4)."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive.dicom_json import PIXEL_DATA
from archive.media_type import media_type, multipart, select
from archive.pixels.layout import Undecodable
from archive.pixels.recode import Stored, recode_header, recode_instance
from archive.pixels.syntaxes import EXPLICIT
from archive.policy import Action
from archive.resource import parse_frames, parse_resource
from archive.search import Place, metadata, place_and_metadata, places
from gateway import datasets
from gateway.body import CHUNK, FileRange, PartsResponse, Scratch, Segment, load
from gateway.bulkdata import find_bulkdata
from gateway.conditional import is_conditional, revalidate, revalidate_states
from gateway.multipart import close, new_boundary, open_part
from gateway.negotiation import Offer, choose, preferences
from gateway.pixel_data import Part, StoredPixels, native_pixels, respond, send
from gateway.services import scope_of, services_of
from gateway.transfer_syntax import DICOM, OCTETS, instance_offers, instance_syntax
from gateway.workers import FRAME_SECONDS

PIXELS = tuple(f"{number:08X}" for number in PIXEL_DATA)


async def retrieve_instances(request: Request) -> Response:
    """All instances of a study or series, or one, as Part 10 files (PS3.18 section 10.4.1.1.1 to .3)."""
    resource, scope = parse_resource(request.path_params), scope_of(request, Action.READ)
    accepted = preferences(request)
    async with services_of(request).connection() as connection:
        found = await places(connection, scope, resource)
    revalidate(request, found)
    single = resource.sop_instance_uid is not None
    chosen = choose(accepted, instance_offers((place.transfer_syntax_uid for place in found), single=single))
    stored = services_of(request).stored
    if all(
        instance_syntax(place.transfer_syntax_uid, chosen) == place.transfer_syntax_uid for place in found
    ):
        parts = _at_once(request, found)
        if parts is None:
            parts = await stored.read(found, partial(_all_as_stored, request, found))
        return respond(request, parts, chosen.media_type)
    located = list(zip(found, await stored.paths(found), strict=True))
    if single:
        return respond(request, [await make_part(request, *located[0], chosen)], chosen.media_type)
    return await _stream(request, located, chosen)


def _at_once(request: Request, found: Sequence[Place]) -> list[Part] | None:
    """Small instances that lie in memory; None where one has to be waited for."""
    if sum(place.size for place in found) > CHUNK:
        return None
    parts: list[Part] = []
    for place in found:
        data = services_of(request).stored.read_at_once(place, 0, place.size)
        if data is None:
            return None
        parts.append((_fields(request, place, place.transfer_syntax_uid), [data]))
    return parts


def _all_as_stored(request: Request, found: Sequence[Place], paths: Sequence[Path]) -> list[Part]:
    """Called in a thread: small instances are read at once."""
    parts = [_as_stored(request, place, path) for place, path in zip(found, paths, strict=True)]
    if sum(place.size for place in found) > CHUNK:
        return parts
    return [(fields, load(segments)) for fields, segments in parts]


def _as_stored(request: Request, place: Place, path: Path) -> Part:
    return _fields(request, place, place.transfer_syntax_uid), [FileRange(path, 0, place.size)]


def _fields(request: Request, place: Place, syntax: str) -> dict[str, str]:
    return {
        "Content-Type": str(media_type(DICOM, transfer_syntax=syntax)),
        "Content-Location": services_of(request).settings.dicomweb_url + place.resource.path,
    }


async def make_part(request: Request, place: Place, path: Path, chosen: Offer) -> Part:
    """One instance in the transfer syntax that was chosen.

    Where the client named none, one that can't be decoded is sent as it is stored, and its part says so. Raises
    Undecodable, NotFound, Unavailable.
    """
    syntax = instance_syntax(place.transfer_syntax_uid, chosen)
    if syntax == place.transfer_syntax_uid:
        return _as_stored(request, place, path)
    try:
        return await _recode(request, place, path, syntax)
    except Undecodable:
        if not (chosen.is_default or chosen.is_stored):
            raise
        return _as_stored(request, place, path)


async def _recode(request: Request, place: Place, path: Path, syntax: str) -> Part:
    workers = services_of(request).workers
    stored = Stored(
        path, place.transfer_syntax_uid, place.number_of_frames, place.pixel_offset, place.pixel_length
    )
    if syntax == EXPLICIT and place.pixel_offset is not None and place.pixel_length is not None:
        pixels = native_pixels(path, place)
        head, tail = await workers.run(request, FRAME_SECONDS, recode_header, stored)
        body: list[Segment] = [head, pixels, tail]
        return _fields(request, place, syntax), body
    scratch = Scratch()
    seconds = FRAME_SECONDS * place.number_of_frames
    made = await workers.run(request, seconds, recode_instance, stored, syntax, scratch.path)
    return _fields(request, place, made), list(scratch.ranges())


async def _stream(request: Request, located: Sequence[tuple[Place, Path]], chosen: Offer) -> Response:
    """A part after another, each made when its turn comes; the first before the answer begins, so that it can fail.

    A later one that can't be had in the transfer syntax that was named is sent as it is stored, and says so.
    """
    boundary = new_boundary()
    first = await make_part(request, *located[0], chosen)

    async def parts() -> AsyncGenerator[Sequence[Segment], None]:
        for number, each in enumerate(located):
            try:
                fields, body = await make_part(request, *each, chosen) if number else first
            except Undecodable:
                fields, body = _as_stored(request, *each)
            yield [open_part(fields, boundary, first=number == 0), *body]
        yield [close(boundary)]

    content_type = str(multipart(DICOM, boundary=boundary))
    return PartsResponse(parts(), content_type, headers={"cache-control": "no-store"})


async def retrieve_metadata(request: Request) -> Response:
    """The instances' data sets without bulk data, as DICOM JSON or XML (PS3.18 section 10.4.1.1.5)."""
    resource, scope = parse_resource(request.path_params), scope_of(request, Action.READ)
    chosen = datasets.choose(request)
    async with services_of(request).connection() as connection:
        if is_conditional(request):
            revalidate(request, await places(connection, scope, resource))
        states, found = await metadata(connection, scope, resource)
    revalidate_states(request, states)
    return await datasets.respond(request, found, chosen)


async def retrieve_frames(request: Request) -> Response:
    """Frames in the order asked (PS3.18 section 10.4.1.1.6)."""
    resource, scope = parse_resource(request.path_params), scope_of(request, Action.READ)
    numbers = parse_frames(request.path_params["frames"])
    async with services_of(request).connection() as connection:
        place, rendered = await place_and_metadata(connection, scope, resource)
    revalidate(request, [place])
    return await send(request, StoredPixels(services_of(request).stored, place, rendered), numbers)


async def retrieve_bulkdata(request: Request) -> Response:
    """The value of one attribute, that its BulkDataURI names (PS3.18 section 10.4.1.1.4)."""
    resource, scope = parse_resource(request.path_params), scope_of(request, Action.READ)
    async with services_of(request).connection() as connection:
        place, rendered = await place_and_metadata(connection, scope, resource)
    revalidate(request, [place])
    address, stored = request.path_params["attribute"], services_of(request).stored
    if address.upper() in PIXELS and place.pixel_offset is not None:
        return await send(request, StoredPixels(stored, place, rendered), None)
    value = await stored.read([place], lambda paths: find_bulkdata(paths[0], address))
    chosen = select(preferences(request), [multipart(OCTETS), media_type(OCTETS)])
    return respond(request, [({"Content-Type": OCTETS}, [value])], chosen)


_INSTANCE = "/studies/{study}/series/{series}/instances/{instance}"
ROUTES = [
    Route("/studies/{study}/series/{series}", retrieve_instances),
    Route(_INSTANCE, retrieve_instances),
    Route("/studies/{study}/metadata", retrieve_metadata),
    Route("/studies/{study}/series/{series}/metadata", retrieve_metadata),
    Route(f"{_INSTANCE}/metadata", retrieve_metadata),
    Route(_INSTANCE + "/frames/{frames}", retrieve_frames),
    Route(_INSTANCE + "/bulkdata/{attribute:path}", retrieve_bulkdata),
]
