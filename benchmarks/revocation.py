"""How long after a permit is revoked anything is still answered by it, on several gateway processes.

python -m benchmarks.revocation [--gateways N] [--rounds N] [--connections N]

In each round a program with a new permit searches over connections of its own, reads a study as streams, and listens
on WebSockets. The permit is revoked, and of each connection it is noted after how long it ended, or found nothing
more. The time begins before the transaction that revokes does.
"""

import argparse
import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from psycopg import AsyncConnection
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from archive import permits
from archive.permits import Purpose, Terms, Wanted
from archive.policy import Action
from benchmarks.exams import write_studies
from benchmarks.report import keep, percentiles
from tests.live import LiveSite, eventually, find_free_ports, temporary_home

CLIENT = "benchmark"
_BY = "os:benchmark"
_PAUSE = 0.005  # seconds between two searches of a connection
_CHUNK, _DRIP = 65536, 0.002  # bytes of a stream that are read at once, and seconds between: 32 MB/s at most
PATIENCE = 30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--connections", type=int, default=6, help="of each kind")
    arguments = parser.parse_args()
    with _site(arguments.gateways) as site, tempfile.TemporaryDirectory() as folder:
        sent = site.send(*write_studies(Path(folder), 1, 6, 3328, 2560), wait=False)["studies"]
        study = sent[0]["study_instance_uid"]
        with site.client() as client:
            eventually(lambda: len(client.get(f"/studies/{study}/instances").json()) == 6)
        site.run("client", "add", CLIENT, "--scope", "dicomweb.read worklist")
        token = site.run("token", "--client", CLIENT, "--ttl", "1h").stdout.strip()
        rounds = [_round(site, token, study, arguments.connections) for _ in range(arguments.rounds)]
    rows = [_row(kind, [each[kind] for each in rounds]) for kind in rounds[0] if kind != "gateways"]
    reached = min(each["gateways"] for each in rounds)
    keep("revocation", rows, gateways=arguments.gateways, gateways_reached_at_least=reached)


@contextmanager
def _site(gateways: int) -> Iterator[LiveSite]:
    environment = {"SENOGATE_GATEWAY_PROCESSES": str(gateways), "SENOGATE_STABLE_AGE": "3600"}
    with temporary_home() as home:
        live = LiveSite(home, find_free_ports(3), environment).start()
        try:
            yield live
        finally:
            live.stop()


def _row(kind: str, rounds: list[list[float]]) -> dict[str, Any]:
    """Over all connections of all rounds."""
    ends = [each for ended in rounds for each in ended]
    return {
        "connection": kind,
        "connections": len(ends),
        **percentiles(ends),
        "max_ms": round(max(ends) * 1000, 2),
    }


def _round(site: LiveSite, token: str, study: str, connections: int) -> dict[str, Any]:
    permit = _run(site, _grant)
    revoked_at: list[float] = []
    kinds: dict[str, Callable[[threading.Barrier], float]] = {
        "search": lambda ready: _search(site, token, ready),
        "stream of a study": lambda ready: _stream(site, token, study, ready),
        "WebSocket": lambda ready: _listen(site, token, ready),
    }
    ready = threading.Barrier(connections * len(kinds) + 1)
    with ThreadPoolExecutor(connections * len(kinds)) as pool:
        ends = {kind: [pool.submit(work, ready) for _ in range(connections)] for kind, work in kinds.items()}
        ready.wait(PATIENCE)
        gateways = _gateways_reached(site)
        revoked_at.append(time.perf_counter())
        _run(site, lambda connection: permits.revoke(connection, permit, "", by=_BY))
        found = {kind: [each.result() - revoked_at[0] for each in some] for kind, some in ends.items()}
    return found | {"gateways": gateways}


async def _grant(connection: AsyncConnection) -> str:
    wanted = Wanted(
        f"client:{CLIENT}", ("everything",), Purpose.OPERATION, "benchmark", frozenset({Action.READ})
    )
    permit = await permits.request(connection, wanted, by=_BY)
    await permits.grant(connection, permit, Terms(), by=_BY)
    return permit


def _run(site: LiveSite, work: Callable[[AsyncConnection], Any]) -> Any:
    async def connected() -> Any:
        address = site.settings.database_url
        async with await AsyncConnection.connect(address, autocommit=True) as connection:
            return await work(connection)

    return asyncio.run(connected())


def _search(site: LiveSite, token: str, ready: threading.Barrier) -> float:
    """When a search first found nothing, or was broken off (503)."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(headers=headers, timeout=PATIENCE, trust_env=False) as client:
        url = f"{site.dicomweb_url}/studies?limit=1"
        eventually(lambda: client.get(url).json())
        ready.wait(PATIENCE)
        while (answer := client.get(url)).is_success and answer.json():
            time.sleep(_PAUSE)
        return time.perf_counter()


def _stream(site: LiveSite, token: str, study: str, ready: threading.Barrier) -> float:
    """When an answer that is read was broken off."""
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    request = (
        f"GET /dicom-web/studies/{study} HTTP/1.1\r\nHost: 127.0.0.1:{site.settings.port}\r\n"
        f"Authorization: Bearer {token}\r\nAccept: {accept}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", site.settings.port), timeout=PATIENCE) as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK)
        stream.sendall(request.encode())
        head = stream.recv(12)
        assert head == b"HTTP/1.1 200", head
        ready.wait(PATIENCE)
        with suppress(ConnectionResetError):
            while stream.recv(_CHUNK):
                time.sleep(_DRIP)
        return time.perf_counter()


def _listen(site: LiveSite, token: str, ready: threading.Barrier) -> float:
    """When a subscriber's connection was closed."""
    address = f"ws://127.0.0.1:{site.settings.port}/dicom-web/ws/subscribers/benchmark"
    headers = {"Authorization": f"Bearer {token}"}
    with connect(address, additional_headers=headers, proxy=None) as channel:
        ready.wait(PATIENCE)
        with suppress(ConnectionClosed):
            channel.recv(timeout=PATIENCE)
        return time.perf_counter()


def _gateways_reached(site: LiveSite) -> int:
    """How many gateway processes hold connections of this one."""
    return sum(
        any(
            each.status == psutil.CONN_ESTABLISHED and each.laddr.port == site.settings.port
            for each in child.net_connections("tcp")
        )
        for child in psutil.Process(site.pid).children()
    )


if __name__ == "__main__":
    main()
