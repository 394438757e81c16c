"""The life of a site: started, ended, killed, resumed, and a second one beside it."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from archive.errors import Unavailable
from archive.findings import Task
from archive.orthanc import Orthanc
from archive.reindexing import Reindexing
from archive.tiers import Tiers
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Pseudonyms
from inference.execution.host import Host
from inference.reader import MOST_ATTEMPTS, Due, Reader
from senogate.cluster import locate
from senogate.site import programs
from senogate.site_keys import keys_of
from senogate.site_secrets import prepare
from tests.integration.conftest import is_answering
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually

TMPFILES = Path(__file__).parents[2] / "deploy" / "systemd" / "tmpfiles.conf"
NewSite = Callable[..., LiveSite]


@pytest.fixture
def new_site(new_home: Callable[[], Path], free_ports: Callable[[int], list[int]]):
    """A callable that makes a site which is not started yet; those still running are ended."""
    made: list[LiveSite] = []

    def make(**extra: str) -> LiveSite:
        made.append(LiveSite(new_home(), free_ports(3), extra))
        return made[-1]

    yield make
    for site in made:
        site.stop(signal.SIGTERM)


@pytest.fixture(scope="module")
def beside(new_home: Callable[[], Path], free_ports: Callable[[int], list[int]]) -> Iterator[LiveSite]:
    """A second site on this machine, whose home has a space in its name; its parts are killed, and come back."""
    site = LiveSite(new_home() / "a site", free_ports(3)).start()
    yield site
    assert site.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_part_and_the_exit_status_is_zero(
    new_site: NewSite, number: signal.Signals
) -> None:
    site = new_site().start()
    parts = [site.child(name) for name in ("postgresql", "orthanc", "gateway", "worker")]
    assert site.stop(number) == 0
    assert not [pid for pid in parts if Path(f"/proc/{pid}").exists()]


def test_down_ends_the_site_and_status_tells(new_site: NewSite) -> None:
    site = new_site().start()
    assert site.run("status", check=False).returncode == 0
    site.run("down")
    assert site.stop() == 0
    assert site.run("status", check=False).returncode == 1
    assert "no site is running" in site.run("down").stdout


def test_the_parts_end_with_a_parent_that_is_killed_and_the_site_resumes(
    new_site: NewSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    site = new_site().start()
    answer = site.send(write(tmp_path, phantom_exam()))
    parts = [site.child(name) for name in ("postgresql", "orthanc", "gateway", "worker")]
    site.stop(signal.SIGKILL)
    eventually(lambda: not [pid for pid in parts if Path(f"/proc/{pid}").exists()])
    site.start()
    with site.client() as client:
        (study,) = client.get("/studies").json()
    assert study["0020000D"]["Value"] == [answer["studies"][0]["study_instance_uid"]]


@pytest.mark.parametrize("name", ["postgresql", "orthanc", "gateway", "worker"])
def test_a_part_that_is_killed_is_started_again_and_nothing_is_lost_or_doubled(
    beside: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path, name: str
) -> None:
    before = beside.stored_instances()
    first = write(tmp_path / "first", phantom_exam())
    second = write(tmp_path / "second", phantom_exam())
    beside.send(first, wait=False)
    os.kill(beside.child(name), signal.SIGKILL)
    eventually(lambda: not beside.send(second, wait=False)["refused"])
    with httpx.Client(base_url=beside.base_url, trust_env=False) as anybody:
        eventually(lambda: is_answering(anybody, "/health/ready"))
    studies = beside.send(first, second)["studies"]
    assert [study["reading"]["state"] for study in studies] == ["done", "done"]
    of_studies = "select number_of_instances from study where study_instance_uid = any(%s)"
    with beside.database() as database:
        counts = database.execute(of_studies, [[study["study_instance_uid"] for study in studies]]).fetchall()
    assert counts == [(5,), (5,)]
    assert beside.stored_instances() == before + 10


def test_parts_write_only_into_folders_that_an_installation_makes_for_them(
    beside: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    """Under systemd they can't write elsewhere: deploy/systemd/tmpfiles.conf."""
    beside.send(write(tmp_path, phantom_exam()))
    made = re.findall(r"^d /var/lib/senogate/([\w-]+) ", TMPFILES.read_text(), re.MULTILINE)
    found = {path.name for path in beside.home.iterdir() if not path.name.startswith(".")}
    assert found - set(made) <= {"logs", "postgresql", "run", "up.lock"}  # which `up` writes, and init alone


def test_a_site_whose_worker_is_dead_is_not_ready(site: LiveSite) -> None:
    with httpx.Client(base_url=site.base_url, trust_env=False) as anybody:
        os.kill(site.child("worker"), signal.SIGKILL)
        answer = eventually(lambda: None if (got := anybody.get("/health/ready")).is_success else got)
        assert [name for name, part in answer.json()["parts"].items() if not part["ok"]] == ["index"]
        eventually(lambda: is_answering(anybody, "/health/ready"))


def test_reindex_rebuilds_what_was_lost_and_forgets_what_is_gone(
    beside: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    beside.send(write(tmp_path, phantom_exam()))
    with beside.client() as client:
        before = client.get("/studies").json(), client.get("/instances?includefield=all").json()
        with beside.database() as database:
            database.execute("delete from instance")
            database.execute("update series set dicom_json = '{}'")
        assert f"{beside.stored_instances()} instances" in beside.run("reindex").stdout
        assert (client.get("/studies").json(), client.get("/instances?includefield=all").json()) == before


def test_reindex_forgets_nothing_that_its_list_missed(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    """Orthanc's pages shift while instances come and go."""
    site.send(write(tmp_path, phantom_exam()))
    with site.database() as database, closing(Orthanc(site.settings)) as orthanc:
        count = "select count(*) from instance"
        before = database.execute(count).fetchone()
        Reindexing(database, orthanc, Tiers.of(site.settings), lambda file: True).run(list, lambda _: None)
        assert database.execute(count).fetchone() == before


def test_a_reading_waits_for_an_orthanc_that_does_not_answer(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    study = site.send(write(tmp_path, phantom_exam()))["studies"][0]["study_instance_uid"]
    keys = keys_of(site.settings)
    nowhere = replace(site.settings, orthanc_url="http://127.0.0.1:9")
    host = Host()
    reader = Reader(nowhere, Deidentifier(keys, Profile.load(nowhere.profile)), Pseudonyms(keys), host)
    worker = site.child("worker")
    os.kill(worker, signal.SIGSTOP)
    try:
        with site.database() as database:
            database.execute(
                "update reading set state = 'due', attempts = 0 where study_instance_uid = %s", [study]
            )
            for _ in range(MOST_ATTEMPTS + 1):
                with pytest.raises(Unavailable):
                    reader.read(Due(study, Task.DENSITY))
            state = database.execute(
                "select state, attempts from reading where study_instance_uid = %s", [study]
            ).fetchone()
    finally:
        os.kill(worker, signal.SIGCONT)
        host.close()
    assert state == ("due", 0)


def test_the_demo_tells_what_was_found_and_how_to_go_on(new_site: NewSite) -> None:
    site = new_site().start("--demo")
    eventually(lambda: "senogate down" in site.output)
    token, url = re.search(r"curl -H 'Authorization: (Bearer \S+)' '(\S+)'", site.output).groups()
    (study,) = httpx.get(url, headers={"Authorization": token}, trust_env=False).json()
    assert study["0020000D"]["Value"][0] in site.output
    assert re.search(r"density +BI-RADS [abcd] .*; research use only", site.output)
    assert f"{site.base_url}/\n" in site.output


@pytest.mark.parametrize("name", ["orthanc", "gateway"])
def test_what_receives_identities_leaves_no_core(site: LiveSite, name: str) -> None:
    limits = Path(f"/proc/{site.child(name)}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)


def test_a_home_may_have_a_space_in_its_name(beside: LiveSite) -> None:
    assert " " in str(beside.home)
    assert beside.run("status").returncode == 0


def test_a_cluster_whose_making_was_cut_short_is_made_again(new_home: Callable[[], Path]) -> None:
    home = new_home()
    home.mkdir()
    cluster = locate(home)
    part = cluster.data.with_name(f".{cluster.data.name}.part")
    part.mkdir()
    (part / "PG_VERSION").write_text("15\n")
    cluster.create()
    assert (cluster.data / "global" / "pg_control").exists()
    assert not part.exists()


def test_a_second_site_beside_it_shares_nothing(
    site: LiveSite, beside: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    exam = write(tmp_path, phantom_exam())
    studies = [each.send(exam)["studies"][0]["study_instance_uid"] for each in (site, beside)]
    assert studies[0] != studies[1]
    with httpx.Client(base_url=beside.dicomweb_url, trust_env=False) as client:
        foreign = client.get("/studies", headers={"Authorization": f"Bearer {site.token()}"})
    assert foreign.status_code == 401


def test_a_home_runs_one_site_at_a_time(site: LiveSite) -> None:
    again = site.run("up", check=False)
    assert again.returncode == 1
    assert "running already" in again.stderr


def test_a_taken_port_is_named(site: LiveSite, new_site: NewSite) -> None:
    other = new_site(SENOGATE_PORT=str(site.settings.port))
    refused = other.run("up", check=False)
    assert refused.returncode == 1
    assert "SENOGATE_PORT" in refused.stderr


def test_lost_keys_are_missed_and_never_made_anew(new_site: NewSite) -> None:
    site = new_site()
    prepare(site.settings)
    Path(site.settings.secrets, "site.key").unlink()
    refused = site.run("up", check=False)
    assert refused.returncode == 1
    assert "site.key" in refused.stderr
    assert not Path(site.settings.secrets, "site.key").exists()


def test_every_secret_is_its_owners_alone(site: LiveSite) -> None:
    files = {path.name: path for path in Path(site.settings.secrets).iterdir() if path.is_file()}
    assert {"site.key", "signing.pem", "audit.key", "models.key"} <= files.keys()
    assert not [name for name, path in files.items() if path.stat().st_mode & 0o077]


def test_the_parts_of_a_site_are_started_in_the_order_of_what_they_need(site: LiveSite) -> None:
    names = [program.name for program in programs(site.settings, locate(site.home))]
    assert names == ["postgresql", "orthanc", "gateway", "worker", "keeper"]


OWN_PROFILE = """
name = "device-study"
version = "1"
options = [
    "clean_pixel_data", "clean_recognizable_visual_features", "clean_graphics", "clean_structured_content",
    "clean_descriptors", "retain_longitudinal_modified_dates", "retain_patient_characteristics", "retain_uids",
]
accept-risk = "approved for a test"
"""


def test_a_site_that_retains_uids_receives_indexes_and_reads(
    new_site: NewSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    """PS3.15 E.3.9: what was sent is waited for, read and found under its own UIDs."""
    exam = phantom_exam()
    own = str(dcmread(DicomBytesIO(exam[0])).StudyInstanceUID)
    site = new_site(SENOGATE_PROFILE="ours.toml")
    site.home.mkdir()
    (site.home / "ours.toml").write_text(OWN_PROFILE)
    (study,) = site.start().send(write(tmp_path, exam))["studies"]
    assert (study["study_instance_uid"], study["reading"]["state"]) == (own, "done")
    with site.client() as client:
        assert len(client.get(f"/studies/{own}/instances").json()) == len(exam) + 1
    with site.orthanc() as orthanc:
        status = orthanc.get("/senogate/status", params={"nonce": "00" * 16}).json()
    assert status["profile"] == "Senogate device-study 1"
