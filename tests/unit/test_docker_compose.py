"""docker-compose.yml, against the compose specification and against the house: it can't be run without an engine."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from archive.settings import Settings
from senogate.alive import PARTS
from senogate.process import KEEPS_MEMORY
from senogate.site_secrets import prepare

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


def test_only_the_worker_a_hubs_superlink_and_the_one_shot_init_hold_private_keys(compose: dict) -> None:
    """The SuperLink's is that which signs models."""
    holders = {
        name
        for name, service in compose["services"].items()
        if any(volume.startswith("private:") for volume in service.get("volumes", []))
    }
    assert holders == {"init", "worker", "worker-gpu", "superlink"}


@pytest.mark.parametrize("name", ["gateway", "worker", "keeper"])
def test_what_opens_stored_files_has_them_and_cannot_write_them(compose: dict, name: str) -> None:
    assert "storage:/var/lib/orthanc/db:ro" in compose["services"][name]["volumes"]


def test_publishes_dicom_and_the_gateway_and_nothing_else(compose: dict) -> None:
    published = {
        name: service["ports"] for name, service in compose["services"].items() if "ports" in service
    }
    here = "${GATEWAY_ADDRESS:-127.0.0.1:8080}:8080"
    assert published == {"orthanc": ["4242:4242"], "gateway": [here]}


def test_nothing_gains_privileges(compose: dict) -> None:
    told = {name: service.get("security_opt") for name, service in compose["services"].items()}
    assert told == dict.fromkeys(told, ["no-new-privileges:true"])


def test_sets_only_settings_that_exist(compose: dict) -> None:
    named = {key for service in compose["services"].values() for key in service.get("environment", {})}
    ours = {
        key.removeprefix("SENOGATE_").removesuffix("_FILE") for key in named if key.startswith("SENOGATE_")
    }
    keys = {key.lower() for key in ours}
    assert keys <= set(Settings.__dataclass_fields__)


def test_secrets_are_files_of_compose_and_of_no_environment(compose: dict) -> None:
    for service in compose["services"].values():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key or "DATABASE_URL" in key:
                assert key.endswith("_FILE")
                assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_the_script_makes_the_secrets_once_in_a_folder_that_is_closed_to_others(
    compose: dict, tmp_path: Path
) -> None:
    script = tmp_path / "deploy" / "docker" / "secrets.sh"
    script.parent.mkdir(parents=True)
    script.write_bytes((ROOT / "deploy" / "docker" / "secrets.sh").read_bytes())
    first, second = (subprocess.run(["sh", script], check=False).returncode for _ in range(2))
    assert (first, second) == (0, 1)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert {Path(secret["file"]).name for secret in compose["secrets"].values()} == made.keys()
    assert (
        made["database.url"] == f"postgresql://senogate:{made['database.password']}@postgresql:5432/senogate"
    )


def test_every_service_says_whether_it_does_its_work(compose: dict) -> None:
    """But `init`, which ends once it is done."""
    checks = {name: service["healthcheck"] for name, service in compose["services"].items()}
    assert checks.pop("init") == {"disable": True}
    asked = {
        name: check["test"][2:] for name, check in checks.items() if check["test"][:2] == ["CMD", "senogate"]
    }
    assert asked.pop("gateway") == ["status"]
    assert asked == {name: ["alive", name.removesuffix("-gpu")] for name in asked}
    assert {name.removesuffix("-gpu") for name in asked} == PARTS.keys() - {"schema"}


def test_the_profile_gpu_is_a_worker_with_a_device(compose: dict) -> None:
    plain, gpu = compose["services"]["worker"], compose["services"]["worker-gpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert (gpu["profiles"], device["driver"], gpu["volumes"]) == (["gpu"], "nvidia", plain["volumes"])
    assert gpu["environment"] == plain["environment"] | {"SENOGATE_INFERENCE_DEVICE": "cuda"}


def test_init_writes_only_where_a_volume_is_mounted(tmp_path: Path) -> None:
    """Its root file system is read-only."""
    keys, private = tmp_path / "secrets", tmp_path / "private"
    prepare(Settings(home=tmp_path / "home", secrets=str(keys), crosswalk_key=str(private / "crosswalk.key")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["private", "secrets"]


def test_what_makes_answers_keeps_memory_for_the_next(compose: dict) -> None:
    for name in ("postgresql", "gateway"):
        environment = compose["services"][name]["environment"]
        assert {key: environment[key] for key in KEEPS_MEMORY} == KEEPS_MEMORY


def test_the_parts_of_a_federation_are_on_the_gateways_loopback_and_run_only_where_wanted(
    compose: dict,
) -> None:
    parts = {
        name: service
        for name, service in compose["services"].items()
        if service.get("network_mode") == "service:gateway"
    }
    profiles = {name: part["profiles"] for name, part in parts.items()}
    assert profiles == {
        **dict.fromkeys(("superlink", "conductor"), ["hub"]),
        **dict.fromkeys(("relay", "supernode", "trainer"), ["site"]),
    }
    assert all(part["command"] == [name] and "ports" not in part for name, part in parts.items())
