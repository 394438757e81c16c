"""STOW-RS: instances on their way to Orthanc's door, a few at a time and in memory only (PS3.18 section 10.5).

What is sent here may carry identities. It is never written to disk, and nothing of it goes into a log: the
one thing that is given back to its sender is the UIDs of an instance that was refused.
"""

import asyncio
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from archive.dicom_json import encode
from archive.errors import BadRequest, Forbidden
from archive.media_type import select
from archive.policy import NOTHING, Action, Scope
from archive.resource import Resource, parse_resource
from archive.search import shows
from gateway.auditing import note
from gateway.datasets import JSON, SINGLE
from gateway.door import Outcome, deliver
from gateway.native_model import render_native_model
from gateway.negotiation import preferences
from gateway.problem import RETRY_AFTER
from gateway.services import scope_of, services_of
from gateway.store_payload import read_instances
from gateway.store_response import render_outcomes, status_of

TOGETHER = 4  # instances of one request that go to the door as one
GROUP_BYTES = 4 * 1024 * 1024  # of such a group; a larger instance goes alone
SIDE_BY_SIDE = 4  # groups of one request at the door at a time
HELD = 16 * 1024 * 1024  # bytes of them together


async def store(request: Request) -> Response:
    """POST to all studies, or to one that every instance must belong to."""
    resource, scope = parse_resource(request.path_params), scope_of(request, Action.WRITE)
    if scope == NOTHING:
        raise Forbidden("no permit lets the token store")
    accepted = select(preferences(request), (*JSON, *SINGLE))
    services = services_of(request)
    async with services.storing:
        outcomes = await _deliver_all(request, resource, scope)
    note(request, instances=len(outcomes))
    if not outcomes:
        raise BadRequest("the request holds no instance")
    response = render_outcomes(outcomes, services.settings.dicomweb_url)
    content = render_native_model(response) if accepted in SINGLE else encode(response)
    headers = {"content-type": str(accepted), "cache-control": "no-store"}
    status = status_of(outcomes)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = RETRY_AFTER
    return Response(content, status, headers)


async def _deliver_all(request: Request, target: Resource, scope: Scope) -> list[Outcome]:
    """The outcome of each instance in its order. Small ones go through the door together, and groups side by side.

    Where the request turns out to be malformed, those that came before are seen to their end first.
    """
    services = services_of(request)
    deliveries: list[asyncio.Task[list[Outcome]]] = []
    under_way: dict[asyncio.Task[list[Outcome]], int] = {}
    group: list[bytes] = []

    async def may_add(study_instance_uid: str) -> bool:
        if scope.everything:
            return True
        async with services.connection() as connection:
            return await shows(connection, scope, study_instance_uid)

    async def start() -> None:
        nonlocal under_way
        size = sum(map(len, group))
        while len(under_way) >= SIDE_BY_SIDE or sum(under_way.values(), size) > HELD and under_way:
            done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            under_way = {task: held for task, held in under_way.items() if task not in done}
        task = asyncio.create_task(deliver(services, tuple(group), target, may_add))
        deliveries.append(task)
        under_way[task] = size
        group.clear()

    try:
        async for instance in read_instances(request, services.settings.max_instance_bytes):
            if group and sum(map(len, group), len(instance)) > GROUP_BYTES:
                await start()
            group.append(instance)
            if len(group) == TOGETHER:
                await start()
    finally:
        if group:
            await start()
        outcomes = await asyncio.gather(*deliveries)
    return [outcome for each in outcomes for outcome in each]
