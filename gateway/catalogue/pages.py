"""`/catalogue`: what the node holds, for anybody; and `/fdp`, where harvesters begin.

What makes RDF is loaded when it is first asked for.
"""

import re
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from archive import catalogue
from archive.catalogue import Entry
from archive.catalogue_fields import Node
from archive.errors import Gone, NotFound
from archive.media_type import MediaType
from archive.record_versions import RecordVersion, list_versions, show_tombstone
from archive.state_item import marked
from gateway.catalogue.addresses import PATH, POINT, Addresses
from gateway.catalogue.asked import parse_asked
from gateway.catalogue.citation import FORMS, citation_of
from gateway.catalogue.guidance import ACCESS
from gateway.catalogue.plots import MODALITIES, plots_of
from gateway.catalogue.rendering import (
    FORMATS,
    PAGE,
    choose,
    respond,
    respond_body,
    respond_page,
    serialize,
    state_of,
)
from gateway.portal.pages import page
from gateway.services import services_of


async def show_catalogue(request: Request) -> Response:
    """GET /catalogue: the published datasets, narrowed by words and facets; as RDF the catalogue's record."""
    chosen = choose(request)
    where = where_of(request)
    async with services_of(request).connection() as connection:
        node = await catalogue.node(connection)
        if chosen != PAGE:
            names, changed_at = await catalogue.addresses(connection)
            return respond_body(request, chosen, *_written(chosen, node, tuple(names), changed_at, where))
        asked = parse_asked(request)
        found = await catalogue.find(connection, asked.sought, offset=asked.first)
    return respond_page(
        request,
        lambda: page(
            "catalogue.html", node=node, found=found, asked=asked, modalities=MODALITIES, formats=FORMATS
        ),
    )


@lru_cache(8)
def _written(
    chosen: MediaType, node: Node, names: tuple[str, ...], changed_at: datetime | None, where: Addresses
) -> tuple[bytes, bytes]:
    """The catalogue's record and its state, made once as long as nothing changes: a thousand datasets take a while."""
    from gateway.catalogue.record import catalogue_record

    graph = catalogue_record(node, names, changed_at, where)
    return serialize(chosen, graph), state_of(graph)


async def show_dataset(request: Request) -> Response:
    """GET /catalogue/{dataset}: what it holds, who may use it and how to ask; as RDF its record."""
    if "version" in request.query_params:
        return _to_version(request)
    chosen = choose(request)
    try:
        node, entry, versions = await read_served(request)
    except Gone:
        if chosen != PAGE:
            raise
        return await _show_tombstone(request)
    if chosen != PAGE:
        from gateway.catalogue.versioned import current_record

        return respond(request, chosen, current_record(node, entry, versions, where_of(request)))
    return respond_page(request, lambda: dataset_page(request, node, entry, versions[0].number))


def dataset_page(
    request: Request,
    node: Node,
    entry: Entry,
    version: int,
    *,
    is_old: bool = False,
    is_preview: bool = False,
) -> Response:
    """The page of a dataset, of an older version of it, or of what a steward is about to publish."""
    where = where_of(request)
    address = where.at(version).dataset(entry.name)
    issued = entry.changed_at.date()
    return page(
        "catalogue_dataset.html",
        node=node,
        entry=entry,
        written=entry.written,
        holdings=entry.told,
        address=address if is_old else where.dataset(entry.name),
        citation=citation_of(entry.name, node, entry.written, entry.version, issued, address),
        number=version,
        is_old=is_old,
        is_preview=is_preview,
        plots=plots_of(entry.told),
        access=ACCESS,
        formats=FORMATS,
        citations=FORMS,
    )


async def show_distribution(request: Request) -> Response:
    """GET /catalogue/{dataset}/distribution: the record of its images, as RDF."""
    from gateway.catalogue.record import distribution_record

    chosen = choose(request, page=False)
    _, entry, _ = await read_served(request)
    return respond(request, chosen, distribution_record(entry, where_of(request)))


async def show_point(request: Request) -> Response:
    """GET /fdp: the FAIR Data Point, as RDF."""
    from gateway.catalogue.record import point_record

    chosen = choose(request, page=False)
    async with services_of(request).connection() as connection:
        node, (issued, modified) = await catalogue.node(connection), await catalogue.dates(connection)
    return respond(request, chosen, point_record(node, where_of(request), issued, modified))


async def read_served(request: Request) -> tuple[Node, Entry, list[RecordVersion]]:
    """What everybody sees of the dataset that the address names, with its versions, newest first.

    Raises NotFound, and Gone, which says what was there once.
    """
    name = request.path_params["dataset"]
    async with services_of(request).connection() as connection:
        found = await catalogue.entries(connection, published=True, name=name)
        if not found:
            stone = await show_tombstone(connection, name)
            raise Gone(
                marked("withdrawn on %(day)s: %(title)s, version %(version)s"),
                day=f"{stone.withdrawn_at:%Y-%m-%d}",
                title=stone.title,
                version=stone.version,
            )
        return await catalogue.node(connection), found[0], await list_versions(connection, name)


def where_of(request: Request) -> Addresses:
    """The addresses of the node's records."""
    return Addresses(services_of(request).settings.public_url)


async def _show_tombstone(request: Request) -> Response:
    name = request.path_params["dataset"]
    async with services_of(request).connection() as connection:
        stone = await show_tombstone(connection, name)
    return page("catalogue_gone.html", HTTPStatus.GONE, name=name, stone=stone)


def _to_version(request: Request) -> Response:
    """To the address of a version that `version` asks for, as `2` or `2.0.0`. Raises NotFound for what is none."""
    asked = request.query_params["version"].removesuffix(".0.0")
    if not re.fullmatch("[0-9]{1,9}", asked):
        raise NotFound("no such version of the dataset")
    address = where_of(request).at(int(asked)).dataset(request.path_params["dataset"])
    form = request.query_params.get("format", "")
    return RedirectResponse(f"{address}?format={form}" if form in FORMATS else address, HTTPStatus.FOUND)


ROUTES = [
    Route(POINT, show_point, methods=["GET"]),
    Route(PATH, show_catalogue, methods=["GET"]),
    Route(f"{PATH}/{{dataset}}", show_dataset, methods=["GET"]),
    Route(f"{PATH}/{{dataset}}/distribution", show_distribution, methods=["GET"]),
]
