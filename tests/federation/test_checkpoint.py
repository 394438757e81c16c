"""A run on disk: whole and true, or not there."""

import os
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.hub import checkpoint
from federation.hub.aggregate import Optimiser
from federation.hub.checkpoint import Checkpoint, latest, read, write

MANIFEST = "ab" * 32


def state(number: int) -> Checkpoint:
    return Checkpoint(
        run="R0123456789abcdef",
        manifest=MANIFEST,
        round=number,
        weights=np.arange(5, dtype=np.float32) + number,
        optimiser=Optimiser(np.arange(5.0), np.arange(5.0) / 3),
        best=np.ones(5, np.float32),
        best_round=number - 1,
        best_figure=0.1,
        figures={"train_loss": 0.5},
        sites={"a": {"train_loss": 0.25}, "b": {"absent": "norm"}},
    )


def same(one: Checkpoint | None, other: Checkpoint) -> bool:
    assert one is not None
    plain = [each.name for each in fields(Checkpoint) if each.name not in ("weights", "optimiser", "best")]
    arrays = [(one.weights, other.weights), (one.best, other.best)]
    arrays += [
        (one.optimiser.momentum, other.optimiser.momentum),
        (one.optimiser.velocity, other.optimiser.velocity),
    ]
    return all(getattr(one, name) == getattr(other, name) for name in plain) and all(
        a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in arrays
    )


def test_what_is_read_is_what_was_written_to_the_last_bit(tmp_path: Path) -> None:
    write(tmp_path, state(3))
    assert same(latest(tmp_path, MANIFEST), state(3))


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for number in range(1, 5):
        write(tmp_path, state(number))
    assert sorted(os.listdir(tmp_path)) == ["round-3.npz", "round-4.npz"]


def test_without_any_there_is_none(tmp_path: Path) -> None:
    assert latest(tmp_path / "nowhere", MANIFEST) is None


def test_one_of_another_manifest_is_none(tmp_path: Path) -> None:
    write(tmp_path, state(1))
    assert latest(tmp_path, "cd" * 32) is None


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_one_gives_way_to_the_one_before(tmp_path: Path, data) -> None:
    write(tmp_path, state(1))
    path = write(tmp_path, state(2))
    content = bytearray(path.read_bytes())
    where = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:where]
    else:
        content[where] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    found = latest(tmp_path, MANIFEST)
    assert same(found, state(1)) or same(found, state(2))  # a byte that says nothing may be any


def test_one_that_damage_makes_an_encrypted_archive_is_none(tmp_path: Path) -> None:
    path = write(tmp_path, state(1))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1  # APPNOTE.TXT 4.4.4
    path.write_bytes(content)
    assert read(path) is None


def test_changed_weights_with_the_archive_made_anew_are_noticed(tmp_path: Path) -> None:
    path = write(tmp_path, state(1))
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["weights"][0] += 1
    np.savez(path, **arrays)
    assert read(path) is None


def test_a_process_that_ends_before_the_file_has_its_name_leaves_the_one_before(
    tmp_path: Path, monkeypatch
) -> None:
    write(tmp_path, state(1))
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, state(2))
    assert same(latest(tmp_path, MANIFEST), state(1))


def test_a_file_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(checkpoint.os, "fsync", lambda each: (done.append("sync"), sync(each))[1])
    monkeypatch.setattr(Path, "replace", lambda one, other: (done.append("name"), replace(one, other))[1])
    write(tmp_path, state(1))
    assert done == ["sync", "name", "sync"]
