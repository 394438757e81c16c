"""Prepared exams on disk: found by all that they were made from, bounded, the owner's alone, gone with their study."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from archive import prepared
from archive.errors import ConfigurationError, Unavailable
from archive.settings import Settings
from federation.examples.inputs import IN_USE, Inputs
from federation.training.task import Example, Label, Mark

LABEL = Label("csv", "b", (Mark(("L", "CC"), "mass", (1.0, 2.0, 3.0, 4.5)),), 0.25)
STUDY = "2.25.1"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def example(size: int = 3) -> Example:
    values = {"views": np.arange(2 * size, dtype=np.float32).reshape(2, size), "mask": np.ones(1, np.float32)}
    return Example("", "", values, LABEL, "Maker", 61)


def test_what_is_kept_is_found_as_it_was(settings: Settings) -> None:
    Inputs(settings).keep(STUDY, "density", "aa", example())
    entry = Inputs(settings).find(STUDY, "density", "aa")
    assert entry and not entry.why
    found = entry.example(STUDY, "SGX")
    assert (found.label, found.manufacturer, found.age, found.patient_id) == (LABEL, "Maker", 61, "SGX")
    assert {name: values.tolist() for name, values in found.inputs.items()} == {
        "views": [[0, 1, 2], [3, 4, 5]], "mask": [1],
    }  # fmt: skip


def test_an_exam_without_lesions_has_empty_arrays(settings: Settings) -> None:
    inputs = {"L CC": np.ones((2, 2), np.float32), "L CC marks": np.zeros((0, 5), np.float32)}
    entry = Inputs(settings).keep(STUDY, "lesions", "aa", Example("", "", inputs, Label("csv")))
    found = entry.example(STUDY, "").inputs
    assert found["L CC marks"].shape == (0, 5) and found["L CC"].tolist() == [[1, 1], [1, 1]]


def test_why_there_is_none_is_kept_too(settings: Settings) -> None:
    Inputs(settings).keep(STUDY, "density", "aa", None, "no label")
    entry = Inputs(settings).find(STUDY, "density", "aa")
    assert entry and entry.why == "no label"


def test_what_was_made_from_something_else_is_not_found_and_its_place_is_taken(settings: Settings) -> None:
    inputs = Inputs(settings)
    inputs.keep(STUDY, "density", "aa", example())
    inputs.keep(STUDY, "lesions", "aa", example())
    assert inputs.find(STUDY, "density", "bb") is None
    inputs.keep(STUDY, "density", "bb", example())
    assert sorted(path.name for path in prepared.held(settings)) == ["2.25.1_density_bb", "2.25.1_lesions_aa"]


def test_only_the_owner_reads_it(settings: Settings) -> None:
    path = Inputs(settings).keep(STUDY, "density", "aa", example()).path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: content[:-1], lambda content: b"[]\n", lambda content: b"x" * 99],
)
def test_a_damaged_file_is_as_none(settings: Settings, damage: Callable[[bytes], bytes]) -> None:
    path = Inputs(settings).keep(STUDY, "density", "aa", example()).path
    path.write_bytes(damage(path.read_bytes()))
    assert Inputs(settings).find(STUDY, "density", "aa") is None


def test_a_study_goes_with_all_that_is_prepared_of_it(settings: Settings) -> None:
    inputs = Inputs(settings)
    entry = inputs.keep(STUDY, "density", "aa", example())
    for study, task in ((STUDY, "lesions"), ("2.25.11", "density")):
        inputs.keep(study, task, "aa", example())
    assert prepared.forget(settings, [STUDY]) == 2
    assert [path.name for path in prepared.held(settings)] == ["2.25.11_density_aa"]
    with pytest.raises(Unavailable):
        entry.example(STUDY, "")


def test_what_is_not_in_use_makes_room(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = Inputs(settings)
    sizes = [
        inputs.keep(f"2.25.{number}", "density", "aa", example()).path.stat().st_size for number in (1, 2)
    ]
    monkeypatch.setattr(inputs, "_room", sum(sizes))
    with pytest.raises(ConfigurationError, match="federation_inputs"):
        inputs.keep("2.25.3", "density", "aa", example())
    old = prepared.folder(settings) / "2.25.2_density_aa"
    os.utime(old, (0, old.stat().st_mtime - 2 * IN_USE))
    inputs.keep("2.25.3", "density", "aa", example())
    assert {prepared.study_of(path.name) for path in prepared.held(settings)} == {"2.25.1", "2.25.3"}
