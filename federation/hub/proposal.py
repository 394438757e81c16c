"""A run is proposed: its manifest is signed by the hub and kept, and sites see it from then on."""

import hashlib
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from psycopg import Connection

from archive import runs
from archive.errors import BadRequest
from archive.federation_keys import federation_key
from archive.secrets import write
from archive.settings import Settings
from federation.hub.aggregate import check_parameters
from federation.manifest import RUN, Kind, Manifest, sign

KEPT = 7
"""Days for which the files of a run that has ended are kept."""
PASSPORT, NETWORK = "passport.toml", "model.onnx"


def new_run() -> str:
    """An identifier that no run has."""
    return f"R{secrets.token_hex(8)}"


def folder_of(settings: Settings, run: str) -> Path:
    """Where a run's files lie at the hub."""
    return settings.federation / "runs" / run


def propose(
    settings: Settings,
    connection: Connection,
    manifest: Manifest,
    packages: Mapping[str, tuple[bytes, bytes]] | None = None,
    *,
    by: str,
) -> None:
    """Sign a manifest and keep it, which belongs to the connection's transaction.

    `packages` are passport and network of those to evaluate, by the SHA-256 of the passport's text: they are kept
    beside the run as they are now. Raises BadRequest, ConfigurationError.
    """
    check_parameters(manifest)
    if manifest.secure_aggregation:
        raise BadRequest("there is no secure aggregation yet")
    _keep_packages(folder_of(settings, manifest.run), manifest, packages or {})
    text = manifest.to_bytes()
    runs.add(connection, manifest.run, text, sign(text, federation_key(settings)), by=by)


def package_of(settings: Settings, run: str, sha256: str) -> tuple[bytes, bytes]:
    """Passport and network of a package that a run evaluates. Raises BadRequest where they are not what was kept."""
    folder = folder_of(settings, run) / "packages" / sha256
    try:
        passport, network = (folder / PASSPORT).read_bytes(), (folder / NETWORK).read_bytes()
    except OSError:
        raise BadRequest("a package of the run is not where it was kept") from None
    if hashlib.sha256(passport).hexdigest() != sha256:
        raise BadRequest("a package of the run is not what was kept")
    return passport, network


def forget_ended(settings: Settings, connection: Connection) -> int:
    """Remove what is kept of runs that ended long ago: checkpoints, and copies of packages; of how many that was."""
    folder = folder_of(settings, "")
    names = [one.name for one in folder.iterdir() if RUN.fullmatch(one.name)] if folder.is_dir() else []
    ended = runs.long_ended(connection, names, KEPT) if names else []
    for name in ended:
        shutil.rmtree(folder_of(settings, name))
    return len(ended)


def _keep_packages(folder: Path, manifest: Manifest, packages: Mapping[str, tuple[bytes, bytes]]) -> None:
    if set(packages) != set(manifest.packages):
        raise BadRequest("the packages are not those that the manifest names")
    if (manifest.kind == Kind.EVALUATION) != bool(packages):
        raise BadRequest("a run of evaluation has packages, and no other has")
    if manifest.kind == Kind.EVALUATION and manifest.rounds != len(manifest.packages):
        raise BadRequest("a run of evaluation has a round for each package")
    for sha256, (passport, network) in packages.items():
        if hashlib.sha256(passport).hexdigest() != sha256:
            raise BadRequest("a package is not the one of this hash")
        write(folder / "packages" / sha256 / PASSPORT, passport)
        write(folder / "packages" / sha256 / NETWORK, network)
