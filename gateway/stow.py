"""STOW-RS: instances on their way to Orthanc's door, a few at a time and in memory only (PS3.18 section 10.5).

What is sent here may carry identities. It is never written to disk, and nothing of it goes into a log: the
one thing that is given back to its sender is the UIDs of an instance that was refused.
"""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from archive.dicom_json import encode
from archive.errors import BadRequest
from archive.media_type import select
from archive.policy import Action
from archive.resource import Resource, parse_resource
from gateway.datasets import JSON, SINGLE
from gateway.door import Outcome, deliver
from gateway.native_model import render_native_model
from gateway.negotiation import preferences
from gateway.services import scope_of, services_of
from gateway.store_payload import read_instances
from gateway.store_response import render_outcomes, status_of

SIDE_BY_SIDE = 4  # instances of one request at the door at a time
HELD = 16 * 1024 * 1024  # bytes of them together; a larger instance goes alone


async def store(request: Request) -> Response:
    """POST to all studies, or to one that every instance must belong to."""
    resource, _ = parse_resource(request.path_params), scope_of(request, Action.WRITE)
    accepted = select(preferences(request), (*JSON, *SINGLE))
    services = services_of(request)
    async with services.storing:
        outcomes = await _deliver_all(request, resource)
    if not outcomes:
        raise BadRequest("the request holds no instance")
    response = render_outcomes(outcomes, services.settings.dicomweb_url)
    content = render_native_model(response) if accepted in SINGLE else encode(response)
    headers = {"content-type": str(accepted), "cache-control": "no-store"}
    return Response(content, status_of(outcomes), headers)


async def _deliver_all(request: Request, target: Resource) -> list[Outcome]:
    """The outcome of each instance in its order. Small ones go through the door side by side: it answers slowly.

    Where the request turns out to be malformed, those under way are seen to their end first.
    """
    services = services_of(request)
    deliveries: list[asyncio.Task[Outcome]] = []
    under_way: dict[asyncio.Task[Outcome], int] = {}
    try:
        async for instance in read_instances(request, services.settings.max_instance_bytes):
            while (
                len(under_way) >= SIDE_BY_SIDE or sum(under_way.values(), len(instance)) > HELD and under_way
            ):
                done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                under_way = {task: size for task, size in under_way.items() if task not in done}
            task = asyncio.create_task(deliver(services, instance, target))
            deliveries.append(task)
            under_way[task] = len(instance)
    finally:
        outcomes = await asyncio.gather(*deliveries)
    return outcomes
