"""WADO-RS: instances, metadata, frames and bulk data as they are stored (PS3.18 section 10.4)."""

from collections.abc import Sequence
from pathlib import Path

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive.dicom_json import PIXEL_DATA, decode
from archive.errors import NotFound
from archive.instances import path as path_of
from archive.json_values import Attributes
from archive.media_type import MediaType, media_type, multipart, select
from archive.policy import Action
from archive.resource import parse_frames, parse_resource
from archive.search import Place, metadata, place_and_metadata, places
from gateway import datasets, ranges
from gateway.body import FileRange, Segment, SegmentsResponse, require
from gateway.bulkdata import find_bulkdata
from gateway.conditional import is_conditional, revalidate
from gateway.frames import encapsulated_frames, native_frames, pick
from gateway.multipart import new_boundary, render
from gateway.negotiation import preferences
from gateway.services import scope_of, services_of
from gateway.transfer_syntax import MIXED, frame_media_type, pixel_syntax

DICOM = "application/dicom"
OCTETS = "application/octet-stream"
PIXELS = tuple(f"{number:08X}" for number in PIXEL_DATA)


async def retrieve_instances(request: Request) -> Response:
    """All instances of a study or series, or one, as Part 10 files (PS3.18 section 10.4.1.1.1 to .3)."""
    resource, scope = parse_resource(request.path_params), scope_of(request, Action.READ)
    accepted = preferences(request)
    async with services_of(request).connection() as connection:
        found = await places(connection, scope, resource)
    revalidate(request, found)
    chosen = select(accepted, _instance_offers(found, single=resource.sop_instance_uid is not None))
    return await _render_instances(request, found, chosen)


def _instance_offers(found: Sequence[Place], *, single: bool) -> list[MediaType]:
    """As stored is what is offered; a study of several transfer syntaxes only to who asks for no particular one."""
    syntaxes = {place.transfer_syntax_uid for place in found}
    syntax = syntaxes.pop() if len(syntaxes) == 1 else MIXED
    offers = [multipart(DICOM, transfer_syntax=syntax)]
    return [*offers, media_type(DICOM, transfer_syntax=syntax)] if single else offers


async def _render_instances(request: Request, found: Sequence[Place], chosen: MediaType) -> Response:
    storage = services_of(request).settings.storage
    base_url = services_of(request).settings.dicomweb_url
    parts = [
        (
            {
                "Content-Type": str(media_type(DICOM, transfer_syntax=place.transfer_syntax_uid)),
                "Content-Location": base_url + place.resource.path,
            },
            [FileRange(path_of(storage, place.place), 0, place.size)],
        )
        for place in found
    ]
    return await _respond(request, parts, chosen)


async def retrieve_metadata(request: Request) -> Response:
    """The instances' data sets without bulk data, as DICOM JSON or XML (PS3.18 section 10.4.1.1.5)."""
    resource, scope = parse_resource(request.path_params), scope_of(request, Action.READ)
    chosen = datasets.choose(request)
    async with services_of(request).connection() as connection:
        if is_conditional(request):
            revalidate(request, await places(connection, scope, resource))
        found = await metadata(connection, scope, resource)
    revalidate(request, [place for place, _ in found])
    return await datasets.respond(request, [rendered for _, rendered in found], chosen)


async def retrieve_frames(request: Request) -> Response:
    """Frames in the order asked (PS3.18 section 10.4.1.1.6)."""
    resource, scope = parse_resource(request.path_params), scope_of(request, Action.READ)
    numbers = parse_frames(request.path_params["frames"])
    async with services_of(request).connection() as connection:
        place, rendered = await place_and_metadata(connection, scope, resource)
    revalidate(request, [place])
    chosen = select(preferences(request), _pixel_offers(place, single=len(numbers) == 1))
    frames = pick(await _frames(request, place, rendered), numbers)
    return await _respond(
        request, [({"Content-Type": _part_type(chosen)}, frame) for frame in frames], chosen
    )


async def retrieve_bulkdata(request: Request) -> Response:
    """The value of one attribute, that its BulkDataURI names (PS3.18 section 10.4.1.1.4)."""
    resource, scope = parse_resource(request.path_params), scope_of(request, Action.READ)
    async with services_of(request).connection() as connection:
        place, rendered = await place_and_metadata(connection, scope, resource)
    revalidate(request, [place])
    address = request.path_params["attribute"]
    if address.upper() in PIXELS and place.pixel_offset is not None:
        return await _retrieve_pixels(request, place, rendered)
    path = path_of(services_of(request).settings.storage, place.place)
    value = await run_sync(find_bulkdata, path, address)
    chosen = select(preferences(request), [multipart(OCTETS), media_type(OCTETS)])
    return await _respond(request, [({"Content-Type": OCTETS}, [value])], chosen)


async def _retrieve_pixels(request: Request, place: Place, rendered: bytes) -> Response:
    """Pixel Data whole where native, its frames as parts where encapsulated (PS3.18 section 8.7.3)."""
    native = place.pixel_length is not None
    chosen = select(preferences(request), _pixel_offers(place, single=native or place.number_of_frames == 1))
    if native:
        path = path_of(services_of(request).settings.storage, place.place)
        frames: Sequence[Sequence[Segment]] = [
            [FileRange(path, place.pixel_offset or 0, place.pixel_length or 0)]
        ]
    else:
        frames = await _frames(request, place, rendered)
    return await _respond(
        request, [({"Content-Type": _part_type(chosen)}, frame) for frame in frames], chosen
    )


def _pixel_offers(place: Place, *, single: bool) -> list[MediaType]:
    """Pixels as stored: as the media type of their compression, and as octets for who wants the stored bits as such."""
    syntax = pixel_syntax(place.transfer_syntax_uid)
    kinds = dict.fromkeys([frame_media_type(syntax), OCTETS])
    offers = [multipart(kind, transfer_syntax=syntax) for kind in kinds]
    return offers + [media_type(kind, transfer_syntax=syntax) for kind in kinds] if single else offers


def _part_type(chosen: MediaType) -> str:
    """The Content-Type of a part of the chosen multipart type."""
    kind, syntax = chosen.parameter("type") or chosen.essence, chosen.parameter("transfer-syntax") or ""
    return str(media_type(kind, transfer_syntax=syntax))


async def _frames(request: Request, place: Place, rendered: bytes) -> Sequence[Sequence[Segment]]:
    path = path_of(services_of(request).settings.storage, place.place)
    if place.pixel_offset is None:
        return await _deflated_frames(path, decode(rendered))
    if place.pixel_length is None:
        return await run_sync(encapsulated_frames, path, place.pixel_offset, place.number_of_frames)
    return native_frames(FileRange(path, place.pixel_offset, place.pixel_length), decode(rendered))


async def _deflated_frames(path: Path, attributes: Attributes) -> Sequence[Sequence[Segment]]:
    """Frames of a deflated data set, which lie nowhere in the file: it is inflated as a whole."""
    if not (present := [name for name in PIXELS if name in attributes]):
        raise NotFound("the instance has no frames")
    return native_frames(await run_sync(find_bulkdata, path, present[0]), attributes)


async def _respond(
    request: Request, parts: Sequence[tuple[dict[str, str], Sequence[Segment]]], chosen: MediaType
) -> Response:
    """The parts as multipart/related, or the one part as it is, or a range of it."""
    if chosen.essence == "multipart/related":
        boundary = new_boundary()
        segments = render(parts, boundary)
        await require(segments)
        content_type = str(multipart(chosen.parameter("type") or "", boundary=boundary))
        return SegmentsResponse(segments, content_type, headers={"cache-control": "no-store"})
    ((fields, body),) = parts
    await require(body)
    return ranges.respond(request.headers, body, fields["Content-Type"])


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
