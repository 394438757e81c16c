"""A site's way out to the hub of its federation: it alone dials, it dials the hub alone, and it proves who it is.

The SuperNode finds it on loopback and takes it for the SuperLink. After the hub has refused the site itself it is left
alone for a while; the SuperNode, which would end at such an answer, is told to try again.
"""

import asyncio
import base64
import hmac
import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx
import uvicorn
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import measures
from archive.errors import ConfigurationError, Forbidden, NotFound, Unavailable
from archive.federation_keys import node_key, node_public_bytes
from archive.federation_roles import Joined, read_site
from archive.pool import SESSION, connection_string
from archive.settings import Settings
from archive.trail import Journal, Trail
from gateway.fleet import dialling, flower, loopback
from gateway.fleet.carrying import NODE_KEY, Carried, Upload, body_length, call_headers, send_on
from gateway.fleet.envelope import ABOUT_RUNS, CALLS
from gateway.fleet.listening import Listener
from gateway.problem import HANDLERS, LastResort
from gateway.search.counting import Counting
from gateway.search.messages import Asked
from gateway.search.permitted import Permitted, answer_permitted
from gateway.services import Lent
from gateway.superlink import HOST
from gateway.transport import PatientBody, Protocol

_SHORTEST_REST, _LONGEST_REST = 5.0, 60.0  # seconds
_CONNECTIONS = 4  # to PostgreSQL, for questions
_LOOK = 0.5  # seconds between two looks whether the site takes part
_OF_THE_SITE = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
_LOG = logging.getLogger("senogate.federation")


@dataclass(slots=True)
class Outward:
    """The way out of one site, whose SuperNode's header says `node_key`."""

    client: httpx.AsyncClient
    node_key: str
    _rest: float = _SHORTEST_REST
    _until: float = 0.0

    async def call(self, request: Request) -> Response:
        """Carry one call of the SuperNode to the hub, and the hub's answer back."""
        name = request.path_params["call"]
        if name not in CALLS or request.scope["query_string"]:
            raise NotFound("there is no such call")
        headers, length = call_headers(request), body_length(request, CALLS[name].most)
        if not hmac.compare_digest(headers.get(NODE_KEY, ""), self.node_key):
            raise Forbidden("the call is not from this site's SuperNode")
        if time.monotonic() < self._until:
            raise Unavailable("the hub does not let this site take part now")
        path = f"/federation/v1/fleet/{name}"
        return await self._answered(
            name, await send_on(self.client, path, headers, length, Upload(request.stream()))
        )

    async def _answered(self, call: str, answer: httpx.Response) -> Response:
        """What the SuperNode gets: the answer, unless it is the hub's own word on the site or its load.

        The hub's own words are problems (RFC 9457), and Flower's are not.
        """
        is_hubs = answer.headers.get("content-type", "").startswith("application/problem+json")
        is_about_run = answer.status_code == HTTPStatus.FORBIDDEN and call in ABOUT_RUNS
        if is_hubs and answer.status_code in _OF_THE_SITE and not is_about_run:
            await answer.aclose()
            self._begin_rest(answer.status_code)
            raise Unavailable("the hub does not let this site take part now")
        if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            await answer.aclose()
            raise Unavailable("the hub is asked too often")
        if answer.is_success:
            measures.FEDERATION_CONTACT.labels("hub").set_to_current_time()
            self._rest, self._until = _SHORTEST_REST, 0.0
        return Carried(answer)

    def _begin_rest(self, status: int) -> None:
        _LOG.warning("the hub answers %d: it is asked again in %.0f s", status, self._rest)
        self._until = time.monotonic() + self._rest
        self._rest = min(2 * self._rest, _LONGEST_REST)


def create(way: Outward) -> Starlette:
    """What the SuperNode talks to."""
    return Starlette(
        routes=[Route("/v1/fleet/{call:path}", way.call, methods=["POST"])],
        middleware=[Middleware(LastResort), Middleware(PatientBody)],
        exception_handlers=HANDLERS,
    )


def run(settings: Settings) -> None:
    """Serve the SuperNode on loopback until SIGTERM. Raises ConfigurationError."""
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    joined = read_site(settings)
    if joined is None:
        raise ConfigurationError("this node is a site of no federation: `senogate federation join`")
    measures.FEDERATION_CONTACT.labels("hub").set_to_current_time()
    files = loopback.ensure(settings)
    key = base64.b64encode(node_public_bytes(node_key(settings))).decode("ascii")
    async with dialling.async_client(settings, joined) as client, _listening(settings, joined) as listening:
        configuration = uvicorn.Config(
            create(Outward(client, key)),
            http=Protocol,
            host=HOST,
            port=flower.read_ports(settings).relay,
            ssl_certfile=str(files.certificate),
            ssl_keyfile=str(files.key),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=10,
        )
        server = uvicorn.Server(configuration)
        following = asyncio.create_task(end_with(settings, joined, server))
        listening.add_done_callback(lambda _: server.handle_exit(signal.SIGTERM, None))
        await server.serve()
        following.cancel()


@asynccontextmanager
async def _listening(settings: Settings, joined: Joined) -> AsyncIterator[asyncio.Task[None]]:
    """As long as the block lasts the site answers its hub's questions, as far as its permits cover them."""
    address = connection_string(settings.database_url)
    options = {"autocommit": True, **SESSION}
    async with (
        dialling.async_client(settings, joined) as client,
        AsyncConnectionPool(address, min_size=1, max_size=_CONNECTIONS, open=False, kwargs=options) as pool,
        aclosing(Trail(settings.database_url)) as trail,
    ):
        site = Site(settings, pool, trail, joined.hub_name)
        listener = Listener(settings, joined, client, site.answer)
        listening = asyncio.create_task(listener.listen())
        try:
            yield listening
        finally:
            listening.cancel()
            site.counting.close()


@dataclass(frozen=True, slots=True)
class Site:
    """What this process answers questions from."""

    settings: Settings
    pool: AsyncConnectionPool
    trail: Journal
    hub: str
    counting: Counting = field(default_factory=Counting)

    def connection(self) -> Lent:
        """A connection to PostgreSQL, for `async with`. Raises Unavailable."""
        return Lent(self.pool)

    async def answer(self, asked: Asked) -> Permitted:
        """What this site says to the hub's question. Raises Unavailable."""
        subject = f"federation:{self.hub}"
        return await answer_permitted(
            self, asked.question, subject=subject, asker=asked.asker, question_id=asked.question_id
        )


async def end_with(settings: Settings, joined: Joined, server: uvicorn.Server) -> None:
    """Carry nothing more once the site has left, or nobody can tell, also where nobody else ends this process."""
    try:
        while read_site(settings) == joined:
            await asyncio.sleep(_LOOK)
    except ConfigurationError as error:
        _LOG.error("%s", error)
    server.should_exit = server.force_exit = True
