"""/api/consents: what patients say of the use of their data, for stewards; what is told is FHIR (Consent, R4)."""

from http import HTTPStatus

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive.consents import Scope
from archive.fhir_consent import to_bundle, to_fhir
from gateway import consents
from gateway.api.management import require_manager
from gateway.api.payload import read_payload, respond
from gateway.services import services_of


class AllConsents(HTTPEndpoint):
    """/api/consents: list and record."""

    async def get(self, request: Request) -> Response:
        """The newest 1000 statements as a Bundle."""
        require_manager(request)
        services = services_of(request)
        return respond(to_bundle(await consents.find(services), services.settings.public_url))

    async def post(self, request: Request) -> Response:
        """Record that a patient gives her consent or withdraws it; what it came to."""
        by, services = require_manager(request), services_of(request)
        recorded = await consents.record(services, await read_payload(request), by)
        return respond(recorded.to_json(), HTTPStatus.CREATED)


async def show(request: Request) -> Response:
    """A statement as a Consent."""
    require_manager(request)
    services = services_of(request)
    found = await consents.show(services, request.path_params["consent"])
    return respond(to_fhir(found, services.settings.public_url))


class Demand(HTTPEndpoint):
    """/api/datasets/{dataset}/consent: whether others see of it what was consented to alone."""

    async def put(self, request: Request) -> Response:
        """Let others see of a dataset the studies alone whose patients gave a consent."""
        by, payload = require_manager(request), await read_payload(request)
        dataset, scope = request.path_params["dataset"], payload.choice("scope", Scope)
        await consents.demand(services_of(request), dataset, scope, by)
        return respond({"dataset": dataset, "scope": scope})

    async def delete(self, request: Request) -> Response:
        """Let others see all of a dataset again, but for what is withheld anyway."""
        by = require_manager(request)
        await consents.demand(services_of(request), request.path_params["dataset"], None, by)
        return Response(status_code=HTTPStatus.NO_CONTENT)


ROUTES = [
    Route("/api/consents", AllConsents),
    Route("/api/consents/{consent}", show, methods=["GET"]),
    Route("/api/datasets/{dataset}/consent", Demand),
]
