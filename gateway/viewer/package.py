"""OHIF as the npm package @ohif/app has it: fetched, checked, trimmed and unpacked.

python -m gateway.viewer.package            into `.ohif` of the checkout, where it is not there yet
python -m gateway.viewer.package --from app-3.13.2.tgz --into /opt/ohif
"""

import gzip
import shutil
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from gateway import npm
from gateway.npm import Package

VERSION = "3.13.2"
OHIF = Package(
    "@ohif/app",
    VERSION,
    "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA==",
)
PREFIX = f"/viewer/{VERSION}/"  # where its files are served; its own bundles are made to know it
FOLDER = Path(__file__).resolve().parents[2] / ".ohif"
_STAMP = f"{VERSION} {OHIF.integrity} 1"  # the last number is that of what is done to the files here
_UNUSED_FOLDERS = {"ort", "dicom-microscopy-viewer", "customizations"}
_UNUSED = {
    "index.html",
    "app-config.js",
    "google.js",
    "sw.js",
    "init-service-worker.js",
    "silent-refresh.html",
}
_UNUSED |= {"serve.json", "_headers", "_redirects", "manifest.json"}
_UNUSED |= {"oidc-client.min.js", "es6-shim.min.js", "polyfill.min.js"}
_COMPRESSED = {".js", ".css", ".wasm", ".svg", ".json"}
_REWRITTEN = {".js": (b'__webpack_require__.p = "/";', f'__webpack_require__.p = "{PREFIX}";'.encode())}
_REWRITTEN[".css"] = (b"url(/", f"url({PREFIX}".encode())


def is_unpacked(folder: Path) -> bool:
    """Whether a folder holds this version, as this module unpacks it."""
    stamp = folder / "stamp"
    return stamp.exists() and stamp.read_text("utf-8") == _STAMP


def unpack(archive: BinaryIO, folder: Path) -> None:
    """Check the archive's SHA-512, then put what is used of it into a new folder. Raises PackageError."""
    OHIF.check(archive)
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with tarfile.open(fileobj=archive, mode="r|gz") as members:
        for path, content in _used(members):
            _write(part / path, content)
    (part / "stamp").write_text(_STAMP, "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _used(members: Iterable[tarfile.TarInfo]) -> Iterator[tuple[PurePosixPath, bytes]]:
    """What is used of the package: paths below the folder, and contents."""
    assert isinstance(members, tarfile.TarFile)
    for member in members:
        path = PurePosixPath(member.name)
        if not member.isfile() or path.is_absolute() or ".." in path.parts:
            continue
        if member.name == "package/LICENSE":
            inner = PurePosixPath("LICENSE")
        elif path.parts[:2] == ("package", "dist") and _is_used(path.relative_to("package/dist")):
            inner = PurePosixPath("dist") / path.relative_to("package/dist")
        else:
            continue
        content = members.extractfile(member)
        assert content is not None
        yield inner, content.read()


def _is_used(path: PurePosixPath) -> bool:
    return (
        path.parts[0] not in _UNUSED_FOLDERS
        and str(path) not in _UNUSED
        and path.suffix != ".map"
        and not path.name.startswith("apple-touch-")
    )


def _write(path: Path, content: bytes) -> None:
    """A file, and beside it the same compressed where that helps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in _REWRITTEN:
        content = content.replace(*_REWRITTEN[path.suffix])
    path.write_bytes(content)
    if path.suffix in _COMPRESSED:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content, 6, mtime=0))


def main() -> int:
    """Exit status."""
    what, without = f"the viewer, {OHIF.name} {VERSION},", "The viewer at /viewer/ is missing"
    return npm.have(OHIF, FOLDER, is_unpacked, unpack, what=what, without=without)


if __name__ == "__main__":
    sys.exit(main())
