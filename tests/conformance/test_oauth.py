"""Tokens of a real site (RFC 6749, RFC 6750, RFC 8414)."""

import base64
import json

import httpx
import jwt
import pytest

from archive.policy import Action
from tests.live import LiveSite

pytestmark = pytest.mark.xdist_group("site")


@pytest.fixture(scope="module")
def secret(site: LiveSite) -> str:
    """The secret of a client `viewer` that may only read."""
    return add(site, "viewer")


def add(site: LiveSite, name: str) -> str:
    return json.loads(site.run("client", "add", name, "--scope", "dicomweb.read", "--json").stdout)[
        "client_secret"
    ]


@pytest.fixture
def ask(site: LiveSite):
    """A callable that asks for a token; the form's fields, and optionally Basic credentials."""

    def post(basic: tuple[str, str] | None = None, **form: str) -> httpx.Response:
        fields = {"grant_type": "client_credentials"} | form
        return httpx.post(f"{site.base_url}/oauth/token", data=fields, auth=basic, trust_env=False)

    return post


def studies(site: LiveSite, token: str) -> httpx.Response:
    return httpx.get(
        f"{site.dicomweb_url}/studies", headers={"Authorization": f"Bearer {token}"}, trust_env=False
    )


class TestToken:
    """RFC 6749 sections 2.3.1, 4.4 and 5."""

    def test_by_basic_or_by_form_it_is_the_same(self, ask, secret, site):
        for answer in (ask(("viewer", secret)), ask(client_id="viewer", client_secret=secret)):
            token = answer.json()
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
            assert (token["token_type"], token["expires_in"], token["scope"]) == (
                "Bearer",
                900,
                "dicomweb.read",
            )
            assert studies(site, token["access_token"]).status_code == 200

    @pytest.mark.parametrize("name", ["viewer", "nobody", "' or 1=1 --"])
    def test_a_wrong_secret_and_an_unknown_client_look_alike(self, ask, secret, name):
        answer = ask((name, "wrong"))
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic")
        assert answer.json() == ask(("viewer", "wrong")).json()

    def test_a_scope_beyond_the_clients_is_refused(self, ask, secret):
        answer = ask(("viewer", secret), scope="dicomweb.write")
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")

    def test_another_grant_is_refused(self, ask, secret):
        answer = ask(("viewer", secret), grant_type="password")
        assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")

    def test_a_revoked_client_gets_none(self, ask, site):
        gone = add(site, "gone")
        assert ask(("gone", gone)).status_code == 200
        site.run("client", "revoke", "gone")
        assert ask(("gone", gone)).status_code == 401

    def test_no_secret_is_stored(self, site, secret):
        with site.database() as connection:
            rows = connection.execute("select client_id, secret_sha256, scope from client").fetchall()
        assert rows
        assert not any(secret.encode() in bytes(row[1]) or secret in row[0] + row[2] for row in rows)


class TestUse:
    """RFC 6750 section 3."""

    def test_a_reader_can_not_write(self, ask, secret, site):
        token = ask(("viewer", secret)).json()["access_token"]
        answer = httpx.post(
            f"{site.dicomweb_url}/studies", headers={"Authorization": f"Bearer {token}"}, trust_env=False
        )
        assert (answer.status_code, 'error="insufficient_scope"' in answer.headers["www-authenticate"]) == (
            403,
            True,
        )

    def test_the_command_lines_token_reads(self, site):
        assert studies(site, site.token()).status_code == 200

    def test_a_token_in_the_address_is_refused(self, site):
        assert (
            httpx.get(f"{site.dicomweb_url}/studies?access_token={site.token()}", trust_env=False).status_code
            == 400
        )

    def test_a_token_of_another_site_is_refused(self, site, tmp_path):
        from archive.settings import Settings
        from gateway import oauth

        stranger = oauth.SigningKeys.create(tmp_path / "k.pem")
        settings = Settings(home=tmp_path, public_url=site.settings.public_url)
        answer = studies(site, oauth.issue(stranger, settings, subject="x"))
        assert (answer.status_code, 'error="invalid_token"' in answer.headers["www-authenticate"]) == (
            401,
            True,
        )


class TestDiscovery:
    """RFC 8414 section 2 and RFC 7517."""

    def test_a_library_verifies_our_tokens_by_discovery_alone(self, site):
        document = httpx.get(f"{site.base_url}/.well-known/openid-configuration", trust_env=False).json()
        keys = httpx.get(document["jwks_uri"], trust_env=False).json()
        token = site.token()
        (key,) = [
            each
            for each in jwt.PyJWKSet.from_dict(keys).keys
            if each.key_id == jwt.get_unverified_header(token)["kid"]
        ]
        claims = jwt.decode(
            token, key, algorithms=["ES256"], audience=site.dicomweb_url, issuer=document["issuer"]
        )
        assert set(claims["scope"].split()) == set(Action)

    def test_private_parts_are_not_published(self, site):
        keys = httpx.get(f"{site.base_url}/.well-known/jwks.json", trust_env=False).json()["keys"]
        assert all("d" not in key for key in keys)
        assert base64.urlsafe_b64decode(keys[0]["x"] + "==")
