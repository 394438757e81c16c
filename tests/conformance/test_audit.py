"""Of what a gateway serves nothing goes out before it is on record: over HTTP, with PostgreSQL."""

from collections.abc import Iterator

import httpx
import psycopg
import pytest

from archive import audit_log
from archive.audit import Event, Outcome
from archive.audit_codes import Entry
from tests.conformance.conftest import Gateway, exams
from tests.conformance.test_ups import Worklist, workitem


@pytest.fixture(scope="module")
def audited(serve_instances) -> Iterator[Gateway]:
    """A gateway whose trail no other test writes."""
    with serve_instances(exams()) as made:
        yield made


@pytest.fixture
def client(audited: Gateway) -> Iterator[httpx.Client]:
    with audited.client() as client:
        yield client


def last(gateway: Gateway) -> Entry:
    with psycopg.connect(gateway.settings.database_url) as connection:
        return next(audit_log.entries(connection, last=1))


@pytest.fixture
def lost(audited: Gateway) -> Iterator[None]:
    """The trail can't be written, while all else works."""
    with psycopg.connect(audited.settings.database_url, autocommit=True) as connection:
        connection.execute("alter table audit rename to lost")
        yield
        connection.execute("alter table lost rename to audit")


SERVED = {
    "/studies": (Event.SEARCH, None),
    "/studies/1.1/series": (Event.SEARCH, "1.1"),
    "/studies/1.1": (Event.READ, "1.1"),
    "/studies/1.1/metadata": (Event.READ, "1.1"),
    "/studies/1.1/series/1.1.1/instances/1.1.1.1/frames/1": (Event.READ, "1.1"),
    "/studies/1.1/series/1.1.1/instances/1.1.1.1/rendered": (Event.READ, "1.1"),
    "/studies/1.9": (Event.DENIED, "1.9"),
    "/workitems": (Event.SEARCH, None),
}


@pytest.mark.parametrize("path", SERVED)
def test_each_kind_of_answer_is_on_record(audited: Gateway, client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    entry = last(audited)
    assert ((entry.event, entry.study), entry.detail["status"]) == (SERVED[path], answer.status_code)


def test_the_instance_that_was_read_is_named(audited: Gateway, client: httpx.Client) -> None:
    client.get("/studies/1.1/series/1.1.1/instances/1.1.1.1/frames/1")
    detail = last(audited).detail
    assert (detail["series"], detail["instance"]) == ("1.1.1", "1.1.1.1")
    assert detail["route"].endswith("/instances/{instance}/frames/{frames}")


def test_whose_study_it_is_is_told_where_it_is_read(audited: Gateway, client: httpx.Client) -> None:
    client.get("/studies/1.2/metadata")
    assert last(audited).patient == "P2"


def test_a_conditional_request_is_an_access(audited: Gateway, client: httpx.Client) -> None:
    tag = client.get("/studies/1.1/metadata").headers["etag"]
    assert client.get("/studies/1.1/metadata", headers={"If-None-Match": tag}).status_code == 304
    assert (last(audited).event, last(audited).detail["status"]) == (Event.READ, 304)


def test_an_unauthenticated_request_is_a_denial(audited: Gateway) -> None:
    httpx.get(f"{audited.settings.dicomweb_url}/studies/1.1", trust_env=False)
    entry = last(audited)
    assert (entry.event, entry.outcome, entry.subject) == (Event.DENIED, Outcome.REFUSED, "anonymous")


@pytest.mark.parametrize("path", SERVED)
def test_without_a_trail_nothing_is_served(lost: None, client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert b"1.1.1" not in answer.content


def test_without_a_trail_no_stream_begins(lost: None, client: httpx.Client) -> None:
    answer = client.get("/studies", headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
    assert answer.status_code == 503


def test_it_goes_on_once_the_trail_is_back(audited: Gateway, client: httpx.Client) -> None:
    with psycopg.connect(audited.settings.database_url, autocommit=True) as connection:
        connection.execute("alter table audit rename to lost")
        assert client.get("/studies").status_code == 503
        connection.execute("alter table lost rename to audit")
    assert client.get("/studies").status_code == 200


LISTED = {
    "/studies": {"1.1", "1.2", "1.3"},
    "/studies?StudyDate=20210101-&includefield=all": {"1.2"},
    "/studies?PatientName=nobody": set(),
    "/series?Modality=MG": {"1.1", "1.2"},
    "/instances": {"1.1", "1.2", "1.3"},
}


@pytest.mark.parametrize("path", LISTED)
def test_a_search_says_which_studies_it_listed(audited: Gateway, client: httpx.Client, path: str) -> None:
    rows = client.get(path).json()
    assert {row["0020000D"]["Value"][0] for row in rows} == LISTED[path] == set(last(audited).shown)


PAGES = {
    "/worklist/": {"1.1", "1.2", "1.3"},
    "/worklist/latest": {"1.1", "1.2", "1.3"},
    "/worklist/rows?StudyInstanceUID=1.1,1.2,1.9": {"1.1", "1.2"},
}


@pytest.mark.parametrize("path", PAGES)
def test_so_does_a_page_of_the_worklist(audited: Gateway, client: httpx.Client, path: str) -> None:
    assert client.get(f"{audited.settings.public_url}{path}").status_code == 200
    assert set(last(audited).shown) == PAGES[path]


def test_a_patients_report_has_the_searches_that_listed_hers(audited: Gateway, client: httpx.Client) -> None:
    for date in ("20210620", "20200110"):
        client.get("/studies", params={"StudyDate": date})
    with psycopg.connect(audited.settings.database_url) as connection:
        *_, told = audit_log.of_patient(connection, "P2")
    assert (told.event, told.shown, told.number) == (Event.SEARCH, ("1.2",), last(audited).number - 1)


def test_a_workitem_says_whose_study_it_told_of(audited: Gateway, client: httpx.Client) -> None:
    study = {"0020000D": {"vr": "UI", "Value": ["1.2"]}}
    uid, _ = Worklist(client).create(workitem(InputInformationSequence=study))
    for path in (f"/workitems/{uid}", "/workitems"):
        assert client.get(path).status_code == 200
        assert last(audited).shown == ("1.2",)
