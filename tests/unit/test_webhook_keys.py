"""Signatures of messages (Standard Webhooks 1.0.0)."""

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from archive.webhook_keys import Algorithm, Key

SITE_KEY, SALT = b"k" * 32, b"s" * 32


def test_a_message_is_signed_as_others_verify_it() -> None:
    """The example that the specification's own libraries are tested by."""
    key = Key(Algorithm.HMAC, base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    signed = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.text(min_size=1), st.integers(0, 2**40), st.binary())
def test_anybody_verifies_by_the_public_key(identifier: str, timestamp: int, body: bytes) -> None:
    key = Key.derive(SITE_KEY, SALT, Algorithm.ED25519)
    kind, _, public = key.shown.partition("_")
    version, _, signature = key.sign(identifier, timestamp, body).partition(",")
    assert (kind, version) == ("whpk", "v1a")
    verifier = Ed25519PublicKey.from_public_bytes(base64.b64decode(public))
    verifier.verify(base64.b64decode(signature), f"{identifier}.{timestamp}.".encode() + body)


def test_each_salt_and_site_has_a_secret_of_its_own() -> None:
    made = {
        Key.derive(site, salt, algorithm).secret
        for site in (SITE_KEY, b"l" * 32)
        for salt in (SALT, b"t" * 32)
        for algorithm in Algorithm
    }
    assert len(made) == 8 and all(len(secret) == 32 for secret in made)


def test_a_secret_is_not_in_what_is_printed() -> None:
    key = Key.derive(SITE_KEY, SALT, Algorithm.HMAC)
    assert key.shown.startswith("whsec_") and repr(key) == "Key(algorithm=<Algorithm.HMAC: 'hmac-sha256'>)"
