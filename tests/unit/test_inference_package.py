"""Model packages: what loads, and what is refused with which reason."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import nyu
from inference.density import CATEGORIES
from inference.errors import PackageError
from inference.network import build_classifier
from inference.package import MAX_PASSPORT_BYTES, Package, load, save

NETWORK = build_classifier([(np.eye(4, 8, dtype=np.float32), np.zeros(4, np.float32))], "test")
PASSPORT = nyu._passport(published=True)


def write(folder: Path, passport: dict[str, Any] = PASSPORT) -> Package:
    return save(folder, NETWORK, passport)


class TestWhole:
    def test_what_was_saved_loads(self, tmp_path: Path) -> None:
        package = write(tmp_path / "m")
        assert load(tmp_path / "m") == package

    def test_its_network_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        assert write(tmp_path / "m").read_network() == NETWORK

    def test_it_is_written_the_same_twice(self, tmp_path: Path) -> None:
        texts = [(write(tmp_path / name).folder / "passport.toml").read_bytes() for name in ("one", "other")]
        assert texts[0] == texts[1]

    def test_the_passport_tells_the_classes_in_order(self, tmp_path: Path) -> None:
        classes = write(tmp_path / "m").passport.outputs.classes
        assert {one.label: one.code for one in classes} == CATEGORIES

    def test_text_of_any_kind_survives(self, tmp_path: Path) -> None:
        title = 'A "quoted" \\ title\twith ümläuts 🩻'
        identity = PASSPORT["identity"] | {"title": title}
        assert write(tmp_path / "m", PASSPORT | {"identity": identity}).passport.identity.title == title

    def test_saving_the_same_again_leaves_it_alone(self, tmp_path: Path) -> None:
        package = write(tmp_path / "m")
        before = (package.folder / "model.onnx").stat()
        after = (write(tmp_path / "m").folder / "model.onnx").stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    def test_saving_another_replaces_it(self, tmp_path: Path) -> None:
        write(tmp_path / "m")
        identity = PASSPORT["identity"] | {"version": "2.0.0"}
        assert write(tmp_path / "m", PASSPORT | {"identity": identity}).model.version == "2.0.0"

    def test_nothing_but_the_package_is_left(self, tmp_path: Path) -> None:
        write(tmp_path / "m")
        assert [path.name for path in tmp_path.iterdir()] == ["m"]


class TestDamaged:
    def test_a_changed_network_does_not_load(self, tmp_path: Path) -> None:
        write(tmp_path / "m")
        (tmp_path / "m" / "model.onnx").write_bytes(NETWORK + b"\0")
        with pytest.raises(PackageError, match="sha256 differs"):
            load(tmp_path / "m")

    def test_a_network_changed_after_loading_is_not_run(self, tmp_path: Path) -> None:
        package = write(tmp_path / "m")
        (tmp_path / "m" / "model.onnx").write_bytes(b"")
        with pytest.raises(PackageError, match="sha256 differs"):
            package.read_network()

    @pytest.mark.parametrize("name", ["model.onnx", "passport.toml"])
    def test_a_missing_file_is_named(self, tmp_path: Path, name: str) -> None:
        write(tmp_path / "m")
        (tmp_path / "m" / name).unlink()
        with pytest.raises(PackageError, match=name):
            load(tmp_path / "m")

    @pytest.mark.parametrize("name", ["model.onnx", "passport.toml"])
    def test_a_link_to_a_file_is_not_followed(self, tmp_path: Path, name: str) -> None:
        file = write(tmp_path / "m").folder / name
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(PackageError, match=name):
            load(tmp_path / "m")

    @pytest.mark.parametrize("name", ["model.onnx", "passport.toml"])
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path, name: str) -> None:
        file = write(tmp_path / "m").folder / name
        file.unlink()
        os.mkfifo(file)
        with pytest.raises(PackageError, match="no regular file"):
            load(tmp_path / "m")

    def test_a_passport_that_is_too_large_is_not_read(self, tmp_path: Path) -> None:
        file = write(tmp_path / "m").folder / "passport.toml"
        file.write_bytes(file.read_bytes() + b"#" * MAX_PASSPORT_BYTES)
        with pytest.raises(PackageError, match="larger than"):
            load(tmp_path / "m")
