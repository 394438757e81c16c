"""Subscriptions to a workitem, to the whole worklist, or to a filtered part of it (PS3.18 11.10 to 11.12)."""

import re
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import worklist
from archive.errors import BadRequest
from archive.policy import Action
from archive.query import parse_parameters
from archive.resource import parse_uid
from archive.workitem import FILTERED_WORKLIST, GLOBAL_WORKLIST
from gateway.services import services_of
from gateway.ups.access import viewer_of

_SUBSCRIBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")


class Subscription(HTTPEndpoint):
    """/workitems/{workitem}/subscribers/{subscriber}: subscribe and unsubscribe."""

    async def post(self, request: Request) -> Response:
        """Subscribe to a workitem or a worklist."""
        viewer = viewer_of(request, Action.WRITE)
        uid, subscriber = _named(request)
        lock, conditions = _parameters(request)
        if conditions and uid != FILTERED_WORKLIST:
            raise BadRequest("a filter goes with the filtered worklist alone")
        async with services_of(request).connection() as connection:
            await worklist.subscribe(
                connection, viewer, subscriber, uid, deletion_lock=lock, filter_text=conditions
            )
        base_url = re.sub("^http", "ws", services_of(request).settings.dicomweb_url)
        headers = {"content-location": f"{base_url}/ws/subscribers/{subscriber}"}
        return Response(status_code=HTTPStatus.CREATED, headers=headers)

    async def delete(self, request: Request) -> Response:
        """Unsubscribe from a workitem or a worklist."""
        viewer = viewer_of(request, Action.WRITE)
        uid, subscriber = _named(request)
        async with services_of(request).connection() as connection:
            await worklist.unsubscribe(connection, viewer, subscriber, uid)
        return Response()


async def suspend(request: Request) -> Response:
    """Be told of no workitems that will come."""
    viewer = viewer_of(request, Action.WRITE)
    uid, subscriber = _named(request)
    if uid not in (GLOBAL_WORKLIST, FILTERED_WORKLIST):
        raise BadRequest("a subscription to a worklist is what can be suspended")
    async with services_of(request).connection() as connection:
        await worklist.suspend(connection, viewer, subscriber, uid)
    return Response()


def subscriber_of(path_parameters: dict[str, str]) -> str:
    """The name of a subscriber in an address. Raises BadRequest."""
    name = path_parameters["subscriber"]
    if not _SUBSCRIBER.fullmatch(name):
        raise BadRequest("a subscriber's name takes 1 to 64 letters, digits and ._-")
    return name


def _named(request: Request) -> tuple[str, str]:
    return parse_uid(request.path_params["workitem"]), subscriber_of(request.path_params)


def _parameters(request: Request) -> tuple[bool, str]:
    """The deletion lock, and the filter's conditions as a query: parameters of their own, or listed in `filter`."""
    lock = False
    conditions: list[tuple[str, str]] = []
    for name, value in parse_parameters(request.scope["query_string"]):
        if name == "deletionlock":
            if value not in ("true", "false"):
                raise BadRequest("deletionlock is true or false")
            lock = value == "true"
        elif name == "filter":
            parts = [part.partition("=") for part in value.split(",")]
            conditions += [(key, wanted) for key, _, wanted in parts]
        else:
            conditions.append((name, value))
    return lock, urlencode(conditions)


ROUTES = [
    Route("/workitems/{workitem}/subscribers/{subscriber}", Subscription),
    Route("/workitems/{workitem}/subscribers/{subscriber}/suspend", suspend, methods=["POST"]),
]
