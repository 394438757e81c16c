"""The notification connection: Event Reports over a WebSocket (PS3.18 sections 8.10.4 and 8.10.5)."""

import asyncio
import contextlib
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from archive import worklist
from archive.errors import Unavailable
from archive.policy import Action
from archive.worklist import Viewer
from gateway.problem import ProblemResponse
from gateway.services import services_of
from gateway.ups.access import viewer_of
from gateway.ups.subscriptions import subscriber_of

INTERVAL = 60.0  # seconds after which a look for events is taken though none was announced


async def open_channel(websocket: WebSocket) -> None:
    """Open the connection over which a subscriber is sent its Event Reports."""
    viewer = viewer_of(websocket, Action.READ)
    subscriber = subscriber_of(websocket.path_params)
    await websocket.accept()
    gone = asyncio.create_task(_until_disconnected(websocket))
    try:
        with services_of(websocket).announcements.to(subscriber) as announced:
            while not gone.done():
                announced.clear()
                await _send_events(websocket, viewer, subscriber)
                await _either(gone, announced)
    except (WebSocketDisconnect, Unavailable):
        with contextlib.suppress(RuntimeError):
            await websocket.close(1011)
    finally:
        gone.cancel()


async def _either(gone: asyncio.Task[None], announced: asyncio.Event) -> None:
    waiting = asyncio.create_task(announced.wait())
    try:
        await asyncio.wait([gone, waiting], timeout=INTERVAL, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


async def _send_events(websocket: WebSocket, viewer: Viewer, subscriber: str) -> None:
    async with services_of(websocket).connection() as connection:
        reports = await worklist.take_events(connection, viewer, subscriber)
    for report in reports:
        await websocket.send_text(report)


async def _until_disconnected(websocket: WebSocket) -> None:
    """Nothing is expected from a subscriber, and whatever comes is passed over."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def upgrade_required(request: Request) -> Response:
    """The answer to who asks for the connection without WebSocket (RFC 9110 section 15.5.22)."""
    headers = {"upgrade": "websocket", "connection": "upgrade"}
    return ProblemResponse(HTTPStatus.UPGRADE_REQUIRED, "the connection is a WebSocket", headers)


_PATH = "/ws/subscribers/{subscriber}"
ROUTES = [WebSocketRoute(_PATH, open_channel), Route(_PATH, upgrade_required, include_in_schema=False)]
