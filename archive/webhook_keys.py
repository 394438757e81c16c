"""What signs webhooks as the Standard Webhooks specification says (version 1.0.0, signature schemes v1 and v1a).

No key is stored: each is derived from the site's key and the salt of its webhook.
"""

import base64
import hmac
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SALT = 32  # bytes


class Algorithm(StrEnum):
    """How a webhook is signed: by a secret that its receiver shares, or so that anybody can verify it."""

    HMAC = "hmac-sha256"
    ED25519 = "ed25519"


@dataclass(frozen=True, slots=True)
class Key:
    """32 bytes: the secret of HMAC-SHA256, or an Ed25519 private key."""

    algorithm: Algorithm
    secret: bytes = field(repr=False)

    @classmethod
    def derive(cls, site_key: bytes, salt: bytes, algorithm: Algorithm) -> "Key":
        """By HKDF-SHA256 (RFC 5869)."""
        info = f"senogate webhook 1 {algorithm}".encode()
        return cls(algorithm, HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(site_key))

    @property
    def shown(self) -> str:
        """What the receiver verifies with: the secret (`whsec_`), or the public key (`whpk_`)."""
        if self.algorithm == Algorithm.HMAC:
            return f"whsec_{_base64(self.secret)}"
        return f"whpk_{_base64(self._private.public_key().public_bytes_raw())}"

    def sign(self, identifier: str, timestamp: int, body: bytes) -> str:
        """The signature of a message, with its version before it."""
        signed = f"{identifier}.{timestamp}.".encode() + body
        if self.algorithm == Algorithm.HMAC:
            return f"v1,{_base64(hmac.digest(self.secret, signed, 'sha256'))}"
        return f"v1a,{_base64(self._private.sign(signed))}"

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.secret)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
