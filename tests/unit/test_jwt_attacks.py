"""The known attacks on JSON web tokens, on the site's own issuer and on one elsewhere (RFC 8725 section 2)."""

import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anyio
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.policy import Principal
from gateway.authentication import InvalidToken, Tokens
from gateway.provider import Configured, Provider
from gateway.signing import Keyring, SigningKeys
from gateway.web_token import LEEWAY, MAXIMUM_TOKEN
from tests import oidc
from tests.oidc import AUDIENCE

OWN = "https://site.test"


class Registered:
    """The one issuer that is registered, without a database."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def find(self, url: str) -> Provider | None:
        return self._provider if url == self._provider.configured.url else None


@dataclass
class Target:
    """An issuer whose tokens are accepted, and what an attacker knows of it."""

    issuer: str
    private: Any
    kid: str
    algorithm: str
    tokens: Tokens

    def accept(self, token: str) -> Principal:
        return anyio.run(self.tokens.principal, token)

    def refuses(self, token: str) -> None:
        with pytest.raises(InvalidToken) as refused:
            self.accept(token)
        assert not token or token not in str(refused.value)

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        own = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "s",
            "iat": now,
            "exp": now + 60,
            "scope": "dicomweb.read",
        }
        return {name: value for name, value in (own | changed).items() if value is not None}

    def sign(self, *, key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        fields = {"kid": self.kid} | (header or {})
        return jwt.encode(
            self.claims(**claims), key or self.private, algorithm=self.algorithm, headers=fields
        )

    def raw(
        self, header: dict[str, Any] | str, claims: dict[str, Any] | str | None = None, signature: str = ""
    ) -> str:
        return f"{segment(header)}.{segment(self.claims() if claims is None else claims)}.{signature}"

    def signed_as_it_is(self, header: str, claims: str) -> str:
        """Any text as header and claims, signed with the issuer's own key."""
        text = f"{segment(header)}.{segment(claims)}"
        signature = jwt.get_algorithm_by_name(self.algorithm).sign(text.encode(), self.private)
        return f"{text}.{encode(signature)}"


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def segment(value: dict[str, Any] | str) -> str:
    return encode((value if isinstance(value, str) else json.dumps(value)).encode())


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[oidc.Provider]:
    with oidc.provider("RS256") as made:
        yield made


@pytest.fixture(scope="module", params=["own", "elsewhere"])
def target(request, tmp_path_factory, elsewhere) -> Target:
    path = tmp_path_factory.mktemp("keys") / "signing.pem"
    key = rsa.generate_private_key(65537, 2048)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    keys = SigningKeys.load(path)
    provider = Provider(Configured("elsewhere", elsewhere.url, AUDIENCE))
    tokens = Tokens(Keyring(keys), OWN, AUDIENCE, Registered(provider))
    if request.param == "own":
        return Target(OWN, key, keys.keys[0].kid, "RS256", tokens)
    private = load_pem_private_key(elsewhere.keys[0].as_pem(private=True), None)
    return Target(elsewhere.url, private, "first", "RS256", tokens)


def test_a_good_token_is_accepted(target):
    assert target.accept(target.sign()).subject in ("client:s", f"{target.issuer}#s")


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "noNe", " none", "none ", "", None])
def test_alg_none_in_all_spellings(target, name):
    target.refuses(target.raw({"alg": name, "kid": target.kid}))


@pytest.mark.parametrize("name", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("form", ["PEM", "DER", "PEM without a last line feed", "n"])
def test_the_public_key_as_an_hmac_secret(target, name, form):
    public = target.private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    n = public.public_numbers().n
    secret = {
        "PEM": pem,
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "PEM without a last line feed": pem.rstrip(),
        "n": encode(n.to_bytes(256, "big")).encode(),
    }[form]
    text = target.raw({"alg": name, "kid": target.kid}).rpartition(".")[0]
    mac = hmac.new(secret, text.encode(), getattr(hashlib, f"sha{name[2:]}")).digest()
    target.refuses(f"{text}.{encode(mac)}")


def test_a_stripped_signature(target):
    target.refuses(target.sign().rpartition(".")[0] + ".")


def test_a_token_of_two_segments(target):
    target.refuses(target.sign().rpartition(".")[0])


@pytest.mark.parametrize("signature", ["AA", encode(bytes(256)), encode(b"\xff" * 256), "null", "!!!!"])
def test_a_null_signature(target, signature):
    target.refuses(f"{target.sign().rpartition('.')[0]}.{signature}")


def test_the_signature_of_another_token(target):
    target.refuses(f"{target.sign().rpartition('.')[0]}.{target.sign(sub='other').rpartition('.')[2]}")


@pytest.mark.parametrize("secret", [b"", b"\0", b" ", bytes(32)])
def test_a_blank_hmac_key(target, secret):
    text = target.raw({"alg": "HS256", "kid": target.kid}).rpartition(".")[0]
    target.refuses(f"{text}.{encode(hmac.new(secret, text.encode(), hashlib.sha256).digest())}")


@pytest.mark.parametrize("name", ["ES256", "ES384", "EdDSA"])
def test_a_blank_signature_of_a_curve(target, name):
    """Zeros pass a verification that forgets to look at their range (CVE-2022-21449)."""
    target.refuses(target.raw({"alg": name, "kid": target.kid}, signature=encode(bytes(64))))


def test_zeros_under_a_key_of_a_curve(tmp_path):
    keys = SigningKeys.create(tmp_path / "signing.pem")
    tokens = Tokens(Keyring(keys), OWN, AUDIENCE)
    curve = Target(OWN, keys.keys[0].private, keys.keys[0].kid, "ES256", tokens)
    assert curve.accept(curve.sign())
    for signature in (bytes(64), curve.private.sign(b"x", ec.ECDSA(SHA256()))):
        curve.refuses(f"{curve.sign().rpartition('.')[0]}.{encode(signature)}")


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../etc/passwd",
        "/dev/null",
        "file:///dev/null",
        "..\\..\\x",
        "signing.pem",
        "/proc/self/environ",
    ],
)
def test_a_path_as_kid(target, kid):
    target.refuses(target.sign(header={"kid": kid}))


@pytest.mark.parametrize(
    "kid", ["' or '1'='1", "x' union select 'secret' --", "first';drop table client;--", "%", "*"]
)
def test_sql_as_kid(target, kid):
    target.refuses(target.sign(header={"kid": kid}))


@pytest.mark.parametrize("kid", [["first"], {"$ne": ""}, 1, True, None])
def test_a_kid_that_is_no_text(target, kid):
    header = json.dumps({"alg": target.algorithm, "kid": kid})
    token = target.signed_as_it_is(header, json.dumps(target.claims()))
    target.refuses(token)


@pytest.mark.parametrize("field", ["jku", "x5u"])
def test_an_address_of_keys_is_never_asked(target, field):
    stranger = rsa.generate_private_key(65537, 2048)
    with oidc.provider("RS256") as listener:
        address = f"{listener.url}/jwks"
        target.refuses(target.sign(key=stranger, header={field: address, "kid": "first"}))
        target.refuses(target.sign(key=stranger, header={field: address, "kid": listener.keys[0].kid + "x"}))
        assert not listener.asked


@pytest.mark.parametrize("field", ["jwk", "x5c", "x5t", "x5t#S256"])
def test_a_key_in_the_header_is_not_used(target, field):
    stranger = rsa.generate_private_key(65537, 2048)
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public_key())) | {"kid": target.kid}
    value = {"jwk": jwk, "x5c": ["MIIB"]}.get(field, "AAAA")
    target.refuses(target.sign(key=stranger, header={field: value}))


@pytest.mark.parametrize("crit", [["exp"], ["x"], ["alg"], [], "exp", None, ["b64"]])
def test_a_critical_extension(target, crit):
    header = json.dumps({"alg": target.algorithm, "kid": target.kid, "crit": crit, "x": 1})
    target.refuses(target.signed_as_it_is(header, json.dumps(target.claims())))


@pytest.mark.parametrize("value", [False, True, "false"])
def test_b64(target, value):
    """RFC 7797."""
    header = json.dumps({"alg": target.algorithm, "kid": target.kid, "b64": value})
    target.refuses(target.signed_as_it_is(header, json.dumps(target.claims())))


def test_an_issuer_that_contains_the_right_one(target):
    for issuer in (
        target.issuer[:-1],
        target.issuer + "/",
        target.issuer + ".evil.test",
        target.issuer[5:],
        "",
        "h",
    ):
        target.refuses(target.sign(iss=issuer))


def test_an_issuer_of_another_case(target):
    target.refuses(target.sign(iss=target.issuer.upper()))


@pytest.mark.parametrize(
    "wrap", [lambda url: [url], lambda url: {"url": url}, lambda url: None, lambda url: True]
)
def test_an_issuer_that_is_no_text(target, wrap):
    target.refuses(target.signed_as_it_is(*parts(target, iss=wrap(target.issuer))))


def parts(target, **claims):
    header = {"alg": target.algorithm, "kid": target.kid}
    return json.dumps(header), json.dumps(target.claims(**claims))


@pytest.mark.parametrize(
    "audience",
    [None, "", [], ["other"], {AUDIENCE: 1}, 1, AUDIENCE + "/", AUDIENCE[:-1], [[AUDIENCE]], [1, AUDIENCE]],
)
def test_another_audience_or_none(target, audience):
    target.refuses(target.signed_as_it_is(*parts(target, aud=audience)))


def test_an_audience_among_several(target):
    assert target.accept(target.sign(aud=["other", AUDIENCE]))


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "iat", "sub"])
def test_a_claim_that_is_missing(target, name):
    target.refuses(target.signed_as_it_is(*parts(target, **{name: None})))


@pytest.mark.parametrize("offset", [-1, 0, -(2**31), -LEEWAY * 10])
def test_an_expired_token(target, offset):
    target.refuses(target.sign(exp=int(time.time()) - LEEWAY + min(offset, 0)))


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_from_the_future(target, name):
    target.refuses(target.sign(**{name: int(time.time()) + LEEWAY + 30}))


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value", ['"9999999999"', "1e12", "9999999999.5", "true", "null", "[9999999999]", "-1", "1e400", "NaN", "Infinity",
              str(2**70), '"x"', "{}"],
)  # fmt: skip
def test_times_that_are_no_whole_numbers(target, name, value):
    header, claims = parts(target, **{name: None})
    target.refuses(target.signed_as_it_is(header, f'{claims[:-1]}, "{name}": {value}}}'))


@pytest.mark.parametrize("name", ["scope", "sub", "exp", "iss", "x"])
def test_a_claim_twice(target, name):
    header, claims = parts(target, x=1)
    value = json.dumps(json.loads(claims)[name])
    target.refuses(target.signed_as_it_is(header, f'{claims[:-1]}, "{name}": {value}}}'))


def test_a_header_field_twice(target):
    header, claims = parts(target)
    target.refuses(target.signed_as_it_is(f'{header[:-1]}, "alg": "{target.algorithm}"}}', claims))


def test_a_token_of_a_megabyte(target):
    token = target.sign(x="y" * 1_000_000)
    assert len(token) > 1_000_000
    target.refuses(token)


def test_a_token_just_too_long(target):
    plain = len(target.sign(x=""))
    fitting = (MAXIMUM_TOKEN - plain) * 3 // 4 - 4
    assert target.accept(target.sign(x="y" * fitting))
    target.refuses(target.sign(x="y" * (fitting + 12)))


def test_deep_nesting(target):
    target.refuses(target.signed_as_it_is(parts(target)[0], "[" * 2500 + "]" * 2500))


def test_an_encrypted_token(target):
    """Five segments (RFC 7516 section 3.1)."""
    header = segment({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": target.kid})
    target.refuses(f"{header}.AAAA.AAAA.AAAA.AAAA")
    target.refuses(f"{segment({'alg': 'dir', 'enc': 'A128GCM', 'kid': target.kid})}..AAAA.AAAA.AAAA")


def test_a_token_in_json(target):
    """The JSON serialization of RFC 7515 section 7.2 is no bearer token."""
    header, claims, signature = target.sign().split(".")
    target.refuses(json.dumps({"protected": header, "payload": claims, "signature": signature}))


@pytest.mark.parametrize("change", [" {}", "{} ", "{}\n", "{}=", "\t{}"])
def test_white_space_and_padding_around_a_token(target, change):
    target.refuses(change.format(target.sign()))


def test_another_algorithm_of_the_same_key(target):
    """RSASSA-PSS under a key of the site's own, which is for PKCS #1 v1.5 (RFC 8725 section 3.1)."""
    token = jwt.encode(target.claims(), target.private, algorithm="PS256", headers={"kid": target.kid})
    if target.issuer == OWN:
        target.refuses(token)
    else:
        assert target.accept(token)


@pytest.mark.parametrize("name", ["RS384", "RS512", "PS384", "PS512"])
def test_an_algorithm_that_is_not_on_the_list(target, name):
    target.refuses(jwt.encode(target.claims(), target.private, algorithm=name, headers={"kid": target.kid}))


@pytest.mark.parametrize("kind", ["logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE", "", 1])
def test_a_token_for_another_use(target, kind):
    header, claims = parts(target)
    target.refuses(target.signed_as_it_is(json.dumps(json.loads(header) | {"typ": kind}), claims))


def test_an_id_token_is_no_access_token(target):
    target.refuses(target.sign(nonce="n"))
    target.refuses(target.sign(typ="ID"))


def test_a_token_of_one_issuer_in_the_name_of_the_other(target, elsewhere):
    target.refuses(target.sign(iss=elsewhere.url if target.issuer == OWN else OWN))


@pytest.mark.parametrize(
    "confirmation", [{"jkt": "x"}, {"x5t#S256": "x", "jkt": "y"}, {}, "x", {"x5t#S256": 1}]
)
def test_a_binding_that_is_not_understood(target, confirmation):
    """RFC 7800 section 3.1: who can't check the confirmation must not accept the token."""
    target.refuses(target.sign(cnf=confirmation))


@pytest.mark.parametrize("roles", [["administrator"], "administrator", ["steward", "administrator"]])
def test_roles_of_another_issuer_are_not_believed(target, roles):
    if target.issuer == OWN:
        pytest.skip("who holds the site's own key may say so")
    assert target.accept(target.sign(roles=roles)).roles == frozenset()


@pytest.mark.parametrize("subject", ["", 7, None, ["s"], "a\0b", "a\nb", "x" * 256])
def test_a_subject_that_is_no_name(target, subject):
    target.refuses(target.signed_as_it_is(*parts(target, sub=subject)))


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner)
)
NAMES = st.sampled_from(
    ["iss", "aud", "exp", "nbf", "iat", "sub", "scope", "cnf", "roles", "permit", "purpose", "typ", "nonce"]
)
FIELDS = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "jwk", "x5u", "cty", "zip"])


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=4), st.dictionaries(FIELDS, JSON, max_size=3))
def test_whatever_is_signed_it_is_a_principal_or_refused(target, claims, fields):
    """The signature is good each time, so that what comes after it is reached."""
    header = json.dumps({"alg": target.algorithm, "kid": target.kid} | fields)
    token = target.signed_as_it_is(header, json.dumps(target.claims() | claims))
    with contextlib.suppress(InvalidToken):
        assert target.accept(token).subject


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='abeyJ.=-_+/{}"é\0', max_size=80) | st.text(max_size=40))
def test_no_text_is_a_token(target, text):
    with pytest.raises(InvalidToken):
        target.accept(text)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 400), st.integers(0, 93))
def test_no_changed_byte_is_accepted(target, place, value):
    """Not even in the bits with which base64 fills its last letter."""
    token = target.sign()
    place %= len(token)
    changed = token[:place] + chr(33 + value) + token[place + 1 :]
    if changed != token:
        target.refuses(changed)
