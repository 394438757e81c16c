"""Tokens of a real site (RFC 6749, RFC 6750, RFC 8414)."""

import base64
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import jwt
import pytest

from archive.policy import Action
from gateway.transport import thumbprint
from tests import certificates, oidc
from tests.live import LiveSite, eventually

ROLE = "groups=doctors:clinician"


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

    def test_a_rotated_secret_works_beside_the_old_one_for_a_while(self, ask, site):
        old = add(site, "rotating")
        new = rotate(site, "rotating", "1h")
        assert [ask(("rotating", each)).status_code for each in (old, new)] == [200, 200]
        newest = rotate(site, "rotating", "0s")
        assert [ask(("rotating", each)).status_code for each in (old, new, newest)] == [401, 401, 200]

    def test_a_revoked_client_gets_no_other_secret(self, site):
        add(site, "revoked-first")
        site.run("client", "revoke", "revoked-first")
        assert site.run("client", "rotate", "revoked-first", check=False).returncode == 1

    def test_no_client_is_called_administrator(self, site):
        assert site.run("client", "add", "administrator", check=False).returncode == 1

    def test_a_token_may_be_for_one_permit_alone(self, ask, secret):
        token = ask(("viewer", secret), permit="HDAB-2026/17").json()["access_token"]
        assert jwt.decode(token, options={"verify_signature": False})["permit"] == "HDAB-2026/17"

    @pytest.mark.parametrize("permit", ["", "a b", "x" * 129, "a\nb"])
    def test_a_permit_that_is_no_identifier_is_refused(self, ask, secret, permit):
        answer = ask(("viewer", secret), permit=permit)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    def test_a_token_may_be_for_one_purpose_alone(self, ask, secret):
        token = ask(("viewer", secret), purpose="research").json()["access_token"]
        assert jwt.decode(token, options={"verify_signature": False})["purpose"] == "research"

    def test_a_purpose_that_the_law_does_not_know_is_refused(self, ask, secret):
        answer = ask(("viewer", secret), purpose="marketing")
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    def test_the_command_line_makes_a_token_for_one_purpose(self, site):
        token = site.run("token", "--purpose", "statistics").stdout.strip()
        assert jwt.decode(token, options={"verify_signature": False})["purpose"] == "statistics"

    def test_a_resource_must_be_this_one(self, ask, secret, site):
        """RFC 8707 section 2."""
        assert ask(("viewer", secret), resource=site.dicomweb_url).status_code == 200
        answer = ask(("viewer", secret), resource="https://other.test")
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")

    def test_a_client_bound_to_a_certificate_gets_no_token_without_it(self, ask, site):
        """RFC 8705 section 3."""
        done = site.run("client", "add", "bound", "--certificate-bound", "--json")
        assert ask(("bound", json.loads(done.stdout)["client_secret"])).status_code == 401

    def test_a_token_for_a_certificate_is_refused_without_it(self, site, tmp_path):
        program = certificates.make(tmp_path, "program")
        token = site.run("token", "--certificate", str(program.path)).stdout.strip()
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["cnf"] == {"x5t#S256": thumbprint(program.der)}
        assert studies(site, token).status_code == 401

    def test_tokens_given_and_refused_are_in_the_trail(self, ask, secret, site):
        ask(("viewer", secret))
        ask(("viewer", "wrong"))
        with site.database() as connection:
            rows = connection.execute("select content from audit").fetchall()
        ours = [json.loads(row[0]) for row in rows]
        ours = [each for each in ours if (each["event"], each["subject"]) == ("token", "client:viewer")]
        assert {each["outcome"] for each in ours} == {"success", "refused"}


def rotate(site: LiveSite, name: str, overlap: str) -> str:
    return json.loads(site.run("client", "rotate", name, "--overlap", overlap, "--json").stdout)[
        "client_secret"
    ]


class TestKeys:
    """Rotation with overlap: nobody has to begin anew."""

    def test_a_new_key_signs_and_the_old_one_verifies_until_it_is_retired(self, site):
        before = site.token()
        site.run("key", "rotate")
        after = site.token()
        old, new = (jwt.get_unverified_header(token)["kid"] for token in (before, after))
        assert old != new
        assert [studies(site, token).status_code for token in (after, before)] == [200, 200]
        published = httpx.get(f"{site.base_url}/.well-known/jwks.json", trust_env=False).json()["keys"]
        assert [key["kid"] for key in published[:2]] == [new, old]
        site.run("key", "retire", old)
        eventually(lambda: studies(site, before).status_code == 401)
        assert studies(site, after).status_code == 200

    def test_the_key_that_signs_is_not_retired(self, site):
        kid = jwt.get_unverified_header(site.token())["kid"]
        assert site.run("key", "retire", kid, check=False).returncode == 1
        assert site.run("key", "retire", "unknown", check=False).returncode == 1


class TestIssuerElsewhere:
    """Access tokens of a registered OpenID provider (RFC 9068, OpenID Connect Discovery)."""

    @pytest.fixture(scope="class")
    @classmethod
    def elsewhere(cls, site):
        with oidc.provider("PS256") as made:
            site.run("issuer", "add", "elsewhere", made.url, "--audience", oidc.AUDIENCE, "--role", ROLE)
            yield made
            site.run("issuer", "remove", "elsewhere", check=False)

    def test_its_tokens_are_accepted(self, site, elsewhere):
        assert studies(site, elsewhere.sign({"groups": ["doctors"]})).status_code == 200

    def test_not_for_another_audience(self, site, elsewhere):
        token = elsewhere.sign({"groups": ["doctors"], "aud": site.dicomweb_url})
        assert studies(site, token).status_code == 401

    def test_not_those_of_one_that_is_not_registered(self, site, elsewhere):
        with oidc.provider("PS256") as stranger:
            assert studies(site, stranger.sign()).status_code == 401
            assert not stranger.asked

    def test_an_issuer_that_is_removed_is_believed_no_more(self, site, elsewhere):
        token = elsewhere.sign({"groups": ["doctors"]})
        assert studies(site, token).status_code == 200
        site.run("issuer", "remove", "elsewhere")
        eventually(lambda: studies(site, token).status_code == 401)
        site.run("issuer", "add", "elsewhere", elsewhere.url, "--audience", oidc.AUDIENCE, "--role", ROLE)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["name", "http://issuer.test", "--audience", "a"],
            ["name", "https://issuer.test/?x", "--audience", "a"],
            ["name", "https://issuer.test"],
            ["Wrong Name", "https://issuer.test", "--audience", "a"],
            ["name", "https://issuer.test", "--audience", "a", "--role", "groups=x:king"],
            ["name", "https://issuer.test", "--audience", "a", "--scope", "everything"],
        ],
    )
    def test_what_can_not_be_right_is_not_registered(self, site, arguments):
        assert site.run("issuer", "add", *arguments, check=False).returncode == 1


class TestBucket:
    """The bucket in PostgreSQL that all gateways take tokens from."""

    def take(self, site, wanted, name, rate=0.001):
        with site.database() as connection:
            statement = "select taken, wait from take_tokens(%s, %s, %s, 10)"
            return connection.execute(statement, [name, wanted, rate]).fetchone()

    def test_it_gives_what_it_has_and_then_says_how_long_to_wait(self, site):
        name = uuid.uuid4().hex
        assert self.take(site, 7, name) == (7, 0)
        assert self.take(site, 7, name) == (3, 0)
        taken, wait = self.take(site, 7, name)
        assert (taken, 900 < wait <= 1000) == (0, True)

    def test_many_at_once_never_get_more_than_it_holds(self, site):
        name = uuid.uuid4().hex
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda _: self.take(site, 3, name)[0], range(16)))
        assert sum(taken) == 10

    def test_it_fills_with_time_and_never_over(self, site):
        name = uuid.uuid4().hex
        self.take(site, 10, name)
        with site.database() as connection:
            connection.execute(
                "update bucket set taken_at = taken_at - interval '1 hour' where name = %s", [name]
            )
        assert self.take(site, 100, name, rate=1) == (10, 0)


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
