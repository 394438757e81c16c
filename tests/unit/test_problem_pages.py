"""What somebody at a browser is told where a request comes to nothing, and that programs are told as ever."""

import pytest

from tests.unit import fake_site

BROWSER = {
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language": "de",
}
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    return fake_site.build(tmp_path_factory.mktemp("home")).client


def test_an_address_that_leads_nowhere_is_a_page_in_the_readers_language(client):
    answer = client.get("/nowhere", headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "Diese Seite gibt es nicht" in answer.text and '<html lang="de"' in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("accept", ["*/*", "application/json", "", "text/html;q=0, */*", "text/html;q=0.0"])
def test_who_wants_no_page_gets_problem_details(client, accept):
    answer = client.get("/nowhere", headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)


@pytest.mark.parametrize(
    "path", ["/api/jobs", "/api", "/dicom-web/studies", "/oauth/x", "/wado", "/federation/v1/x"]
)
def test_an_interface_answers_a_browser_as_it_answers_programs(client, path):
    assert client.get(path, headers=BROWSER).headers["content-type"] in (PROBLEM, "application/json")


def test_a_form_whose_session_is_over_says_what_to_do(client):
    answer = client.post("/access/new", headers=BROWSER)
    assert answer.status_code == 401
    assert "Melden Sie sich an" in answer.text
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_what_was_asked_for_stays_out_of_the_page(client):
    """RFC 3986 lets a path hold what is markup in a page."""
    answer = client.get("/<script>alert(1)</script>", headers=BROWSER)
    assert answer.status_code == 404 and "<script>" not in answer.text


@pytest.mark.parametrize(("method", "status"), [("DELETE", 405), ("OPTIONS", 204)])
def test_a_method_that_a_page_has_not_tells_those_that_it_has(client, method, status):
    answer = client.request(method, "/programs", headers=BROWSER)
    assert (answer.status_code, "GET" in answer.headers["allow"]) == (status, True)
