"""What every answer has in common: problems, methods, headers (RFC 9457, RFC 9110)."""

import pytest

from gateway import qido
from tests.unit import fake_site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return fake_site.build(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def open_site(tmp_path_factory):
    origins = "https://viewer.test https://b.test"
    return fake_site.build(tmp_path_factory.mktemp("home"), cors_origins=origins)


@pytest.mark.parametrize(
    "path", ["/none", "/dicom-web/none", "/dicom-web/studies/", "/dicom-web/studies/1.2/none", "/health"]
)
def test_an_address_that_is_none_is_a_problem(site, path):
    """RFC 9457; never a redirect, which would be built from the Host header."""
    answer = site.client.get(path, headers=site.bearer())
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["title"] == "Not Found"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/dicom-web/studies", "GET, HEAD, OPTIONS, POST"),
        ("/dicom-web/studies/1.2", "GET, HEAD, OPTIONS, POST"),
        ("/dicom-web/series", "GET, HEAD, OPTIONS"),
        ("/oauth/token", "OPTIONS, POST"),
    ],
)
def test_methods(site, path, allowed):
    """RFC 9110 sections 9.3.7 and 15.5.6."""
    refused = site.client.request("DELETE", path, headers=site.bearer())
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    options = site.client.request("OPTIONS", path)
    assert (options.status_code, options.headers["allow"], options.content) == (204, allowed, b"")


@pytest.mark.parametrize(
    "path", ["/", "/health/live", "/none", "/dicom-web/studies", "/.well-known/jwks.json"]
)
def test_every_answer_has_the_security_headers(site, path):
    headers = site.client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


def test_what_nobody_foresaw_is_told_to_nobody(site, monkeypatch, caplog):
    def fail(*arguments):
        raise RuntimeError("PatientName is Secret^Name")

    monkeypatch.setattr(qido, "parse_query", fail)
    answer = site.client.get("/dicom-web/studies", headers=site.bearer())
    assert (answer.status_code, answer.json()["title"]) == (500, "Internal Server Error")
    assert "Secret" not in answer.text + caplog.text
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize(
    "path",
    [
        "/studies?limit=a",
        "/studies?Foo=1",
        "/studies/abc",
        "/studies/1.2/series/x/instances",
        "/studies/1.2/series/3/instances/4/frames/0",
        "/instances?SeriesNumber=x",
        "/studies?PatientID=%00",
    ],
)
def test_what_is_malformed_is_found_before_the_database_is_asked(site, path):
    answer = site.client.get("/dicom-web" + path, headers=site.bearer())
    assert (answer.status_code, answer.json()["status"]) == (400, 400)


def test_the_front_page_loads_nothing_from_elsewhere(site):
    answer = site.client.get("/")
    assert "Research use only" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert "src=" not in answer.text
    assert site.client.get("/portal.css").headers["content-type"].startswith("text/css")


def test_programs_find_where_to_ask(site):
    answer = site.client.get("/programs").text
    assert site.settings.dicomweb_url in answer
    assert f"{site.settings.public_url}/oauth/token" in answer


class TestOtherOrigins:
    """The Fetch standard's CORS protocol, by configuration."""

    @pytest.mark.parametrize(
        "path", ["/dicom-web/studies", "/dicom-web/none", "/oauth/token", "/health/live"]
    )
    def test_a_page_that_is_named_may_ask(self, open_site, path):
        ask = {"Origin": "https://viewer.test", "Access-Control-Request-Method": "GET",
               "Access-Control-Request-Headers": "authorization"}  # fmt: skip
        preflight = open_site.client.request("OPTIONS", path, headers=ask)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "https://viewer.test"
        answer = open_site.client.get(path, headers={"Origin": "https://viewer.test"})
        assert answer.headers["access-control-allow-origin"] == "https://viewer.test"
        assert "ETag" in answer.headers["access-control-expose-headers"]

    def test_another_page_may_not(self, open_site):
        answer = open_site.client.get("/health/live", headers={"Origin": "https://evil.test"})
        assert "access-control-allow-origin" not in answer.headers

    def test_without_configuration_none_may(self, site):
        answer = site.client.get("/health/live", headers={"Origin": "https://viewer.test"})
        assert "access-control-allow-origin" not in answer.headers
