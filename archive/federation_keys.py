"""The keys of a node of a federation, and by what each is known: to other nodes, to Flower, and to people.

`federation.key` (Ed25519) signs what a node says of itself: its tokens, statements, manifests and invitations.
`supernode.key` (P-384, in the form of OpenSSH) is what its SuperNode proves itself with to the SuperLink.
"""

import base64
import hashlib
import json
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP384R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
    load_ssh_private_key,
)

from archive import secrets
from archive.errors import BadRequest, ConfigurationError
from archive.settings import Settings

FEDERATION_KEY = "federation.key"
NODE_KEY = "supernode.key"
LONGEST_NODE_KEY = 512  # bytes; those of P-384 are 215 in PEM
_GROUP = 4  # digits of a fingerprint that are shown together


def make(settings: Settings) -> None:
    """Make the keys that this node lacks; those that are there stay."""
    if not _path(settings, FEDERATION_KEY).exists():
        _write(settings, FEDERATION_KEY, Ed25519PrivateKey.generate().private_bytes_raw())
    if not node_key_path(settings).exists():
        made = generate_private_key(SECP384R1())
        _write(settings, NODE_KEY, made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))


def forget(settings: Settings, *names: str) -> None:
    """Remove keys: what they signed can still be verified, and nobody signs with them any more."""
    for name in names:
        _path(settings, name).unlink(missing_ok=True)


def federation_key(settings: Settings) -> Ed25519PrivateKey:
    """What this node signs with. Raises ConfigurationError."""
    return Ed25519PrivateKey.from_private_bytes(secrets.read_key(settings.secrets, FEDERATION_KEY))


def node_key_path(settings: Settings) -> Path:
    """The file that `flower-supernode --auth-supernode-private-key` takes."""
    return _path(settings, NODE_KEY)


def node_key(settings: Settings) -> EllipticCurvePrivateKey:
    """What this node's SuperNode proves itself with. Raises ConfigurationError."""
    try:
        key = load_ssh_private_key(secrets.read(settings.secrets, NODE_KEY), None)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ConfigurationError(f"the secret {node_key_path(settings)} is no key of a SuperNode")
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The public half of a federation key, 32 bytes."""
    return key.public_key().public_bytes_raw()


def node_public_bytes(key: EllipticCurvePrivateKey | EllipticCurvePublicKey) -> bytes:
    """The public half of a node key as Flower sends it: PEM of its SubjectPublicKeyInfo."""
    public = key.public_key() if isinstance(key, EllipticCurvePrivateKey) else key
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def load_public(key: bytes) -> Ed25519PublicKey:
    """A federation key of 32 bytes. Raises BadRequest."""
    try:
        return Ed25519PublicKey.from_public_bytes(key)
    except ValueError:
        raise BadRequest("a federation key is an Ed25519 public key of 32 bytes") from None


def load_node_public(key: bytes) -> EllipticCurvePublicKey:
    """A node key in the one form in which Flower sends it. Raises BadRequest."""
    try:
        found = load_pem_public_key(key) if len(key) <= LONGEST_NODE_KEY else None
    except (ValueError, UnsupportedAlgorithm):
        found = None
    if (
        not isinstance(found, EllipticCurvePublicKey)
        or not isinstance(found.curve, SECP384R1)
        or node_public_bytes(found) != key
    ):
        raise BadRequest("a node key is a public key of the curve P-384 in PEM")
    return found


def fingerprint(site_key: bytes, node_key: bytes) -> str:
    """By what people compare a node's keys: SHA-256 over both public keys, in groups of four hexadecimal digits."""
    digits = hashlib.sha256(b"senogate federation node 1\0" + site_key + node_key).hexdigest()
    return " ".join(digits[start : start + _GROUP] for start in range(0, len(digits), _GROUP))


def own_fingerprint(settings: Settings) -> str:
    """This node's fingerprint. Raises ConfigurationError."""
    return fingerprint(public_bytes(federation_key(settings)), node_public_bytes(node_key(settings)))


def node_subject(node_key: bytes) -> str:
    """The `sub` of a site's tokens: SHA-256 of the node key as Flower sends it, in hexadecimal digits."""
    return hashlib.sha256(node_key).hexdigest()


def key_id(site_key: bytes) -> str:
    """The `kid` of a site's tokens: its key's thumbprint (RFC 7638 section 3, RFC 8037 section 2)."""
    x = base64.urlsafe_b64encode(site_key).rstrip(b"=").decode("ascii")
    members = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(members.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _path(settings: Settings, name: str) -> Path:
    return Path(settings.secrets, name)


def _write(settings: Settings, name: str, value: bytes) -> None:
    """Root makes it for the user that the site runs as."""
    secrets.write(_path(settings, name), value)
    owner = Path(settings.secrets).stat()
    if os.geteuid() != owner.st_uid:
        os.chown(_path(settings, name), owner.st_uid, owner.st_gid)
