"""The gateway and the worker as processes: each makes its parts, runs until SIGTERM, and closes them."""

import asyncio
import os
import resource
import signal
import socket
import ssl
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archive import secrets
from archive.collector import open_spans
from archive.errors import ConfigurationError
from archive.loading import loading
from archive.measure_sockets import published
from archive.pool import SESSION, connection_string
from archive.settings import Settings
from archive.spans import Spans
from archive.trail import Trail
from senogate.deidentifier import deidentifier_of

if TYPE_CHECKING:
    import httpx

_READING = 32  # threads that wait for files
_POOL = 32  # connections to PostgreSQL at most, for all gateways of a site
_FEWEST = 3  # for one of them
_MESSAGE = 64 * 1024  # bytes of a WebSocket's message at most; none is expected
_KEPT_OPEN = 30  # seconds that a connection waits for its next request: a federation's sites ask every 20
_STATEMENT, _LOCK = 120, 10  # seconds that a statement may take, and of these wait for a lock
_GRACE = 10  # seconds that answers under way may take to end


def run_gateway(settings: Settings) -> None:
    """Serve HTTP until SIGTERM. Raises ConfigurationError."""
    import uvloop

    use_all_handles()
    with (
        published(settings, "gateway"),
        closing(open_spans(settings, "gateway")) as spans,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(settings, spans))


async def _serve(settings: Settings, spans: Spans) -> None:
    with loading():
        import uvicorn
        from psycopg_pool import AsyncConnectionPool

        from gateway import app
        from gateway.search.counting import keep_up_to_date
        from gateway.signing import SigningKeys
        from gateway.transport import Protocol, Server, renew_certificate

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_READING, "read"))
    keys = SigningKeys.load(Path(settings.secrets, secrets.SIGNING_KEY))
    warnings.filterwarnings("ignore", module="pydicom")  # their texts can quote values
    deidentifier = deidentifier_of(settings)
    address = connection_string(settings.database_url)
    async with (
        _client_of_orthanc(settings) as orthanc,
        AsyncConnectionPool(
            address,
            min_size=2,
            max_size=_connections(settings),
            open=False,
            kwargs={"autocommit": True, **bounded(SESSION)},
        ) as pool,
        aclosing(Trail(settings.database_url)) as trail,
    ):
        application = app.create(settings, pool, orthanc, keys, deidentifier, trail, spans)
        configuration = uvicorn.Config(
            application,
            http=Protocol,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE,
            timeout_keep_alive=_KEPT_OPEN,
            ws_max_size=_MESSAGE,
            **tls_options(settings),
        )
        configuration.load()
        server = Server(configuration, application.state.services.announcements.end)
        listening = asyncio.create_task(application.state.services.granted.listen(settings.database_url))
        listening.add_done_callback(lambda _: server.handle_exit(signal.SIGTERM, None))
        beside = [asyncio.create_task(renew_certificate(configuration.ssl, settings)), listening]
        beside.append(asyncio.create_task(keep_up_to_date(settings)))
        try:
            await server.serve([_shared_socket(settings)] if settings.gateway_processes > 1 else None)
        finally:
            for task in beside:
                task.cancel()
            await application.state.services.floods.aclose()
            await application.state.services.memberships.aclose()
            await application.state.services.superlink.aclose()
            application.state.services.counting.close()
            await application.state.services.upstream.aclose()


def _client_of_orthanc(settings: Settings) -> "httpx.AsyncClient":
    import httpx
    from httpx_aiohttp import AiohttpTransport

    return httpx.AsyncClient(
        base_url=settings.orthanc_url,
        auth=(settings.orthanc_user, secrets.orthanc_password(settings)),
        timeout=60,
        trust_env=False,
        transport=AiohttpTransport(),  # takes half of the CPU that httpx's own takes
    )


def tls_options(settings: Settings) -> dict[str, Any]:
    """What uvicorn is told of the gateway's own certificate; client certificates are asked for and not demanded.

    Raises ConfigurationError for files that are none.
    """
    if not settings.tls_certificate:
        return {}
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        if settings.tls_client_authorities:
            context.load_verify_locations(settings.tls_client_authorities)
    except OSError as error:  # ssl.SSLError is one
        reason = f"can't be used ({type(error).__name__})"
        raise ConfigurationError(f"tls_certificate, tls_key or tls_client_authorities {reason}") from None
    found: dict[str, Any] = {"ssl_certfile": settings.tls_certificate, "ssl_keyfile": settings.tls_key}
    if settings.tls_client_authorities:
        found |= {"ssl_ca_certs": settings.tls_client_authorities, "ssl_cert_reqs": ssl.CERT_OPTIONAL}
    return found


def bounded(session: dict[str, Any]) -> dict[str, Any]:
    """A session whose statements end, and so give their connection back, before all who ask wait for one."""
    bounds = f" -c statement_timeout={_STATEMENT}s -c lock_timeout={_LOCK}s"
    return session | {"options": session["options"] + bounds}


def use_all_handles() -> None:
    """Let this process have as many files and sockets open as the system allows it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


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
    """Index, clean, read and deliver until SIGTERM. Raises ConfigurationError or Unavailable."""
    with loading():
        from federation.jobs.files import hide
        from federation.jobs.running import JobRunner
        from inference.cleaning.spooled import Cleaning, Sealed
        from inference.cleaning.text import Finder
        from inference.cues import Cues
        from inference.delivery.delivering import delivering
        from inference.duties import Duties
        from inference.execution.host import Host
        from inference.following import Following
        from inference.moving import Mover
        from inference.notification.lanes import Notifier
        from inference.notification.sending import Sender
        from inference.notification.tracing import Tracer
        from inference.queues import Queues
        from inference.reader import Reader
        from inference.reviews import ReviewWriter
        from inference.worker import Worker
        from senogate.erasure import go_on

    warnings.filterwarnings("ignore", module="pydicom")  # their texts can quote values
    hide()
    deidentifier = deidentifier_of(settings)
    readings = settings.inference_readings or os.cpu_count() or 1
    host = Host(_model_process(settings, readings), seconds=settings.inference_seconds)
    spans = open_spans(settings, "worker")
    reader = Reader(settings, deidentifier, deidentifier.pseudonyms, host, spans)
    cleaning = Cleaning(
        Sealed(settings, deidentifier), Finder(), automatic=settings.pixel_cleaning == "automatic"
    )
    sender = Sender(settings)
    notifier = Notifier(settings, secrets.read_key(settings.secrets, secrets.SITE_KEY), sender)
    tracer = Tracer(settings) if settings.tracing_url else None
    try:
        cues, reviews = Cues(), ReviewWriter(settings, deidentifier)
        erase, mover = partial(go_on, settings), Mover(settings, deidentifier.proof_key)
        worker = Worker(
            cues,
            Following(settings, reader, cues, spans),
            Queues(settings, cues, reader, cleaning, JobRunner(settings), readings),
            Duties(settings, cues, reviews, erase, notifier, tracer, mover),
        )
        with published(settings, "worker"), delivering(settings, deidentifier):
            asyncio.run(worker.run())
    finally:
        spans.close()
        sender.close()
        host.close()


def _model_process(settings: Settings, readings: int) -> list[str]:
    """The arguments of the process that runs models. It is told nothing else of the site."""
    options = {
        "--home": settings.home,
        "--device": settings.inference_device,
        "--gpu": settings.inference_gpu,
        "--readings": readings,
        "--threads": os.cpu_count() or 1,
        "--memory": settings.inference_memory,
    }
    return [str(one) for option in options.items() for one in option]
