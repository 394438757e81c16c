"""WADO-URI: one instance by the query of one address, for viewers that know no other way (PS3.18 section 9)."""

from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from archive.errors import BadRequest, NotFound
from archive.media_type import media_type, parse_accept, select
from archive.pixels.render import Profile, View, Viewport
from archive.pixels.voi import Window
from archive.policy import Action
from archive.query import parse_parameters
from archive.resource import Resource, parse_frames, parse_uid
from archive.search import Place, place_and_metadata
from gateway import rendering_parameters as parameters_of
from gateway.negotiation import Offer
from gateway.pixel_data import StoredPixels, respond
from gateway.rendered import PICTURES, QUALITY, Picture, draw, may_have_pixels
from gateway.services import scope_of, services_of
from gateway.transfer_syntax import DICOM, instance_offers
from gateway.wado import make_part

_IDENTIFIERS = ("studyUID", "seriesUID", "objectUID")
_RENDERING = (
    *(
        "rows",
        "columns",
        "region",
        "windowCenter",
        "windowWidth",
        "frameNumber",
        "imageQuality",
        "annotation",
    ),
    *("presentationUID", "presentationSeriesUID"),
)
_PRESENTATION = ("presentationUID", "presentationSeriesUID")


async def retrieve(request: Request) -> Response:
    """The instance as a Part 10 file or as a picture (sections 9.4 and 9.5).

    Without a contentType a single frame is a JPEG and anything else a Part 10 file.
    """
    parameters = dict(parse_parameters(request.scope["query_string"]))
    resource, scope = _resource(parameters), scope_of(request, Action.READ)
    async with services_of(request).connection() as connection:
        place, rendered = await place_and_metadata(connection, scope, resource)
    has_pixels = may_have_pixels(place)
    is_single = has_pixels and (place.number_of_frames == 1 or "frameNumber" in parameters)
    pictures = [media_type(kind) for kind in PICTURES] if has_pixels else []
    offers = [*pictures, media_type(DICOM)] if is_single else [media_type(DICOM), *pictures]
    chosen = select(parse_accept(request.headers.get("accept"), parameters.get("contentType")), offers)
    stored = services_of(request).stored
    if chosen.essence == DICOM:
        return await _send_file(request, place, await stored.path(place), parameters)
    pixels = StoredPixels(stored, place, rendered)
    picture = _picture(pixels, parameters, chosen.essence)
    headers = {"cache-control": "no-store", **parameters_of.warn_of_annotations(parameters)}
    return Response(await draw(request, picture), media_type=chosen.essence, headers=headers)


def _resource(parameters: Mapping[str, str]) -> Resource:
    """Section 9.1.2.1. Raises BadRequest."""
    if parameters.get("requestType") != "WADO":
        raise BadRequest("requestType must be WADO")
    missing = [name for name in _IDENTIFIERS if not parameters.get(name)]
    if missing:
        raise BadRequest(f"{missing[0]} is missing")
    return Resource(*(parse_uid(parameters[name]) for name in _IDENTIFIERS))


async def _send_file(request: Request, place: Place, path: Path, parameters: Mapping[str, str]) -> Response:
    """Section 9.4: in the transfer syntax that is asked for where it can be, else in the default one."""
    if unfit := [name for name in _RENDERING if name in parameters]:
        raise BadRequest(f"{unfit[0]} is not for contentType application/dicom")
    offers = [
        offer
        for offer in instance_offers([place.transfer_syntax_uid], single=True)
        if offer.media_type.essence == DICOM
    ]
    chosen = _offer(offers, parameters.get("transferSyntax"))
    return respond(request, [await make_part(request, place, path, chosen)], chosen.media_type)


def _offer(offers: list[Offer], asked: str | None) -> Offer:
    default = next(offer for offer in offers if offer.is_default)
    if asked is None:
        return default
    if asked == "*":
        return next(offer for offer in offers if offer.is_stored)
    named = [offer for offer in offers if offer.transfer_syntax_uid == parse_uid(asked)]
    return named[-1] if named else default


def _picture(pixels: StoredPixels, parameters: Mapping[str, str], kind: str) -> Picture:
    """Section 9.5. Raises BadRequest, NotFound."""
    if unfit := [name for name in ("transferSyntax", *_PRESENTATION) if name in parameters]:
        raise BadRequest(f"{unfit[0]} is not for pictures, or not supported")
    number = _frame_number(parameters)
    if number > pixels.place.number_of_frames:
        raise NotFound("the instance has no frame of that number")
    whole = kind == "image/gif" and "frameNumber" not in parameters
    frames = tuple(range(pixels.place.number_of_frames)) if whole else (number - 1,)
    quality = (
        parameters_of.parse_quality(parameters["imageQuality"]) if "imageQuality" in parameters else QUALITY
    )
    view = View(kind, quality, _viewport(pixels, parameters), Profile.NO)
    return Picture(pixels.place, frames, view, _window(parameters), pixels.rendered)


def _window(parameters: Mapping[str, str]) -> Window | None:
    """windowCenter and windowWidth, both or neither (section 9.1.2.2). Raises BadRequest."""
    values = [parameters[name] for name in ("windowCenter", "windowWidth") if name in parameters]
    if len(values) == 1:
        raise BadRequest("windowCenter and windowWidth come together")
    if not values:
        return None
    center, width = map(parameters_of.parse_decimal, values)
    return Window(center, width)


def _viewport(pixels: StoredPixels, parameters: Mapping[str, str]) -> Viewport | None:
    """rows, columns and region, which is in parts of the frame from 0 to 1. Raises BadRequest."""
    sizes = [
        parameters_of.parse_size(parameters[name]) if name in parameters else None
        for name in ("columns", "rows")
    ]
    if sizes == [None, None] and "region" not in parameters:
        return None
    layout = pixels.layout
    left, top, right, bottom = _region(parameters.get("region", "0,0,1,1"))
    width, height = (right - left) * layout.columns, (bottom - top) * layout.rows
    if sizes == [None, None]:
        sizes = [max(round(width), 1), max(round(height), 1)]
    columns, rows = (each or parameters_of.LARGEST for each in sizes)
    return Viewport(columns, rows, left * layout.columns, top * layout.rows, width, height)


def _region(text: str) -> list[float]:
    parts = text.split(",")
    values = [parameters_of.parse_decimal(part.strip()) for part in parts] if len(parts) == 4 else []
    if not values or not (0 <= values[0] < values[2] <= 1 and 0 <= values[1] < values[3] <= 1):
        raise BadRequest("region is xmin,ymin,xmax,ymax, each from 0 to 1")
    return values


def _frame_number(parameters: Mapping[str, str]) -> int:
    numbers = parse_frames(parameters.get("frameNumber", "1"))
    if len(numbers) != 1:
        raise BadRequest("frameNumber is one number")
    return numbers[0]
