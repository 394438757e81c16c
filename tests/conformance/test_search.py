"""Counting over a known index by each interface: EUCAIM's node API, a Beacon v2, our own, and the page."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from archive import permits, search_tokens
from archive.policy import Role
from tests.conformance.conftest import Gateway
from tests.conformance.permitted import BY, Holder, dataset, run
from tests.unit.dicom_files import dataset as data_set
from tests.unit.dicom_files import part10, pixels

MG, US = "1.2.840.10008.5.1.4.1.1.1.2", "1.2.840.10008.5.1.4.1.1.6.1"
SEARCH, EUCAIM, BEACON = "/api/search", "/api/datasets/eucaimSearch", "/api/beacon"
RECORD = {
    "title": "Screening <b>", "description": "Mammograms", "keywords": ["mammography"],
    "provenance": "A screening programme", "contact_email": "steward@hospital.example",
}  # fmt: skip
MANY, FEW = 60, 3


def exam(number: int) -> bytes:
    """Mammograms of many women, ultrasound of few."""
    study = f"1.7.{number}"
    kind = {"SOPClassUID": MG, "Modality": "MG", "Manufacturer": "SIEMENS Healthineers"}
    if number >= MANY:
        kind = {"SOPClassUID": US, "Modality": "US", "Manufacturer": "ACME"}
    named = kind | {
        "StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1", "SOPInstanceUID": f"{study}.1.1",
        "PatientID": f"S{number}", "StudyDate": "20200101", "PatientSex": "F", "PatientAge": "055Y",
        "BodyPartExamined": "BREAST",
    }  # fmt: skip
    return part10(data_set(**named, **pixels(8, 8)))


@pytest.fixture(scope="module")
def gateway(serve_instances) -> Iterator[Gateway]:
    with serve_instances([exam(number) for number in range(MANY + FEW)]) as made:
        yield made


@pytest.fixture(scope="module")
def name(gateway: Gateway) -> str:
    """A published dataset of all of them."""
    steward = Holder(gateway.settings)
    run(gateway.settings, lambda each: permits.add_role(each, steward.subject, Role.STEWARD, by=BY))
    made = dataset(gateway.settings, "PatientID=S*")
    with client_of(gateway, f"Bearer {steward.token()}") as client:
        assert client.put(f"/api/catalogue/{made}", json=RECORD).status_code == 200
        assert client.put(f"/api/catalogue/{made}/publication").status_code == 204
    return made


@pytest.fixture(scope="module")
def secret(gateway: Gateway) -> str:
    return run(gateway.settings, lambda connection: search_tokens.add(connection, "eucaim", by=BY))


@pytest.fixture(scope="module")
def mediator(gateway: Gateway, secret: str) -> Iterator[httpx.Client]:
    with client_of(gateway, f"Secret {secret}") as client:
        yield client


@pytest.fixture(scope="module")
def researcher(gateway: Gateway) -> Iterator[httpx.Client]:
    """A program whose token lets it count, and nothing else."""
    with client_of(gateway, f"Bearer {Holder(gateway.settings).token(scope='search.count')}") as client:
        yield client


@pytest.fixture(scope="module")
def anybody(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.settings.public_url, trust_env=False, timeout=30) as client:
        yield client


def client_of(gateway: Gateway, authorization: str) -> httpx.Client:
    headers = {"Authorization": authorization}
    return httpx.Client(base_url=gateway.settings.public_url, headers=headers, trust_env=False, timeout=30)


def tree(*conditions: tuple[str, str, Any]) -> dict[str, Any]:
    each = [
        {"operand": "OR", "children": [{"key": key, "system": "", "type": kind, "value": value}]}
        for key, kind, value in conditions
    ]
    return {"operand": "OR", "children": [{"operand": "AND", "children": each}]}


def post(client: httpx.Client, ast: Any) -> httpx.Response:
    return client.post(EUCAIM, json={"ast": ast, "id": "1__search__2"})


def is_about_many(count: int) -> bool:
    return count % 5 == 0 and abs(count - MANY) <= 30


class TestMediator:
    """EUCAIM's node API, as its mediator calls it."""

    def test_a_tree(self, mediator, name):
        answer = post(mediator, tree(("RID10311", "EQUALS", "EUCAIM_Hyper-Ontology_V1.0.IMG1000030")))
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        (found,) = answer.json()["collections"]
        assert (found["id"], found["modality"], found["gender"]) == (name, ["MG"], ["Female"])
        assert is_about_many(found["subjects_count"]) and found["studies_count"] >= found["subjects_count"]
        assert found["age_range"] == {"min": 55, "max": 59} and found["body_parts"] == ["BREAST"]

    def test_the_empty_tree(self, mediator, name):
        (found,) = post(mediator, {"operand": "OR", "children": []}).json()["collections"]
        assert is_about_many(found["subjects_count"])

    def test_parameters(self, mediator, name):
        asked = {"gender": "female", "bodyPart": "breast", "manufacturer": "Siemens", "modality": "MG"}
        (found,) = mediator.get(EUCAIM, params=asked).json()["collections"]
        assert is_about_many(found["studies_count"])

    def test_what_is_of_few_is_absent(self, mediator, name):
        assert mediator.get(EUCAIM, params={"modality": "US"}).json() == {"collections": []}

    def test_what_is_not_known_finds_nothing(self, mediator, name):
        assert mediator.get(EUCAIM, params={"shoeSize": "40"}).json() == {"collections": []}
        assert post(mediator, tree(("SNOMEDCT1", "EQUALS", "x"))).json() == {"collections": []}

    def test_criteria_are_of_one_series(self, mediator, name):
        found = mediator.get(EUCAIM, params={"modality": "US", "manufacturer": "Siemens"})
        assert found.json() == {"collections": []}

    def test_the_mediator_puts_its_provider_behind_the_first_brace(self, mediator, name):
        text = mediator.get(EUCAIM, params={"modality": "CT"}).text
        assert json.loads(text.replace("{", '{"provider":"A",', 1)) == {"provider": "A", "collections": []}

    def test_a_tree_that_is_wrapped(self, mediator, name):
        inner = base64.b64encode(json.dumps({"ast": tree(), "id": "x"}).encode()).decode()
        answer = mediator.post(EUCAIM, json={"lang": "ast", "query": inner})
        assert answer.json() == post(mediator, tree()).json()

    def test_the_same_question_has_the_same_answer(self, mediator, name):
        first = post(mediator, tree(("RID10311", "EQUALS", "MG"))).content
        assert post(mediator, tree(("RID10311", "IN", ["MG", "nothing"]))).content == first

    @pytest.mark.parametrize(
        ("content", "kind", "status"),
        [
            (b"{", "application/json", 400),
            (b"{}", "text/plain", 400),
            (b"{}", "application/json", 422),
            (b'{"ast": {"operand": "XOR", "children": []}, "id": "1"}', "application/json", 422),
            (b" " * 70_000, "application/json", 413),
        ],
        ids=["no JSON", "type", "no tree", "operand", "long"],
    )
    def test_an_error_has_its_form(self, mediator, content, kind, status):
        answer = mediator.post(EUCAIM, content=content, headers={"Content-Type": kind})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
        assert answer.json().keys() == {"error", "status_code"} and answer.json()["status_code"] == status

    @pytest.mark.parametrize(
        ("headers", "status"),
        [({}, 401), ({"Authorization": "Secret no"}, 401), ({"Authorization": "Basic eDp5"}, 401),
         ({"Authorization": "Secret"}, 400)],
        ids=["nobody", "wrong", "basic", "empty"],
    )  # fmt: skip
    def test_who_may_not_ask(self, anybody, secret, headers, status):
        answer = anybody.post(EUCAIM, json={"ast": tree(), "id": "1"}, headers=headers)
        assert (answer.status_code, answer.json()["status_code"]) == (status, status)

    def test_a_program_that_may_count_asks_too(self, researcher, name):
        assert len(post(researcher, tree()).json()["collections"]) == 1

    def test_a_secret_opens_nothing_else(self, mediator):
        for path in ("/api/datasets", "/api/session", "/dicom-web/studies"):
            assert mediator.get(path).status_code in (400, 401)

    def test_a_revoked_secret_opens_nothing(self, gateway, secret):
        other = run(gateway.settings, lambda each: search_tokens.add(each, "another", by=BY))
        with client_of(gateway, f"Secret {other}") as client:
            assert client.get(EUCAIM).status_code == 200
            run(gateway.settings, lambda each: search_tokens.revoke(each, "another"))
            assert client.get(EUCAIM).status_code == 401


class TestBeacon:
    """GA4GH Beacon v2."""

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "/",
            "/info",
            "/service-info",
            "/configuration",
            "/entry_types",
            "/map",
            "/filtering_terms",
            "/datasets",
        ],
    )
    def test_anybody_reads_what_it_is(self, anybody, name, path):
        answer = anybody.get(BEACON + path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")

    def test_the_map_leads_to_what_answers(self, anybody, researcher, name):
        sets = anybody.get(f"{BEACON}/map").json()["response"]["endpointSets"]
        assert sets
        for entry in sets.values():
            for address in (entry["rootUrl"], entry.get("singleEntryUrl", entry["rootUrl"])):
                assert researcher.get(address.replace("{id}", name)).status_code == 200

    def test_a_count(self, researcher, name):
        query = {"filters": [{"id": "DCM:MG"}], "requestedGranularity": "count"}
        told = researcher.post(
            f"{BEACON}/individuals", json={"meta": {"apiVersion": "2.0"}, "query": query}
        ).json()
        assert told["responseSummary"]["exists"] and is_about_many(told["responseSummary"]["numTotalResults"])
        assert [each["id"] for each in told["response"]["resultSets"]] == [name]

    def test_a_boolean_in_an_address(self, researcher, name):
        told = researcher.get(f"{BEACON}/individuals", params={"filters": "DCM:US"}).json()
        assert told["responseSummary"] == {"exists": False}

    def test_one_dataset(self, researcher, anybody, name):
        asked = {"requestedGranularity": "count"}
        told = researcher.get(f"{BEACON}/datasets/{name}/individuals", params=asked).json()
        assert is_about_many(told["responseSummary"]["numTotalResults"])
        (shown,) = anybody.get(f"{BEACON}/datasets/{name}").json()["response"]["collections"]
        assert (shown["id"], shown["name"]) == (name, RECORD["title"])

    def test_a_test_tells_nothing_of_the_node_and_spends_nothing(self, gateway, name):
        """Framework, beaconCommonComponents.json: TestMode."""
        query = {"testMode": True, "requestedGranularity": "count", "includeResultsetResponses": "ALL"}
        with client_of(gateway, f"Bearer {Holder(gateway.settings).token(scope='search.count')}") as client:
            seen = [
                client.post(f"{BEACON}/individuals", json={"query": query | {"filters": [{"id": each}]}})
                for each in ("DCM:MG", "DCM:US", *(f"age:{year}" for year in range(80)))
            ]
        assert {each.status_code for each in seen} == {200}
        told = [each.json() for each in seen]
        assert all(each["meta"]["testMode"] for each in told)
        assert len({json.dumps(each["response"]) for each in told}) == 1 and name not in seen[0].text

    @pytest.mark.parametrize(
        ("path", "query", "status"),
        [
            ("/individuals", {"testMode": "yes"}, 400),
            ("/individuals", {"requestedGranularity": "record"}, 403),
            ("/individuals", {"filter": []}, 400),
            ("/datasets/nothing/individuals", {}, 404),
        ],
        ids=["test mode", "record", "query", "dataset"],
    )
    def test_an_error_has_its_form(self, researcher, path, query, status):
        answer = researcher.post(BEACON + path, json={"query": query})
        assert (answer.status_code, answer.json()["error"]["errorCode"]) == (status, status)
        assert answer.json()["meta"]["beaconId"] and answer.json()["error"]["errorMessage"]

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [("PUT", "/info", 405), ("PATCH", "/datasets", 405), ("GET", "/runs", 404)],
    )
    def test_what_it_has_not_is_told_in_its_form(self, anybody, method, path, status):
        answer = anybody.request(method, BEACON + path)
        assert (answer.status_code, answer.json()["error"]["errorCode"]) == (status, status)
        assert ("GET" in answer.headers.get("allow", "")) is (status == 405)

    def test_datasets_are_told_as_the_records_that_they_are(self, anybody):
        answer = anybody.get(f"{BEACON}/datasets", params={"requestedGranularity": "record"})
        assert (answer.status_code, answer.json()["meta"]["returnedGranularity"]) == (200, "record")

    def test_nobody_counts(self, anybody):
        answer = anybody.get(f"{BEACON}/individuals")
        assert (answer.status_code, answer.json()["error"]["errorCode"]) == (401, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")


class TestSearch:
    """/api/search."""

    QUESTION = {"is": "modality", "in": ["MG"]}

    def test_json(self, researcher, name):
        (site,) = researcher.post(SEARCH, json={"question": self.QUESTION}).json()["sites"]
        (row,) = site["rows"]
        assert (site["state"], row["dataset"]) == ("answered", name) and is_about_many(row["patients"])

    def test_lines(self, researcher, name):
        accept = {"Accept": "application/x-ndjson"}
        answer = researcher.post(SEARCH, json={"question": self.QUESTION, "federated": True}, headers=accept)
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        assert [json.loads(line)["state"] for line in answer.text.splitlines()] == ["answered"]

    def test_events(self, researcher, name):
        accept = {"Accept": "text/event-stream"}
        answer = researcher.post(SEARCH, json={"question": self.QUESTION}, headers=accept)
        assert re.findall("^event: (.*)$", answer.text, re.MULTILINE) == ["site", "end"]

    def test_few(self, researcher, name):
        (site,) = researcher.post(SEARCH, json={"question": {"is": "modality", "in": ["US"]}}).json()["sites"]
        assert [row["patients"] for row in site["rows"]] == [None]

    def test_a_lens_tree(self, researcher, name):
        (site,) = researcher.post(SEARCH, json={"ast": tree(("RID10311", "EQUALS", "MG"))}).json()["sites"]
        assert is_about_many(site["rows"][0]["patients"])

    @pytest.mark.parametrize(
        "content",
        [{}, {"question": 3}, {"question": {"is": "name"}}, {"question": {"all": []}, "federated": 1},
         {"question": {"all": []}, "ast": {}}],
        ids=["nothing", "number", "criterion", "federated", "both"],
    )  # fmt: skip
    def test_what_is_no_search(self, researcher, content):
        assert researcher.post(SEARCH, json=content).status_code == 400

    def test_what_can_not_be_written(self, researcher):
        answer = researcher.post(SEARCH, json={"question": {"all": []}}, headers={"Accept": "text/csv"})
        assert answer.status_code == 406

    def test_a_token_for_something_else(self, gateway):
        with client_of(gateway, f"Bearer {Holder(gateway.settings).token(scope='dicomweb.read')}") as client:
            answer = client.post(SEARCH, json={"question": {"all": []}})
        assert answer.status_code == 403 and "insufficient_scope" in answer.headers["www-authenticate"]

    def test_the_trail_tells_what_was_asked_for_and_no_value(self, gateway, researcher, name):
        question = {
            "all": [{"is": "age", "from": 50, "to": 57}, {"is": "manufacturer", "in": ["UNMISTAKABLE"]}]
        }
        researcher.post(SEARCH, json={"question": question})
        rows = run(gateway.settings, lambda each: _newest(each))
        record = json.loads(rows[0])
        assert (record["event"], record["detail"]["criteria"]) == ("access.search", "age manufacturer")
        assert "UNMISTAKABLE" not in rows[0]


async def _newest(connection) -> list[str]:
    rows = await connection.execute(
        "select content from audit where content like '%/api/search%' order by number desc limit 1"
    )
    return [content for (content,) in await rows.fetchall()]


class TestPage:
    """/search."""

    def test_anybody_sees_the_form(self, anybody):
        answer = anybody.get("/search")
        assert answer.status_code == 200 and "Studies with all of this" in answer.text

    def test_nobody_is_answered(self, anybody):
        answer = anybody.get("/search?modality=MG&ask=1")
        assert answer.status_code == 401 and "/login?next=/search%3Fmodality%3DMG%26ask%3D1" in answer.text

    def test_counts_by_dataset(self, researcher, name):
        answer = researcher.get("/search?modality=MG&ask=1")
        assert answer.status_code == 200 and f'href="/catalogue/{name}"' in answer.text
        assert f'href="/access?dataset={name}"' in answer.text and "Screening &lt;b&gt;" in answer.text
        assert answer.text.rstrip().endswith("</html>")

    def test_too_few(self, researcher, name):
        text = researcher.get("/search?modality=US&ask=1").text
        assert (
            text.count("too few to tell") == 2 and "No dataset has enough patients of that to be told" in text
        )

    @pytest.mark.parametrize("address", ["age_from=old", "modality=<script>"])
    def test_what_can_not_be_asked_is_said(self, researcher, address):
        answer = researcher.get(f"/search?ask=1&{address}")
        assert answer.status_code == 400 and 'role="alert"' in answer.text and "<script>" not in answer.text
