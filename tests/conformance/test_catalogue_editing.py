"""`/admin/catalogue` as a browser without script uses it."""

import html
import re
from collections.abc import Iterator

import httpx
import pytest

from archive.policy import Role
from tests.conformance import catalogued
from tests.conformance.catalogued import RECORD, exam, published
from tests.conformance.conftest import Gateway
from tests.conformance.permitted import dataset

FORM = {
    "title": "Screening", "description": "Mammograms", "keywords": "mammography\r\nscreening",
    "provenance": "A programme",
    "contact_email": "data@hospital.example", "contact_page": "", "rights": "NON_PUBLIC",
    "access": ["DOWNLOAD", "REMOTE_PROCESSING"], "tier": "2", "methods": ["case-control", "longitudinal"],
    "kinds": ["original", "annotated"], "categories": ["EHRS", "RQSH"], "population": "Women", "licence": "CC BY 4.0",
    "legislation": "http://data.europa.eu/eli/reg/2025/327/oj\r\nhttps://law.example/1", "citation": "Us.",
    "landing_page": "https://hospital.example/x",
}  # fmt: skip


@pytest.fixture(scope="module")
def gateway(serve_instances) -> Iterator[Gateway]:
    with serve_instances([exam(number) for number in range(12)]) as made:
        yield made


@pytest.fixture(scope="module")
def steward(gateway: Gateway) -> Iterator[httpx.Client]:
    with catalogued.browser(gateway, Role.STEWARD) as client:
        yield client


@pytest.fixture(scope="module")
def program(gateway: Gateway) -> Iterator[httpx.Client]:
    with catalogued.steward(gateway) as client:
        yield client


@pytest.fixture
def name(gateway: Gateway) -> str:
    return dataset(gateway.settings, "Modality=MG")


def post(client: httpx.Client, path: str, action: str = "", **fields: object) -> httpx.Response:
    """Send the form of a page as it stands there, with some of its fields filled in."""
    shown = client.get(path).text
    hidden = dict(re.findall(r'<input type="hidden" name="(csrf_token|revision)" value="([^"]*)"', shown))
    return client.post(path + action, data=hidden | fields)


def test_every_field_is_saved_and_shown(steward: httpx.Client, program: httpx.Client, name: str) -> None:
    assert post(steward, f"/admin/catalogue/{name}", **FORM).status_code == 303
    written = program.get(f"/api/catalogue/{name}").json()["written"]
    wanted = {
        each: value.split("\r\n") if each in ("keywords", "legislation") else value
        for each, value in FORM.items()
    }
    assert written == wanted | {"tier": 2}
    shown = steward.get(f"/admin/catalogue/{name}").text
    assert "mammography\nscreening</textarea>" in shown
    assert 'value="CC BY 4.0"' in shown


def test_every_field_has_guidance(steward: httpx.Client, program: httpx.Client, name: str) -> None:
    shown = steward.get(f"/admin/catalogue/{name}").text
    fields = program.get(f"/api/catalogue/{name}").json()["written"]
    assert {"title", "licence"} <= set(fields)
    for field in fields:
        assert f'name="{field}"' in shown
        assert f'id="f-{field}-hint"' in shown


def test_what_is_wrong_is_said_at_its_field_and_nothing_is_lost(steward: httpx.Client, name: str) -> None:
    answer = post(
        steward, f"/admin/catalogue/{name}", **FORM | {"contact_email": "nobody", "title": "<b>Typed</b>"}
    )
    assert answer.status_code == 400
    assert re.search(r'id="f-contact_email-told"><li>contact_email takes an address', answer.text)
    assert 'value="&lt;b&gt;Typed&lt;/b&gt;"' in answer.text
    assert 'value="nobody"' in answer.text


def test_what_the_shapes_find_is_said_at_its_field(steward: httpx.Client, name: str) -> None:
    post(steward, f"/admin/catalogue/{name}", **FORM | {"keywords": ""})
    shown = steward.get(f"/admin/catalogue/{name}").text
    assert "A dataset has a keyword." in re.findall(r'id="f-keywords-told">(.*?)</ul>', shown)[0]
    assert "Publish what is saved" not in shown


def test_the_second_is_told_and_keeps_what_she_typed(steward: httpx.Client, name: str) -> None:
    path = f"/admin/catalogue/{name}"
    token = re.findall(r'name="csrf_token" value="([^"]*)"', steward.get(path).text)[0]
    first = steward.post(path, data=FORM | {"csrf_token": token, "revision": "0", "title": "Hers"})
    second = steward.post(path, data=FORM | {"csrf_token": token, "revision": "0", "title": "His"})
    assert (first.status_code, second.status_code) == (303, 412)
    assert 'value="His"' in second.text
    assert '<q class="example">Hers</q>' in second.text
    assert 'name="revision" value="1"' in second.text


def test_a_preview_is_for_stewards_alone(gateway: Gateway, steward: httpx.Client, name: str) -> None:
    post(steward, f"/admin/catalogue/{name}", **FORM)
    path = f"/admin/catalogue/{name}/preview"
    assert ">Screening</h1>" in steward.get(path).text
    with catalogued.browser(gateway, None) as other:
        assert other.get(path).status_code == 403
    with catalogued.anybody(gateway) as visitor:
        assert visitor.get(path).status_code in (302, 303, 401)


def test_a_record_is_published_and_withdrawn(gateway: Gateway, steward: httpx.Client, name: str) -> None:
    path = f"/admin/catalogue/{name}"
    post(steward, path, **FORM)
    assert post(steward, path, "/publish", revision="1", notes="First").status_code == 303
    with catalogued.anybody(gateway) as visitor:
        assert "First" in visitor.get(f"/catalogue/{name}/versions").text
        assert post(steward, path, "/withdraw").status_code == 303
        assert visitor.get(f"/catalogue/{name}").status_code == 410


def test_what_another_saved_meanwhile_is_not_published_unseen(steward: httpx.Client, name: str) -> None:
    path = f"/admin/catalogue/{name}"
    post(steward, path, **FORM)
    post(steward, path, **FORM | {"title": "Later"})
    assert post(steward, path, "/publish", revision="1").status_code == 412


CHANGES = ["", "/publish", "/withdraw"]


@pytest.mark.parametrize("action", CHANGES)
def test_no_other_site_changes_a_record(steward: httpx.Client, name: str, action: str) -> None:
    answer = steward.post(f"/admin/catalogue/{name}{action}", data=FORM | {"revision": "0"})
    assert answer.status_code == 403


@pytest.mark.parametrize("action", CHANGES)
@pytest.mark.parametrize("role", [None, Role.CLINICIAN])
def test_nobody_else_changes_a_record(gateway: Gateway, name: str, action: str, role: Role | None) -> None:
    with catalogued.browser(gateway, role) as other:
        token = re.findall(r'name="csrf_token" value="([^"]*)"', other.get("/access").text)[0]
        answer = other.post(
            f"/admin/catalogue/{name}{action}", data=FORM | {"csrf_token": token, "revision": "0"}
        )
        assert answer.status_code == 403


@pytest.mark.parametrize(
    "fields", [{"revision": "x"}, {"revision": "9" * 50}, {"tier": "none"}, {"access": "EVERYTHING"}]
)
def test_a_form_that_was_tampered_with_is_refused(
    steward: httpx.Client, name: str, fields: dict[str, str]
) -> None:
    assert post(steward, f"/admin/catalogue/{name}", **FORM | fields).status_code == 400


def test_a_dataset_that_is_none_has_no_record(steward: httpx.Client) -> None:
    assert steward.get("/admin/catalogue/none-of-this-name").status_code == 404


def test_the_node_describes_itself(steward: httpx.Client, program: httpx.Client) -> None:
    node = {
        "title": "Node",
        "description": "D",
        "publisher": "Hospital",
        "publisher_email": "a@b.example",
        "country": "ESP",
    }
    assert post(steward, "/admin/catalogue", **node).status_code == 303
    assert program.get("/api/catalogue").json()["country"] == "ESP"
    wrong = post(steward, "/admin/catalogue", **node | {"country": "Spain"})
    assert "country takes three capital letters" in html.unescape(wrong.text)


def test_all_records_are_listed_with_their_state(
    gateway: Gateway, steward: httpx.Client, program: httpx.Client
) -> None:
    name = published(gateway, program)
    program.put(f"/api/catalogue/{name}", json=RECORD | {"title": "Newer"})
    row = re.findall(
        rf'<a href="/admin/catalogue/{name}">.*?</tr>', steward.get("/admin/catalogue").text, re.DOTALL
    )[0]
    assert "changes are not published yet" in row
