"""A SuperLink's double: it writes down what the relay hands it, and answers what a test wants."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from archive.settings import Settings
from gateway.fleet import flower, loopback
from tests.live import eventually

PROTOBUF = "application/protobuf"


@dataclass(frozen=True)
class Call:
    """What was handed on, whole."""

    path: str
    headers: dict[str, str]
    body: bytes


async def _fine(call: Call) -> Response:
    return Response(b"\x08\x01", media_type=PROTOBUF)


@dataclass
class FakeSuperLink:
    """`calls` are those that came whole; `begun` counts all."""

    answer: Callable[[Call], Awaitable[Response]] = _fine
    calls: list[Call] = field(default_factory=list)
    begun: int = 0
    broken: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            self.broken += 1
            return
        call = Call(scope["path"], dict(request.headers), body)
        self.calls.append(call)
        await (await self.answer(call))(scope, receive, send)


@contextmanager
def serve_superlink(settings: Settings) -> Iterator[FakeSuperLink]:
    """One where a hub of these settings looks for its own."""
    fake, files = FakeSuperLink(), loopback.ensure(settings)
    configuration = uvicorn.Config(
        fake, port=flower.choose_ports(settings).superlink, log_config=None, lifespan="off",
        ssl_certfile=str(files.certificate), ssl_keyfile=str(files.key),
    )  # fmt: skip
    server = uvicorn.Server(configuration)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    eventually(lambda: server.started)
    yield fake
    server.should_exit = True
    thread.join(20)
