"""/api/datasets: saved searches that permits are on, and versions of them."""

from dataclasses import asdict
from http import HTTPStatus

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import datasets
from gateway.api.management import is_manager, require_manager
from gateway.api.payload import read_payload, respond
from gateway.services import services_of


class AllDatasets(HTTPEndpoint):
    """/api/datasets: list and make."""

    async def get(self, request: Request) -> Response:
        """The datasets and their versions; who does not manage them is told their names and what they are."""
        async with services_of(request).connection() as connection:
            found = await datasets.list_datasets(connection)
        if is_manager(request):
            return respond(found)
        return respond(
            [{"name": each.name, "version": each.version, "description": each.description} for each in found]
        )

    async def post(self, request: Request) -> Response:
        """Save a search."""
        subject, payload = require_manager(request), await read_payload(request)
        name, query, description = (
            payload.text(key, default)
            for key, default in (("name", None), ("query", None), ("description", ""))
        )
        async with services_of(request).connection() as connection:
            await datasets.create(connection, name, query, description, by=subject)
            return respond(await datasets.show(connection, name), HTTPStatus.CREATED)


class OneDataset(HTTPEndpoint):
    """/api/datasets/{dataset}: show and delete."""

    async def get(self, request: Request) -> Response:
        """A dataset or a version of one, and how many of its studies can be seen now."""
        require_manager(request)
        async with services_of(request).connection() as connection:
            found = await datasets.show(connection, request.path_params["dataset"])
            return respond(asdict(found) | {"studies_now": await datasets.count(connection, found)})

    async def delete(self, request: Request) -> Response:
        """Forget a dataset and its versions, unless a permit names them."""
        subject = require_manager(request)
        async with services_of(request).connection() as connection:
            await datasets.delete(connection, request.path_params["dataset"], by=subject)
        return Response(status_code=HTTPStatus.NO_CONTENT)


async def freeze(request: Request) -> Response:
    """Keep the studies of a dataset as they are now."""
    subject = require_manager(request)
    async with services_of(request).connection() as connection:
        frozen = await datasets.freeze(connection, request.path_params["dataset"], by=subject)
    return respond(frozen, HTTPStatus.CREATED)


ROUTES = [
    Route("/api/datasets", AllDatasets),
    Route("/api/datasets/{dataset}", OneDataset),
    Route("/api/datasets/{dataset}/versions", freeze, methods=["POST"]),
]
