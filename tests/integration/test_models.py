"""`senogate model`: packages of others come into a site, read, and leave on record."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.package import save
from tests.live import LiveSite
from tests.unit.test_inference_package import NETWORK, PASSPORT


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package for what nothing else reads here: risk, of magnetic resonance."""
    identity = PASSPORT["identity"] | {"name": "visitor", "task": "risk"}
    inputs = PASSPORT["inputs"] | {"modality": "MR", "presentation_intent": "", "views": []}
    folder = tmp_path_factory.mktemp("maker") / "visitor"
    return save(folder, NETWORK, PASSPORT | {"identity": identity, "inputs": inputs}).folder


@pytest.fixture(scope="module")
def added(site: LiveSite, package: Path) -> Iterator[None]:
    """It was refused unsigned and while its key was not trusted, and is in the site and enabled."""
    key, file = package.with_name("key"), str(package)
    assert refusal(site, "add", file) == "not signed"
    site.run("model", "key", str(key))
    site.run("model", "sign", file, "--key", str(key))
    assert refusal(site, "add", file) == "not trusted"
    site.run("model", "trust", f"{key}.pub")
    site.run("model", "add", file)
    site.run("model", "enable", "visitor")
    yield
    site.run("model", "disable", "visitor")


def refusal(site: LiveSite, *command: str) -> str:
    done = site.run("model", *command, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    return next((reason for reason in ("not signed", "not trusted") if reason in done.stderr), "")


def changes(site: LiveSite) -> list[str]:
    lines = site.run("audit", "list", "--event", "model.changed", "--json").stdout.splitlines()
    return [json.loads(line)["detail"]["change"] for line in lines]


@pytest.mark.usefixtures("added")
class TestVisitor:
    def test_it_is_listed_as_what_reads_its_task(self, site: LiveSite) -> None:
        rows = json.loads(site.run("model", "list", "--json").stdout)
        (row,) = [row for row in rows if row["name"] == "visitor"]
        assert (row["task"], row["modality"], row["active"], row["problem"]) == ("risk", "MR", True, "")

    def test_every_change_is_on_record(self, site: LiveSite) -> None:
        assert {"key trusted", "added", "enabled"} <= set(changes(site))

    def test_changed_on_disk_it_is_told_and_exit_status_is_1(self, site: LiveSite) -> None:
        passport = site.home / "models" / "risk" / "visitor-1.0.0" / "passport.toml"
        text = passport.read_text()
        passport.write_text(text.replace("research_use_only = true", "research_use_only = false"))
        done = site.run("model", "verify", "visitor", check=False)
        passport.write_text(text)
        assert (done.returncode, "changed after it was signed" in done.stdout) == (1, True)

    def test_its_passport_is_shown(self, site: LiveSite) -> None:
        shown = json.loads(site.run("model", "show", "visitor", "--json").stdout)
        assert shown["passport"]["identity"]["name"] == "visitor"


def test_the_time_of_a_reading_and_what_it_ran_on_are_told(site: LiveSite) -> None:
    command = ("model", "bench", "phantom-trained-density", "--rounds", "2", "--json")
    told = json.loads(site.run(*command).stdout)
    assert told["median_ms"] > 0
    assert "CPUExecutionProvider" in told["providers"]
