"""An Orthanc of the field: an index in PostgreSQL works; what was not tested, or breaks a promise, does not start."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from archive.errors import ConfigurationError
from archive.settings import Settings, load
from orthanc_plugin import fitness
from senogate import orthanc
from senogate.cluster import complete, locate
from senogate.site_secrets import prepare
from tests.integration.conftest import is_answering
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually, find_free_ports

INDEX = "usr/share/orthanc/plugins/libOrthancPostgreSQLIndex.so"


@pytest.fixture
def unprepared(new_home: Callable[[], Path]) -> Settings:
    """The settings of a site that has its keys, and nothing else yet."""
    names = ("SENOGATE_PORT", "SENOGATE_DICOM_PORT", "SENOGATE_ORTHANC_PORT")
    ports = dict(zip(names, map(str, find_free_ports(3)), strict=True))
    settings = load({**os.environ, "SENOGATE_HOME": str(new_home()), **ports})
    prepare(settings)
    return settings


def begin(settings: Settings, more: dict[str, Any], path: str = "") -> tuple[int, str]:
    """Start Orthanc with keys laid over the site's configuration: how it ends, and what it says."""
    program = orthanc.program_of(settings)
    (settings.home / "orthanc").mkdir()
    configuration = orthanc.configuration_of(settings) | more
    Path(program.command[-1]).write_text(json.dumps(configuration))
    environment = settings.environment | dict(program.environment)
    environment["PYTHONPATH"] = f"{path}:{environment['PYTHONPATH']}"
    done = subprocess.run(program.command, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("key", ["OverwriteInstances", "DicomAlwaysAllowFind"])
def test_an_orthanc_whose_configuration_breaks_a_promise_does_not_start(
    unprepared: Settings, key: str
) -> None:
    status, said = begin(unprepared, {key: True})
    assert status != 0
    assert f"Senogate refuses this Orthanc: {key} must be false" in said


def test_an_orthanc_that_was_not_tested_does_not_start(unprepared: Settings, tmp_path: Path) -> None:
    """Whoever starts it: the plugin itself refuses."""
    (tmp_path / "sitecustomize.py").write_text("import orthanc_plugin.fitness as f; f.TESTED = ('9.9.9',)")
    status, said = begin(unprepared, {}, str(tmp_path))
    assert status != 0
    assert "was not tested: take 9.9.9" in said


def test_a_site_does_not_start_with_an_orthanc_that_was_not_tested(
    unprepared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitness, "TESTED", ("9.9.9",))
    program = orthanc.program_of(unprepared)
    with pytest.raises(ConfigurationError, match="was not tested: take 9.9.9"):
        orthanc.check_version(program, load({"SENOGATE_HOME": str(unprepared.home)}))


def test_options_that_are_none_are_refused_by_name(new_home: Callable[[], Path]) -> None:
    home = new_home()
    home.mkdir()
    (home / "mine.json").write_text("[]")
    with pytest.raises(ConfigurationError, match="orthanc_options"):
        orthanc.options(load({"SENOGATE_HOME": str(home), "SENOGATE_ORTHANC_OPTIONS": "mine.json"}))


@pytest.fixture
def indexed(site: LiveSite, new_home: Callable[[], Path]) -> Iterator[LiveSite]:
    """A site whose Orthanc has its index in PostgreSQL: in another database of the cluster of `site`."""
    library = orthanc.prefix_of(site.settings) / INDEX
    if not library.exists():
        pytest.skip("Debian's orthanc-postgresql is not installed")
    home = new_home()
    home.mkdir()
    with site.database() as database:
        database.execute("create database orthanc_index")
    folder = locate(site.home).socket_folder
    uri = f"postgresql://senogate@/orthanc_index?host={folder}"
    chosen = {"EnableIndex": True, "EnableStorage": False, "ConnectionUri": uri, "Lock": True}
    options = {"Plugins": [str(library)], "PostgreSQL": chosen}
    (home / "mine.json").write_text(json.dumps(options))
    live = LiveSite(home, find_free_ports(3), {"SENOGATE_ORTHANC_OPTIONS": "mine.json"}).start()
    yield live
    assert live.stop() == 0


def test_a_site_whose_orthanc_has_its_index_in_postgresql_loses_nothing(
    indexed: LiveSite, site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    """Also where Orthanc is killed between two exams."""
    exams = [write(tmp_path / name, phantom_exam()) for name in ("one", "two")]
    (first,) = indexed.send(exams[0])["studies"]
    os.kill(indexed.child("orthanc"), signal.SIGKILL)
    eventually(lambda: not indexed.send(exams[1], wait=False)["refused"])
    with httpx.Client(base_url=indexed.base_url, trust_env=False) as anybody:
        eventually(lambda: is_answering(anybody, "/health/ready"))
    states = [study["reading"]["state"] for study in indexed.send(*exams)["studies"]]
    with indexed.orthanc() as asked:
        assert asked.get("/system").json()["DatabaseBackendPlugin"]
    assert (first["reading"]["state"], states, indexed.stored_instances()) == ("done", ["done"] * 2, 10)
    with closing(psycopg.connect(complete(site.settings).database_url, dbname="orthanc_index")) as index:
        assert index.execute("select count(*) from resources where resourcetype = 3").fetchone() == (10,)
