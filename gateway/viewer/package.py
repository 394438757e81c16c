"""OHIF as the npm package @ohif/app has it: fetched, checked, trimmed and unpacked.

python -m gateway.viewer.package            into `.ohif` of the checkout, where it is not there yet
python -m gateway.viewer.package --from app-3.13.2.tgz --into /opt/ohif
"""

import argparse
import base64
import gzip
import hashlib
import hmac
import os
import shutil
import ssl
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

VERSION = "3.13.2"
INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
PREFIX = f"/viewer/{VERSION}/"  # where its files are served; its own bundles are made to know it
FOLDER = Path(__file__).resolve().parents[2] / ".ohif"
LONGEST = 256 * 1024**2  # bytes of the archive
PATIENCE = 20.0  # seconds without a byte
PAUSES = (1.0, 3.0)  # seconds before it is tried again
_STAMP = f"{VERSION} {INTEGRITY} 1"  # the last number is that of what is done to the files here
_CONFIGURATIONS = ("/usr/etc/npmrc", "/etc/npmrc", "~/.npmrc")  # the later beats the earlier
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


class PackageError(Exception):
    """The package can't be had, or is not the one that is pinned; the message says why."""


def is_unpacked(folder: Path) -> bool:
    """Whether a folder holds this version, as this module unpacks it."""
    stamp = folder / "stamp"
    return stamp.exists() and stamp.read_text("utf-8") == _STAMP


def fetch(registry: str, authorities: str | None, target: BinaryIO) -> None:
    """Download the archive from an npm registry, tried thrice. Raises PackageError."""
    url = f"{registry.rstrip('/')}/@ohif/app/-/app-{VERSION}.tgz"
    if not url.startswith(("https://", "http://")):
        raise PackageError("the npm registry's address is neither https nor http")
    context = ssl.create_default_context()
    if authorities:
        context.load_verify_locations(authorities)
    for wait in (*PAUSES, None):
        target.seek(0)
        target.truncate()
        try:
            _download(url, context, target)
            break
        except OSError as error:  # urllib's own errors among them
            if wait is None:
                raise PackageError(f"the npm registry can't be reached ({error})") from error
            time.sleep(wait)


def _download(url: str, context: ssl.SSLContext, target: BinaryIO) -> None:
    with urllib.request.urlopen(url, timeout=PATIENCE, context=context) as answer:  # noqa: S310 - no other scheme
        while chunk := answer.read(1024**2):
            target.write(chunk)
            if target.tell() > LONGEST:
                raise PackageError("the npm registry sends more than the package can be")


def unpack(archive: BinaryIO, folder: Path) -> None:
    """Check the archive's SHA-512, then put what is used of it into a new folder. Raises PackageError."""
    archive.seek(0)
    digest = hashlib.sha512()
    while chunk := archive.read(1024**2):
        digest.update(chunk)
    said = f"sha512-{base64.b64encode(digest.digest()).decode('ascii')}"
    if not hmac.compare_digest(said, INTEGRITY):
        raise PackageError(f"what the npm registry sends is not @ohif/app {VERSION}: its SHA-512 differs")
    archive.seek(0)
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


def npm_configuration(
    environment: Mapping[str, str], files: Iterable[str] = _CONFIGURATIONS
) -> tuple[str, str | None]:
    """The registry and the file of authorities that this machine's npm would use."""
    values = {"registry": "https://registry.npmjs.org"}
    for name in files:
        path = Path(name).expanduser()
        lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
        pairs = (line.partition("=") for line in lines if not line.lstrip().startswith(("#", ";")))
        values |= {key.strip(): os.path.expandvars(value.strip().strip('"')) for key, _, value in pairs}
    said = {
        name.lower(): value for name, value in environment.items() if name.lower().startswith("npm_config_")
    }
    for key in ("registry", "cafile"):
        values[key] = said.get(f"npm_config_{key}") or values.get(key, "")
    authorities = values["cafile"] or environment.get("NODE_EXTRA_CA_CERTS", "")
    return values.get("@ohif:registry") or values["registry"], authorities if Path(
        authorities
    ).is_file() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=f"Unpack @ohif/app {VERSION} from npm")
    parser.add_argument(
        "--from", dest="archive", type=Path, help="its archive, where no registry can be reached"
    )
    parser.add_argument("--into", dest="folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    if is_unpacked(arguments.folder):
        return 0
    print(f"\033[1m==> Fetching the viewer, @ohif/app {VERSION}, into {arguments.folder}\033[0m", flush=True)
    try:
        if arguments.archive:
            with arguments.archive.open("rb") as archive:
                unpack(archive, arguments.folder)
        else:
            with tempfile.TemporaryFile() as archive:
                fetch(*npm_configuration(os.environ), archive)
                unpack(archive, arguments.folder)
    except PackageError as error:
        print(f"The viewer at /viewer/ is missing: {error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
