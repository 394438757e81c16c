"""The keys that the built-in issuer signs tokens with: PEM in one file of mode 0600, the first one signs."""

import base64
import fcntl
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from archive import secrets
from archive.errors import ConfigurationError, Conflict, NotFound

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""The algorithms that a token may be signed with (RFC 7518 section 3.1, RFC 8037); all asymmetric."""
MINIMUM_RSA_BITS = 2048
_THUMBPRINT_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
LOOK_INTERVAL = 0.5  # seconds between two looks whether the file is another
_LOG = logging.getLogger(__name__)
_PEM = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, the one algorithm that it is used with, and its public half as JWK (RFC 7517)."""

    kid: str  # the RFC 7638 thumbprint
    algorithm: str
    private: PrivateKey
    jwk: dict[str, Any]

    @property
    def public(self) -> PublicKey:
        return self.private.public_key()


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """An issuer's own keys: the first signs, all are published and verify."""

    keys: tuple[SigningKey, ...]
    path: Path | None = None

    @classmethod
    def load(cls, path: Path | str) -> "SigningKeys":
        """Read the PEM file. Raises ConfigurationError where it is missing, readable by others, or holds no key."""
        path = Path(path)
        try:
            is_open, pem = secrets.is_open(path), path.read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"the signing keys {path} can't be read ({type(error).__name__})"
            ) from None
        if is_open:
            raise ConfigurationError(
                f"the signing keys {path} are open to other users: set their mode to 0600"
            )
        return cls.from_pem(pem, path)

    @classmethod
    def from_pem(cls, pem: bytes, path: Path) -> "SigningKeys":
        """The keys of such a file's content. Raises ConfigurationError where it holds no key."""
        blocks = _PEM.findall(pem)
        if not blocks:
            raise ConfigurationError(f"{path} holds no private key in PEM")
        return cls(tuple(_signing_key(_load_pem(block, path)) for block in blocks), path)

    @classmethod
    def create(cls, path: Path | str) -> "SigningKeys":
        """Make a P-256 key and write it, whole or not at all. A file that is there already is kept and loaded."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        _write_once(path, _pem(key))
        return cls.load(path)

    @classmethod
    def load_or_create(cls, path: Path | str) -> "SigningKeys":
        """The keys of a site that may be starting for the first time."""
        return cls.load(path) if Path(path).exists() else cls.create(path)

    def find(self, kid: object) -> SigningKey | None:
        """The key of that identifier, which is compared with those here and used for nothing else."""
        return next((key for key in self.keys if key.kid == kid), None)

    def jwks(self) -> dict[str, Any]:
        """The public halves as a JWK set (RFC 7517 section 5)."""
        return {"keys": [key.jwk for key in self.keys]}


class Keyring:
    """The keys of a file as it is now, so that a rotated key is used without a new start."""

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys
        self._stamp: tuple[int, int, int] | None = None  # the file may be another since the keys were read
        self._looked_at = float("-inf")

    @property
    def current(self) -> SigningKeys:
        """The keys; the same object for as long as the file is the same."""
        if time.monotonic() - self._looked_at > LOOK_INTERVAL:
            self.look()
        return self._keys

    def look(self) -> SigningKeys:
        """The keys as the file has them now; those known before, where it can't be read."""
        self._looked_at = time.monotonic()
        stamp = _stamp(self._keys.path)
        if self._keys.path and stamp and stamp != self._stamp:
            try:
                self._keys, self._stamp = SigningKeys.load(self._keys.path), stamp
            except ConfigurationError as error:
                _LOG.error("the signing keys stay as they were: %s", error)
        return self._keys


def rotate(path: Path) -> SigningKeys:
    """Put a new P-256 key before the others: it signs from now on, and they verify until they are retired."""
    made = ec.generate_private_key(ec.SECP256R1())
    return _rewrite(path, lambda keys: (_signing_key(made), *keys))


def retire(path: Path, kid: str) -> SigningKeys:
    """Take a key away: tokens that it signed are worth nothing. Raises NotFound; Conflict for the key that signs."""

    def without(keys: tuple[SigningKey, ...]) -> tuple[SigningKey, ...]:
        if kid not in {key.kid for key in keys}:
            raise NotFound("no key of this identifier: `senogate key list` shows them")
        if kid == keys[0].kid:
            raise Conflict("this key signs: `senogate key rotate` first")
        return tuple(key for key in keys if key.kid != kid)

    return _rewrite(path, without)


def _rewrite(path: Path, change: Callable[[tuple[SigningKey, ...]], tuple[SigningKey, ...]]) -> SigningKeys:
    with _locked(path.parent):
        keys, owner = change(SigningKeys.load(path).keys), path.stat()
        secrets.write(path, b"".join(_pem(key.private) for key in keys))
        if os.geteuid() != owner.st_uid:  # root did it for the user that the site runs as
            os.chown(path, owner.st_uid, owner.st_gid)
        return SigningKeys.load(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ino, found.st_size) if found else None


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load_pem(block: bytes, path: Path) -> PrivateKey:
    try:
        key = load_pem_private_key(block, password=None)
    except (ValueError, TypeError):
        raise ConfigurationError(f"{path} holds a private key that can't be read") from None
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)):
        raise ConfigurationError(f"{path} holds a key that is not RSA, P-256 or Ed25519")
    return key


def _signing_key(private: PrivateKey) -> SigningKey:
    algorithm, jwk = _as_jwk(private)
    thumbprint = _thumbprint(jwk)
    public = {"kid": thumbprint, "alg": algorithm, "use": "sig"}
    members = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    return SigningKey(thumbprint, algorithm, private, members | public)


def _as_jwk(private: PrivateKey) -> tuple[str, dict[str, Any]]:
    public = private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        if public.key_size < MINIMUM_RSA_BITS:
            raise ConfigurationError(f"an RSA signing key needs {MINIMUM_RSA_BITS} bits at least")
        return "RS256", RSAAlgorithm.to_jwk(public, as_dict=True)
    if isinstance(public, ed25519.Ed25519PublicKey):
        return "EdDSA", OKPAlgorithm.to_jwk(public, as_dict=True)
    if not isinstance(public.curve, ec.SECP256R1):
        raise ConfigurationError("an elliptic-curve signing key must be of the curve P-256")
    return "ES256", ECAlgorithm.to_jwk(public, as_dict=True)


def _thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638 section 3: SHA-256 over the required members in order, without white space."""
    members = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode("ascii")


def _write_once(path: Path, content: bytes) -> None:
    """Give the path this content unless it has one, atomically, readable as other secrets are."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, secrets.mode(path.parent))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass  # another process was first: its key is the one
    finally:
        temporary.unlink()
