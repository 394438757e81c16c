"""/api/state: how the node is, for administrators (archive/state.py)."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import state
from archive.state_item import Item, worst
from gateway.api.management import require_administrator
from gateway.api.payload import respond
from gateway.services import services_of

PATIENCE = 1.0  # seconds for Orthanc and the others to answer


async def node_state(request: Request) -> list[Item]:
    """Every thing that is looked after; what does not answer in time is unknown or says so."""
    services = services_of(request)
    try:
        async with asyncio.timeout(PATIENCE):
            parts = await services.readiness.report()
    except TimeoutError:
        parts = dict.fromkeys(("orthanc", "plugin"), "does not answer in time")
    versions = {"orthanc": services.readiness.orthanc_version}
    return await state.look(services.settings, services.connection, parts, versions)


async def show(request: Request) -> Response:
    """GET /api/state: of each thing how it is, its level (fine, look, act, unknown) and what it calls for."""
    require_administrator(request)
    items = await node_state(request)
    level = worst([item.level for item in items])
    return respond({"level": level, "items": [item.to_json() for item in items]})


ROUTES = [Route("/api/state", show, methods=["GET"])]
