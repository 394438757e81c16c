"""WADO-RS: rendered resources and thumbnails, as pictures that a browser shows (PS3.18 section 10.4)."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive.errors import NotAcceptable, NotFound
from archive.media_type import MediaType, media_type, multipart, select
from archive.pixels.layout import Undecodable
from archive.pixels.presentation import grey_of, has_tables
from archive.pixels.render import Profile, View, Viewport, draw_frames, render_frames, size_of_picture
from archive.pixels.source import Frame, FrameInMemory, native_spans
from archive.pixels.syntaxes import DEFLATED
from archive.pixels.voi import Grey, Window
from archive.policy import Action
from archive.query import parse_parameters
from archive.resource import Resource, parse_frames, parse_resource
from archive.search import Place, place_and_metadata, places
from gateway import rendering_parameters as parameters_of
from gateway.body import FileRange, PartsResponse, Segment
from gateway.multipart import close, new_boundary, open_part
from gateway.negotiation import preferences
from gateway.pixel_data import StoredPixels
from gateway.services import scope_of, services_of
from gateway.workers import FRAME_SECONDS, draw_now

PICTURES = ("image/jpeg", "image/png", "image/gif")
ANIMATED = "image/gif"
QUALITY = 90
THUMBNAIL = Viewport(128, 128)
THUMBNAIL_QUALITY = 80
# Pixels of a frame, or of a picture, that this process draws itself: at once, or in a thread.
_TINY, _LIGHT = 1 << 16, 1 << 24
_MAXIMUM_ANIMATED = 200_000_000  # pixels of all frames of an animation


@dataclass(frozen=True, slots=True)
class Picture:
    """What is asked for of an instance: frames from 0 on, how, and with which window."""

    place: Place
    frames: tuple[int, ...]
    view: View
    window: Window | None
    rendered: bytes | None = None  # the instance's metadata, where it has been fetched


async def retrieve_rendered(request: Request) -> Response:
    """A study, series or instance as pictures (sections 10.4.1.1.3.1 to .3).

    An animation holds all frames of an instance, another picture its first.
    """
    resource, parameters = (
        parse_resource(request.path_params),
        dict(parse_parameters(request.scope["query_string"])),
    )
    found = await _images(request, resource)
    single = resource.sop_instance_uid is not None
    if not found:
        raise NotAcceptable("what has no pixels can't be rendered")
    view, whole, window = _choose(request, parameters, single=single)
    pictures = [Picture(place, _frames_of(place, view), view, window, rendered) for place, rendered in found]
    return await _respond(request, pictures, whole, parameters_of.warn_of_annotations(parameters))


async def retrieve_rendered_frames(request: Request) -> Response:
    """Frames as pictures, in the order asked (section 10.4.1.1.3.4)."""
    resource, parameters = (
        parse_resource(request.path_params),
        dict(parse_parameters(request.scope["query_string"])),
    )
    numbers = parse_frames(request.path_params["frames"])
    found = await _images(request, resource)
    if not found or max(numbers) > found[0][0].number_of_frames:
        raise NotFound("the instance has no frame of that number")
    ((place, rendered),) = found
    view, whole, window = _choose(request, parameters, single=len(numbers) == 1)
    pictures = [Picture(place, (number - 1,), view, window, rendered) for number in numbers]
    return await _respond(request, pictures, whole, parameters_of.warn_of_annotations(parameters))


async def retrieve_thumbnail(request: Request) -> Response:
    """One small picture: of the middle image of a study or series, of the middle frame of an instance (10.4.1.1.4)."""
    resource, parameters = (
        parse_resource(request.path_params),
        dict(parse_parameters(request.scope["query_string"])),
    )
    numbers = parse_frames(request.path_params["frames"]) if "frames" in request.path_params else None
    found = await _images(request, resource)
    if not found:
        raise NotFound("there is no image to make a thumbnail of")
    place, rendered = found[len(found) // 2]
    frame = numbers[0] - 1 if numbers else place.number_of_frames // 2
    if frame >= place.number_of_frames:
        raise NotFound("the instance has no frame of that number")
    chosen = select(preferences(request), [media_type(kind) for kind in PICTURES])
    asked = parameters.get("viewport")
    viewport = parameters_of.parse_viewport(asked, is_thumbnail=True) if asked is not None else THUMBNAIL
    view = View(chosen.essence, THUMBNAIL_QUALITY, viewport, Profile.NO, is_thumbnail=True)
    return await _respond(request, [Picture(place, (frame,), view, None, rendered)], chosen, {})


async def _images(request: Request, resource: Resource) -> list[tuple[Place, bytes | None]]:
    """The resource's instances that have pixels, or may have; the metadata of a single one.

    Raises NotFound where there is nothing.
    """
    scope = scope_of(request, Action.READ)
    found: list[tuple[Place, bytes | None]]
    async with services_of(request).connection() as connection:
        if resource.sop_instance_uid:
            found = [await place_and_metadata(connection, scope, resource)]
        else:
            found = [(place, None) for place in await places(connection, scope, resource)]
    return [each for each in found if may_have_pixels(each[0])]


def may_have_pixels(place: Place) -> bool:
    """Whether it has, as far as is known without inflating it."""
    return place.pixel_offset is not None or place.transfer_syntax_uid == DEFLATED


def _choose(
    request: Request, parameters: Mapping[str, str], *, single: bool
) -> tuple[View, MediaType, Window | None]:
    """How to render, the media type of the answer, and the window. Raises BadRequest, NotAcceptable."""
    offers = [media_type(kind) for kind in PICTURES] if single else []
    whole = select(preferences(request), [*offers, *(multipart(kind) for kind in PICTURES)])
    kind = whole.parameter("type") or whole.essence
    return view_of(parameters, kind), whole, window_of(parameters)


def view_of(parameters: Mapping[str, str], kind: str) -> View:
    """How to render. Raises BadRequest."""
    viewport = parameters_of.parse_viewport(parameters["viewport"]) if "viewport" in parameters else None
    quality = parameters_of.parse_quality(parameters["quality"]) if "quality" in parameters else QUALITY
    profile = parameters_of.parse_profile(parameters.get("iccprofile", Profile.NO))
    return View(kind, quality, viewport, parameters_of.require_profile(profile, kind))


def window_of(parameters: Mapping[str, str]) -> Window | None:
    """Raises BadRequest."""
    return parameters_of.parse_window(parameters["window"]) if "window" in parameters else None


def _frames_of(place: Place, view: View) -> tuple[int, ...]:
    return tuple(range(place.number_of_frames)) if view.media_type == ANIMATED else (0,)


async def _respond(
    request: Request, pictures: Sequence[Picture], whole: MediaType, headers: dict[str, str]
) -> Response:
    headers = {"cache-control": "no-store", **headers}
    if whole.essence != "multipart/related":
        data = await draw(request, pictures[0])
        return Response(data, media_type=whole.essence, headers=headers)
    boundary, made = new_boundary(), _draw_all(request, pictures)
    first = await anext(made, None)
    if first is None:
        raise Undecodable("none of the stored pixels can be decoded")

    async def parts() -> AsyncGenerator[Sequence[Segment], None]:
        yield [open_part(_fields(request, first[0]), boundary, first=True), first[1]]
        async for picture, data in made:
            yield [open_part(_fields(request, picture), boundary, first=False), data]
        yield [close(boundary)]

    content_type = str(multipart(whole.parameter("type") or "", boundary=boundary))
    return PartsResponse(parts(), content_type, headers)


def _fields(request: Request, picture: Picture) -> dict[str, str]:
    place = services_of(request).settings.dicomweb_url + picture.place.resource.path
    return {"Content-Type": picture.view.media_type, "Content-Location": f"{place}/rendered"}


async def _draw_all(
    request: Request, pictures: Sequence[Picture]
) -> AsyncGenerator[tuple[Picture, bytes], None]:
    """One after another; of several, those that can't be decoded are passed over."""
    for picture in pictures:
        try:
            yield picture, await draw(request, picture)
        except (Undecodable, NotFound):
            if len(pictures) == 1:
                raise


async def draw(request: Request, picture: Picture) -> bytes:
    """The picture, kept for who asks again. Raises Undecodable, NotFound, NotAcceptable, BadRequest, Unavailable."""
    services = services_of(request)
    key = (picture.place.place, picture.frames, picture.view, picture.window)
    if (kept := services.pictures.get(key)) is not None:
        await services.stored.path(picture.place)
        return kept
    place, rendered = picture.place, picture.rendered
    if rendered is None:
        async with services.connection() as connection:
            _, rendered = await place_and_metadata(connection, scope_of(request, Action.READ), place.resource)
    pixels = StoredPixels(services.stored, place, rendered)
    if _is_light(pixels, picture, _TINY) and (native := pixels.at_once()) is not None:
        data = draw_now(_draw_in_memory, pixels, picture, native)
    elif _is_light(pixels, picture, _LIGHT):
        work = partial(_draw_native, pixels, picture)
        data = await services.workers.draw(services.stored.read_now, [place], work)
    else:
        data = await _draw_elsewhere(request, pixels, picture)
    services.pictures.put(key, data)
    return data


def _is_light(pixels: StoredPixels, picture: Picture, largest: int) -> bool:
    """Whether it is a picture of one native frame in shades of grey, neither of them of more pixels than `largest`."""
    attributes, view = pixels.attributes, picture.view
    if pixels.place.pixel_length is None or "7FE00010" not in attributes or has_tables(attributes):
        return False
    layout = pixels.layout
    columns, rows = size_of_picture(layout, view.viewport)
    cells = max(layout.rows * layout.columns, rows * columns)
    is_grey = layout.samples == 1 and layout.allocated in (8, 16)
    return is_grey and len(picture.frames) == 1 and view.profile is Profile.NO and cells <= largest


def _draw_in_memory(pixels: StoredPixels, picture: Picture, native: bytes) -> bytes:
    layout, place = pixels.layout, pixels.place
    spans = native_spans(0, len(native), layout)
    every: list[Frame] = [
        FrameInMemory(Path(), (), layout, place.transfer_syntax_uid, number, native[start : start + length])
        for number, ((start, length),) in enumerate(spans)
    ]
    frames, greys = _chosen(every, pixels, picture)
    return draw_frames(frames, greys, False, picture.view)


def _draw_native(pixels: StoredPixels, picture: Picture, paths: Sequence[Path]) -> bytes:
    frames, greys = _chosen(pixels.frames_to_decode(paths[0]), pixels, picture)
    return draw_frames(frames, greys, False, picture.view)


async def _draw_elsewhere(request: Request, pixels: StoredPixels, picture: Picture) -> bytes:
    """By a worker process."""
    frames, greys = _chosen(await pixels.to_decode(), pixels, picture)
    _require_moderate(frames, picture.view)
    tables, seconds = has_tables(pixels.attributes), FRAME_SECONDS * len(frames)
    made = await services_of(request).workers.make(
        request, seconds, render_frames, frames, greys, tables, picture.view
    )
    return await run_sync(_read, made[0])


def _chosen(
    frames: Sequence[Frame], pixels: StoredPixels, picture: Picture
) -> tuple[list[Frame], list[Grey]]:
    """The frames that are shown, and how their values become grey. Raises Undecodable where one is missing."""
    if max(picture.frames) >= len(frames):
        raise Undecodable("Pixel Data is shorter than Rows, Columns and NumberOfFrames say")
    greys = [grey_of(pixels.attributes, number, picture.window) for number in picture.frames]
    return [frames[number] for number in picture.frames], greys


def _require_moderate(frames: Sequence[Frame], view: View) -> None:
    layout, port = frames[0].layout, view.viewport
    pixels = port.width * port.height if port else layout.rows * layout.columns
    if len(frames) > 1 and len(frames) * pixels > _MAXIMUM_ANIMATED:
        raise NotAcceptable("the animation would be too large; a smaller viewport may do")


def _read(segment: Segment) -> bytes:
    return segment.path.read_bytes() if isinstance(segment, FileRange) else segment


_INSTANCE = "/studies/{study}/series/{series}/instances/{instance}"
_LEVELS = ("/studies/{study}", "/studies/{study}/series/{series}", _INSTANCE)
ROUTES = [
    *(Route(f"{level}/rendered", retrieve_rendered) for level in _LEVELS),
    Route(_INSTANCE + "/frames/{frames}/rendered", retrieve_rendered_frames),
    *(
        Route(f"{level}/thumbnail", retrieve_thumbnail)
        for level in (*_LEVELS, _INSTANCE + "/frames/{frames}")
    ),
]
