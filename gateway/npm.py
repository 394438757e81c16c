"""Packages of the npm registry, each pinned by the SHA-512 of its archive: fetched, and checked before use."""

import argparse
import base64
import hashlib
import hmac
import os
import ssl
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

LONGEST = 256 * 1024**2  # bytes of an archive
PATIENCE = 20.0  # seconds without a byte
PAUSES = (1.0, 3.0)  # seconds before it is tried again
_CONFIGURATIONS = ("/usr/etc/npmrc", "/etc/npmrc", "~/.npmrc")  # the later beats the earlier


class PackageError(Exception):
    """The package can't be had, or is not the one that is pinned; the message says why."""


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package. `integrity` is "sha512-" and the digest of its archive in Base64, as npm writes it."""

    name: str
    version: str
    integrity: str

    @property
    def archive(self) -> str:
        """Where its archive is at a registry."""
        return f"{self.name}/-/{self.name.rpartition('/')[2]}-{self.version}.tgz"

    @property
    def scope(self) -> str:
        """Such as "@ohif"; empty for a package without one."""
        return self.name.partition("/")[0] if self.name.startswith("@") else ""

    def fetch(self, registry: str, authorities: str | None, target: BinaryIO) -> None:
        """Download the archive from a registry, tried thrice. Raises PackageError."""
        url = f"{registry.rstrip('/')}/{self.archive}"
        if not url.startswith(("https://", "http://")):
            raise PackageError("the npm registry's address is neither https nor http")
        context = ssl.create_default_context()
        if authorities:
            context.load_verify_locations(authorities)
        pause = threading.Event()
        for wait in (*PAUSES, None):
            target.seek(0)
            target.truncate()
            try:
                _download(url, context, target)
                break
            except OSError as error:  # urllib's own errors among them
                if wait is None:
                    raise PackageError(f"the npm registry can't be reached ({error})") from error
                pause.wait(wait)

    def check(self, archive: BinaryIO) -> None:
        """Raise PackageError for an archive that is not the pinned one; the archive stands at its begin after it."""
        archive.seek(0)
        digest = hashlib.sha512()
        while chunk := archive.read(1024**2):
            digest.update(chunk)
        said = f"sha512-{base64.b64encode(digest.digest()).decode('ascii')}"
        if not hmac.compare_digest(said, self.integrity):
            raise PackageError(
                f"what the npm registry sends is not {self.name} {self.version}: its SHA-512 differs"
            )
        archive.seek(0)


def _download(url: str, context: ssl.SSLContext, target: BinaryIO) -> None:
    with urllib.request.urlopen(url, timeout=PATIENCE, context=context) as answer:  # noqa: S310 - no other scheme
        while chunk := answer.read(1024**2):
            target.write(chunk)
            if target.tell() > LONGEST:
                raise PackageError("the npm registry sends more than the package can be")


def configuration(
    environment: Mapping[str, str], files: Iterable[str] = _CONFIGURATIONS, scope: str = ""
) -> tuple[str, str | None]:
    """The registry, for packages of a scope, and the file of authorities that this machine's npm would use."""
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
    registry = (scope and values.get(f"{scope}:registry")) or values["registry"]
    return registry, authorities if Path(authorities).is_file() else None


def have(
    package: Package,
    folder: Path,
    is_there: Callable[[Path], bool],
    unpack: Callable[[BinaryIO, Path], None],
    *,
    what: str,
    without: str,
) -> int:
    """Have a package unpacked in a folder, or where the command line says; the exit status.

    `what` names it, and `without` says what follows where it can't be had.
    """
    parser = argparse.ArgumentParser(description=f"Unpack {package.name} {package.version} from npm")
    parser.add_argument(
        "--from", dest="archive", type=Path, help="its archive, where no registry can be reached"
    )
    parser.add_argument("--into", dest="folder", type=Path, default=folder)
    arguments = parser.parse_args()
    if is_there(arguments.folder):
        return 0
    print(f"\033[1m==> Fetching {what} into {arguments.folder}\033[0m", flush=True)
    try:
        with arguments.archive.open("rb") if arguments.archive else tempfile.TemporaryFile() as archive:
            if not arguments.archive:
                package.fetch(*configuration(os.environ, scope=package.scope), archive)
            unpack(archive, arguments.folder)
    except PackageError as error:
        print(f"{without}: {error}.", file=sys.stderr)
        return 1
    return 0
