"""deploy/systemd: each part as a user of its own, with the keys that docker-compose.yml gives it, hardened."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from senogate.process import KEEPS_MEMORY
from senogate.services import app

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "deploy" / "systemd"
DROP_IN = UNITS / "senogate-.service.d" / "10-senogate.conf"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
PARTS = [name for name in SERVICES if name != "senogate-init.service"]
EXPOSURE = 2.0  # of `systemd-analyze security`, where 0 is best and an unhardened service has 9.6

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")


def values(unit: str, key: str) -> list[str]:
    """What a unit and the drop-in of all say of a key, in the order in which systemd reads it."""
    text = (UNITS / unit).read_text() + DROP_IN.read_text()
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def part_of(unit: str) -> str:
    return unit.removeprefix("senogate-").removesuffix(".service").removesuffix("@")


def instance(unit: str) -> str:
    return unit.replace("@.", "@1.")


def analyze(*arguments: str, folder: Path = UNITS) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "SYSTEMD_UNIT_PATH": f"{folder}:/lib/systemd/system",
        "SYSTEMD_LOG_LEVEL": "warning",
    }
    return subprocess.run(
        ["systemd-analyze", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units with a program that is there, so that nothing but the units is judged."""
    folder = tmp_path_factory.mktemp("units")
    shutil.copytree(UNITS, folder, dirs_exist_ok=True)
    for unit in SERVICES:
        text = (folder / unit).read_text().replace("/opt/senogate/current/.venv/bin/senogate", "/bin/true")
        (folder / unit).write_text(text)
        if "@" in unit:
            (folder / instance(unit)).write_text(text.replace("%i", "1"))
    return folder


@needs_systemd
def test_systemd_has_nothing_to_say_against_the_units(installed: Path) -> None:
    names = [f"./{instance(name)}" for name in SERVICES] + [
        f"./{path.name}" for path in UNITS.glob("*.target")
    ]
    done = analyze("verify", "--man=no", *names, folder=installed)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "senogate" in line]) == (0, [])


@needs_systemd
@pytest.mark.parametrize("unit", SERVICES)
def test_a_part_is_hardened(installed: Path, unit: str) -> None:
    """Runs where the running systemd is another one, too: the units alone are looked at."""
    done = analyze("security", "--offline=yes", "--no-pager", f"./{instance(unit)}", folder=installed)
    told = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert told, done.stdout + done.stderr
    assert float(told[1]) <= (3.0 if unit == "senogate-init.service" else EXPOSURE)


@pytest.mark.parametrize("unit", PARTS)
def test_a_part_is_run_by_an_unprivileged_user_that_sysusers_makes(unit: str) -> None:
    users = re.findall(r"^u (\S+)", (UNITS / "sysusers.conf").read_text(), re.MULTILINE)
    (user,) = values(unit, "User")
    assert user in users
    assert set(values(unit, "CapabilityBoundingSet")) <= {"", "CAP_NET_BIND_SERVICE"}


def test_each_part_of_a_site_has_a_user_that_no_other_has() -> None:
    """The parts of a federation share one, as they share a folder and the loopback."""
    own = [values(unit, "User")[0] for unit in PARTS]
    assert sorted(set(own)) == sorted(
        f"senogate-{part}" for part in ("orthanc", "gateway", "worker", "keeper", "federation")
    )


@pytest.mark.parametrize("key", ["secrets", "private", "storage", "spool", "models"])
def test_a_part_is_in_the_group_of_what_docker_compose_gives_it(key: str) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    given = {
        part_of(unit)
        for unit in PARTS
        if any(volume.startswith(f"{key}:") for volume in services[part_of(unit)].get("volumes", []))
    }
    groups = {
        part_of(unit) for unit in PARTS if f"senogate-{key}" in " ".join(values(unit, "SupplementaryGroups"))
    }
    assert groups == given


@pytest.mark.parametrize("unit", PARTS)
def test_a_part_may_write_what_docker_compose_lets_it_write(unit: str) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    volumes = [volume.split(":") for volume in services[part_of(unit)].get("volumes", []) if volume[0] != "."]
    written = {name for name, *rest in volumes if rest[-1] != "ro"}
    allowed = {Path(path).name for line in values(unit, "ReadWritePaths") for path in line.split()}
    assert {"orthanc" if name == "storage" else name for name in written} == allowed


@pytest.mark.parametrize("unit", SERVICES)
def test_a_part_is_a_command(unit: str) -> None:
    (command,) = values(unit, "ExecStart")
    assert command.split()[-1] in {
        each.callback.__name__ for each in app.registered_commands if each.callback
    }


def test_what_makes_answers_keeps_memory_for_the_next() -> None:
    told = dict(pair.split("=") for pair in values("senogate-gateway@.service", "Environment")[0].split())
    assert told == KEEPS_MEMORY


def test_the_drop_in_takes_back_nothing_that_a_unit_says() -> None:
    """It is read after the unit: what it says of a list's key would reset or widen the list."""
    said = set(re.findall(r"^(\w+)=", DROP_IN.read_text(), re.MULTILINE))
    for unit in SERVICES:
        own = set(re.findall(r"^(\w+)=", (UNITS / unit).read_text(), re.MULTILINE))
        assert own & said <= {"Environment", "SupplementaryGroups"}
