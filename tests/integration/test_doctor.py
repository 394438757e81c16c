"""`senogate doctor` on real sites: one that is well, and one that is broken in each way and heals again."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archive import secrets
from archive.settings import load
from archive.state_item import Level
from senogate.doctor import place, visit
from senogate.doctor.checks import checks_of
from senogate.doctor.examination import examine
from senogate.doctor.finding import Finding, ordered
from tests import pacs
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually, find_free_ports

FORGET_LAST = "delete from migration where name = (select max(name) from migration) returning name"


def look(site: LiveSite, *checks: str, **changed: str) -> dict[str, Finding]:
    """What these checks find by their names, the worst of each last, where some of the settings are others."""
    found = place.look_at(load(site.environment | changed))
    chosen = {name: check for name, check in checks_of(found).items() if name in checks}
    return {each.check: each for each in reversed(ordered(examine(found, chosen, 60)))}


@pytest.fixture(scope="module")
def sick(new_home: Callable[[], Path], free_ports: Callable[[int], list[int]]) -> Iterator[LiveSite]:
    """A site for tests that break something of it, and mend it."""
    live = LiveSite(new_home(), free_ports(3)).start()
    yield live
    live.stop()


@contextmanager
def stopped(site: LiveSite, name: str) -> Iterator[None]:
    """A part that hangs meanwhile."""
    pid = site.child(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_site_that_is_well_gives_no_finding_and_the_exit_status_zero(site: LiveSite) -> None:
    """But for what a new site has not done yet, and what other tests leave behind: neither is wrong with the site."""
    told = json.loads(site.run("doctor", "--json", check=False).stdout)
    theirs = {"held", "readings", "deliveries", "disk-home", "disk-images"}
    wrong = [
        each
        for each in told["findings"]
        if each["level"] in ("act", "unknown") and each["check"] not in theirs
    ]
    assert wrong == []
    names = {each["check"] for each in told["findings"]}
    assert {
        "plugin",
        "orthanc",
        "schema",
        "dicom-port",
        "process-keeper",
        "secrets",
        "backup",
        "clock",
    } <= names


def test_a_site_whose_parts_are_elsewhere_is_well_too(site: LiveSite, tmp_path: Path) -> None:
    """As in the gateway's container: another home, keys but no private ones, Orthanc by another name."""
    told = site.settings
    changed = {
        "SENOGATE_HOME": str(tmp_path / "home"),
        "SENOGATE_DATABASE_URL": told.database_url,
        "SENOGATE_ORTHANC_URL": f"http://localhost:{told.orthanc_port}",
        "SENOGATE_SECRETS": told.secrets,
        "SENOGATE_STORAGE": told.storage,
        "SENOGATE_CROSSWALK_KEY": str(tmp_path / "private" / "crosswalk.key"),
    }
    theirs = {"held", "readings", "deliveries", "webhooks", "disk-home", "disk-images"}
    found = visit.visit(60, site.environment | changed)
    assert [each for each in found.findings if each.is_trouble and each.check not in theirs] == []
    names = {each.check for each in found.findings}
    assert {"plugin", "schema", "dicom-port", "gateway", "secrets"} <= names
    assert not {"site", "process-worker", "orthanc-installed"} & names


def test_words_and_exit_status_for_people(site: LiveSite) -> None:
    nowhere = site.environment | {"SENOGATE_PORT": "x"}
    from tests import commands

    done = commands.run(("doctor",), nowhere, "", 120)
    assert done.returncode == 1
    assert done.stdout.startswith("act: settings: SENOGATE_PORT")


def test_a_pacs_that_can_not_be_reached_is_found(site: LiveSite) -> None:
    (port,) = find_free_ports(1)
    table = {"clinic": {"aet": "CLINIC", "host": "127.0.0.1", "port": port}}
    found = look(site, "pacs-clinic", "delivery", SENOGATE_DESTINATIONS=json.dumps(table))
    assert (found["pacs-clinic"].level, found["delivery"].level) == (Level.ACT, Level.LOOK)
    assert found["pacs-clinic"].command == "senogate delivery test clinic"


def test_an_orthanc_without_the_plugin_is_to_be_ended_at_once(site: LiveSite) -> None:
    with pacs.orthanc(find_free_ports(2)) as bare:
        found = look(site, "orthanc", SENOGATE_ORTHANC_URL=f"http://127.0.0.1:{bare.http_port}")
    assert found["plugin"].level == Level.ACT
    assert "at once" in found["plugin"].todo


def test_another_password_of_orthanc_is_found(site: LiveSite) -> None:
    found = look(site, "orthanc", SENOGATE_ORTHANC_PASSWORD="another")
    assert "(401)" in found["orthanc"].said


def test_another_site_key_is_found_by_plugin_and_stored_instances(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    site.send(write(tmp_path / "exam", phantom_exam()))
    assert look(site, "stored")["stored"].level == Level.FINE
    secrets.write(tmp_path / "keys" / secrets.SITE_KEY, bytes(32))
    password = secrets.orthanc_password(site.settings)
    changed = {"SENOGATE_SECRETS": str(tmp_path / "keys"), "SENOGATE_ORTHANC_PASSWORD": password}
    found = look(site, "orthanc", "stored", **changed)
    assert "another site key" in found["plugin"].said
    assert "no proof" in found["stored"].said


def test_a_storage_folder_that_is_not_orthancs_is_found(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    site.send(write(tmp_path / "exam", phantom_exam()))
    (tmp_path / "empty").mkdir()
    found = look(site, "stored", SENOGATE_STORAGE=str(tmp_path / "empty"))
    assert (found["stored"].level, str(tmp_path / "empty") in found["stored"].said) == (Level.ACT, True)


def test_a_port_that_another_program_has_is_found_beside_a_site_that_runs(site: LiveSite) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = look(site, "ports", SENOGATE_COMMITMENT_PORT=port)
    assert f"(process {os.getpid()})" in found[f"port-{port}"].said
    assert found[f"port-{site.settings.dicom_port}"].level == Level.FINE


def test_nobody_on_a_port_of_a_site_that_runs_is_found(site: LiveSite) -> None:
    (port,) = map(str, find_free_ports(1))
    found = look(site, "ports", "dicom-port", SENOGATE_DICOM_PORT=port)
    assert found[f"port-{port}"].said.startswith("nobody listens")
    assert found["dicom-port"].level == Level.ACT


def test_a_database_elsewhere_that_does_not_answer_is_found(site: LiveSite) -> None:
    """As on a site whose parts are containers; what needs it is not asked."""
    (port,) = find_free_ports(1)
    found = look(
        site, "postgresql", "stored", "state", SENOGATE_DATABASE_URL=f"postgresql://127.0.0.1:{port}/x"
    )
    assert found["postgresql"].level == Level.ACT
    assert "index" not in found and "stored" not in found


def test_migrations_that_are_not_applied_and_foreign_ones_are_found(sick: LiveSite) -> None:
    with sick.database() as database:
        (last,) = database.execute(FORGET_LAST).fetchone()
        try:
            assert last in look(sick, "postgresql")["schema"].said
            database.execute("insert into migration (name) values (%s), ('9999_later')", [last])
            assert "9999_later" in look(sick, "postgresql")["schema"].said
        finally:
            database.execute("delete from migration where name = '9999_later'")
    assert look(sick, "postgresql")["schema"].level == Level.FINE


@pytest.mark.parametrize(
    ("part", "check", "finding"),
    [
        ("postgresql", "postgresql", "postgresql"),
        ("orthanc", "orthanc", "orthanc"),
        ("orthanc", "dicom-port", "dicom-port"),
        ("gateway", "gateway", "gateway"),
    ],
)
def test_a_part_that_hangs_is_found_and_does_not_hang_the_doctor(
    sick: LiveSite, part: str, check: str, finding: str
) -> None:
    with stopped(sick, part):
        assert look(sick, check)[finding].level == Level.ACT
    eventually(lambda: look(sick, check)[finding].level == Level.FINE)


def test_a_part_that_keeps_ending_is_found_with_what_ends_it(sick: LiveSite) -> None:
    """The worker can't do without the crosswalk's private key."""
    key = Path(sick.settings.secrets, "crosswalk.key")
    kept = key.read_bytes()
    key.unlink()
    try:
        os.kill(sick.child("worker"), signal.SIGKILL)
        found = eventually(lambda: _if_wrong(look(sick, "processes", "keys"), "process-worker"))
        assert found["keys-missing"].said.endswith("crosswalk.key")
        assert "worker.log" in found["process-worker"].todo
    finally:
        secrets.write(key, kept)
    eventually(lambda: look(sick, "processes")["process-worker"].level == Level.FINE)


def _if_wrong(found: dict[str, Finding], name: str) -> dict[str, Finding] | None:
    return found if found[name].level == Level.ACT else None


def test_quarantine_and_a_lost_file_of_the_spool_are_found(sick: LiveSite) -> None:
    hold = (
        "insert into spool (id, digest, state, reason, study_instance_uid, sop_instance_uid, sop_class_uid, size, "
        "received_at) values ('gone', 'x', 'quarantined', 'not-an-image', '1', '1', '1', 1, now() - interval '8 days')"
    )
    sick.settings.spool.mkdir(exist_ok=True)
    with sick.database() as database:
        database.execute(hold)
        try:
            found = look(sick, "stored", "state")
        finally:
            database.execute("delete from spool where id = 'gone'")
    assert (found["spool"].level, found["held"].level) == (Level.ACT, Level.ACT)
