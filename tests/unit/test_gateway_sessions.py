"""Sessions without a database: origins, tokens against forgery, cookies, passwords."""

from pathlib import Path
from urllib.parse import urljoin

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import HTTPConnection
from starlette.responses import Response

from archive.errors import BadRequest, PayloadTooLarge, TooManyRequests
from archive.policy import Action, Principal
from archive.settings import Settings
from gateway import accounts
from gateway.accounts import Passwords, hash_password
from gateway.portal.forms import local_path
from gateway.sessions import MAXIMUM_FORM, CrossSite, Session, Sessions, check_same_site, derive, origin_of
from tests.unit import fake_site

ORIGIN = "https://site.test"
SESSION = Session(Principal("account:a", frozenset(Action)), "the-token")
FORM = "application/x-www-form-urlencoded"
UPLOAD = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Site.test/x", "https://site.test"),
        ("https://site.test:443", "https://site.test"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_an_origin_is_as_browsers_write_it(url, origin):
    assert origin_of(url) == origin


def check(method="POST", body=b"", **headers):
    """What the endpoint reads once the check has let the request through."""
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "headers": given, "path": "/"}
    chunks = [body[: len(body) // 2], body[len(body) // 2 :]]

    async def receive():
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def read():
        source = await check_same_site(HTTPConnection(scope), SESSION, receive, ORIGIN)
        message, read = {"more_body": True}, b""
        while message.get("more_body"):
            message = await source()
            read += message["body"]
        return read

    return anyio.run(read)


def files(token):
    """A form with a file as browsers send it (RFC 7578), as far as its file begins."""
    return (
        f'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{token}\r\n'
        '--x\r\nContent-Disposition: form-data; name="passport"; filename="a"\r\n\r\n'
    ).encode()


class TestSameSite:
    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
    def test_reading_needs_nothing(self, method):
        assert check(method, b"ab") == b"ab"

    def test_the_token_may_be_in_a_header(self):
        assert check(body=b"ab", x_csrf_token="the-token", origin=ORIGIN) == b"ab"

    def test_the_token_may_be_in_a_form_which_is_read_again(self):
        body = b"a=1&csrf_token=the-token&b=2"
        assert check(body=body, content_type=f"{FORM}; charset=utf-8", sec_fetch_site="same-origin") == body

    @pytest.mark.parametrize("given", ["", "the-tokem", "the-token ", "é"])
    def test_another_token_is_refused(self, given):
        with pytest.raises(CrossSite):
            check(x_csrf_token=given)

    def test_a_token_in_a_body_that_is_no_form_is_refused(self):
        with pytest.raises(CrossSite):
            check(body=b"csrf_token=the-token", content_type="text/plain")

    @pytest.mark.parametrize(
        "origin", ["null", "http://site.test", "https://site.test.evil.test", "https://site.test:1"]
    )
    def test_another_origin_is_refused_even_with_the_token(self, origin):
        with pytest.raises(CrossSite):
            check(x_csrf_token="the-token", origin=origin)

    def test_the_token_may_be_the_first_field_of_a_form_with_files_which_is_read_again(self):
        body = files("the-token") + b"\0" * 70_000
        assert check(body=body, content_type=UPLOAD, origin=ORIGIN) == body

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"--x--",
            b"--y\r\n",
            b"a" * 70_000,
            b'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\nthe-token',
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nthe-token\r\n--x--\r\n',
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x\r\n'
            b'Content-Disposition: form-data; name="csrf_token"\r\n\r\nthe-token\r\n--x--\r\n',
        ],
        ids=[
            "empty",
            "no part",
            "another boundary",
            "no boundary",
            "no end",
            "another field",
            "a later field",
        ],
    )
    def test_a_form_with_files_that_does_not_begin_with_the_token_is_refused(self, body):
        with pytest.raises(CrossSite):
            check(body=body, content_type=UPLOAD)

    @pytest.mark.parametrize("token", ["the-tokem", "", "t" * 70_000])
    def test_another_token_in_a_form_with_files_is_refused(self, token):
        with pytest.raises(CrossSite):
            check(body=files(token), content_type=UPLOAD)

    @pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=é"])
    def test_a_form_with_files_names_its_boundary(self, content_type):
        with pytest.raises(CrossSite):
            check(body=files("the-token"), content_type=content_type)

    def test_a_form_that_is_too_long_is_not_kept(self):
        with pytest.raises(PayloadTooLarge):
            check(body=b"a" * (MAXIMUM_FORM + 2), content_type=FORM)


class TestCookie:
    def cookie(self, url):
        answer = Response()
        Sessions(Settings(home=Path("/x"), public_url=url), None).set_cookie(answer, "v")
        return answer.headers["set-cookie"]

    def test_over_tls_it_is_secure_and_of_this_host_alone(self):
        assert self.cookie("https://site.test") == "__Host-senogate=v; HttpOnly; Path=/; SameSite=lax; Secure"

    def test_without_tls_it_works_all_the_same(self):
        assert self.cookie("http://127.0.0.1:8080") == "senogate=v; HttpOnly; Path=/; SameSite=lax"

    def test_what_is_derived_differs_by_purpose_and_by_secret(self):
        assert len({derive("a", "x"), derive("a", "y"), derive("b", "x"), "a"}) == 4


class TestPasswords:
    def test_the_right_one_and_no_other(self):
        stored = hash_password("correct horse battery")
        assert stored.startswith("$argon2id$")
        passwords = Passwords()
        for typed, right in {
            "correct horse battery": True,
            "correct horse batterz": False,
            "": False,
        }.items():
            assert anyio.run(passwords.is_right, typed, stored) is right

    def test_one_that_is_typed_in_another_form_is_the_same(self):
        assert accounts._check("cafe\u0301 cafe\u0301 cafe", hash_password("café café cafe"))

    def test_an_unknown_name_is_hashed_for_as_well(self, monkeypatch):
        checked = []
        known = hash_password("correct horse battery")
        monkeypatch.setattr(accounts, "_nobodys_hash", lambda: checked.append(1) or known)
        assert not accounts._check("correct horse battery", None)
        assert checked

    @pytest.mark.parametrize("password", ["", "x" * 11, "x" * 1025])
    def test_too_short_or_too_long_is_refused(self, password):
        with pytest.raises(BadRequest):
            hash_password(password)

    def test_more_than_can_be_checked_are_sent_away(self):
        passwords = Passwords()
        passwords._waiting = accounts.MOST_WAITING
        with pytest.raises(TooManyRequests):
            anyio.run(passwords.is_right, "x", None)


@settings(max_examples=300)
@given(st.text(max_size=30) | st.from_regex(r"/[/\\\s.@:a-z]{0,12}", fullmatch=True))
def test_after_signing_in_nobody_is_led_elsewhere(path):
    """As a browser reads it (WHATWG URL): a path of this site, whatever is given."""
    after = local_path(path)
    assert after.startswith("/")
    assert not after.startswith(("//", "/\\"))
    assert urljoin("https://site.test", after).startswith("https://site.test/")
    assert not any(ord(letter) < 33 and letter != " " for letter in after)


class TestPages:
    @pytest.fixture(scope="class")
    @classmethod
    def site(cls, tmp_path_factory):
        return fake_site.build(tmp_path_factory.mktemp("home"), public_url="https://site.test")

    @pytest.mark.parametrize("path", ["/", "/health/live", "/nowhere", "/dicom-web/studies"])
    def test_every_answer_has_the_headers_that_guard_it(self, site, path):
        headers = site.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["strict-transport-security"].startswith("max-age=")
        assert headers["x-content-type-options"] == "nosniff"

    def test_nothing_in_a_page_is_inline(self):
        from gateway import portal

        folder = portal.__path__[0]
        for page in Path(folder).glob("*.html"):
            text = page.read_text("utf-8").lower().replace('<script src="/', "")
            assert not any(
                mark in text for mark in ("<script", "<style", "style=", "onclick=", "javascript:")
            )

    def test_a_form_of_another_site_is_not_taken(self, site):
        answer = site.client.post("/login", data={"name": "a"}, headers={"origin": "https://evil.test"})
        assert answer.status_code == 403
        assert "www-authenticate" not in answer.headers
