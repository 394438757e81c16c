"""STOW-RS: instances on their way to Orthanc's door, a few at a time and in memory only (PS3.18 section 10.5).

What is sent here may carry identities. It is never written to disk, and nothing of it goes into a log: the
one thing that is given back to its sender is the UIDs of an instance that was refused.
"""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from archive.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from archive.media_type import MediaType, parse_media_type, select
from archive.policy import Action
from archive.resource import Resource, parse_resource
from gateway.datasets import JSON
from gateway.door import Outcome, deliver
from gateway.multipart import Parser, Part, boundary_of
from gateway.negotiation import preferences
from gateway.services import scope_of, services_of
from gateway.store_response import render_outcomes, status_of

DICOM = "application/dicom"
SIDE_BY_SIDE = 4  # instances of one request at the door at a time
HELD = 16 * 1024 * 1024  # bytes of them together; a larger instance goes alone


async def store(request: Request) -> Response:
    """POST to all studies, or to one that every instance must belong to."""
    resource, _ = parse_resource(request.path_params), scope_of(request, Action.WRITE)
    accepted = select(preferences(request), JSON)
    services = services_of(request)
    async with services.storing:
        outcomes = await _deliver_all(request, resource)
    if not outcomes:
        raise BadRequest("the request holds no instance")
    content = render_outcomes(outcomes, services.settings.dicomweb_url)
    headers = {"content-type": str(accepted), "cache-control": "no-store"}
    return Response(content, status_of(outcomes), headers)


async def _deliver_all(request: Request, target: Resource) -> list[Outcome]:
    """The outcome of each instance in its order. Small ones go through the door side by side: it answers slowly.

    Where the request turns out to be malformed, those under way are seen to their end first.
    """
    deliveries: list[asyncio.Task[Outcome]] = []
    under_way: dict[asyncio.Task[Outcome], int] = {}
    try:
        async for part in _parts(request):
            while (
                len(under_way) >= SIDE_BY_SIDE or sum(under_way.values(), len(part.body)) > HELD and under_way
            ):
                done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                under_way = {task: size for task, size in under_way.items() if task not in done}
            task = asyncio.create_task(deliver(services_of(request), part, target))
            deliveries.append(task)
            under_way[task] = len(part.body)
    finally:
        outcomes = await asyncio.gather(*deliveries)
    return outcomes


async def _parts(request: Request) -> AsyncIterator[Part]:
    """The request's instances, each in memory only while it is dealt with."""
    maximum = services_of(request).settings.max_instance_bytes
    content_type = _content_type(request)
    if content_type.essence == DICOM:
        yield Part({"content-type": DICOM}, await _single(request, maximum))
        return
    parser = Parser(boundary_of(content_type), maximum)
    async for chunk in request.stream():
        for part in parser.feed(chunk):
            yield part
    parser.close()


def _content_type(request: Request) -> MediaType:
    """The payload's type. Raises UnsupportedMediaType for all but DICOM instances that are not encoded further."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("a Content-Encoding is not taken")
    content_type = parse_media_type(request.headers.get("content-type", "missing/missing"))
    kind = (
        content_type.parameter("type")
        if content_type.essence == "multipart/related"
        else content_type.essence
    )
    if (kind or DICOM).lower() != DICOM:
        raise UnsupportedMediaType(
            f'taken is: multipart/related; type="{DICOM}", or {DICOM} for one instance'
        )
    return content_type


async def _single(request: Request, maximum: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > maximum:
            raise PayloadTooLarge(f"an instance is larger than the {maximum} bytes that are taken")
    if not body:
        raise BadRequest("the request holds no instance")
    return bytes(body)
