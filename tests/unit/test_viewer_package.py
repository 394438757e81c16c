"""OHIF's archive: checked before anything of it is unpacked, trimmed, and told where it is served."""

import base64
import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from gateway import npm
from gateway.npm import Package, PackageError
from gateway.npm import configuration as npm_configuration
from gateway.viewer import package
from gateway.viewer.package import unpack

FILES = {
    "package/LICENSE": b"MIT",
    "package/dist/app.bundle.1.js": b'x;__webpack_require__.p = "/";y;',
    "package/dist/app.bundle.css": b"a{src:url(/b.woff2)}",
    "package/dist/app.bundle.1.js.map": b"{}",
    "package/dist/ort/ort.wasm": b"\0asm",
    "package/dist/sw.js": b"importScripts('https://elsewhere')",
    "package/dist/../../outside": b"no",
    "/absolute": b"no",
    "package/src/index.js": b"no",
}


@pytest.fixture
def archive(monkeypatch) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as members:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    digest = base64.b64encode(hashlib.sha512(made.getvalue()).digest()).decode()
    monkeypatch.setattr(package, "OHIF", Package("@ohif/app", package.VERSION, f"sha512-{digest}"))
    return made


def test_what_is_used_is_unpacked_and_nothing_else(archive, tmp_path):
    unpack(archive, tmp_path / "ohif")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    used = {"LICENSE", "stamp", *(f"dist/app.bundle.{end}" for end in ("1.js", "1.js.gz", "css", "css.gz"))}
    assert found == {f"ohif/{name}" for name in used}


def test_a_bundle_knows_where_it_is_served(archive, tmp_path):
    unpack(archive, tmp_path / "ohif")
    script = (tmp_path / "ohif/dist/app.bundle.1.js").read_bytes()
    assert script == f'x;__webpack_require__.p = "{package.PREFIX}";y;'.encode()
    assert (
        tmp_path / "ohif/dist/app.bundle.css"
    ).read_bytes() == f"a{{src:url({package.PREFIX}b.woff2)}}".encode()
    assert gzip.decompress((tmp_path / "ohif/dist/app.bundle.1.js.gz").read_bytes()) == script


def test_an_archive_that_is_another_is_not_unpacked(archive, tmp_path):
    archive.seek(0, io.SEEK_END)
    archive.write(b"\0")
    with pytest.raises(PackageError, match="SHA-512 differs"):
        unpack(archive, tmp_path / "ohif")
    assert list(tmp_path.iterdir()) == []


def test_it_takes_the_place_of_what_was_there(archive, tmp_path):
    (tmp_path / "ohif").mkdir()
    (tmp_path / "ohif" / "old").touch()
    unpack(archive, tmp_path / "ohif")
    assert not (tmp_path / "ohif" / "old").exists()
    assert package.is_unpacked(tmp_path / "ohif")


class TestRegistry:
    def test_is_npms_own_by_default(self):
        assert npm_configuration({}, ()) == ("https://registry.npmjs.org", None)

    def test_is_the_one_that_the_machine_names(self, tmp_path: Path):
        (tmp_path / "npmrc").write_text("; a comment\nregistry = https://npm.test/\n")
        assert npm_configuration({}, [str(tmp_path / "npmrc")])[0] == "https://npm.test/"

    def test_of_the_scope_beats_the_general_one(self, tmp_path: Path):
        (tmp_path / "npmrc").write_text("@ohif:registry=https://ohif.test\nregistry=https://npm.test\n")
        assert npm_configuration({}, [str(tmp_path / "npmrc")], "@ohif")[0] == "https://ohif.test"

    def test_of_the_environment_beats_the_files(self, tmp_path: Path):
        (tmp_path / "npmrc").write_text("registry=https://npm.test\n")
        environment = {"NPM_CONFIG_REGISTRY": "https://env.test"}
        assert npm_configuration(environment, [str(tmp_path / "npmrc")])[0] == "https://env.test"

    def test_that_cannot_be_reached_is_said(self, free_ports, monkeypatch):
        (port,) = free_ports(1)
        monkeypatch.setattr(npm, "PAUSES", (0.0,))
        with pytest.raises(PackageError, match="can't be reached"):
            package.OHIF.fetch(f"http://127.0.0.1:{port}", None, io.BytesIO())
