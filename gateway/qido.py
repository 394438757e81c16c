"""QIDO-RS: searches for studies, series and instances (PS3.18 section 10.6)."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive.attributes import Level
from archive.dicom_json import BASE
from archive.media_type import media_type, select
from archive.policy import Action
from archive.query import parse_parameters, parse_query
from archive.resource import parse_resource
from archive.search import Page, find
from gateway.negotiation import preferences
from gateway.services import scope_of, services_of

JSON = (media_type("application/dicom+json"), media_type("application/json"))
"""What DICOM JSON is offered as; the second name is from before it had one of its own."""


_MORE = (
    "The number of results exceeded the maximum supported by the server. Additional results can be requested."
)


async def search_studies(request: Request) -> Response:
    return await _search(request, Level.STUDY)


async def search_series(request: Request) -> Response:
    return await _search(request, Level.SERIES)


async def search_instances(request: Request) -> Response:
    return await _search(request, Level.INSTANCE)


async def _search(request: Request, level: Level) -> Response:
    scope = scope_of(request, Action.READ)
    resource = parse_resource(request.path_params)
    query = parse_query(level, parse_parameters(request.scope["query_string"]))
    accepted = select(preferences(request), JSON)
    async with services_of(request).connection() as connection:
        page = await find(connection, scope, resource, query)
    return _render(request, page, str(accepted))


def _render(request: Request, page: Page, content_type: str) -> Response:
    base_url = services_of(request).settings.dicomweb_url
    headers = {"content-type": content_type, "cache-control": "no-store"}
    if page.more:
        headers["warning"] = f'299 {base_url} "{_MORE}"'
    return Response(join(page.rows, base_url), headers=headers)


def join(rows: Iterable[bytes], base_url: str) -> bytes:
    """A JSON array of rows of DICOM JSON, their URLs complete. Without a row it is empty (PS3.18 section 8.3.4.4)."""
    return b"[" + b",".join(rows).replace(BASE.encode(), base_url.encode()) + b"]"


ROUTES = [
    Route("/series", search_series),
    Route("/instances", search_instances),
    Route("/studies/{study}/series", search_series),
    Route("/studies/{study}/instances", search_instances),
    Route("/studies/{study}/series/{series}/instances", search_instances),
]
