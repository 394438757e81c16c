"""Public-key sealing of identities and spooled instances, and the proof that a stored instance carries.

Sealing needs only the public key, so nothing on the receiving host can open what it sealed. The proof is a
keyed hash in the File Meta Information over everything of the file in which identity could hide.
"""

import hmac
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_SEAL_VERSION = b"\x01"
_PUBLIC_LENGTH = 32
_TAG_LENGTH = 16
_PROOF_MAGIC = b"SENOGATE PROOF 1"
_PROOF_END = struct.Struct("<QQ")
MAC_LENGTH = 32


class SealBroken(ValueError):
    """What was to be opened was not sealed for this key and context, or was altered."""


def generate_keypair() -> tuple[bytes, bytes]:
    """Make an X25519 key pair: (private, public), 32 raw bytes each."""
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def seal(public: bytes, plaintext: bytes, context: bytes) -> bytes:
    """Seal bytes so that only the holder of the private key, who names the same context, can open them.

    X25519 with a key of one use, HKDF-SHA256, ChaCha20-Poly1305. 49 bytes longer than the plaintext.
    """
    ephemeral = X25519PrivateKey.generate()
    header = _SEAL_VERSION + ephemeral.public_key().public_bytes_raw()
    key = _agree(ephemeral, public, header + public)
    return header + ChaCha20Poly1305(key).encrypt(bytes(12), plaintext, context)


def open_sealed(private: bytes, sealed: bytes, context: bytes) -> bytes:
    """Open what `seal` made. Raises SealBroken where the key, the context or any byte is another."""
    start = 1 + _PUBLIC_LENGTH
    if len(sealed) < start + _TAG_LENGTH or sealed[:1] != _SEAL_VERSION:
        raise SealBroken("these bytes were not sealed by this version of Senogate")
    own = X25519PrivateKey.from_private_bytes(private)
    header = bytes(sealed[:start])
    try:
        key = _agree(own, header[1:], header + own.public_key().public_bytes_raw())
        return ChaCha20Poly1305(key).decrypt(bytes(12), sealed[start:], context)
    except (InvalidTag, ValueError):
        raise SealBroken("sealed for another key or context, or altered since") from None


def _agree(private: X25519PrivateKey, public: bytes, transcript: bytes) -> bytes:
    shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    return HKDF(algorithm=SHA256(), length=32, salt=transcript, info=b"senogate seal 1").derive(shared)


class Kind(Enum):
    """What a proof covers."""

    HEADER = b"h"  # every byte but the value of the pixel data
    WHOLE = b"w"  # every byte


@dataclass(frozen=True, slots=True)
class Proof:
    """The value of Private Information (0002,0102): what it states, and the offset of its keyed hash in the
    file.

    `open_at` and `open_length` name the bytes that the hash leaves out, the value of the pixel data.
    """

    kind: Kind
    profile: str
    open_at: int
    open_length: int

    def encode(self) -> bytes:
        """The value without its last 32 bytes, the keyed hash; together they are of even length."""
        profile = self.profile.encode()
        profile += b" " * (len(profile) % 2)
        head = _PROOF_MAGIC + self.kind.value + bytes([len(profile)]) + profile
        return head + _PROOF_END.pack(self.open_at, self.open_length)

    @classmethod
    def decode(cls, value: bytes) -> "Proof | None":
        """Read what `encode` made and the hash that follows it; None where the bytes are no proof."""
        magic = len(_PROOF_MAGIC)
        if (
            len(value) < magic + 2
            or value[:magic] != _PROOF_MAGIC
            or value[magic : magic + 1] not in (b"h", b"w")
        ):
            return None
        end = magic + 2 + value[magic + 1]
        if len(value) != end + _PROOF_END.size + MAC_LENGTH:
            return None
        profile = value[magic + 2 : end].decode("utf-8", "replace").rstrip(" ")
        return cls(Kind(value[magic : magic + 1]), profile, *_PROOF_END.unpack_from(value, end))


def proof_length(profile: str) -> int:
    """The length in bytes of a proof that names this profile, its hash included."""
    return len(Proof(Kind.WHOLE, profile, 0, 0).encode()) + MAC_LENGTH


def authenticate(key: bytes, parts: Iterable[bytes | memoryview]) -> bytes:
    """The keyed hash, 32 bytes, of the covered parts of a file in their order (HMAC-SHA256)."""
    mac = hmac.new(key, b"senogate proof\0", "sha256")
    for part in parts:
        mac.update(part)
    return mac.digest()


def is_authentic(key: bytes, parts: Iterable[bytes | memoryview], mac: bytes | memoryview) -> bool:
    """Whether `mac` is the keyed hash of the parts."""
    return hmac.compare_digest(authenticate(key, parts), mac)


def covered(proof: Proof, mac_at: int, size: int) -> tuple[tuple[int, int], ...] | None:
    """The ranges of a file of `size` bytes that its proof covers; None where they don't fit in it."""
    after = mac_at + MAC_LENGTH
    end = proof.open_at + proof.open_length
    if not after <= proof.open_at <= end <= size or (proof.kind is Kind.WHOLE and proof.open_length):
        return None
    return (0, mac_at), (after, proof.open_at), (end, size)


def verify(key: bytes, part10: bytes | memoryview, proof: Proof, mac_at: int) -> bool:
    """Whether the 32 bytes at `mac_at` are the keyed hash of all that the proof covers."""
    view = memoryview(part10)
    ranges = covered(proof, mac_at, len(view))
    if ranges is None:
        return False
    return is_authentic(key, (view[start:stop] for start, stop in ranges), view[mac_at : mac_at + MAC_LENGTH])
