"""The Python package dicomweb-client, through every search and listing that it has."""

import pytest
import requests
from dicomweb_client import DICOMwebClient

from archive.attributes import tag


@pytest.fixture
def client(gateway) -> DICOMwebClient:
    return DICOMwebClient(gateway.settings.dicomweb_url, headers={"Authorization": f"Bearer {gateway.token}"})


def test_studies(client):
    found = client.search_for_studies(
        fuzzymatching=True,
        limit=5,
        offset=0,
        fields=["PatientAge", "00081030"],
        search_filters={"PatientName": "jane", "ModalitiesInStudy": "MG", "StudyDate": "20200101-20201231"},
    )
    assert [study[tag("StudyInstanceUID")]["Value"] for study in found] == [["1.1"]]
    assert found[0][tag("PatientAge")]["Value"] == ["060Y"]


def test_all_pages_are_fetched(client):
    """`get_remaining` asks on until an answer is empty."""
    assert len(client.search_for_studies(limit=1, get_remaining=True)) == 3
    assert len(client.search_for_series(limit=1, get_remaining=True)) == 4
    assert len(client.search_for_instances(limit=2, get_remaining=True)) == 5


def test_series(client):
    assert len(client.search_for_series()) == 4
    (series,) = client.search_for_series("1.1", search_filters={"Modality": "US"}, fields=["Manufacturer"])
    assert series[tag("SeriesInstanceUID")]["Value"] == ["1.1.2"]


@pytest.mark.parametrize(
    ("where", "filters", "count"),
    [
        ((), {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}, 1),
        (("1.1",), {"Rows": "4"}, 1),
        (("1.1", "1.1.1"), {"ViewPosition": "CC"}, 1),
        (("1.1", "1.1.1"), {}, 2),
    ],
)
def test_instances(client, where, filters, count):
    assert len(client.search_for_instances(*where, search_filters=filters)) == count


def test_nothing_found_is_an_empty_list(client):
    assert client.search_for_studies(search_filters={"PatientID": "none"}) == []
    assert client.search_for_series("9.9") == []
    assert client.search_for_instances("9.9", "9.9") == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.iter_study("1.1", media_types=(("application/dicom", "*"),)),
        lambda client: client.iter_series("1.1", "1.1.1", media_types=(("application/dicom", "*"),)),
    ],
)
def test_instances_one_by_one(client, ask):
    assert {data_set.StudyInstanceUID for data_set in ask(client)} == {"1.1"}


def test_frames_and_bulk_data_one_by_one(client):
    frames = list(client.iter_instance_frames("1.1", "1.1.1", "1.1.1.1", [3, 1]))
    assert frames == client.retrieve_instance_frames("1.1", "1.1.1", "1.1.1.1", [3, 1])
    url = client.retrieve_instance_metadata("1.1", "1.1.1", "1.1.1.2")[tag("ICCProfile")]["BulkDataURI"]
    assert b"".join(client.iter_bulkdata(url)) == b"\7" * 2000


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.delete_study("1.1"),
        lambda client: client.delete_series("1.1", "1.1.1"),
        lambda client: client.delete_instance("1.1", "1.1.1", "1.1.1.1"),
    ],
)
def test_nothing_is_deleted_over_the_web(client, ask):
    with pytest.raises(requests.HTTPError) as refused:
        ask(client)
    assert refused.value.response.status_code == 405


def test_what_is_refused_is_told_as_it_is(client):
    with pytest.raises(requests.HTTPError) as refused:
        client.search_for_studies(search_filters={"StudyDate": "yesterday"})
    assert refused.value.response.json()["detail"].startswith("StudyDate takes a date")
