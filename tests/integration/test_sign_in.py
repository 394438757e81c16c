"""People who sign in at a real site: with a password, and by a conforming OpenID provider in a process of its own."""

import contextlib
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.live import LiveSite, eventually, find_free_ports

PASSWORD = "correct horse battery staple"
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Browser(httpx.Client):
    """Keeps cookies, follows nothing by itself, fills forms in."""

    def __init__(self, site: LiveSite) -> None:
        super().__init__(base_url=site.base_url, timeout=30, trust_env=False)

    def token_of(self, path: str = "/login") -> str:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(path).text)
        assert found
        return found[1]

    def sign_in(self, name: str, password: str = PASSWORD, **fields: str) -> httpx.Response:
        return self.post(
            "/login", data={"csrf_token": self.token_of(), "name": name, "password": password} | fields
        )

    def studies(self) -> int:
        return self.get("/dicom-web/studies?limit=1").status_code


def add_account(site: LiveSite, name: str, password: str = PASSWORD) -> str:
    command = [sys.executable, "-m", "senogate", "account", "add", name]
    subprocess.run(
        command, input=password + "\n", env=site.environment, text=True, check=True, capture_output=True
    )
    return name


def make_clinician(site: LiveSite, subject: str) -> None:
    """A role, so that what is asked of the site is answered, whoever is allowed what."""
    site.run("role", "grant", subject, "clinician", check=False)


@pytest.fixture(scope="module")
def alice(site: LiveSite) -> str:
    name = add_account(site, f"alice-{uuid.uuid4().hex[:8]}")
    make_clinician(site, f"account:{name}")
    return name


@pytest.fixture
def browser(site: LiveSite) -> Iterator[Browser]:
    with Browser(site) as made:
        yield made


class TestPassword:
    def test_who_signs_in_may_read_and_after_signing_out_no_more(self, browser, alice):
        assert browser.studies() == 401
        answer = browser.sign_in(alice, next="/health/live")
        assert (answer.status_code, answer.headers["location"]) == (303, "/health/live")
        assert browser.studies() == 200
        answer = browser.post("/logout", data={"csrf_token": browser.token_of()})
        assert answer.headers["location"] == "/login"
        assert browser.studies() == 401

    def test_the_cookie_is_kept_from_scripts_and_other_sites(self, browser, alice):
        cookies = browser.sign_in(alice).headers.get_list("set-cookie")
        (session,) = [cookie for cookie in cookies if cookie.startswith("senogate=")]
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(session.split("; "))

    def test_no_password_and_no_cookie_is_stored(self, browser, alice, site):
        browser.sign_in(alice)
        with site.database() as connection:
            asked = connection.execute("select password_hash from account where name = %s", [alice])
            ((password_hash,),) = asked.fetchall()
            kept = [bytes(row[0]) for row in connection.execute("select id_sha256 from session")]
        assert password_hash.startswith("$argon2id$") and PASSWORD not in password_hash
        assert browser.cookies["senogate"].encode() not in kept

    def test_a_wrong_password_and_an_unknown_name_look_alike(self, browser, alice):
        wrong, unknown = browser.sign_in(alice, "wrong password"), browser.sign_in("nobody", "wrong password")
        assert (wrong.status_code, unknown.status_code) == (403, 403)
        assert wrong.text == unknown.text
        assert set(wrong.headers) == set(unknown.headers)

    def test_a_session_gets_a_value_of_its_own(self, browser, alice):
        """Who planted a cookie before gains nothing (session fixation)."""
        planted = "x" * 43
        token = browser.token_of()
        fields = {"csrf_token": token, "name": alice, "password": PASSWORD}
        cookies = f"senogate={planted}; senogate-login={browser.cookies['senogate-login']}"
        answer = browser.post("/login", data=fields, headers={"cookie": cookies})
        assert answer.status_code == 303
        assert answer.cookies["senogate"] != planted
        browser.cookies.clear()
        assert browser.get("/dicom-web/studies", headers={"cookie": f"senogate={planted}"}).status_code == 401

    @pytest.mark.parametrize(
        "path", ["https://evil.test", "//evil.test", "/\\evil.test", "evil", "/a\r\nb: c", "\\x"]
    )
    def test_signing_in_leads_to_no_other_site(self, browser, alice, path):
        assert browser.sign_in(alice, next=path).headers["location"] == "/"

    def test_a_name_that_is_tried_too_often_has_to_wait(self, browser, site):
        name = f"tried-{uuid.uuid4().hex[:8]}"
        token = browser.token_of()
        with site.database() as connection:
            statement = (
                "select taken from take_tokens('sign-in as ' || encode(sha256(%s), 'hex'), 20, 0.001, 20)"
            )
            connection.execute(statement, [name.encode()])
        answer = browser.post("/login", data={"csrf_token": token, "name": name, "password": "x" * 12})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0

    def test_a_disabled_account_is_out_at_once_and_stays_out(self, browser, site):
        name = add_account(site, f"gone-{uuid.uuid4().hex[:8]}")
        make_clinician(site, f"account:{name}")
        browser.sign_in(name)
        assert browser.studies() == 200
        site.run("account", "disable", name)
        eventually(lambda: browser.studies() == 401)
        assert browser.sign_in(name).status_code == 403

    def test_another_password_signs_out_everywhere(self, browser, site):
        name = add_account(site, f"moved-{uuid.uuid4().hex[:8]}")
        make_clinician(site, f"account:{name}")
        browser.sign_in(name)
        command = [sys.executable, "-m", "senogate", "account", "password", name]
        subprocess.run(command, input="another password\n", env=site.environment, text=True, check=True)
        eventually(lambda: browser.studies() == 401)
        assert browser.sign_in(name).status_code == 403
        assert browser.sign_in(name, "another password").status_code == 303

    def test_a_short_password_is_refused_and_none_is_in_the_process_list(self, site):
        command = [sys.executable, "-m", "senogate", "account", "add", "short"]
        done = subprocess.run(command, input="short\n", env=site.environment, text=True, capture_output=True)
        assert done.returncode == 1
        assert "12 to 1024" in done.stderr


class TestSessionEnds:
    @pytest.mark.parametrize("column", ["expires_at", "last_seen_at"])
    def test_when_its_time_is_over(self, browser, alice, site, column):
        browser.sign_in(alice)
        assert browser.studies() == 200
        with site.database() as connection:
            statement = f"update session set {column} = now() - interval '1 day' where id_sha256 = sha256(%s)"
            connection.execute(statement, [browser.cookies["senogate"].encode()])
        eventually(lambda: browser.studies() == 401)

    def test_a_value_that_is_none_opens_nothing(self, browser):
        browser.cookies.set("senogate", "x" * 43)
        assert browser.studies() == 401


class TestForgery:
    """What another site may make the browser of a signed-in person send."""

    @pytest.fixture
    def signed_in(self, browser, alice) -> Browser:
        browser.sign_in(alice)
        return browser

    def test_reading_needs_no_token(self, signed_in):
        assert signed_in.studies() == 200

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_a_change_without_the_sessions_token(self, signed_in, method):
        assert signed_in.request(method, "/dicom-web/workitems/1.2").status_code == 403

    def test_a_change_with_the_token_of_another_session(self, signed_in, site, alice):
        with Browser(site) as other:
            other.sign_in(alice)
            token = other.token_of()
        answer = signed_in.post("/dicom-web/workitems", headers={"x-csrf-token": token}, json=[])
        assert answer.status_code == 403

    def test_a_change_with_the_sessions_own_token(self, signed_in):
        token = signed_in.token_of()
        answer = signed_in.post(
            "/dicom-web/studies", headers={"x-csrf-token": token, "content-type": "text/plain"}
        )
        assert answer.status_code == 415

    @pytest.mark.parametrize(
        "headers", [{"origin": "https://evil.test"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
    )
    def test_a_change_from_another_origin_even_with_the_token(self, signed_in, headers):
        token = signed_in.token_of()
        answer = signed_in.post("/dicom-web/studies", headers={"x-csrf-token": token, **headers})
        assert answer.status_code == 403

    def test_signing_out_without_the_token(self, signed_in):
        assert signed_in.post("/logout").status_code == 403
        assert signed_in.studies() == 200

    def test_a_form_to_sign_in_that_was_not_shown(self, browser, alice):
        fields = {"name": alice, "password": PASSWORD, "csrf_token": "x"}
        assert browser.post("/login", data=fields).status_code == 403

    def test_a_notification_connection_from_another_origin(self, signed_in, site):
        """A browser opens WebSockets to any site, cookies included (RFC 6455 section 10.2)."""
        cookie = f"senogate={signed_in.cookies['senogate']}"
        assert handshake(site, cookie, "https://evil.test").startswith("HTTP/1.1 403")
        assert handshake(site, cookie, site.base_url).startswith("HTTP/1.1 101")

    def test_a_token_beats_the_cookie(self, signed_in):
        answer = signed_in.get("/dicom-web/studies", headers={"Authorization": "Bearer a.b.c"})
        assert answer.status_code == 401


def handshake(site: LiveSite, cookie: str, origin: str) -> str:
    with socket.create_connection(("127.0.0.1", site.settings.port), 10) as connection:
        lines = [
            "GET /dicom-web/ws/subscribers/TEST HTTP/1.1", f"Host: 127.0.0.1:{site.settings.port}",
            "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"Origin: {origin}", f"Cookie: {cookie}",
        ]  # fmt: skip
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection.recv(1000).decode()


@pytest.fixture(scope="module")
def provider_url() -> Iterator[str]:
    """An OpenID provider on Authlib, in a process of its own."""
    port = find_free_ports(1)[0]
    claims = '{"sub": "carol", "groups": ["doctors"]}'
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true",
               "--user-claims", claims, "--user", "dave"]  # fmt: skip
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "--", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: is_up(url))
    yield url
    process.terminate()
    process.wait(10)


def is_up(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}/jwks", trust_env=False).is_success
    return False


@pytest.fixture(scope="module")
def issuer(site: LiveSite, provider_url: str) -> Iterator[str]:
    name = f"hospital-{uuid.uuid4().hex[:8]}"
    arguments = ["--client-id", "senogate", "--role", "groups=doctors:clinician", "--client-secret"]
    command = [sys.executable, "-m", "senogate", "issuer", "add", name, provider_url, *arguments]
    subprocess.run(command, input="hush\n", env=site.environment, text=True, check=True, capture_output=True)
    yield name
    site.run("issuer", "remove", name, check=False)


@pytest.fixture
def consent() -> Callable[[str, str], dict[str, str]]:
    """A callable that agrees at the provider's page; what it sends back, by name."""

    def agree(address: str, who: str) -> dict[str, str]:
        answer = httpx.post(address, data={"sub": who}, trust_env=False)
        assert answer.status_code == 302, answer.text
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    return agree


class TestProvider:
    """OpenID Connect Core section 3.1, RFC 7636, RFC 9700."""

    def test_who_signs_in_there_is_known_here_by_issuer_and_subject(
        self, browser, issuer, consent, provider_url
    ):
        address = browser.get(f"/login/{issuer}?next=/health/ready").headers["location"]
        answer = browser.get(f"/login/{issuer}/callback", params=consent(address, "carol"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/health/ready")
        assert f"{provider_url}#carol" in browser.get("/login").text
        assert browser.studies() == 200

    def test_the_request_has_state_nonce_and_a_challenge(self, browser, issuer, site):
        address = urlsplit(browser.get(f"/login/{issuer}").headers["location"])
        fields = dict(parse_qsl(address.query))
        assert fields["redirect_uri"] == f"{site.base_url}/login/{issuer}/callback"
        assert (fields["response_type"], fields["code_challenge_method"]) == ("code", "S256")
        assert all(len(fields[name]) == 43 for name in ("state", "nonce", "code_challenge"))

    def test_no_two_attempts_share_a_secret(self, site, issuer):
        fields = []
        for _ in range(2):
            with Browser(site) as each:
                fields.append(
                    dict(parse_qsl(urlsplit(each.get(f"/login/{issuer}").headers["location"]).query))
                )
        assert not any(fields[0][name] == fields[1][name] for name in ("state", "nonce", "code_challenge"))

    def test_an_answer_in_another_browser_is_refused(self, browser, issuer, consent, site):
        answer = consent(browser.get(f"/login/{issuer}").headers["location"], "carol")
        with Browser(site) as victim:
            assert victim.get(f"/login/{issuer}/callback", params=answer).status_code == 400
            victim.get(f"/login/{issuer}")
            assert victim.get(f"/login/{issuer}/callback", params=answer).status_code == 400

    def test_a_code_of_another_attempt_is_refused(self, browser, issuer, consent, site):
        """The verifier and the nonce are of another browser (RFC 7636 section 4.6)."""
        with Browser(site) as other:
            stolen = consent(other.get(f"/login/{issuer}").headers["location"], "carol")["code"]
        own = consent(browser.get(f"/login/{issuer}").headers["location"], "dave")
        answer = browser.get(f"/login/{issuer}/callback", params=own | {"code": stolen})
        assert answer.status_code in (403, 503)
        assert browser.studies() == 401

    def test_an_answer_in_the_name_of_another_provider(self, browser, issuer, consent):
        """RFC 9207."""
        answer = consent(browser.get(f"/login/{issuer}").headers["location"], "carol")
        assert (
            browser.get(f"/login/{issuer}/callback", params=answer | {"iss": "https://x.test"}).status_code
            == 400
        )

    def test_a_refusal_there_is_shown_here(self, browser, issuer):
        state = dict(parse_qsl(urlsplit(browser.get(f"/login/{issuer}").headers["location"]).query))["state"]
        answer = browser.get(
            f"/login/{issuer}/callback", params={"state": state, "error": "<b>access_denied"}
        )
        assert (answer.status_code, "<b>" in answer.text) == (403, False)

    def test_an_unknown_provider(self, browser):
        assert browser.get("/login/nowhere").status_code == 404

    def test_an_issuer_that_is_removed_takes_its_people_along(
        self, site, provider_url, consent, browser, issuer
    ):
        address = browser.get(f"/login/{issuer}").headers["location"]
        browser.get(f"/login/{issuer}/callback", params=consent(address, "carol"))
        assert browser.studies() == 200
        site.run("issuer", "remove", issuer)
        eventually(lambda: browser.studies() == 401)
        assert browser.get(f"/login/{issuer}").status_code == 404
