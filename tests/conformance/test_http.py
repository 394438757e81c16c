"""What HTTP asks of every resource: methods, conditions, encodings (PS3.18 section 8, RFC 9110)."""

import gzip
import json

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.dicom_json import read_instance
from archive.follow import orthanc_id
from gateway import datasets
from tests.conformance.cases import own
from tests.conformance.conftest import reindex

INSTANCE = "/studies/1.1/series/1.1.1/instances/1.1.1.1"
RETRIEVED = [
    "/studies/1.1",
    "/studies/1.1/series/1.1.1",
    INSTANCE,
    "/studies/1.1/metadata",
    f"{INSTANCE}/metadata",
    f"{INSTANCE}/frames/1",
    f"{INSTANCE}/bulkdata/7FE00010",
]


FOUND = ["/studies", "/studies/1.1/series?includefield=all", "/instances?limit=1", "/studies?PatientID=none"]


class TestMethods:
    """RFC 9110 sections 9.3.2 and 9.3.7."""

    @pytest.mark.standard
    @pytest.mark.parametrize(
        "path",
        [
            *("/studies", INSTANCE, f"{INSTANCE}/metadata"),
            *own("/series", "/instances?includefield=all", *RETRIEVED),
        ],
    )
    def test_head_is_get_without_its_body(self, dicomweb, path):
        head, get = dicomweb.head(path), dicomweb.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers.get("content-length") == get.headers.get("content-length")
        assert head.headers.get("etag") == get.headers.get("etag")

    @pytest.mark.parametrize("path", ["/studies", *RETRIEVED])
    def test_options_tells_the_methods(self, dicomweb, path):
        answer = dicomweb.options(path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert {"GET", "HEAD", "OPTIONS"} <= set(answer.headers["allow"].split(", "))


class TestConditions:
    """RFC 9110 section 13.1.2."""

    @pytest.mark.parametrize("path", [*RETRIEVED, *FOUND])
    def test_what_the_client_has_is_not_sent_again(self, dicomweb, path):
        first = dicomweb.get(path)
        again = dicomweb.get(path, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["cache-control"] == "private, no-cache"

    @pytest.mark.parametrize("condition", ['"other"', 'W/"other"', "garbage", ""])
    def test_what_it_has_not_is_sent(self, dicomweb, condition):
        assert dicomweb.get(INSTANCE, headers={"If-None-Match": condition}).status_code == 200

    def test_anything_that_exists_meets_the_star(self, dicomweb):
        star = {"If-None-Match": "*"}
        assert dicomweb.get(INSTANCE, headers=star).status_code == 304
        assert dicomweb.get("/studies/9.9", headers=star).status_code == 404

    def test_another_representation_has_another_tag(self, dicomweb):
        json_tag = dicomweb.get(f"{INSTANCE}/metadata").headers["etag"]
        xml = {"Accept": 'multipart/related; type="application/dicom+xml"'}
        assert dicomweb.get(f"{INSTANCE}/metadata", headers=xml).headers["etag"] != json_tag
        assert dicomweb.get(f"{INSTANCE}/frames/1").headers["etag"] != json_tag

    def test_a_search_that_finds_something_else_has_another_tag(self, dicomweb):
        tags = [dicomweb.get(path).headers["etag"] for path in FOUND]
        assert len(set(tags)) == len(FOUND)
        found = dicomweb.get("/studies?PatientID=P1", headers={"If-None-Match": ", ".join(tags)})
        assert found.status_code == 200

    def test_a_token_is_asked_for_all_the_same(self, dicomweb):
        tag = dicomweb.get(INSTANCE).headers["etag"]
        answer = dicomweb.get(INSTANCE, headers={"If-None-Match": tag, "Authorization": ""})
        assert answer.status_code == 401

    def test_an_instance_that_was_stored_anew_has_another_tag(self, dicomweb, gateway):
        first = dicomweb.get(INSTANCE).headers["etag"]
        move = "update instance set place = %s where sop_instance_uid = '1.1.1.1' returning place"
        with psycopg.connect(gateway.settings.database_url, autocommit=True) as connection:
            place = gateway.paths["1.1.1.1"].name
            connection.execute(move, ["ffffffff-ffff-ffff-ffff-ffffffffffff"])
            second = dicomweb.get(f"{INSTANCE}/metadata", headers={"If-None-Match": first})
            connection.execute(move, [place])
        assert second.status_code == 200
        assert dicomweb.get(INSTANCE).headers["etag"] == first


class TestEncodings:
    """RFC 9110 section 12.5.3; pixels are never compressed again."""

    @pytest.mark.parametrize(
        ("accepted", "encoded"),
        [("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False), ("identity", False), ("", False)],
    )
    def test_json_that_is_long_enough(self, dicomweb, monkeypatch, accepted, encoded):
        monkeypatch.setattr(datasets, "WORTH_COMPRESSING", 100)
        with dicomweb.stream("GET", "/studies", headers={"Accept-Encoding": accepted}) as answer:
            body = b"".join(answer.iter_raw())
        assert (answer.headers.get("content-encoding") == "gzip") == encoded
        assert len(json.loads(gzip.decompress(body) if encoded else body)) == 3
        assert answer.headers["vary"] == "accept, accept-encoding"

    @pytest.mark.parametrize("path", ["/studies", INSTANCE, f"{INSTANCE}/frames/1"])
    def test_nothing_else(self, dicomweb, path):
        assert "content-encoding" not in dicomweb.get(path, headers={"Accept-Encoding": "gzip"}).headers


def test_what_has_been_deleted_is_gone(gateway, dicomweb):
    """PS3.18 table 8.5-1: 410; what never was is 404, and what is stored again is there."""
    places = {orthanc_id(read_instance(exam)): gateway.paths[uid].name for uid, exam in gateway.files.items()}
    gone = gateway.paths["1.2.1.1"]
    kept = gone.rename(gone.with_name("kept"))
    reindex(gateway.settings, places, [each for each, place in places.items() if place != gone.name])
    paths = ("/studies/1.2", "/studies/1.2/series/1.2.1/metadata", "/studies/9.9")
    statuses = [dicomweb.get(path).status_code for path in paths]
    kept.rename(gone)
    reindex(gateway.settings, places)
    assert statuses == [410, 410, 404]
    assert dicomweb.get("/studies/1.2").status_code == 200


NAMES = st.sampled_from(
    [
        *(
            "PatientID",
            "PatientName",
            "StudyDate",
            "StudyTime",
            "StudyInstanceUID",
            "ModalitiesInStudy",
            "Rows",
        ),
        *(
            "KVP",
            "AcquisitionDateTime",
            "NumberOfStudyRelatedInstances",
            "InstanceNumber",
            "00080018",
            "limit",
        ),
        *("offset", "includefield", "fuzzymatching", "emptyvaluematching", "multiplevaluematching", "accept"),
        *("RequestAttributesSequence.ScheduledProcedureStepID", "ViewCodeSequence.CodeValue", "access_token"),
        *(
            "SOPClassesInStudy",
            "PixelSpacing",
            "ImageType",
            "PatientBirthDate",
            "ContentTime",
            "SeriesNumber",
        ),
    ]
)
VALUES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            '""',
            "*",
            "?",
            "true",
            "all",
            "1",
            "1-",
            "-1",
            "1.5e9",
            "20200101-",
            "-10",
            "1\\2",
            "a,b",
            "%",
            "\\",
        ]
    ),
    st.integers().map(str),
)


class TestNoInputIsAnError:
    """Never a 5xx, whatever is asked."""

    @given(
        st.sampled_from(
            ["/studies", "/series", "/instances", "/studies/1.1/series", "/studies/1.1/instances"]
        ),
        st.lists(st.tuples(st.one_of(NAMES, st.text(max_size=8)), VALUES), max_size=4),
    )
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_searches(self, dicomweb, path, parameters):
        assert dicomweb.get(path, params=parameters).status_code in (200, 204, 400, 406)

    @given(
        st.sampled_from([*RETRIEVED, "/studies", f"{INSTANCE}/frames/1,2,1"]),
        st.sampled_from(
            ["Accept", "Range", "If-None-Match", "Accept-Encoding", "If-Range", "Accept-Charset"]
        ),
        st.one_of(
            st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
            st.lists(
                st.sampled_from(
                    [
                        "multipart/related",
                        "; type=",
                        '"',
                        "application/dicom",
                        "*/*",
                        ";q=",
                        "0.5",
                        ",",
                        "bytes=",
                        "1-",
                    ]
                ),
                max_size=8,
            ).map("".join),
        ),
    )
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_headers(self, dicomweb, path, name, value):
        assert dicomweb.get(path, headers={name: value.strip()}).status_code < 500

    @given(
        st.lists(st.one_of(st.text(max_size=6), st.sampled_from(["studies", "1.1", "series"])), max_size=6)
    )
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_addresses(self, dicomweb, parts):
        path = "/" + "/".join(part.encode("utf-8", "replace").hex(" ").replace(" ", "%") for part in parts)
        assert dicomweb.get(path.replace("/", "/%") if parts else path).status_code < 500
