"""A model package: a folder with `passport.toml` and, unless a method stands in its place, `model.onnx`.

The hash in the passport ties it to the very bytes of the network. A package whose network was changed does
not load.
"""

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from archive.findings import Model
from inference.errors import PackageError
from inference.passport import FORMAT, PASSPORT, Passport, parse_passport
from inference.toml_table import to_toml

NETWORK = "model.onnx"
MAX_PASSPORT_BYTES = 64 * 1024
MAX_NETWORK_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was found whole: its folder and its passport."""

    folder: Path
    passport: Passport

    @property
    def model(self) -> Model:
        """The model as findings name it."""
        identity = self.passport.identity
        return Model(
            name=identity.name,
            title=identity.title,
            version=identity.version,
            sha256=self.passport.network_sha256,
            trained_on=self.passport.training.trained_on,
            research_use_only=identity.research_use_only,
        )

    def read_network(self) -> bytes:
        """The network's bytes, hashed as they are read: what is run is what the passport names.

        Raises PackageError when they are not.
        """
        network = _read(self.folder / NETWORK, MAX_NETWORK_BYTES)
        if hashlib.sha256(network).hexdigest() != self.passport.network_sha256:
            raise PackageError(
                f"{self.folder / NETWORK} is not the network that its passport names: sha256 differs"
            )
        return network


def load(folder: Path) -> Package:
    """Load the package in a folder and check it. Raises PackageError, which says what is wrong with it."""
    package = Package(folder, parse_passport(_read(folder / PASSPORT, MAX_PASSPORT_BYTES)))
    if package.passport.method is None:
        package.read_network()
    return package


def save(folder: Path, network: bytes | None, passport: Mapping[str, Any]) -> Package:
    """Write a network and its passport, with the network's hash in it, as a package, and load that.

    The package appears whole or not at all; one that is already there with the same content is left alone, so
    that a process which reads it is not disturbed. Raises PackageError for a passport that does not hold.
    """
    text = to_toml({"format": FORMAT} | dict(passport) | _named(network)).encode()
    parse_passport(text)
    if not _holds(folder, network, text):
        _replace(folder, network, text)
    return load(folder)


def _named(network: bytes | None) -> dict[str, Any]:
    return {} if network is None else {"network": {"sha256": hashlib.sha256(network).hexdigest()}}


def _holds(folder: Path, network: bytes | None, passport: bytes) -> bool:
    try:
        same = (folder / PASSPORT).read_bytes() == passport
        return same and (network is None or (folder / NETWORK).read_bytes() == network)
    except OSError:
        return False


def _replace(folder: Path, network: bytes | None, passport: bytes) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as draft:
        new, old = Path(draft) / "new", Path(draft) / "old"
        new.mkdir()
        if network is not None:
            (new / NETWORK).write_bytes(network)
        (new / PASSPORT).write_bytes(passport)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)


def _read(path: Path, limit: int) -> bytes:
    """A regular file's bytes: what is read is in the folder itself, and nothing waits for the other end of a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise PackageError(f"{path} is no regular file")
            if found.st_size > limit:
                raise PackageError(f"{path} is larger than {limit} bytes")
            return file.read(limit)
    except OSError as error:
        raise PackageError(f"{path} can't be read: {error.strerror}") from error
