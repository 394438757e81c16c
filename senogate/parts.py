"""The gateway and the worker as processes: each makes its parts, runs until SIGTERM, and closes them."""

import asyncio
import signal
import socket
import warnings
from pathlib import Path

import httpx
import uvicorn
import uvloop
from httpx_aiohttp import AiohttpTransport
from psycopg_pool import AsyncConnectionPool

from archive import secrets
from archive.pool import SESSION, connection_string
from archive.settings import Settings
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Keys

_POOL = 32  # connections to PostgreSQL at most, for all gateways of a site
_FEWEST = 3  # for one of them
_GRACE = 10  # seconds that answers under way may take to end


def run_gateway(settings: Settings) -> None:
    """Serve HTTP until SIGTERM. Raises ConfigurationError."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from gateway import app
    from gateway.signing import SigningKeys

    keys = SigningKeys.load(Path(settings.secrets, secrets.SIGNING_KEY))
    warnings.filterwarnings("ignore", module="pydicom")  # their texts can quote values
    deidentifier = deidentifier_of(settings)
    password = secrets.orthanc_password(settings)
    address = connection_string(settings.database_url)
    async with (
        httpx.AsyncClient(
            base_url=settings.orthanc_url,
            auth=(settings.orthanc_user, password),
            timeout=60,
            trust_env=False,
            transport=AiohttpTransport(),  # takes half of the CPU that httpx's own takes
        ) as orthanc,
        AsyncConnectionPool(
            address,
            min_size=2,
            max_size=_connections(settings),
            open=False,
            kwargs={"autocommit": True, **SESSION},
        ) as pool,
    ):
        application = app.create(settings, pool, orthanc, keys, deidentifier)
        configuration = uvicorn.Config(
            application,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE,
        )
        server = uvicorn.Server(configuration)
        listening = asyncio.create_task(application.state.services.granted.listen(settings.database_url))
        listening.add_done_callback(lambda _: server.handle_exit(signal.SIGTERM, None))
        try:
            await server.serve([_shared_socket(settings)] if settings.gateway_processes > 1 else None)
        finally:
            listening.cancel()


def _connections(settings: Settings) -> int:
    return max(min(16, _POOL // settings.gateway_processes), _FEWEST)


def _shared_socket(settings: Settings) -> socket.socket:
    """A socket on the gateways' common port: the kernel gives each of them its share of the connections."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        settings.host or None, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(address)
    return listening


def run_worker(settings: Settings) -> None:
    """Index, clean and read until SIGTERM. Raises ConfigurationError or Unavailable."""
    from inference.cleaning.spooled import Cleaning, Sealed
    from inference.cleaning.text import Finder
    from inference.worker import Reader, Worker

    warnings.filterwarnings("ignore", module="pydicom")  # their texts can quote values
    deidentifier = deidentifier_of(settings)
    reader = Reader(settings, deidentifier, deidentifier.pseudonyms)
    cleaning = Cleaning(
        Sealed(settings, deidentifier), Finder(), automatic=settings.pixel_cleaning == "automatic"
    )
    asyncio.run(Worker(settings, reader, cleaning).run())


def deidentifier_of(settings: Settings) -> Deidentifier:
    """What de-identifies with this site's keys. Raises ConfigurationError."""
    return Deidentifier(
        _site_keys(settings),
        Profile.load(settings.profile),
        max_instance_bytes=settings.max_instance_bytes,
        max_inflated_bytes=settings.max_inflated_bytes,
    )


def _site_keys(settings: Settings) -> Keys:
    return Keys.derive(secrets.read_key(settings.secrets, secrets.SITE_KEY))
