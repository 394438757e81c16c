"""QIDO-RS: searches for studies, series and instances (PS3.18 section 10.6)."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive.attributes import Level
from archive.policy import Action
from archive.query import parse_parameters, parse_query
from archive.resource import parse_resource
from archive.search import find
from gateway import datasets
from gateway.auditing import note, note_shown
from gateway.services import scope_of, services_of

_MORE = (
    "The number of results exceeded the maximum supported by the server. Additional results can be requested."
)


async def search_studies(request: Request) -> Response:
    """Search for studies."""
    return await _search(request, Level.STUDY)


async def search_series(request: Request) -> Response:
    """Search for series."""
    return await _search(request, Level.SERIES)


async def search_instances(request: Request) -> Response:
    """Search for instances."""
    return await _search(request, Level.INSTANCE)


async def _search(request: Request, level: Level) -> Response:
    scope = scope_of(request, Action.READ)
    resource = parse_resource(request.path_params)
    query = parse_query(level, parse_parameters(request.scope["query_string"]))
    chosen = datasets.choose(request)
    async with services_of(request).connection() as connection:
        page = await find(connection, scope, resource, query)
    note(request, results=len(page.rows))
    note_shown(request, page.studies)
    headers = {"warning": f'299 {services_of(request).settings.dicomweb_url} "{_MORE}"'} if page.more else {}
    return await datasets.respond(request, page.rows, chosen, headers)


ROUTES = [
    Route("/series", search_series),
    Route("/instances", search_instances),
    Route("/studies/{study}/series", search_series),
    Route("/studies/{study}/instances", search_instances),
    Route("/studies/{study}/series/{series}/instances", search_instances),
]
