"""A model package: a folder with `passport.toml` and, unless a method stands in its place, `model.onnx`.

The hash in the passport ties it to the very bytes of the network, and the signature in the passport both to who made
them. A model that sites trained together has a third file, `provenance.jsonl`: the record of how. Its hash is in the
passport, too (`training.provenance.record_sha256`). A package that was changed, or that nobody trusted has signed, does
not load.
"""

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive.findings import Model
from inference.errors import PackageError
from inference.passport import FORMAT, PASSPORT, Passport
from inference.passport_reading import parse_passport, read_passport
from inference.signature import Keys, canonical, sign, verify
from inference.toml_table import read_toml, to_toml
from inference.trust import shipped_keys

NETWORK = "model.onnx"
RECORD = "provenance.jsonl"
RECORD_HASH = "record_sha256"
"""The key of `training.provenance` with the SHA-256 of the record."""
MAX_PASSPORT_BYTES = 64 * 1024
MAX_RECORD_BYTES = 64 * 1024**2
MAX_NETWORK_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Package:
    """A package: its folder, its passport, and the passport's canonical bytes, which are what is signed."""

    folder: Path
    passport: Passport
    signed: bytes

    @property
    def reference(self) -> str:
        """What the package is known by in a site: its name and version."""
        return f"{self.passport.identity.name}-{self.passport.identity.version}"

    @property
    def model(self) -> Model:
        """The model as findings name it; a method's hash is that of its passport."""
        identity = self.passport.identity
        return Model(
            name=identity.name,
            title=identity.title,
            version=identity.version,
            sha256=self.passport.network_sha256 or hashlib.sha256(self.signed).hexdigest(),
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

    @property
    def record_sha256(self) -> str:
        """What the passport names; empty for a package without a record."""
        return self.passport.training.provenance.get(RECORD_HASH, "")

    def read_record(self) -> bytes | None:
        """The bytes of the record; None for a package without. Raises PackageError where it is not the passport's."""
        if not self.record_sha256:
            return None
        record = _read(self.folder / RECORD, MAX_RECORD_BYTES)
        if hashlib.sha256(record).hexdigest() != self.record_sha256:
            raise PackageError(
                f"{self.folder / RECORD} is not the record that its passport names: sha256 differs"
            )
        return record

    def authenticate(self, trusted: Keys) -> None:
        """Raises PackageError where the passport was not signed as it is by a trusted key."""
        try:
            verify(self.signed, self.passport.signature, trusted)
        except PackageError as error:
            raise PackageError(f"{self.folder} does not run: {error}") from error


def read(folder: Path) -> Package:
    """Read the passport in a folder: nothing is verified yet. Raises PackageError, which says what is wrong with it."""
    text = read_text(folder)
    try:
        return Package(folder, *_parse(text))
    except PackageError as error:
        raise PackageError(f"{folder}: {error}") from error


def read_text(folder: Path) -> bytes:
    """The bytes of the passport in a folder. Raises PackageError."""
    return _read(folder / PASSPORT, MAX_PASSPORT_BYTES)


@lru_cache(maxsize=64)
def _parse(text: bytes) -> tuple[Passport, bytes]:
    """Of the same bytes the same passport and canonical bytes: workers ask for each reading what is to be run."""
    root = read_toml(text, PASSPORT)
    return read_passport(root), canonical(root.content)


def load(folder: Path, trusted: Keys | None = None) -> Package:
    """Load the package in a folder, signed and whole. Raises PackageError, which says what is wrong with it.

    `trusted` are the keys whose signatures count; where none are given, those that come with this program.
    """
    package = read(folder)
    package.authenticate(shipped_keys() if trusted is None else trusted)
    if package.passport.method is None:
        package.read_network()
    package.read_record()
    return package


def save(
    folder: Path,
    network: bytes | None,
    passport: Mapping[str, Any],
    private: Ed25519PrivateKey | None = None,
    record: bytes | None = None,
) -> Package:
    """Write a network and its passport, with the network's hash in it, as a package, and read that.

    Where there is a record, the passport names its hash, too.

    It is signed where a key is given. The package appears whole or not at all; one that is already there with the
    same content is left alone, so that a process which reads it is not disturbed. Raises PackageError for a passport
    that does not hold.
    """
    content = {"format": FORMAT} | dict(passport) | _named(network, passport.get("network", {}))
    if record is not None:
        content["training"] = _with_record(passport["training"], record)
    if private is not None:
        content["signature"] = asdict(sign(canonical(content), private))
    return write(folder, network, to_toml(content).encode(), record)


def write(folder: Path, network: bytes | None, passport: bytes, record: bytes | None = None) -> Package:
    """As `save`, of the very bytes of a passport."""
    parse_passport(passport)
    files = {NETWORK: network, RECORD: record, PASSPORT: passport}
    given = {name: content for name, content in files.items() if content is not None}
    if not _holds(folder, given):
        _replace(folder, given)
    return read(folder)


def sign_package(folder: Path, private: Ed25519PrivateKey) -> Package:
    """Sign the package in a folder; a signature that is there gives way. The rest of the passport stays as it is.

    Raises PackageError where the package is not whole, or `[signature]` is not the last table of its passport.
    """
    package = read(folder)
    if package.passport.method is None:
        package.read_network()
    package.read_record()
    text = read_text(folder).decode("utf-8")
    head = text if package.passport.signature is None else text.rpartition("[signature]")[0]
    table = to_toml({"signature": asdict(sign(package.signed, private))})
    signed = f"{head.rstrip()}\n{table}".encode()
    if canonical(read_toml(signed, PASSPORT).content) != package.signed:
        raise PackageError(f"{folder / PASSPORT}: take [signature] out, then sign")
    part = folder / f".{PASSPORT}.{os.getpid()}"
    part.write_bytes(signed)
    part.replace(folder / PASSPORT)
    return read(folder)


def _named(network: bytes | None, table: Mapping[str, Any]) -> dict[str, Any]:
    named = {"sha256": hashlib.sha256(network or b"").hexdigest()}
    return {} if network is None else {"network": {**table, **named}}


def _with_record(training: Mapping[str, Any], record: bytes) -> dict[str, Any]:
    named = {RECORD_HASH: hashlib.sha256(record).hexdigest()}
    return {**training, "provenance": {**training.get("provenance", {}), **named}}


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    try:
        return all((folder / name).read_bytes() == content for name, content in files.items())
    except OSError:
        return False


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as draft:
        new, old = Path(draft) / "new", Path(draft) / "old"
        new.mkdir()
        for name, content in files.items():
            (new / name).write_bytes(content)
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
