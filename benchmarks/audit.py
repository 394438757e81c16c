"""What it costs to know who asks, to decide and to record it: the smallest search, with each of these and without.

python -m benchmarks.audit [--studies N] [--clients C ...] [--seconds S] [--rounds R]

A gateway in a process of its own serves an index without instances; the proof of the plugin is played. Variants take
turns, so that what else the machine does falls on all of them.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import uvicorn
import uvloop
from psycopg_pool import AsyncConnectionPool
from starlette.types import ASGIApp, Receive, Scope, Send

from archive.migration import migrate
from archive.policy import Action, Principal, Role
from archive.pool import SESSION, connection_string
from archive.settings import Settings
from archive.trail import Trail
from benchmarks.index_growth import fill
from benchmarks.load import put_load, request_bytes
from benchmarks.report import cpu_seconds, family, keep
from benchmarks.servers import database
from gateway import app, oauth
from tests.live import find_free_ports
from tests.unit.fake_site import DEIDENTIFIER, FakeOrthanc

VARIANTS = ("nothing", "without audit", "all")
_WARM = 0.5  # seconds


class _Administrator:
    """In the place of authentication: whoever asks is the administrator."""

    def __init__(self, app: ASGIApp, **parts: object) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["principal"] = Principal("administrator", frozenset(Action), frozenset([Role.ADMINISTRATOR]))
        await self._app(scope, receive, send)


class _Unrecorded(_Administrator):
    """In the place of auditing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each variant")
    arguments = parser.parse_args()
    with database() as url, ExitStack() as stack:
        migrate(url)
        fill(url, arguments.studies)
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        served = {variant: stack.enter_context(_serving(home, url, variant)) for variant in VARIANTS}
        rows = [
            _compare(served, url, clients, arguments.studies, arguments.seconds, arguments.rounds)
            for clients in arguments.clients
        ]
    keep("audit", [row for several in rows for row in several])


@contextmanager
def _serving(home: Path, url: str, variant: str) -> Iterator[tuple[Settings, psutil.Process]]:
    settings = Settings(home=home, port=find_free_ports(1)[0], database_url=url)
    oauth.SigningKeys.load_or_create(home / "signing.pem")
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(settings, variant))
    process.start()
    try:
        _wait_for(settings)
        yield settings, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.join()


def _run(settings: Settings, variant: str) -> None:
    """A gateway, as `senogate.parts` runs it."""
    parts: Any = app
    if variant != "all":
        parts.Auditing = _Unrecorded
    if variant == "nothing":
        parts.Authentication = _Administrator
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    orthanc = httpx.AsyncClient(base_url="http://orthanc.test", transport=httpx.MockTransport(FakeOrthanc()))
    keys = oauth.SigningKeys.load(settings.home / "signing.pem")
    address = connection_string(settings.database_url)
    options = {"autocommit": True, **SESSION}
    async with (
        AsyncConnectionPool(address, min_size=2, max_size=16, open=False, kwargs=options) as pool,
        aclosing(Trail(settings.database_url)) as trail,
    ):
        application = app.create(settings, pool, orthanc, keys, DEIDENTIFIER, trail)
        configuration = uvicorn.Config(
            application, port=settings.port, log_config=None, access_log=False, lifespan="off"
        )
        await uvicorn.Server(configuration).serve()


def _wait_for(settings: Settings) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{settings.public_url}/health/live", trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(settings.public_url)


def _compare(
    served: dict[str, tuple[Settings, psutil.Process]],
    url: str,
    clients: int,
    studies: int,
    seconds: float,
    rounds: int,
) -> list[dict[str, Any]]:
    """The median of each variant's turns."""
    with psycopg.connect(url) as connection:
        backend = connection.info.backend_pid
        server = psutil.Process(backend).ppid()
        turns: dict[str, list[dict[str, float]]] = {variant: [] for variant in served}
        for _ in range(rounds):
            for variant, (settings, gateway) in served.items():
                turns[variant].append(_measure(settings, gateway, server, clients, studies, seconds))
    rows: list[dict[str, Any]] = []
    for variant, measured in turns.items():
        row: dict[str, Any] = {"variant": variant, "clients": clients}
        for name in measured[0]:
            row[name] = round(statistics.median(each[name] for each in measured), 3)
        row["throughput"] = round(row["requests_per_s"] / rows[0]["requests_per_s"], 3) if rows else 1.0
        rows.append(row)
    return rows


def _measure(
    settings: Settings, gateway: psutil.Process, server: int, clients: int, studies: int, seconds: float
) -> dict[str, float]:
    keys = oauth.SigningKeys.load(settings.home / "signing.pem")
    token = oauth.issue(keys, settings, subject="administrator", ttl=3600, roles=[Role.ADMINISTRATOR])
    fields = {"Authorization": f"Bearer {token}", "Accept": "application/dicom+json"}

    def request(number: int) -> bytes:
        patient = number * 37 % (studies // 2)
        return request_bytes("127.0.0.1", f"/dicom-web/studies?PatientID=P{patient}", fields)

    address = ("127.0.0.1", settings.port)
    put_load(address, request, clients, _WARM)
    before, behind = cpu_seconds([gateway]), cpu_seconds(family(server))
    answers, wall = put_load(address, request, clients, seconds)
    done = sum(len(each.waits) for each in answers)
    cpu, database_cpu = cpu_seconds([gateway]) - before, cpu_seconds(family(server)) - behind
    return {
        "requests_per_s": done / wall,
        "gateway_cpu_ms": 1000 * cpu / done,
        "postgresql_cpu_ms": 1000 * database_cpu / done,
    }


if __name__ == "__main__":
    main()
