"""`/catalogue` and `/fdp` over a known index: who sees which record, in which form, and with which numbers."""

import uuid
from collections.abc import Iterator

import httpx
import psycopg
import pytest
from rdflib import Graph, URIRef

from gateway.catalogue.vocabulary import DCAT, DCT, FDP, HEALTH
from tests.conformance.catalogued import RECORD, count, exam, published
from tests.conformance.conftest import Gateway
from tests.conformance.permitted import dataset


@pytest.fixture(scope="module")
def gateway(serve_instances) -> Iterator[Gateway]:
    with serve_instances([exam(number) for number in range(24)]) as made:
        yield made


@pytest.fixture(scope="module")
def name(gateway: Gateway, steward: httpx.Client) -> str:
    return published(gateway, steward)


FORMS = [("application/ld+json", "json-ld"), ("text/turtle", "turtle"), ("application/rdf+xml", "xml")]


@pytest.mark.parametrize(("kind", "form"), FORMS)
def test_a_record_is_had_in_the_form_that_is_asked_for(
    anybody: httpx.Client, name: str, kind: str, form: str
) -> None:
    answer = anybody.get(f"/catalogue/{name}", headers={"Accept": kind})
    assert answer.headers["content-type"].startswith(kind)
    it = URIRef(str(anybody.base_url).rstrip("/") + f"/catalogue/{name}")
    read = Graph().parse(data=answer.content, format=form)
    assert int(read.value(it, HEALTH.numberOfRecords)) == 25  # 24, rounded
    assert int(read.value(it, HEALTH.numberOfUniqueIndividuals)) == 10  # 12, rounded


def test_a_person_gets_a_page(anybody: httpx.Client, name: str) -> None:
    answer = anybody.get(f"/catalogue/{name}", headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.headers["content-type"].startswith("text/html")
    assert "Mammograms of a programme" in answer.text
    assert "about 25" in answer.text


def test_a_harvester_walks_from_the_point_to_the_images(anybody: httpx.Client, name: str) -> None:
    """FAIR Data Point: each layer names the next one by an address that answers."""
    accept = {"Accept": "text/turtle"}
    point = Graph().parse(data=anybody.get("/fdp", headers=accept).content, format="turtle")
    (catalogue,) = point.objects(predicate=FDP.metadataCatalog)
    listed = Graph().parse(data=anybody.get(str(catalogue), headers=accept).content, format="turtle")
    found = next(each for each in listed.objects(predicate=DCAT.dataset) if str(each).endswith(name))
    record = Graph().parse(data=anybody.get(str(found), headers=accept).content, format="turtle")
    (distribution,) = record.objects(predicate=DCAT.distribution)
    images = Graph().parse(data=anybody.get(str(distribution), headers=accept).content, format="turtle")
    assert str(images.value(distribution, DCAT.accessURL)) == str(found)
    assert images.value(distribution, DCT.rights) is not None


def test_a_record_that_is_the_same_is_not_sent_again(anybody: httpx.Client, name: str) -> None:
    for form in ("application/n-triples", "text/turtle", "application/ld+json", "application/rdf+xml"):
        for path in (f"/catalogue/{name}", f"/catalogue/{name}/distribution"):
            first = anybody.get(path, headers={"Accept": form})
            again = anybody.get(path, headers={"Accept": form, "If-None-Match": first.headers["etag"]})
            assert (again.status_code, again.content) == (304, b""), (form, path)


def test_what_is_not_published_is_nowhere(gateway: Gateway, anybody: httpx.Client, name: str) -> None:
    """As one that is not there: the same status and the same words."""
    hidden = dataset(gateway.settings, "Modality=MG")
    answers = [anybody.get(f"/catalogue/{each}") for each in (hidden, f"d{uuid.uuid4().hex[:12]}")]
    assert [each.status_code for each in answers] == [404, 404]
    assert answers[0].json()["detail"] == answers[1].json()["detail"]
    assert hidden not in anybody.get("/catalogue").text


def test_a_record_with_gaps_is_not_published(gateway: Gateway, steward: httpx.Client) -> None:
    made = dataset(gateway.settings, "Modality=MG")
    steward.put(f"/api/catalogue/{made}", json=RECORD | {"provenance": ""})
    answer = steward.put(f"/api/catalogue/{made}/publication")
    assert answer.status_code == 400
    assert "provenance" in answer.json()["detail"]


def test_a_record_is_withdrawn(gateway: Gateway, steward: httpx.Client, anybody: httpx.Client) -> None:
    made = dataset(gateway.settings, "Modality=MG")
    steward.put(f"/api/catalogue/{made}", json=RECORD)
    assert steward.put(f"/api/catalogue/{made}/publication").status_code == 204
    assert anybody.get(f"/catalogue/{made}").status_code == 200
    assert steward.delete(f"/api/catalogue/{made}/publication").status_code == 204
    answer = anybody.get(f"/catalogue/{made}", headers={"Accept": "text/html"})
    assert answer.status_code == 410
    assert "Screening" in answer.text


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("", True), ("?q=mammograms+programme", True), ("?q=ultrasound", False), ("?modality=MG", True),
        ("?modality=US", False), ("?modality=US&modality=MG", True), ("?modality=MG&manufacturer=PHILIPS", False),
    ],
)  # fmt: skip
def test_words_and_facets_narrow_the_list(
    anybody: httpx.Client, name: str, query: str, is_found: bool
) -> None:
    assert (f"/catalogue/{name}" in anybody.get(f"/catalogue{query}").text) is is_found


def test_behind_the_end_of_the_list_is_nothing(anybody: httpx.Client, name: str) -> None:
    told = anybody.get("/catalogue?modality=MG&from=999999").text
    assert "There are none so far down the list." in told
    assert "are shown" not in told


@pytest.mark.parametrize("path", ["%00", "a%00/distribution"])
def test_an_address_with_a_nul_is_none(anybody: httpx.Client, path: str) -> None:
    assert anybody.get(f"/catalogue/{path}").status_code == 404


@pytest.mark.parametrize("form", ["csv", "", "../ttl"])
def test_a_form_that_is_none_is_refused(anybody: httpx.Client, form: str) -> None:
    assert anybody.get("/catalogue", params={"format": form}).status_code == 400


def test_a_page_runs_nothing_that_a_steward_wrote(
    gateway: Gateway, steward: httpx.Client, anybody: httpx.Client
) -> None:
    made = dataset(gateway.settings, "Modality=MG")
    steward.put(f"/api/catalogue/{made}", json=RECORD | {"title": "<script>alert(1)</script>"})
    steward.put(f"/api/catalogue/{made}/publication")
    answer = anybody.get(f"/catalogue/{made}")
    assert "<script>" not in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]


def test_withheld_studies_are_not_counted(gateway: Gateway, name: str) -> None:
    """A patient who opted out is in no number."""
    before = count(gateway, name).studies
    with psycopg.connect(gateway.settings.database_url, autocommit=True) as connection:
        connection.execute("update study set withheld = true where study_instance_uid = '1.6.0'")
        assert count(gateway, name).studies == before - 1
        connection.execute("update study set withheld = false where study_instance_uid = '1.6.0'")


def test_patients_are_counted_beside_studies(gateway: Gateway, name: str) -> None:
    found = count(gateway, name)
    assert (found.modalities, found.patients["modalities"]) == ({"MG": 24}, {"MG": 12})
    assert (found.manufacturers, found.patients["manufacturers"]) == (
        {"HOLOGIC, INC.": 24},
        {"HOLOGIC, INC.": 12},
    )
    assert found.years.keys() == found.patients["years"].keys() == {"2010", "2011", "2012"}
    assert found.ages.keys() == found.patients["ages"].keys()
