"""Data sets as XML: multipart/related of application/dicom+xml (PS3.18 sections 8.7.3 and 10.6.4, PS3.19 A.1)."""

from xml.etree import ElementTree

import httpx
import pytest

from archive.media_type import parse_media_type
from gateway.multipart import Parser, boundary_of
from gateway.native_model import NAMESPACE
from tests.unit.native_model import comparable, read_native_model

XML = {"Accept": 'multipart/related; type="application/dicom+xml"'}


def documents(answer: httpx.Response) -> list[bytes]:
    content_type = parse_media_type(answer.headers["content-type"])
    assert content_type.parameter("type") == "application/dicom+xml"
    parser = Parser(boundary_of(content_type), 10**7)
    parts = list(parser.feed(answer.content))
    parser.close()
    assert {part.headers["content-type"] for part in parts} == {"application/dicom+xml"}
    return [part.body for part in parts]


def data_sets(answer: httpx.Response) -> list[dict]:
    return [read_native_model(document) for document in documents(answer)]


@pytest.mark.standard
@pytest.mark.parametrize(
    ("path", "number"),
    [("/studies", 3), ("/studies/1.1/metadata", 3), ("/studies/1.1/series/1.1.1/metadata", 2)],
)
def test_each_data_set_is_a_document(dicomweb, path, number):
    """Section 8.7.3, table 8.7.3-3: XML is a required media type of metadata and of search results."""
    found = [ElementTree.fromstring(each) for each in documents(dicomweb.get(path, headers=XML))]
    assert [each.tag for each in found] == [f"{{{NAMESPACE}}}NativeDicomModel"] * number


@pytest.mark.parametrize(
    "path",
    [
        "/studies",
        "/series",
        "/instances?includefield=all",
        "/studies/1.1/series",
        "/studies/1.1/instances",
        "/studies/1.1/series/1.1.1/instances?limit=1",
        "/studies/1.1/metadata",
        "/studies/1.1/series/1.1.1/metadata",
        "/studies/1.2/series/1.2.1/instances/1.2.1.1/metadata",
    ],
)
def test_xml_says_what_json_says(dicomweb, path):
    assert data_sets(dicomweb.get(path, headers=XML)) == [
        comparable(each) for each in dicomweb.get(path, headers={"Accept": "application/dicom+json"}).json()
    ]


def test_the_query_may_ask_for_it(dicomweb):
    """Section 8.3.3.1."""
    answer = dicomweb.get("/studies", params={"accept": XML["Accept"]})
    assert len(data_sets(answer)) == 3


def test_nothing_found_is_no_content(dicomweb):
    """Section 10.6.3.1: a multipart body has a part at least (RFC 2046 section 5.1)."""
    answer = dicomweb.get("/studies?PatientID=none", headers=XML)
    assert (answer.status_code, answer.content) == (204, b"")


def test_json_is_what_comes_unasked(dicomweb):
    for accept in ("*/*", "multipart/related; type=application/dicom+xml;q=0.5, application/dicom+json"):
        answer = dicomweb.get("/studies", headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/dicom+json"
