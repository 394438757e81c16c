"""Signatures of passports: Ed25519 (RFC 8032) over the passport's canonical bytes.

The canonical bytes are JSON of the passport's content without its table `signature`: names in order, no white space,
ASCII. The passport names the network's SHA-256, so a signature speaks for the network as well.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from inference.errors import KeyFileError, PackageError
from inference.passport import PASSPORT, Signature

Keys = Mapping[str, Ed25519PublicKey]

_CONTEXT = b"senogate model passport 2\0"
_MAX_KEY_BYTES = 16 * 1024


def canonical(content: Mapping[str, Any]) -> bytes:
    """What a signature is made over. Raises PackageError for values that have no one form in JSON."""
    signed = {key: value for key, value in content.items() if key != "signature"}
    try:
        return json.dumps(signed, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PackageError(f"{PASSPORT} may hold texts, finite numbers, true and false only") from error


def identify(public: Ed25519PublicKey) -> str:
    """What a key is known by: the SHA-256 of its 32 bytes, in hexadecimal digits."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()


def sign(signed: bytes, private: Ed25519PrivateKey) -> Signature:
    """The signature over canonical bytes."""
    value = base64.b64encode(private.sign(_CONTEXT + signed)).decode("ascii")
    return Signature(identify(private.public_key()), value)


def verify(signed: bytes, signature: Signature | None, trusted: Keys) -> None:
    """Raises PackageError where canonical bytes were not signed as they are by a trusted key."""
    if signature is None:
        raise PackageError("it is not signed: its maker signs it with `senogate model sign`")
    if signature.key not in trusted:
        raise PackageError(
            f"it is signed by the key {signature.key}, which is not trusted here: "
            "where its owner is known, `senogate model trust` its public key"
        )
    try:
        trusted[signature.key].verify(base64.b64decode(signature.value, validate=True), _CONTEXT + signed)
    except (InvalidSignature, ValueError) as error:
        raise PackageError("it was changed after it was signed") from error


def read_public_key(path: Path) -> Ed25519PublicKey:
    """A public key in PEM. Raises KeyFileError."""
    try:
        key = serialization.load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{path} holds no Ed25519 public key in PEM")
    return key


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """A private key in PEM (PKCS #8), without a password. Raises KeyFileError."""
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} holds no Ed25519 private key in PEM without a password")
    return key


def make_private_key(path: Path) -> Ed25519PrivateKey:
    """Make a key and write it to a new file, readable by its owner alone. Raises KeyFileError where there is one."""
    key = Ed25519PrivateKey.generate()
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(key.private_bytes(*form))
    except OSError as error:
        raise KeyFileError(f"{path} can't be made: {error.strerror}") from error
    return key


def public_pem(public: Ed25519PublicKey) -> bytes:
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise KeyFileError(f"{path} can't be read: {error.strerror}") from error
