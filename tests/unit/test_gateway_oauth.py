"""The built-in issuer without its database (RFC 6749, RFC 7517, RFC 7638)."""

import stat
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from archive.errors import BadRequest, ConfigurationError
from gateway import oauth
from gateway.authentication import verify
from gateway.clients import narrow_scope
from gateway.signing import SigningKeys, _thumbprint
from tests.unit import fake_site


def pem(key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write(path, *keys) -> SigningKeys:
    path.write_bytes(b"".join(map(pem, keys)))
    path.chmod(0o600)
    return SigningKeys.load(path)


class TestKeys:
    def test_a_made_key_is_its_owners_and_stays(self, tmp_path):
        path = tmp_path / "secrets" / "signing.pem"
        made = SigningKeys.create(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert SigningKeys.create(path).jwks() == SigningKeys.load(path).jwks() == made.jwks()
        assert [file.name for file in path.parent.iterdir()] == ["signing.pem"]

    def test_the_identifier_is_the_thumbprint(self):
        """The example of RFC 7638 section 3.1."""
        n = (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
            "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n9"
            "1CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
        )
        jwk = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
        assert _thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

    def test_published_keys_are_public(self, tmp_path):
        keys = write(
            tmp_path / "k.pem",
            ec.generate_private_key(ec.SECP256R1()),
            rsa.generate_private_key(65537, 2048),
            ed25519.Ed25519PrivateKey.generate(),
        )
        assert [jwk["alg"] for jwk in keys.jwks()["keys"]] == ["ES256", "RS256", "EdDSA"]
        assert not {"d", "p", "q", "dp", "dq", "qi"} & {name for jwk in keys.jwks()["keys"] for name in jwk}

    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_tokens_of_every_kind_of_key_verify_and_of_no_other_file(self, tmp_path, number):
        kinds = [
            ec.generate_private_key(ec.SECP256R1()),
            rsa.generate_private_key(65537, 2048),
            ed25519.Ed25519PrivateKey.generate(),
        ]
        kinds.insert(0, kinds.pop(number))
        site = fake_site.build(tmp_path)
        token = oauth.issue(write(tmp_path / "k.pem", kinds[0]), site.settings, subject="s")
        audience = {"issuer": site.settings.public_url, "audience": site.settings.dicomweb_url}
        assert verify(token, write(tmp_path / "all.pem", *kinds), **audience).subject == "client:s"
        with pytest.raises(Exception, match="no key of this site"):
            verify(token, site.keys, **audience)

    def test_a_file_that_others_can_read_is_refused(self, tmp_path):
        path = tmp_path / "k.pem"
        SigningKeys.create(path)
        path.chmod(0o640)
        with pytest.raises(ConfigurationError, match="0600"):
            SigningKeys.load(path)

    @pytest.mark.parametrize(
        "key",
        [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 1024), None],
        ids=["P-384", "RSA-1024", "none"],
    )
    def test_other_keys_are_refused(self, tmp_path, key):
        with pytest.raises(ConfigurationError):
            write(tmp_path / "k.pem", *([key] if key else []))


class TestIssue:
    def test_claims(self, tmp_path):
        site = fake_site.build(tmp_path)
        claims = jwt.decode(site.token("dicomweb.read"), options={"verify_signature": False})
        assert (claims["iss"], claims["aud"]) == (site.settings.public_url, site.settings.dicomweb_url)
        assert (claims["exp"] - claims["iat"], claims["scope"]) == (15 * 60, "dicomweb.read")

    @pytest.mark.parametrize(
        "wrong", [{"ttl": 0}, {"ttl": 10**9}, {"scope": "root"}, {"scope": "dicomweb.read root"}]
    )
    def test_out_of_bounds(self, tmp_path, wrong):
        site = fake_site.build(tmp_path)
        with pytest.raises(BadRequest):
            oauth.issue(site.keys, site.settings, subject="s", **wrong)

    @pytest.mark.parametrize(("wanted", "granted"), [("", "a b"), ("b", "b"), (" a  a ", "a")])
    def test_a_scope_is_narrowed_and_never_widened(self, wanted, granted):
        assert narrow_scope("a b", wanted) == granted
        with pytest.raises(BadRequest):
            narrow_scope("a b", wanted + " c")


class TestTokenRequest:
    """RFC 6749 sections 2.3, 4.4 and 5.2."""

    FORM = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}

    def ask(self, site, form, kind="application/x-www-form-urlencoded", **headers):
        content = form if isinstance(form, (bytes, str)) else urlencode(form)
        return site.client.post("/oauth/token", content=content, headers={"Content-Type": kind} | headers)

    @pytest.fixture(scope="class")
    @classmethod
    def site(cls, tmp_path_factory):
        return fake_site.build(tmp_path_factory.mktemp("home"))

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"grant_type": "password"}, "unsupported_grant_type"),
            ({"grant_type": ""}, "unsupported_grant_type"),
            ({"client_secret": ""}, "invalid_client"),
            ({"client_id": ""}, "invalid_client"),
            ({"client_id": "\0"}, "invalid_client"),
        ],
    )
    def test_errors(self, site, change, code):
        answer = self.ask(site, self.FORM | change)
        assert (answer.json()["error"], answer.headers["cache-control"]) == (code, "no-store")
        assert answer.status_code == (401 if code == "invalid_client" else 400)
        assert ("www-authenticate" in answer.headers) == (code == "invalid_client")

    @pytest.mark.parametrize(
        ("form", "headers"),
        [
            (b"grant_type=client_credentials&grant_type=x", {}),
            (b"grant_type=%ff", {}),
            (b"a" * 20_000, {}),
            ({"client_secret": "b"}, {"Authorization": "Basic YTpi"}),
            ({"grant_type": "client_credentials", "client_id": "other"}, {"Authorization": "Basic YTpi"}),
        ],
    )
    def test_invalid_requests(self, site, form, headers):
        answer = self.ask(site, form, **headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    def test_another_content_type(self, site):
        assert self.ask(site, b"{}", "application/json").json()["error"] == "invalid_request"

    @pytest.mark.parametrize("value", ["Basic", "Basic !!", "Basic YQ==", "Bearer x"])
    def test_malformed_credentials(self, site, value):
        answer = self.ask(site, {"grant_type": "client_credentials"}, Authorization=value)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")

    def test_without_a_database_it_is_503(self, site):
        assert self.ask(site, self.FORM).status_code == 503


def test_discovery_names_what_is_there(tmp_path):
    """RFC 8414 section 2."""
    site = fake_site.build(tmp_path, public_url="https://public.test")
    document = site.client.get("/.well-known/openid-configuration", headers={"Host": "evil.test"}).json()
    assert document["issuer"] == "https://public.test"
    assert document["token_endpoint"] == "https://public.test/oauth/token"
    assert site.client.get("/.well-known/jwks.json").json() == site.keys.jwks()
