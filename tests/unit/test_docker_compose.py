"""docker-compose.yml, against the compose specification and against the house: it can't be run without an engine."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from archive.settings import Settings
from senogate.process import KEEPS_MEMORY
from senogate.site import prepare

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))


def test_is_valid_against_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, str(ROOT / "docker-compose.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_only_the_worker_and_the_one_shot_init_hold_the_private_key(compose: dict) -> None:
    holders = {
        name
        for name, service in compose["services"].items()
        if any(volume.startswith("private:") for volume in service.get("volumes", []))
    }
    assert holders == {"init", "worker"}


def test_publishes_dicom_and_the_gateway_and_nothing_else(compose: dict) -> None:
    published = {
        name: service["ports"] for name, service in compose["services"].items() if "ports" in service
    }
    assert published == {"orthanc": ["4242:4242"], "gateway": ["8080:8080"]}


def test_sets_only_settings_that_exist(compose: dict) -> None:
    named = {key for service in compose["services"].values() for key in service.get("environment", {})}
    keys = {key.removeprefix("SENOGATE_").lower() for key in named if key.startswith("SENOGATE_")}
    assert keys <= set(Settings.__dataclass_fields__)


def test_no_secret_stands_in_the_file(compose: dict) -> None:
    for service in compose["services"].values():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key or "DATABASE_URL" in key:
                assert "${" in value


def test_init_writes_only_where_a_volume_is_mounted(tmp_path: Path) -> None:
    """Its root file system is read-only."""
    keys, private = tmp_path / "secrets", tmp_path / "private"
    prepare(Settings(home=tmp_path / "home", secrets=str(keys), crosswalk_key=str(private / "crosswalk.key")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["private", "secrets"]


def test_what_makes_answers_keeps_memory_for_the_next(compose: dict) -> None:
    for name in ("postgresql", "gateway"):
        environment = compose["services"][name]["environment"]
        assert {key: environment[key] for key in KEEPS_MEMORY} == KEEPS_MEMORY
