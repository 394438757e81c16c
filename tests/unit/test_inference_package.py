"""Model packages: what loads, and what is refused with which reason."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from inference import installed, nyu
from inference.density import CATEGORIES
from inference.errors import PackageError
from inference.network import build_classifier
from inference.package import MAX_PASSPORT_BYTES, Package, load, read, save, sign_package
from inference.signature import identify

NETWORK = build_classifier([(np.eye(4, 8, dtype=np.float32), np.zeros(4, np.float32))], "test")
PASSPORT = nyu._passport(published=True)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
TRUSTED = {identify(KEY.public_key()): KEY.public_key()}


def write(folder: Path, passport: dict[str, Any] = PASSPORT) -> Package:
    return save(folder, NETWORK, passport, KEY)


class TestRecord:
    """The third file: how sites trained the model together."""

    RECORD = b'{"entry":{},"signature":""}\n'

    @pytest.fixture
    def package(self, tmp_path: Path) -> Package:
        return save(tmp_path / "m", NETWORK, PASSPORT, KEY, self.RECORD)

    def test_is_read_as_it_was_written(self, package: Package) -> None:
        assert load(package.folder, TRUSTED).read_record() == self.RECORD

    def test_is_named_by_the_passport_beside_what_that_named(self, package: Package) -> None:
        named = package.passport.training.provenance
        assert named == PASSPORT["training"].get("provenance", {}) | {"record_sha256": package.record_sha256}

    @pytest.mark.parametrize("record", [RECORD[:-1], RECORD + b"\n", b""])
    def test_that_was_changed_does_not_load(self, package: Package, record: bytes) -> None:
        (package.folder / "provenance.jsonl").write_bytes(record)
        with pytest.raises(PackageError, match="not the record"):
            load(package.folder, TRUSTED)

    def test_that_is_missing_does_not_load(self, package: Package) -> None:
        (package.folder / "provenance.jsonl").unlink()
        with pytest.raises(PackageError, match="can't be read"):
            load(package.folder, TRUSTED)

    def test_is_covered_by_the_signature(self, package: Package) -> None:
        passport = package.folder / "passport.toml"
        passport.write_text(passport.read_text().replace(package.record_sha256, "0" * 64))
        with pytest.raises(PackageError, match="changed after it was signed"):
            load(package.folder, TRUSTED)

    def test_a_package_without_loads_whatever_lies_beside_it(self, tmp_path: Path) -> None:
        package = write(tmp_path / "m")
        (package.folder / "provenance.jsonl").write_bytes(self.RECORD)
        assert load(package.folder, TRUSTED).read_record() is None


class TestWhole:
    def test_what_was_saved_loads(self, tmp_path: Path) -> None:
        package = write(tmp_path / "m")
        assert load(tmp_path / "m", TRUSTED) == package

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

    def test_a_method_stands_in_place_of_a_network(self, tmp_path: Path) -> None:
        outputs = {"kind": "criteria"}
        inputs = {name: value for name, value in PASSPORT["inputs"].items() if name != "preprocessing"}
        method = {"name": "measured", "version": "1"}
        package = save(
            tmp_path / "m", None, PASSPORT | {"inputs": inputs, "outputs": outputs, "method": method}, KEY
        )
        assert load(tmp_path / "m", TRUSTED) == package
        assert len(package.model.sha256) == 64


class TestSigned:
    """RFC 8032; the signature is over the passport, and the passport names the network's hash."""

    def test_what_is_not_signed_does_not_load(self, tmp_path: Path) -> None:
        save(tmp_path / "m", NETWORK, PASSPORT)
        with pytest.raises(PackageError, match="not signed"):
            load(tmp_path / "m", TRUSTED)

    def test_what_a_stranger_signed_does_not_load(self, tmp_path: Path) -> None:
        save(tmp_path / "m", NETWORK, PASSPORT, Ed25519PrivateKey.generate())
        with pytest.raises(PackageError, match="not trusted"):
            load(tmp_path / "m", TRUSTED)

    def test_a_strangers_signature_in_a_trusted_keys_name_does_not_load(self, tmp_path: Path) -> None:
        file = write(tmp_path / "m").folder / "passport.toml"
        stranger = save(tmp_path / "s", NETWORK, PASSPORT, Ed25519PrivateKey.generate()).passport.signature
        own = read(tmp_path / "m").passport.signature
        assert own and stranger
        file.write_text(file.read_text().replace(own.value, stranger.value))
        with pytest.raises(PackageError, match="changed after it was signed"):
            load(tmp_path / "m", TRUSTED)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ('implants = "refuse"', 'implants = "accept"'),
            ("research_use_only = true", "research_use_only = false"),
            ('version = "1.0.0"', 'version = "1.0.1"'),
            ("bins = 50", "bins = 50.0"),
            ("bins = 50", "bins = 50\nmore = true"),
        ],
    )
    def test_a_changed_passport_does_not_load(self, tmp_path: Path, before: str, after: str) -> None:
        file = write(tmp_path / "m").folder / "passport.toml"
        assert before in file.read_text()
        file.write_text(file.read_text().replace(before, after))
        with pytest.raises(PackageError, match="changed after it was signed"):
            load(tmp_path / "m", TRUSTED)

    def test_a_network_and_its_hash_changed_together_do_not_load(self, tmp_path: Path) -> None:
        ours = write(tmp_path / "m")
        other = save(tmp_path / "o", NETWORK + b"\x00", PASSPORT)
        text = (ours.folder / "passport.toml").read_text()
        swapped = text.replace(ours.passport.network_sha256, other.passport.network_sha256)
        (ours.folder / "passport.toml").write_text(swapped)
        (other.folder / "model.onnx").replace(ours.folder / "model.onnx")
        with pytest.raises(PackageError, match="changed after it was signed"):
            load(ours.folder, TRUSTED)

    def test_another_spelling_of_the_same_passport_loads(self, tmp_path: Path) -> None:
        file = write(tmp_path / "m").folder / "passport.toml"
        file.write_text("# a comment\n" + file.read_text().replace("bins = 50", "bins = 0x32"))
        assert load(tmp_path / "m", TRUSTED).model.name == "nyu-density"

    def test_signing_leaves_the_rest_of_the_text_alone(self, tmp_path: Path) -> None:
        file = save(tmp_path / "m", NETWORK, PASSPORT).folder / "passport.toml"
        before = "# a comment\n" + file.read_text()
        file.write_text(before)
        sign_package(tmp_path / "m", KEY)
        assert file.read_text().startswith(before)
        assert load(tmp_path / "m", TRUSTED)

    def test_signing_again_replaces_the_signature(self, tmp_path: Path) -> None:
        write(tmp_path / "m")
        other = Ed25519PrivateKey.generate()
        sign_package(tmp_path / "m", other)
        assert load(tmp_path / "m", {identify(other.public_key()): other.public_key()})

    def test_a_package_that_is_not_whole_is_not_signed(self, tmp_path: Path) -> None:
        (save(tmp_path / "m", NETWORK, PASSPORT).folder / "model.onnx").write_bytes(b"")
        with pytest.raises(PackageError, match="sha256 differs"):
            sign_package(tmp_path / "m", KEY)

    @pytest.mark.parametrize("value", ["2026-11-23", "nan", "[1, inf]"])
    def test_values_without_one_form_are_refused(self, tmp_path: Path, value: str) -> None:
        file = save(tmp_path / "m", NETWORK, PASSPORT).folder / "passport.toml"
        file.write_text(f"when = {value}\n{file.read_text()}")
        with pytest.raises(PackageError):
            sign_package(tmp_path / "m", KEY)

    def test_the_built_in_packages_are_signed_by_the_shipped_key(self) -> None:
        folders = [path.parent for path in installed.BUILT_IN.glob("*/passport.toml")]
        assert folders and all(load(folder) for folder in folders)


class TestDamaged:
    def test_a_changed_network_does_not_load(self, tmp_path: Path) -> None:
        write(tmp_path / "m")
        (tmp_path / "m" / "model.onnx").write_bytes(NETWORK + b"\0")
        with pytest.raises(PackageError, match="sha256 differs"):
            load(tmp_path / "m", TRUSTED)

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
            load(tmp_path / "m", TRUSTED)

    @pytest.mark.parametrize("name", ["model.onnx", "passport.toml"])
    def test_a_link_to_a_file_is_not_followed(self, tmp_path: Path, name: str) -> None:
        file = write(tmp_path / "m").folder / name
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(PackageError, match=name):
            load(tmp_path / "m", TRUSTED)

    @pytest.mark.parametrize("name", ["model.onnx", "passport.toml"])
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path, name: str) -> None:
        file = write(tmp_path / "m").folder / name
        file.unlink()
        os.mkfifo(file)
        with pytest.raises(PackageError, match="no regular file"):
            load(tmp_path / "m", TRUSTED)

    def test_a_passport_that_is_too_large_is_not_read(self, tmp_path: Path) -> None:
        file = write(tmp_path / "m").folder / "passport.toml"
        file.write_bytes(file.read_bytes() + b"#" * MAX_PASSPORT_BYTES)
        with pytest.raises(PackageError, match="larger than"):
            load(tmp_path / "m", TRUSTED)
