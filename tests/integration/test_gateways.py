"""Several gateways on one port: each serves, the site ends them all, and one that dies is missed by nobody."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from archive import audit_log
from archive.audit import Event
from tests.live import LiveSite, eventually

pytestmark = pytest.mark.xdist_group("gateways")


@pytest.fixture(scope="module")
def crowd(new_home, free_ports) -> Iterator[LiveSite]:
    live = LiveSite(new_home(), free_ports(3), {"SENOGATE_GATEWAY_PROCESSES": "3"}).start()
    yield live
    live.stop()


def gateways(site: LiveSite) -> list[int]:
    """The process ids of the gateways that are listening."""
    return [child.pid for child in psutil.Process(site.pid).children() if _listens(child, site.settings.port)]


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        sockets = process.net_connections("tcp")
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
    return any(each.laddr.port == port and each.status == psutil.CONN_LISTEN for each in sockets)


def answer(site: LiveSite) -> int:
    """The status of a request over a connection of its own."""
    return httpx.get(f"{site.base_url}/health/ready", timeout=20, trust_env=False).status_code


def test_all_of_them_serve(crowd: LiveSite) -> None:
    assert eventually(lambda: len(gateways(crowd)) == 3)
    assert {answer(crowd) for _ in range(20)} == {200}
    logs = sorted(path.name for path in Path(crowd.home, "logs").glob("gateway*.log"))
    assert logs == ["gateway-2.log", "gateway-3.log", "gateway.log"]


def test_what_they_serve_at_once_is_one_chain_in_the_audit_trail(crowd: LiveSite) -> None:
    eventually(lambda: len(gateways(crowd)) == 3)
    headers = {"Authorization": f"Bearer {crowd.token()}", "Connection": "close"}

    def search(number: int) -> int:
        address = f"{crowd.dicomweb_url}/studies/1.2.{number}/series"
        return httpx.get(address, headers=headers, timeout=30, trust_env=False).status_code

    with ThreadPoolExecutor(12) as several:
        assert set(several.map(search, range(120))) == {200}
    with crowd.database() as connection:
        searched = [entry.study for entry in audit_log.entries(connection, event=Event.SEARCH)]
        writers = "select count(*) from pg_stat_activity where query like %s and pid <> pg_backend_pid()"
        ((writing,),) = connection.execute(writers, ["%append_to_audit(string_to_array%"]).fetchall()
    assert sorted(searched) == sorted(f"1.2.{number}" for number in range(120))
    assert writing > 1
    assert "as it was written" in crowd.run("audit", "verify").stdout


def test_one_that_dies_is_started_again(crowd: LiveSite) -> None:
    eventually(lambda: len(gateways(crowd)) == 3)
    killed = gateways(crowd)[0]
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: killed not in gateways(crowd))
    assert {answer(crowd) for _ in range(10)} == {200}
    assert eventually(lambda: len(gateways(crowd)) == 3)


def test_the_port_is_not_shared_with_another_site(crowd: LiveSite, new_home, free_ports) -> None:
    ports = [crowd.settings.port, *free_ports(2)]
    refused = LiveSite(new_home(), ports, {"SENOGATE_GATEWAY_PROCESSES": "2"}).run("up", check=False)
    assert (refused.returncode, f"port {crowd.settings.port} is taken" in refused.stderr) == (1, True)


def test_they_end_with_the_site(crowd: LiveSite) -> None:
    eventually(lambda: len(gateways(crowd)) == 3)
    every = gateways(crowd)
    assert crowd.stop() == 0
    assert not [pid for pid in every if psutil.pid_exists(pid)]
