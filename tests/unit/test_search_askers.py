"""Who may ask for counts, before anything is counted."""

import pytest

from tests.unit import fake_site

NOTHING = {"json": {}}


@pytest.fixture
def closed(tmp_path):
    return fake_site.build(tmp_path)


@pytest.fixture
def public(tmp_path):
    return fake_site.build(tmp_path, search_public=True)


def test_nobody_asks_a_site_that_is_not_public(closed):
    answer = closed.client.post("/api/search", **NOTHING)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="senogate"')


def test_anybody_asks_one_that_is(public):
    assert public.client.post("/api/search", **NOTHING).status_code == 400


def test_a_beacon_says_who_is_answered(closed, public):
    levels = [
        each.client.get("/api/beacon/configuration").json()["response"]["securityAttributes"][
            "securityLevels"
        ]
        for each in (closed, public)
    ]
    assert levels == [["REGISTERED"], ["PUBLIC"]]


def test_a_token_needs_the_scope(closed):
    answer = closed.client.post("/api/search", headers=closed.bearer("dicomweb.read"), **NOTHING)
    assert answer.status_code == 403


def test_a_token_that_is_none_is_refused_where_anybody_may_ask(public):
    answer = public.client.post("/api/search", headers={"Authorization": "Bearer x"}, **NOTHING)
    assert answer.status_code == 401


def test_a_secret_is_for_mediators_alone(closed):
    answer = closed.client.post("/api/search", headers={"Authorization": "Secret x"}, **NOTHING)
    assert answer.status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer a, Secret b", "Bearer", "Secret  "])
def test_credentials_that_are_ambiguous(closed, scheme):
    answer = closed.client.get("/api/datasets/eucaimSearch", headers={"Authorization": scheme})
    assert (answer.status_code, answer.json()["status_code"]) == (400, 400)


def test_a_question_is_on_record_as_one(closed):
    closed.client.post("/api/search", headers=closed.bearer(), **NOTHING)
    assert [(each.event, each.detail["route"]) for each in closed.trail.records] == [
        ("access.search", "/api/search")
    ]


def test_an_error_has_the_form_of_its_interface(closed):
    beacon = closed.client.get("/api/beacon/individuals").json()
    assert beacon["error"]["errorCode"] == 401 and beacon["meta"]["apiVersion"] == "v2.0.0"
    wrong = closed.client.request("PUT", "/api/datasets/eucaimSearch", headers=closed.bearer())
    assert (wrong.status_code, wrong.headers["content-type"]) == (405, "application/json")
