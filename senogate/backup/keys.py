"""What a backup is sealed to: a passphrase, or the public key of somebody who keeps the private one elsewhere."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from archive.errors import ConfigurationError
from archive.instances import write_durably

SHORTEST = 12  # characters of a passphrase
_COST, _BLOCK, _LANES = 2**17, 8, 1  # of scrypt (RFC 7914): 128 MiB, half a second
_MOST_COST = 2**20


@dataclass(frozen=True, slots=True)
class Sealing:
    """The X25519 public key that a backup is sealed to, and what is said in it of how it is opened."""

    public: bytes
    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Opener:
    """What opens backups: a passphrase, or a private key in a file."""

    passphrase: str = ""
    key: Path | None = None

    def private(self, told: Mapping[str, Any]) -> bytes:
        """The private key to what `told` names. Raises ConfigurationError where this is not what opens it."""
        if told.get("by") == "passphrase":
            if self.key:
                raise ConfigurationError("the backup is sealed to a passphrase, not to a key")
            private = _derive(self.passphrase, bytes.fromhex(told["salt"]), int(told["cost"]))
        else:
            if not self.key:
                raise ConfigurationError("the backup is sealed to a key: name its private half with --key")
            private = read_private(self.key)
        if (
            X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw().hex()
            != told["public"]
        ):
            raise ConfigurationError("this is not what the backup is sealed to")
        return private


def for_passphrase(passphrase: str) -> Sealing:
    """Seal to what scrypt makes of a passphrase and a fresh salt. Raises ConfigurationError for a short one."""
    if len(passphrase) < SHORTEST:
        raise ConfigurationError(f"a passphrase has {SHORTEST} characters at least")
    salt = os.urandom(16)
    private = X25519PrivateKey.from_private_bytes(_derive(passphrase, salt, _COST))
    public = private.public_key().public_bytes_raw()
    return Sealing(public, {"by": "passphrase", "salt": salt.hex(), "cost": _COST, "public": public.hex()})


def for_recipient(file: Path) -> Sealing:
    """Seal to a public key in PEM. Raises ConfigurationError."""
    try:
        key = load_pem_public_key(file.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{file} is no public key in PEM ({type(error).__name__})") from None
    if not isinstance(key, X25519PublicKey):
        raise ConfigurationError(f"{file} is no X25519 key, as `senogate backup key` makes them")
    public = key.public_bytes_raw()
    return Sealing(public, {"by": "recipient", "public": public.hex()})


def make(file: Path) -> Path:
    """Make a private key in a new file, and its public half beside it, whose path is given. Raises FileExistsError."""
    beside = file.with_name(f"{file.name}.pub")
    if beside.exists():  # its private half may be elsewhere
        raise FileExistsError(beside)
    key = X25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    previous = os.umask(0o077)
    try:
        write_durably(file.absolute(), private)
    finally:
        os.umask(previous)
    beside.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return beside


def read_private(file: Path) -> bytes:
    """The private key in a file. Raises ConfigurationError."""
    try:
        key = load_pem_private_key(file.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{file} is no private key in PEM ({type(error).__name__})") from None
    if not isinstance(key, X25519PrivateKey):
        raise ConfigurationError(f"{file} is no X25519 key, as `senogate backup key` makes them")
    return key.private_bytes_raw()


def _derive(passphrase: str, salt: bytes, cost: int) -> bytes:
    if not 2 <= cost <= _MOST_COST:
        raise ConfigurationError("the backup's manifest asks for more memory than any backup does")
    return Scrypt(salt=salt, length=32, n=cost, r=_BLOCK, p=_LANES).derive(passphrase.encode())
