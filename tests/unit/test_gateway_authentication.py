"""Bearer tokens and the attacks on them (RFC 6750, RFC 7519, RFC 8725)."""

import base64
import hashlib
import hmac
import json
import time

import anyio
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from archive.policy import Action, Principal
from gateway import authentication
from gateway.authentication import LEEWAY, InvalidToken, Tokens, verify
from gateway.signing import Keyring, SigningKeys
from tests.unit import fake_site

ISSUER, AUDIENCE = "https://site.test", "https://site.test/dicom-web"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return SigningKeys.create(tmp_path_factory.mktemp("keys") / "signing.pem")


@pytest.fixture(scope="module")
def forge(keys):
    """A callable that signs claims with the site's own key; a claim or header field of None is left out."""

    def make(claims=(), *, header=(), key=None, algorithm="ES256"):
        now = int(time.time())
        own = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "s",
            "iat": now,
            "exp": now + 60,
            "scope": "dicomweb.read",
        }
        fields = {"kid": keys.keys[0].kid} | dict(header)
        return jwt.encode(
            {name: value for name, value in (own | dict(claims)).items() if value is not None},
            key or keys.keys[0].private,
            algorithm=algorithm,
            headers={name: value for name, value in fields.items() if value is not None},
        )

    return make


def accept(token, keys) -> Principal:
    return verify(token, keys, issuer=ISSUER, audience=AUDIENCE)


def segment(value) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def swap(token: str, *, header=None, claims=None) -> str:
    """The token with another header or other claims, its signature as it was."""
    first, second, third = token.split(".")
    return ".".join([segment(header) if header else first, segment(claims) if claims else second, third])


def test_a_good_token_speaks_for_its_subject(forge, keys):
    assert accept(forge(), keys) == Principal("client:s", frozenset({Action.READ}))


class TestSignature:
    """RFC 8725 sections 2.1 to 2.5 and 3.1."""

    @pytest.mark.parametrize(
        "algorithm", ["none", "None", "NONE", "nOnE", "", None, "HS256", "RS256", "ES384", 1, ["ES256"]]
    )
    def test_another_algorithm(self, forge, keys, algorithm):
        header = {"alg": algorithm, "kid": keys.keys[0].kid}
        for token in (swap(forge(), header=header), swap(forge(), header=header).rpartition(".")[0] + "."):
            with pytest.raises(InvalidToken):
                accept(token, keys)

    @pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
    def test_the_public_key_as_a_secret(self, forge, keys, encoding):
        public = keys.keys[0].public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
        first, second, _ = swap(forge(), header={"alg": "HS256", "kid": keys.keys[0].kid}).split(".")
        mac = hmac.new(public, f"{first}.{second}".encode(), hashlib.sha256).digest()
        with pytest.raises(InvalidToken):
            accept(f"{first}.{second}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}", keys)

    @pytest.mark.parametrize("signature", ["", "AA", "A" * 86, "!!!!"])
    def test_no_or_another_signature(self, forge, keys, signature):
        with pytest.raises(InvalidToken):
            accept(forge().rpartition(".")[0] + "." + signature, keys)

    def test_changed_claims(self, forge, keys):
        token = forge()
        claims = jwt.decode(token, options={"verify_signature": False}) | {"scope": "dicomweb.write"}
        with pytest.raises(InvalidToken):
            accept(swap(token, claims=claims), keys)

    def test_another_key_under_our_identifier(self, forge, keys):
        with pytest.raises(InvalidToken):
            accept(forge(key=ec.generate_private_key(ec.SECP256R1())), keys)

    @pytest.mark.parametrize("kid", [None, "", "../../etc/passwd", "' or '1'='1", "/dev/null"])
    def test_a_key_identifier_is_looked_up_among_our_own_only(self, forge, keys, kid):
        with pytest.raises(InvalidToken):
            accept(forge(header={"kid": kid}), keys)

    @pytest.mark.parametrize("field", ["jku", "x5u", "jwk", "x5c"])
    def test_a_key_that_the_token_brings_is_ignored(self, forge, keys, field):
        stranger = ec.generate_private_key(ec.SECP256R1())
        header = {field: json.loads(jwt.algorithms.ECAlgorithm.to_jwk(stranger.public_key()))}
        with pytest.raises(InvalidToken):
            accept(forge(key=stranger, header=header), keys)

    @pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": False}])
    def test_extensions_that_must_be_understood(self, forge, keys, header):
        with pytest.raises(InvalidToken):
            accept(swap(forge(), header={"alg": "ES256", "kid": keys.keys[0].kid} | header), keys)


class TestClaims:
    """RFC 7519 section 4.1, RFC 8725 sections 3.8 to 3.10."""

    @pytest.mark.parametrize("name", ["iss", "aud", "exp", "iat", "sub"])
    def test_none_may_be_missing(self, forge, keys, name):
        with pytest.raises(InvalidToken):
            accept(forge({name: None}), keys)

    @pytest.mark.parametrize(
        "issuer", [ISSUER + "/", ISSUER[:-1], "https://evil.test/?" + ISSUER, [ISSUER], ""]
    )
    def test_another_issuer(self, forge, keys, issuer):
        with pytest.raises((InvalidToken, TypeError)):
            accept(forge({"iss": issuer}), keys)

    @pytest.mark.parametrize("audience", [ISSUER, AUDIENCE + "/", "", [], ["other"], {"a": AUDIENCE}, 1])
    def test_another_audience(self, forge, keys, audience):
        with pytest.raises(InvalidToken):
            accept(forge({"aud": audience}), keys)

    def test_an_audience_among_several(self, forge, keys):
        assert accept(forge({"aud": ["other", AUDIENCE]}), keys)

    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": 0},
            {"exp": -1},
            {"exp": "9999999999"},
            {"exp": 1e12},
            {"exp": True},
            {"exp": 2**70},
            {"nbf": int(time.time()) + 86_400},
            {"nbf": "0"},
            {"iat": int(time.time()) + 86_400},
            {"iat": 1.5},
            {"sub": ""},
            {"sub": 7},
            {"scope": ["dicomweb.read"]},
        ],
    )
    def test_times_and_names_of_the_wrong_kind(self, forge, keys, claims):
        with pytest.raises((InvalidToken, TypeError)):
            accept(swap(forge(), claims=claims) if "sub" in claims else forge(claims), keys)

    def test_a_name_twice(self, forge, keys):
        first, second, third = forge().split(".")
        text = base64.urlsafe_b64decode(second + "==").decode()
        with pytest.raises(InvalidToken, match="malformed"):
            accept(".".join([first, segment(text[:-1] + ', "scope": "dicomweb.write"}'), third]), keys)


class TestShape:
    @pytest.mark.parametrize(
        "token", ["", ".", "..", "a.b.c", "a.b", "a.b.c.d.e", "é.é.é", "[].{}.x", "x" * 10]
    )
    def test_what_is_no_token(self, keys, token):
        with pytest.raises(InvalidToken):
            accept(token, keys)

    def test_a_huge_token_is_refused_by_its_length(self, forge, keys):
        with pytest.raises(InvalidToken):
            accept(forge({"x": "y" * 1_000_000}), keys)

    def test_deep_nesting_is_refused(self, keys):
        with pytest.raises(InvalidToken):
            accept(f"{segment('[' * 3000)}.{segment('{}')}.x", keys)

    @given(st.text(alphabet='abeyJ.=-_+/{}"', max_size=80))
    def test_nothing_else_ever_comes_out(self, keys, text):
        with pytest.raises(InvalidToken):
            accept(text, keys)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return fake_site.build(tmp_path_factory.mktemp("home"))


class TestHeader:
    """RFC 6750 sections 2 and 3."""

    def test_without_a_token(self, site):
        answer = site.client.get("/dicom-web/studies")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="senogate"')

    def test_with_a_bad_token(self, site):
        answer = site.client.get("/dicom-web/studies", headers={"Authorization": "Bearer a.b.c"})
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert "a.b.c" not in answer.text

    def test_outside_its_scope(self, site):
        answer = site.client.post("/dicom-web/studies", headers=site.bearer("dicomweb.read"))
        assert answer.status_code == 403
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]

    @pytest.mark.parametrize(
        "headers",
        [
            [("Authorization", "Bearer "), ("Authorization", "Bearer ")],
            [("Authorization", "Bearer a, Bearer b")],
            [("Authorization", "Bearer a b")],
            [("Authorization", "Bearer")],
        ],
    )
    def test_ambiguous_ones_are_refused(self, site, headers):
        answer = site.client.get("/dicom-web/studies", headers=headers)
        assert answer.status_code == 400
        assert 'error="invalid_request"' in answer.headers["www-authenticate"]

    def test_a_token_in_the_address_is_refused(self, site):
        answer = site.client.get(f"/dicom-web/studies?access_token={site.token()}", headers=site.bearer())
        assert answer.status_code == 400

    @pytest.mark.parametrize("value", ["Basic YTpi", "Token x", "bearerx y"])
    def test_another_scheme_is_no_token(self, site, value):
        assert site.client.get("/dicom-web/studies", headers={"Authorization": value}).status_code == 401


class TestRemembered:
    """A token is verified once, and again from the moment in which it expires."""

    @pytest.fixture
    def verified(self, keys, monkeypatch):
        """A callable that asks whom a token speaks for, and the tokens that were verified for it."""
        seen, decode = [], jwt.decode
        monkeypatch.setattr(
            jwt, "decode", lambda token, *rest, **more: seen.append(token) or decode(token, *rest, **more)
        )
        tokens = Tokens(Keyring(keys), ISSUER, AUDIENCE)
        return lambda token: anyio.run(tokens.principal, token), seen

    def test_the_same_token_is_verified_once(self, verified, forge):
        principal_of, seen = verified
        token = forge()
        assert {principal_of(token) for _ in range(3)} == {Principal("client:s", frozenset({Action.READ}))}
        assert seen == [token]

    def test_one_that_expires_is_verified_again(self, verified, forge, monkeypatch):
        principal_of, seen = verified
        token, later = forge(), time.time() + 60 + LEEWAY
        principal_of(token)
        monkeypatch.setattr(time, "time", lambda: later)
        principal_of(token)
        assert seen == [token, token]

    def test_one_that_differs_in_a_letter_is_another(self, verified, forge):
        principal_of, _ = verified
        token = forge()
        principal_of(token)
        with pytest.raises(InvalidToken):
            principal_of(token[:-8] + "AAAAAAAA")

    def test_only_so_many_are_remembered(self, verified, forge, monkeypatch):
        principal_of, seen = verified
        monkeypatch.setattr(authentication, "REMEMBERED", 2)
        tokens = [forge({"sub": str(number)}) for number in range(3)]
        for token in [*tokens, tokens[0]]:
            principal_of(token)
        assert seen == [*tokens, tokens[0]]
