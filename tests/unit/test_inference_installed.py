"""Which packages a site has, and which one reads a task."""

from pathlib import Path

from archive.findings import Task
from inference import installed, nyu
from inference.package import Package, save
from tests.unit.test_inference_package import NETWORK, PASSPORT


def add(home: Path, version: str) -> Package:
    passport = PASSPORT | {"identity": PASSPORT["identity"] | {"version": version}}
    return save(installed.place(home, Task.DENSITY, "nyu-density", version), NETWORK, passport)


def test_a_new_site_has_the_phantom_trained_model(tmp_path: Path) -> None:
    assert installed.active(tmp_path, Task.DENSITY).model.name == "phantom-trained-density"


def test_the_chosen_package_reads(tmp_path: Path) -> None:
    installed.activate(tmp_path, add(tmp_path, "1.0.0"))
    assert installed.active(tmp_path, Task.DENSITY).model.name == nyu._passport(True)["identity"]["name"]


def test_another_choice_takes_its_place(tmp_path: Path) -> None:
    for version in ("1.0.0", "2.0.0"):
        installed.activate(tmp_path, add(tmp_path, version))
    assert installed.active(tmp_path, Task.DENSITY).model.version == "2.0.0"


def test_every_package_is_listed_the_built_in_one_first(tmp_path: Path) -> None:
    installed.activate(tmp_path, add(tmp_path, "1.0.0"))
    names = [package.model.name for package in installed.packages(tmp_path, Task.DENSITY)]
    assert names == ["phantom-trained-density", "nyu-density"]


def test_what_a_killed_import_left_is_not_a_package(tmp_path: Path) -> None:
    (installed.folder(tmp_path, Task.DENSITY) / ".nyu-density-1.0.0.x7").mkdir(parents=True)
    assert len(installed.packages(tmp_path, Task.DENSITY)) == 1
