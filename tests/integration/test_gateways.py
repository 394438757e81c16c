"""Several gateways on one port: each serves, the site ends them all, and one that dies is missed by nobody."""

import os
import re
import signal
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from archive import audit_log
from archive.audit import Event
from tests.live import LiveSite, eventually
from tests.unit.dicom_files import dataset, part10, pixels


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


class TestRevocation:
    """A permit that is revoked ends within a second what is under way by it, on whichever gateway that is."""

    @pytest.fixture
    def permit(self, crowd: LiveSite) -> tuple[str, str]:
        """A client's token, and the permit that it needs."""
        name = f"reader{uuid.uuid4().hex[:8]}"
        crowd.run("client", "add", name, "--scope", "dicomweb.read worklist")
        granted = crowd.run(
            *("permit", "grant", f"client:{name}", "--dataset", "everything", "--purpose", "research"),
            *("--legal-basis", "GDPR 6(1)(e)", "--action", "dicomweb.read", "--action", "worklist"),
        )
        return crowd.run("token", "--client", name).stdout.strip(), granted.stdout.strip()

    def test_streams_are_broken_off(self, crowd: LiveSite, permit: tuple[str, str], large_study: str) -> None:
        token, permit_id = permit
        streams = [open_stream(crowd, f"/dicom-web/studies/{large_study}", token) for _ in range(6)]
        lengths = [read_head(stream) for stream in streams]
        crowd.run("permit", "revoke", permit_id)
        received = [read_rest(stream) for stream in streams]
        assert all(count < length for count, length in zip(received, lengths, strict=True))

    def test_channels_are_closed(self, crowd: LiveSite, permit: tuple[str, str]) -> None:
        """RFC 6455 section 7.4.1: 1008 is a violation of policy."""
        token, permit_id = permit
        address = f"ws://127.0.0.1:{crowd.settings.port}/dicom-web/ws/subscribers/me"
        headers = {"Authorization": f"Bearer {token}"}
        with ExitStack() as stack:
            opening = [connect(address, additional_headers=headers, proxy=None) for _ in range(4)]
            channels = [stack.enter_context(each) for each in opening]
            crowd.run("permit", "revoke", permit_id)
            for channel in channels:
                with pytest.raises(ConnectionClosed) as closed:
                    channel.recv(timeout=20)
                assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008

    def test_every_gateway_knows_within_a_second(
        self, crowd: LiveSite, permit: tuple[str, str], large_study: str
    ) -> None:
        token, permit_id = permit
        headers = {"Authorization": f"Bearer {token}"}

        def seen() -> set[int]:
            """How many studies are found, over connections of their own, which the kernel spreads."""
            address = f"{crowd.dicomweb_url}/studies?limit=1"
            return {len(httpx.get(address, headers=headers, trust_env=False).json()) for _ in range(12)}

        assert seen() == {1}
        crowd.run("permit", "revoke", permit_id)
        eventually(lambda: seen() == {0})


@pytest.fixture(scope="module")
def large_study(crowd: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A study that no socket's buffers hold; its pseudonymous UID."""
    uid = f"2.25.{uuid.uuid4().int}"
    folder = tmp_path_factory.mktemp("large")
    for number in range(1, 4):
        named = {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2", "StudyInstanceUID": uid, "SeriesInstanceUID": f"{uid}.1",
            "SOPInstanceUID": f"{uid}.1.{number}", "PatientID": uid[-12:], "PatientName": "Doe^Jane", "Modality": "MG",
            "BurnedInAnnotation": "NO", "InstanceNumber": number,
        }  # fmt: skip
        (folder / f"{number}.dcm").write_bytes(part10(dataset(**named, **pixels(3000, 2400, 1, 16))))
    crowd.send(folder)
    with crowd.client() as client:
        return eventually(lambda: [row["0020000D"]["Value"][0] for row in client.get("/studies").json()])[0]


def open_stream(site: LiveSite, path: str, token: str) -> socket.socket:
    """A request whose answer is read by hand."""
    stream = socket.create_connection(("127.0.0.1", site.settings.port), timeout=20)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{site.settings.port}",
        f"Authorization: Bearer {token}",
    ]
    accept = 'Accept: multipart/related; type="application/dicom"; transfer-syntax=*'
    stream.sendall("\r\n".join([*lines, accept, "", ""]).encode())
    return stream


def read_head(stream: socket.socket) -> int:
    """The length that an answer says it has; its headers are read."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += stream.recv(1)
    assert head.startswith(b"HTTP/1.1 200"), head
    return int(re.findall(rb"content-length: (\d+)", head)[0])


def read_rest(stream: socket.socket) -> int:
    """How many bytes came until the connection ended."""
    count = 0
    try:
        while data := stream.recv(1 << 20):
            count += len(data)
    except ConnectionResetError:
        pass
    return count


def test_what_reads_a_study_is_broken_off_when_its_patient_opts_out(
    crowd: LiveSite, large_study: str
) -> None:
    """Whoever reads it: the administrator may read everything else."""
    with crowd.database() as database:
        query = "select patient_id from study where study_instance_uid = %s"
        ((patient,),) = database.execute(query, [large_study]).fetchall()
    streams = [open_stream(crowd, f"/dicom-web/studies/{large_study}", crowd.token()) for _ in range(4)]
    lengths = [read_head(stream) for stream in streams]
    crowd.run("optout", "add", patient)
    received = [read_rest(stream) for stream in streams]
    assert all(count < length for count, length in zip(received, lengths, strict=True))
    crowd.run("optout", "withdraw", patient)


def test_the_port_is_not_shared_with_another_site(crowd: LiveSite, new_home, free_ports) -> None:
    ports = [crowd.settings.port, *free_ports(2)]
    refused = LiveSite(new_home(), ports, {"SENOGATE_GATEWAY_PROCESSES": "2"}).run("up", check=False)
    assert (refused.returncode, f"port {crowd.settings.port} is taken" in refused.stderr) == (1, True)


def test_they_end_with_the_site(crowd: LiveSite) -> None:
    eventually(lambda: len(gateways(crowd)) == 3)
    every = gateways(crowd)
    assert crowd.stop() == 0
    assert not [pid for pid in every if psutil.pid_exists(pid)]
