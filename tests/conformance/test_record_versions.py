"""Versions of records over HTTP: what everybody sees stays until another version is published, and can be cited."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from rdflib import Graph, URIRef

from archive import datasets
from gateway.catalogue.vocabulary import DCAT
from tests.conformance.catalogued import RECORD, exam, published
from tests.conformance.conftest import Gateway
from tests.conformance.permitted import BY, dataset, run

PAGE = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def gateway(serve_instances) -> Iterator[Gateway]:
    with serve_instances([exam(number) for number in range(12)]) as made:
        yield made


@pytest.fixture(scope="module")
def twice(gateway: Gateway, steward: httpx.Client) -> str:
    """A dataset whose record was published twice."""
    name = published(gateway, steward)
    steward.put(f"/api/catalogue/{name}", json=RECORD | {"title": "Screening, second"})
    steward.put(f"/api/catalogue/{name}/publication", json={"notes": "The title is clearer"})
    return name


def test_an_edit_is_seen_when_it_is_published(
    gateway: Gateway, steward: httpx.Client, anybody: httpx.Client
) -> None:
    name = published(gateway, steward)
    steward.put(f"/api/catalogue/{name}", json=RECORD | {"title": "Other"})
    assert "Other" not in anybody.get(f"/catalogue/{name}", headers=PAGE).text
    steward.put(f"/api/catalogue/{name}/publication")
    assert "Other" in anybody.get(f"/catalogue/{name}", headers=PAGE).text


def test_an_edit_that_fails_is_not_served(
    gateway: Gateway, steward: httpx.Client, anybody: httpx.Client
) -> None:
    name = published(gateway, steward)
    steward.put(f"/api/catalogue/{name}", json={"title": "Broken"})
    assert steward.put(f"/api/catalogue/{name}/publication").status_code == 400
    assert "Broken" not in anybody.get(f"/catalogue/{name}", headers=PAGE).text


def test_each_version_stays_at_its_address(anybody: httpx.Client, twice: str) -> None:
    old, new = (anybody.get(f"/catalogue/{twice}/versions/{number}", headers=PAGE).text for number in (1, 2))
    assert ">Screening</h1>" in old
    assert ">Screening, second</h1>" in new


@pytest.mark.parametrize("asked", ["1", "1.0.0"])
def test_a_version_is_asked_for_as_a_parameter(anybody: httpx.Client, twice: str, asked: str) -> None:
    answer = anybody.get(f"/catalogue/{twice}?version={asked}")
    assert answer.headers["location"].endswith(f"/catalogue/{twice}/versions/1")


@pytest.mark.parametrize("asked", ["0", "3", "x", "9" * 5000, "-1", "1%00"])
def test_a_version_that_is_none_is_not_found(anybody: httpx.Client, twice: str, asked: str) -> None:
    assert anybody.get(f"/catalogue/{twice}/versions/{asked}").status_code in (404, 414)


def test_what_changed_is_listed(anybody: httpx.Client, twice: str) -> None:
    told = anybody.get(f"/catalogue/{twice}/versions").text
    assert "The title is clearer" in told
    assert re.search(r"title</th><td>Screening</td><td>Screening, second</td>", told)


def test_the_list_leads_harvesters_to_all_versions(anybody: httpx.Client, twice: str) -> None:
    answer = anybody.get(f"/catalogue/{twice}/versions", headers={"Accept": "text/turtle"})
    assert answer.headers["content-type"].startswith("text/turtle")
    graph = Graph().parse(data=answer.text, format="turtle")
    found = {str(each).rpartition("/")[2] for each in graph.objects(predicate=DCAT.hasVersion)}
    assert found == {"1", "2"}
    assert anybody.get(f"/catalogue/{twice}/versions", headers={"Accept": "image/png"}).status_code == 406


def test_a_version_leads_to_the_one_before(anybody: httpx.Client, twice: str) -> None:
    """DCAT 3 section 6.4.27."""
    answer = anybody.get(f"/catalogue/{twice}/versions/2?format=ttl")
    read, base = Graph().parse(data=answer.content, format="turtle"), str(anybody.base_url).rstrip("/")
    at = [URIRef(f"{base}/catalogue/{twice}/versions/{number}") for number in (1, 2)]
    assert read.value(at[1], DCAT.previousVersion) == at[0]
    assert anybody.get(str(at[0]), headers={"Accept": "text/turtle"}).status_code == 200


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("text", "text/plain"), ("bibtex", "application/x-bibtex"), ("csl", "application/vnd.citationstyles.csl+json"),
        ("datacite", "application/vnd.datacite.datacite+json"),
    ],
)  # fmt: skip
def test_a_version_is_cited(anybody: httpx.Client, twice: str, form: str, kind: str) -> None:
    answer = anybody.get(f"/catalogue/{twice}/versions/1/citation", params={"format": form})
    assert answer.headers["content-type"].startswith(kind)
    assert f"/catalogue/{twice}/versions/1" in answer.text


def test_a_form_of_citation_that_is_none_is_refused(anybody: httpx.Client, twice: str) -> None:
    assert anybody.get(f"/catalogue/{twice}/versions/1/citation?format=ris").status_code == 400


def test_to_publish_what_is_published_makes_no_version(
    gateway: Gateway, steward: httpx.Client, anybody: httpx.Client
) -> None:
    name = published(gateway, steward)
    assert steward.put(f"/api/catalogue/{name}/publication").status_code == 204
    assert anybody.get(f"/catalogue/{name}/versions/2").status_code == 404


def test_freezing_makes_a_version(gateway: Gateway, steward: httpx.Client, anybody: httpx.Client) -> None:
    name = published(gateway, steward)
    frozen = run(gateway.settings, lambda each: datasets.freeze(each, name, by=BY))
    told = anybody.get(f"/catalogue/{name}/versions/2", headers=PAGE).text
    assert f"{name}@1" in told
    assert frozen.sha256 in told


def test_freezing_tells_nothing_of_what_nobody_sees(gateway: Gateway, anybody: httpx.Client) -> None:
    name = dataset(gateway.settings, "Modality=MG")
    run(gateway.settings, lambda each: datasets.freeze(each, name, by=BY))
    assert anybody.get(f"/catalogue/{name}/versions").status_code == 404


PATHS = ["", "/versions", "/versions/1", "/versions/1/citation"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("accept", ["text/html", "text/turtle"])
def test_what_was_withdrawn_is_gone(
    gateway: Gateway, steward: httpx.Client, anybody: httpx.Client, path: str, accept: str
) -> None:
    """RFC 9110 section 15.5.11: what it was called is told, and nothing else of it."""
    name = published(gateway, steward)
    steward.delete(f"/api/catalogue/{name}/publication")
    answer = anybody.get(f"/catalogue/{name}{path}", headers={"Accept": accept})
    assert answer.status_code == 410
    assert "Screening" in answer.text
    assert "steward@hospital.example" not in answer.text


def test_a_later_dataset_of_the_name_goes_on_counting(
    gateway: Gateway, steward: httpx.Client, anybody: httpx.Client
) -> None:
    """A version's address never comes to mean something else."""
    name = published(gateway, steward)
    run(gateway.settings, lambda each: datasets.delete(each, name, by=BY))
    assert anybody.get(f"/catalogue/{name}", headers=PAGE).status_code == 410
    run(gateway.settings, lambda each: datasets.create(each, name, "Modality=MG", by=BY))
    steward.put(f"/api/catalogue/{name}", json=RECORD | {"title": "Another one"})
    steward.put(f"/api/catalogue/{name}/publication")
    assert "Another one" in anybody.get(f"/catalogue/{name}/versions/2", headers=PAGE).text


def test_the_second_of_two_edits_is_refused(gateway: Gateway, steward: httpx.Client) -> None:
    """RFC 9110 section 13.1.1."""
    name = dataset(gateway.settings, "Modality=MG")
    steward.put(f"/api/catalogue/{name}", json=RECORD)
    tag = steward.get(f"/api/catalogue/{name}").headers["etag"]
    edits = [{"json": RECORD | {"title": each}, "headers": {"If-Match": tag}} for each in ("A", "B")]
    assert [steward.put(f"/api/catalogue/{name}", **each).status_code for each in edits] == [200, 412]
    assert steward.get(f"/api/catalogue/{name}").json()["written"]["title"] == "A"


@pytest.mark.parametrize("tag", ["W/x", '"a"', "3"])
def test_a_tag_that_is_none_is_refused(gateway: Gateway, steward: httpx.Client, tag: str) -> None:
    name = dataset(gateway.settings, "Modality=MG")
    answer = steward.put(f"/api/catalogue/{name}", json=RECORD, headers={"If-Match": tag})
    assert answer.status_code == 400


def test_of_edits_at_once_one_is_kept(gateway: Gateway, steward: httpx.Client) -> None:
    name = dataset(gateway.settings, "Modality=MG")
    steward.put(f"/api/catalogue/{name}", json=RECORD)
    headers = {"If-Match": '"1"'}
    with ThreadPoolExecutor(4) as pool:
        put = [
            pool.submit(
                steward.put, f"/api/catalogue/{name}", json=RECORD | {"title": f"T{each}"}, headers=headers
            )
            for each in range(4)
        ]
    assert sorted(each.result().status_code for each in put) == [200, 412, 412, 412]


def test_publications_at_once_make_one_version(
    gateway: Gateway, steward: httpx.Client, anybody: httpx.Client
) -> None:
    name = published(gateway, steward)
    steward.put(f"/api/catalogue/{name}", json=RECORD | {"title": "At once"})
    with ThreadPoolExecutor(3) as pool:
        put = [pool.submit(steward.put, f"/api/catalogue/{name}/publication") for _ in range(3)]
    assert [each.result().status_code for each in put] == [204, 204, 204]
    assert [anybody.get(f"/catalogue/{name}/versions/{number}").status_code for number in (2, 3)] == [
        200,
        404,
    ]
