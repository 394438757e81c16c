"""/api/beacon: a GA4GH Beacon v2 over the published datasets, which counts individuals."""

import json
from collections.abc import Callable

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import catalogue
from archive.catalogue import Node
from archive.errors import BadRequest
from gateway.api.search import read_json
from gateway.search import beacon
from gateway.search.answering import answer
from gateway.search.askers import asker_of, note_question
from gateway.search.beacon import PATH, Document
from gateway.search.beacon_request import Asked, parse_address, parse_body
from gateway.search.question import EVERYTHING
from gateway.services import services_of


async def show_info(request: Request) -> Response:
    """What this Beacon is, and whose."""
    return await _of_node(request, beacon.info)


async def show_service_info(request: Request) -> Response:
    """The same as GA4GH's services tell it."""
    return await _of_node(request, beacon.service_info)


async def show_configuration(request: Request) -> Response:
    """What this Beacon tells, and to whom."""
    settings = services_of(request).settings
    return _respond(beacon.configuration(settings.public_url, is_public=settings.search_public))


async def show_entry_types(request: Request) -> Response:
    """What this Beacon counts."""
    return _respond(beacon.entry_types_document(_public_url(request)))


async def show_map(request: Request) -> Response:
    """Where this Beacon is asked for what."""
    return _respond(beacon.endpoint_map(_public_url(request)))


async def show_filtering_terms(request: Request) -> Response:
    """By what individuals can be filtered."""
    return _respond(beacon.filtering_terms(_public_url(request)))


async def show_datasets(request: Request) -> Response:
    """The published datasets."""
    asked = _unfiltered(request)
    async with services_of(request).connection() as connection:
        entries = await catalogue.entries(connection, published=True)
    return _respond(beacon.collections(_public_url(request), asked, entries))


async def show_dataset(request: Request) -> Response:
    """One published dataset."""
    asked = _unfiltered(request)
    async with services_of(request).connection() as connection:
        entry = await catalogue.entry(connection, request.path_params["dataset"], published=True)
    return _respond(beacon.collections(_public_url(request), asked, [entry]))


class Individuals(HTTPEndpoint):
    """/api/beacon/individuals, and those of one dataset."""

    async def get(self, request: Request) -> Response:
        """Whether there are individuals that the parameters hold for, or how many."""
        asker = asker_of(request)
        return await _counted(request, parse_address(request.query_params.multi_items()), asker)

    async def post(self, request: Request) -> Response:
        """Whether there are individuals that the query holds for, or how many."""
        asker = asker_of(request)
        return await _counted(request, parse_body(await read_json(request)), asker)


async def _counted(request: Request, asked: Asked, asker: str) -> Response:
    services, dataset = services_of(request), request.path_params.get("dataset")
    note_question(request, asked.question)
    if asked.is_test:
        return _respond(beacon.counted(_public_url(request), asked, beacon.EXAMPLES))
    if dataset is not None:
        async with services.connection() as connection:
            await catalogue.entry(connection, dataset, published=True)
    found = await answer(services, asked.question, asker)
    rows = [row for row in found.rows if dataset in (None, row.dataset)]
    return _respond(beacon.counted(_public_url(request), asked, rows))


async def _of_node(request: Request, describe: Callable[[str, Node], Document]) -> Response:
    async with services_of(request).connection() as connection:
        node = await catalogue.node(connection)
    return _respond(describe(_public_url(request), node))


def _unfiltered(request: Request) -> Asked:
    """Raises BadRequest where datasets are to be filtered: what is counted are individuals."""
    asked = parse_address(request.query_params.multi_items(), gives_records=True)
    if asked.question != EVERYTHING:
        raise BadRequest("datasets are not filtered: ask for individuals")
    return asked


def _public_url(request: Request) -> str:
    return services_of(request).settings.public_url


def _respond(document: Document) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(json.dumps(document).encode(), headers=headers, media_type="application/json")


ROUTES = [
    Route(PATH, show_info),
    Route(f"{PATH}/", show_info, include_in_schema=False),
    Route(f"{PATH}/info", show_info),
    Route(f"{PATH}/service-info", show_service_info),
    Route(f"{PATH}/configuration", show_configuration),
    Route(f"{PATH}/entry_types", show_entry_types),
    Route(f"{PATH}/map", show_map),
    Route(f"{PATH}/filtering_terms", show_filtering_terms),
    Route(f"{PATH}/datasets", show_datasets),
    Route(f"{PATH}/datasets/{{dataset}}", show_dataset),
]
"""For anybody: what the Beacon is, and what the catalogue shows anyway."""
COUNTING = [
    Route(f"{PATH}/individuals", Individuals),
    Route(f"{PATH}/datasets/{{dataset}}/individuals", Individuals),
]
