"""Whose packages run: the keys that come with this program, and those that the site trusts besides."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from inference.errors import KeyFileError
from inference.signature import Keys, identify, public_pem, read_public_key

_SHIPPED = Path(__file__).resolve().parent / "models" / "keys"


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """`file` is where it lies; one that is `shipped` can't be taken away by the site."""

    identifier: str
    public: Ed25519PublicKey
    file: Path
    shipped: bool


def shipped_keys() -> Keys:
    """The public keys that come with this program. Raises KeyFileError."""
    return {key.identifier: key.public for key in _keys_in(_SHIPPED, shipped=True)}


def trusted_keys(home: Path) -> Keys:
    """Those, and the public keys in the site's `models/trusted`. Raises KeyFileError."""
    return {key.identifier: key.public for key in list_keys(home)}


def list_keys(home: Path) -> list[TrustedKey]:
    """As `trusted_keys`, with where each lies, those shipped first."""
    return [*_keys_in(_SHIPPED, shipped=True), *_keys_in(_trusted(home), shipped=False)]


def trust(home: Path, public: Ed25519PublicKey) -> str:
    """Trust a key from now on; its identifier."""
    identifier = identify(public)
    _trusted(home).mkdir(parents=True, exist_ok=True)
    part = _trusted(home) / f".{identifier}.{os.getpid()}"
    part.write_bytes(public_pem(public))
    part.replace(_trusted(home) / f"{identifier}.pem")
    return identifier


def distrust(home: Path, identifier: str) -> None:
    """Trust a key of the site no more. Raises KeyFileError where the site does not trust it, or it is shipped."""
    found = [key for key in list_keys(home) if key.identifier == identifier]
    if not found:
        raise KeyFileError("no such key is trusted: `senogate model keys` lists them")
    if any(key.shipped for key in found):
        raise KeyFileError("this key comes with the program and can't be taken away")
    for key in found:
        key.file.unlink()


def _trusted(home: Path) -> Path:
    return home / "models" / "trusted"


def _keys_in(folder: Path, *, shipped: bool) -> Iterator[TrustedKey]:
    for file in sorted(folder.glob("[!.]*.pem")):
        public = read_public_key(file)
        yield TrustedKey(identify(public), public, file, shipped)
