"""The fail-closed door at the real Orthanc: whatever breaks, the sender is told, and nothing is stored.

Orthanc 1.12.7 stores the original when a plugin's callback raises or returns an unexpected type, and answers success.
"""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import Dataset

from archive import secrets
from senogate.cluster import Cluster, locate
from senogate.process import Process, Program
from tests.integration.conftest import Send, edit, is_answering, send_c_store, send_rest, send_stow
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually

REFUSALS = {"A700", "500", "400", "409", "503"}


@pytest.mark.parametrize("order", ["raise", "exit", "none", "original", "text"])
def test_a_callback_that_fails_stores_nothing_and_a_retry_succeeds(
    sabotaged: tuple[LiveSite, Path], way: Send, order: str, instance: bytes
) -> None:
    site, file = sabotaged
    before = site.stored_instances()
    file.write_text(order)
    try:
        assert way(site, instance) in REFUSALS
    finally:
        file.unlink()
    assert site.stored_instances() == before
    assert way(site, instance) == "stored"
    assert site.stored_instances() == before + 1


def test_a_report_for_which_there_is_no_room_is_stored_when_there_is(
    sabotaged: tuple[LiveSite, Path], phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    site, file = sabotaged
    file.write_text("full")
    try:
        study = site.send(write(tmp_path, phantom_exam()), wait=False)["studies"][0]["study_instance_uid"]
        eventually(lambda: "no space left" in (site.home / "logs/orthanc.log").read_text())
    finally:
        file.unlink()
    state = "select state from reading where study_instance_uid = %s"
    with site.database() as database:
        eventually(lambda: database.execute(state, [study]).fetchone() == ("done",))


def test_a_data_set_that_cannot_be_parsed_is_refused(site: LiveSite, way: Send, instance: bytes) -> None:
    """Nested deeper than any object of PS3.3 is."""
    before = site.stored_instances()
    assert way(site, edit(instance, _nest_deeply)) in REFUSALS
    assert site.stored_instances() == before


def _nest_deeply(dataset: Dataset) -> None:
    inner = Dataset()
    inner.CodeValue = "1"
    for _ in range(20):
        outer = Dataset()
        outer.ContentSequence = [inner]
        inner = outer
    dataset.ContentSequence = [inner]


def test_a_missing_key_stores_nothing_until_it_is_back(
    new_home: Callable[[], Path], free_ports: Callable[[int], list[int]], instance: bytes
) -> None:
    site = LiveSite(new_home(), free_ports(3)).start()
    key = Path(site.settings.secrets, secrets.SITE_KEY)
    hidden = key.rename(key.with_name("hidden"))
    os.kill(site.child("orthanc"), signal.SIGKILL)
    with site.orthanc() as orthanc:
        eventually(lambda: is_answering(orthanc, "/system"))
    assert send_c_store(site, instance) == "A700"
    assert send_rest(site, instance) == "500"
    assert send_stow(site, instance) == "503"
    assert site.stored_instances() == 0
    with site.client() as client:
        assert client.get("/studies").status_code == 503
        hidden.rename(key)
        assert send_c_store(site, instance) == "stored"
        eventually(lambda: client.get("/studies").status_code == 200)
    assert site.stop() == 0


def test_an_orthanc_without_the_plugin_is_served_by_nobody(
    new_home: Callable[[], Path], free_ports: Callable[[int], list[int]], instance: bytes
) -> None:
    """Orthanc starts unprotected when its plugin is not loaded, and would store what it is sent."""
    site = LiveSite(new_home(), free_ports(3)).start()
    configuration = site.home / "orthanc" / "orthanc.json"
    protected = configuration.read_text()
    configuration.write_text(json.dumps(json.loads(protected) | {"Plugins": []}))
    os.kill(site.child("orthanc"), signal.SIGKILL)
    with site.client() as client, site.orthanc() as orthanc:
        eventually(lambda: is_answering(orthanc, "/system"))
        eventually(lambda: client.get("/studies").status_code == 503)
        assert send_stow(site, instance) == "503"
        assert site.stored_instances() == 0
        configuration.write_text(protected)
        os.kill(site.child("orthanc"), signal.SIGKILL)
        eventually(lambda: client.get("/studies").status_code == 200)
    assert send_stow(site, instance) == "stored"
    assert site.stop() == 0


@pytest.fixture
def database(new_home: Callable[[], Path]) -> Iterator[tuple[Cluster, Process]]:
    """A cluster that the site uses and does not run."""
    folder = new_home()
    folder.mkdir()
    cluster = locate(folder)
    cluster.create()
    process = Process(Program("postgresql", cluster.command(), {}, signal.SIGINT), folder)
    process.start()
    yield cluster, process
    process.stop()


def test_a_postgresql_that_is_down_stores_nothing_until_it_is_back(
    database: tuple[Cluster, Process],
    new_home: Callable[[], Path],
    free_ports: Callable[[int], list[int]],
    phantom_exam: Callable[[], list[bytes]],
) -> None:
    cluster, process = database
    site = LiveSite(new_home(), free_ports(3), {"SENOGATE_DATABASE_URL": cluster.database_url}).start()
    first, second, *_ = phantom_exam()
    assert send_c_store(site, first) == "stored"
    process.stop()
    assert send_c_store(site, second) == "A700"
    assert send_rest(site, second) == "500"
    assert send_stow(site, second) in REFUSALS
    assert site.stored_instances() == 1
    process.start()
    eventually(lambda: send_c_store(site, second) == "stored")
    assert site.stored_instances() == 2
    assert site.stop() == 0


def test_connections_that_say_nothing_hold_up_no_sender(site: LiveSite, instance: bytes) -> None:
    """Orthanc would wait 30 s for each of them, one after the other (PS3.8 9.2)."""
    silent = [socket.create_connection(("127.0.0.1", site.settings.dicom_port)) for _ in range(8)]
    try:
        assert send_c_store(site, instance) == "stored"  # whose patience is 60 s
    finally:
        for each in silent:
            each.close()


def test_orthanc_keeps_every_other_route_shut(site: LiveSite) -> None:
    with site.orthanc() as orthanc:
        for path in ("/modalities", "/app/explorer.html", "/dicom-web/studies", "/tools/metrics"):
            assert orthanc.get(path).status_code == 403
        assert orthanc.put("/instances/x/metadata/1024", content=b"x").status_code == 403


def test_orthanc_lets_nobody_in_without_the_sites_password(site: LiveSite) -> None:
    with site.orthanc() as orthanc:
        orthanc.auth = None
        assert orthanc.get("/system").status_code in (401, 403)


def test_no_identity_lies_in_the_sites_home(site: LiveSite, instance: bytes) -> None:
    """Storage folder, PostgreSQL's files and its write-ahead log, Orthanc's index, every log."""
    assert send_c_store(site, instance) == "stored"
    marks = [b"Muster-Demo", b"DEMO-4711-0815", b"Hausarzt", b"INS-123456789"]
    assert all(mark in instance for mark in marks)
    for path in site.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [mark for mark in marks if mark in content], path
