"""A site's tokens, and the known attacks on them (RFC 8725 section 2)."""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.errors import Forbidden
from archive.federation_keys import key_id, node_public_bytes, node_subject, public_bytes
from archive.federation_roles import Joined
from archive.members import Member, State
from gateway.fleet.identity import (
    LIFETIME,
    SKEW,
    TYPE,
    Identity,
    audience_of,
    check_node_key,
    issue,
    verify_token,
)
from gateway.web_token import InvalidToken, read

HUB = "https://hub.test"
KEY, OTHER_KEY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
NODE, OTHER_NODE = (node_public_bytes(ec.generate_private_key(ec.SECP384R1())) for _ in range(2))


def member(name: str = "north", key: Ed25519PrivateKey = KEY, node: bytes = NODE) -> Member:
    return Member(1, name, State.ACTIVE, public_bytes(key), node, datetime.now(UTC))


def sign(key: Any = KEY, algorithm: str = "EdDSA", header: Any = None, **changed: Any) -> str:
    """A good token of the member with some of it changed; None takes a claim or a field of the header away."""
    now = int(time.time())
    claims = {
        "iss": "north",
        "sub": node_subject(NODE),
        "aud": audience_of(HUB),
        "iat": now,
        "exp": now + 60,
        "jti": "j",
    }
    fields = {"kid": key_id(public_bytes(KEY)), "typ": TYPE} | (header or {})
    if fields["kid"] is None:
        del fields["kid"]
    return jwt.encode(_present(claims | changed), key, algorithm=algorithm, headers=fields)


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def refuses(token: str, whose: Member | None = None, hub: str = HUB) -> None:
    with pytest.raises(InvalidToken) as refused:
        verify_token(read(token), whose or member(), hub)
    assert token not in str(refused.value)


def accept(token: str, whose: Member | None = None) -> None:
    verify_token(read(token), whose or member(), HUB)


def test_a_token_of_the_site_is_taken():
    accept(issue(KEY, name="north", node_key=NODE, hub_url=HUB))
    accept(sign())


def test_it_is_good_for_a_minute_at_most():
    token = read(issue(KEY, name="north", node_key=NODE, hub_url=HUB))
    assert token.claims["exp"] - token.claims["iat"] == LIFETIME <= 60
    refuses(issue(KEY, name="north", node_key=NODE, hub_url=HUB, lifetime=LIFETIME + 1))


def test_a_site_uses_a_token_for_a_while_and_none_twice_that_long(monkeypatch):
    identity = Identity(Joined("north", HUB, "hub", "", ""), KEY, NODE)
    first = identity.token()
    assert identity.token() == first and first not in repr(identity)
    moment = time.monotonic() + LIFETIME / 2
    monkeypatch.setattr(time, "monotonic", lambda: moment)
    assert identity.token() != first


class TestWhose:
    def test_a_stranger(self):
        with pytest.raises(InvalidToken):
            verify_token(read(sign()), None, HUB)

    def test_another_key_under_the_kid_of_the_member(self):
        refuses(sign(key=OTHER_KEY))

    def test_the_kid_of_another(self):
        refuses(sign(header={"kid": key_id(public_bytes(OTHER_KEY))}))
        refuses(sign(key=OTHER_KEY, header={"kid": key_id(public_bytes(OTHER_KEY))}))

    @pytest.mark.parametrize("kid", ["", None, "../../etc/passwd", "' or 1=1 --"])
    def test_no_kid_of_a_key(self, kid):
        refuses(sign(header={"kid": kid}))

    def test_a_member_in_the_name_of_another(self):
        refuses(sign(key=OTHER_KEY, iss="north", header={"kid": key_id(public_bytes(OTHER_KEY))}))
        refuses(sign(iss="south"))

    def test_the_node_key_of_another_site(self):
        refuses(sign(sub=node_subject(OTHER_NODE)))
        refuses(sign(), member(node=OTHER_NODE))

    def test_keys_that_came_with_the_token(self):
        own = {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": base64.urlsafe_b64encode(public_bytes(OTHER_KEY)).decode().rstrip("="),
        }
        refuses(sign(key=OTHER_KEY, header={"jwk": own}))
        refuses(sign(key=OTHER_KEY, header={"jku": "https://evil.test/jwks"}))


class TestAlgorithm:
    @pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE"])
    def test_none(self, name):
        header, claims, _ = sign().split(".")
        fields = json.loads(base64.urlsafe_b64decode(header + "==")) | {"alg": name}
        refuses(f"{_web64(json.dumps(fields).encode())}.{claims}.")

    @pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER, Encoding.Raw])
    def test_hmac_with_the_public_key(self, encoding):
        form = PublicFormat.Raw if encoding == Encoding.Raw else PublicFormat.SubjectPublicKeyInfo
        secret = KEY.public_key().public_bytes(encoding, form)
        _, claims, _ = sign().split(".")
        header = _web64(json.dumps({"alg": "HS256", "typ": TYPE, "kid": key_id(public_bytes(KEY))}).encode())
        signature = hmac.new(secret, f"{header}.{claims}".encode(), hashlib.sha256).digest()
        refuses(f"{header}.{claims}.{_web64(signature)}")

    def test_another_kind_of_key(self):
        refuses(sign(key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"))


class TestWhenAndWhere:
    @pytest.mark.parametrize("ahead", [-LIFETIME - SKEW - 2, -3600, SKEW + 2, 3600])
    def test_a_clock_that_is_wrong(self, ahead):
        now = int(time.time()) + ahead
        refuses(sign(iat=now, exp=now + LIFETIME))

    @pytest.mark.parametrize("ahead", [2 - SKEW, SKEW - 2])
    def test_a_clock_that_is_nearly_right(self, ahead):
        now = int(time.time()) + ahead
        accept(sign(iat=now, exp=now + LIFETIME))

    def test_not_before(self):
        refuses(sign(nbf=int(time.time()) + SKEW + 10))

    @pytest.mark.parametrize("name", ["iss", "sub", "aud", "iat", "exp", "jti"])
    def test_a_claim_that_is_missing(self, name):
        with pytest.raises(InvalidToken):
            accept(sign(**{name: None}))

    @pytest.mark.parametrize(
        "audience", [HUB, HUB + "/dicom-web", "https://other.test/federation", "", [audience_of(HUB)]]
    )
    def test_another_audience(self, audience):
        refuses(sign(aud=audience))

    def test_another_hub(self):
        refuses(sign(), hub="https://other.test")

    @pytest.mark.parametrize("kind", ["JWT", "at+jwt", None, "logout+jwt"])
    def test_a_token_for_another_use(self, kind):
        refuses(sign(header={"typ": kind}))

    def test_a_token_that_is_huge(self):
        with pytest.raises(InvalidToken, match="8192"):
            accept(sign(jti="j" * 100_000))


@given(st.integers(0, 10_000), st.sampled_from("AZaz09-_."))
def test_any_other_character_of_a_token_is_noticed(place, character):
    token = sign()
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    if changed != token:
        with pytest.raises(InvalidToken):
            accept(changed)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200)
@given(
    st.sampled_from(["iss", "sub", "aud", "iat", "exp", "jti", "nbf"]),
    _JSON.filter(lambda value: value is not None),
)
def test_a_claim_of_any_kind_is_refused_or_harmless(name, value):
    """Signed by the member itself: what can't be must not break anything either."""
    claims = json.loads(base64.urlsafe_b64decode(sign().split(".")[1] + "=="))
    header = _web64(json.dumps({"alg": "EdDSA", "typ": TYPE, "kid": key_id(public_bytes(KEY))}).encode())
    body = _web64(json.dumps(claims | {name: value}).encode())
    token = f"{header}.{body}.{_web64(KEY.sign(f'{header}.{body}'.encode()))}"
    try:
        accept(token)
    except InvalidToken:
        return
    assert name in ("jti", "nbf", "iat", "exp") and isinstance(value, str | int)


class TestNodeKey:
    def test_that_of_the_member(self):
        check_node_key(member(), base64.b64encode(NODE).decode())

    @given(st.none() | st.text() | st.binary(max_size=300).map(lambda key: base64.b64encode(key).decode()))
    def test_any_other(self, header):
        with pytest.raises(Forbidden):
            check_node_key(member(), header)

    def test_that_of_another_site_or_in_another_form(self):
        for given_key in (OTHER_NODE, NODE + b"\n", b""):
            with pytest.raises(Forbidden):
                check_node_key(member(), base64.b64encode(given_key).decode())
        with pytest.raises(Forbidden):
            check_node_key(member(), base64.b64encode(NODE).decode() + " ")


def _web64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
