"""QIDO-RS: the Search Transaction (PS3.18 section 10.6), over an index of known values."""

import json

import pytest

from archive import query
from archive.attributes import TYPE_2, Level, tag

pytestmark = pytest.mark.xdist_group("site")


def uids(answer, keyword="StudyInstanceUID") -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row[tag(keyword)]["Value"][0] for row in answer.json()]


def studies(dicomweb, text: str) -> list[str]:
    return sorted(uids(dicomweb.get(f"/studies?{text}")))


class TestResources:
    """Table 10.6.1-1."""

    @pytest.mark.parametrize(
        ("path", "keyword", "expected"),
        [
            ("/studies", "StudyInstanceUID", ["1.2", "1.1", "1.3"]),
            ("/studies/1.1/series", "SeriesInstanceUID", ["1.1.1", "1.1.2"]),
            ("/studies/1.1/series/1.1.1/instances", "SOPInstanceUID", ["1.1.1.1", "1.1.1.2"]),
            ("/studies/1.1/instances", "SOPInstanceUID", ["1.1.1.1", "1.1.1.2", "1.1.2.1"]),
            ("/series", "SeriesInstanceUID", ["1.1.1", "1.1.2", "1.2.1", "1.3.1"]),
            ("/instances", "SOPInstanceUID", ["1.1.1.1", "1.1.1.2", "1.1.2.1", "1.2.1.1", "1.3.1.1"]),
        ],
    )
    def test_each_resource(self, dicomweb, path, keyword, expected):
        assert uids(dicomweb.get(path), keyword) == expected

    @pytest.mark.parametrize(
        "path", ["/studies/9.9/series", "/studies/9.9/instances", "/studies/1.1/series/9/instances"]
    )
    def test_below_what_is_not_there_nothing_is_found(self, dicomweb, path):
        assert uids(dicomweb.get(path)) == []


class TestMatching:
    """Section 10.6.1.2, table 10.6.1-5 and PS3.4 section C.2.2.2."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("PatientID=P1", ["1.1"]),
            ("00100020=P1", ["1.1"]),
            ("PatientID=p1", []),
            ("PatientID=P?", ["1.1", "1.2"]),
            ("PatientID=*1", ["1.1"]),
            ("StudyID=S_2", ["1.2"]),
            ("StudyID=S%5F*", ["1.2"]),
            ("StudyID=S?", ["1.1"]),
            ("StudyDescription=*100%25", ["1.1"]),
            ("StudyDescription=*0%25%25", []),
            ("AccessionNumber=ACC*", ["1.1", "1.2"]),
            ("StudyInstanceUID=1.1", ["1.1"]),
            ("StudyInstanceUID=1.1,1.3,9.9", ["1.1", "1.3"]),
            ("StudyInstanceUID=1.1%5C1.2", ["1.1", "1.2"]),
            ("StudyDate=20200110", ["1.1"]),
            ("StudyDate=20200111-", ["1.2"]),
            ("StudyDate=-20200110", ["1.1"]),
            ("StudyDate=20200110-20210620", ["1.1", "1.2"]),
            ("StudyTime=10", ["1.1"]),
            ("StudyTime=101530.5", ["1.1"]),
            ("StudyTime=101530.500", ["1.1"]),
            ("StudyTime=101531-", ["1.2"]),
            ("StudyTime=-2359", ["1.1", "1.2"]),
            ("StudyTime=235900", ["1.2"]),
            ("PatientName=doe*", ["1.1"]),
            ("PatientName=DOE^JANE^ANN", ["1.1"]),
            ("PatientName=Doe^Jane^Ann^^", ["1.1"]),
            ("PatientName=Doe", []),
            ("PatientName=m%C3%BCller*", ["1.2"]),
            ("PatientName=%E5%B1%B1%E7%94%B0*", ["1.2"]),
            ("PatientName=M%C3%9CLLER^Mary=*", ["1.2"]),
            ("PatientName=jane&fuzzymatching=true", ["1.1"]),
            ("PatientName=an+do&fuzzymatching=true", ["1.1"]),
            ("PatientName=oe&fuzzymatching=true", []),
            ("PatientName=m%C3%BCller&fuzzymatching=true", ["1.2"]),
            ("ReferringPhysicianName=house*", ["1.1"]),
            ("ModalitiesInStudy=US", ["1.1"]),
            ("ModalitiesInStudy=MG", ["1.1", "1.2"]),
            ("ModalitiesInStudy=U*", ["1.1"]),
            ("ModalitiesInStudy=US%5CCT", ["1.1"]),
            ("SOPClassesInStudy=1.2.840.10008.5.1.4.1.1.6.1", ["1.1"]),
            ("NumberOfStudyRelatedInstances=3", ["1.1"]),
            ("PatientBirthDate=19600102", ["1.1"]),
            ("PatientSex=F", ["1.1"]),
            ("PatientAge=060Y", ["1.1"]),
            ("PatientID=P1&StudyDate=20210620", []),
            ("PatientID=", ["1.1", "1.2", "1.3"]),
            ("PatientID=' or 1=1 --", []),
        ],
    )
    def test_studies(self, dicomweb, text, expected):
        assert studies(dicomweb, text) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Modality=US", ["1.1.2"]),
            ("SeriesInstanceUID=1.1.1", ["1.1.1"]),
            ("SeriesNumber=2", ["1.1.2"]),
            ("SeriesNumber=01", ["1.1.1", "1.2.1"]),
            ("PerformedProcedureStepStartDate=20200101-20201231", ["1.1.1"]),
            ("PerformedProcedureStepStartTime=101500-", ["1.1.1"]),
            ("RequestAttributesSequence.ScheduledProcedureStepID=SPS1", ["1.1.1"]),
            ("00400275.00400009=S*", ["1.1.1"]),
            ("RequestAttributesSequence.RequestedProcedureID=none", []),
            ("SeriesDescription=Views", ["1.1.1"]),
            ("Manufacturer=ACME", ["1.1.1"]),
            ("PatientID=P2", ["1.2.1"]),
            ("NumberOfSeriesRelatedInstances=2", ["1.1.1"]),
        ],
    )
    def test_series(self, dicomweb, text, expected):
        assert uids(dicomweb.get(f"/series?{text}"), "SeriesInstanceUID") == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("SOPInstanceUID=1.1.1.2", ["1.1.1.2"]),
            ("SOPInstanceUID=1.1.1.2,1.3.1.1", ["1.1.1.2", "1.3.1.1"]),
            ("SOPClassUID=1.2.840.10008.5.1.4.1.1.6.1", ["1.1.2.1"]),
            ("InstanceNumber=2", ["1.1.1.2"]),
            ("NumberOfFrames=3", ["1.1.1.1"]),
            ("Modality=US", ["1.1.2.1"]),
            ("PatientID=P2", ["1.2.1.1"]),
        ],
    )
    def test_instances(self, dicomweb, text, expected):
        assert uids(dicomweb.get(f"/instances?{text}"), "SOPInstanceUID") == expected

    @pytest.mark.parametrize(
        "path",
        [
            "/studies?Foo=1",
            "/studies?Modality=MG",
            "/studies?RequestAttributesSequence.ScheduledProcedureStepID=1",
            "/studies?RequestAttributesSequence=1",
            "/instances?Rows=4",
            "/studies?00091001=1",
            "/studies?StudyDate=2020",
            "/studies?StudyInstanceUID=x",
            "/studies?PatientID=a&PatientID=b",
            "/studies?fuzzymatching=yes",
            "/studies?PatientID=%00",
            "/studies?PatientID=%FF",
        ],
    )
    def test_what_can_not_be_matched_is_refused_and_never_matches_all(self, dicomweb, path):
        answer = dicomweb.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


class TestReturned:
    """Section 10.6.3.3."""

    def test_a_study(self, dicomweb, gateway):
        """Table 10.6.3-3; one without values has its type 2 attributes all the same."""
        (full,) = dicomweb.get("/studies?StudyInstanceUID=1.1").json()
        (bare,) = dicomweb.get("/studies?StudyInstanceUID=1.3").json()
        assert full[tag("PatientName")] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane^Ann"}]}
        assert full[tag("ModalitiesInStudy")] == {"vr": "CS", "Value": ["MG", "US"]}
        assert full[tag("NumberOfStudyRelatedSeries")] == {"vr": "IS", "Value": [2]}
        assert full[tag("RetrieveURL")]["Value"] == [f"{gateway.settings.dicomweb_url}/studies/1.1"]
        for name in TYPE_2[Level.STUDY]:
            assert bare[name].keys() == {"vr"}

    def test_a_series_below_its_study(self, dicomweb):
        """Table 10.6.3-4; the study's attributes are not repeated."""
        series = dicomweb.get("/studies/1.1/series").json()[0]
        assert series[tag("Modality")]["Value"] == ["MG"]
        assert series[tag("NumberOfSeriesRelatedInstances")]["Value"] == [2]
        assert tag("RequestAttributesSequence") in series
        assert tag("PatientName") not in series

    @pytest.mark.parametrize(
        ("path", "own"), [("/series", "Modality"), ("/instances", "Rows"), ("/studies/1.1/instances", "Rows")]
    )
    def test_levels_that_the_address_leaves_open_are_told(self, dicomweb, path, own):
        row = dicomweb.get(path).json()[0]
        assert {tag(own), tag("Modality")} <= set(row)
        assert (tag("PatientName") in row) == (path != "/studies/1.1/instances")
        assert list(row) == sorted(row)

    def test_an_instance(self, dicomweb):
        """Table 10.6.3-5."""
        row = dicomweb.get("/studies/1.1/series/1.1.1/instances").json()[0]
        assert (row[tag("Rows")]["Value"], row[tag("NumberOfFrames")]["Value"]) == ([4], [3])
        assert row[tag("AvailableTransferSyntaxUID")]["Value"] == ["1.2.840.10008.1.2.1"]
        assert row[tag("RetrieveURL")]["Value"][0].endswith("/studies/1.1/series/1.1.1/instances/1.1.1.1")

    @pytest.mark.parametrize(
        ("path", "field", "there"),
        [
            ("/studies", "PatientAge", True),
            ("/studies", "00101010", True),
            ("/studies", "SeriesDescription", False),
            ("/studies", "Rows", False),
            ("/studies/1.1/series", "Manufacturer", True),
            ("/studies/1.1/series", "PatientName", True),
            ("/studies/1.1/series", "Rows", False),
            ("/studies/1.1/series/1.1.1/instances", "ViewPosition", True),
            ("/studies/1.1/series/1.1.1/instances", "PatientName", True),
            ("/studies/1.1/series/1.1.1/instances", "Manufacturer", True),
        ],
    )
    def test_included_fields(self, dicomweb, path, field, there):
        """Section 8.3.4.3: those of the level and above, and no others."""
        with_it = dicomweb.get(f"{path}?includefield={field}&PatientID=P1").json()[0]
        without = dicomweb.get(f"{path}?PatientID=P1").json()[0]
        name = field if field.isdigit() else tag(field)
        assert (name in with_it) == there
        assert name not in without

    def test_all_fields(self, dicomweb):
        row = dicomweb.get("/studies/1.1/series/1.1.1/instances?includefield=all").json()[0]
        assert {tag(word) for word in ("ViewPosition", "Manufacturer", "PatientAge", "RetrieveURL")} <= set(
            row
        )

    def test_matched_attributes_are_returned(self, dicomweb):
        (row,) = dicomweb.get("/studies?PatientAge=060Y").json()
        assert row[tag("PatientAge")]["Value"] == ["060Y"]

    def test_urls_are_of_the_public_address_whatever_the_host_header_says(self, dicomweb):
        assert (
            "evil.test" not in dicomweb.get("/instances?includefield=all", headers={"Host": "evil.test"}).text
        )


class TestPaging:
    """Section 8.3.4.4."""

    @pytest.mark.parametrize("path", ["/studies", "/series", "/instances"])
    def test_pages_are_parts_of_one_order(self, dicomweb, path):
        key = {
            "/studies": "StudyInstanceUID",
            "/series": "SeriesInstanceUID",
            "/instances": "SOPInstanceUID",
        }[path]
        whole = uids(dicomweb.get(path), key)
        pages = [uids(dicomweb.get(f"{path}?limit=1&offset={at}"), key) for at in range(len(whole) + 1)]
        assert pages == [[uid] for uid in whole] + [[]]

    def test_limit_zero(self, dicomweb):
        assert dicomweb.get("/studies?limit=0").json() == []

    @pytest.mark.parametrize(
        "text", ["limit=-1", "limit=a", "limit=", "offset=-1", "offset=x", "limit=1&limit=2"]
    )
    def test_bad_values_are_refused(self, dicomweb, text):
        assert dicomweb.get(f"/studies?{text}").status_code == 400

    def test_more_than_the_server_gives_is_warned_of(self, dicomweb, monkeypatch):
        """RFC 7234 section 5.5 writes it, section 8.3.4.4.1 words it."""
        monkeypatch.setattr(query, "MAXIMUM_LIMIT", 2)
        answer = dicomweb.get("/studies?limit=50")
        assert len(answer.json()) == 2
        assert answer.headers["warning"].startswith("299 ")
        assert "warning" not in dicomweb.get("/studies?offset=1").headers

    def test_a_huge_limit_is_no_error(self, dicomweb):
        assert len(dicomweb.get("/studies?limit=999999999999").json()) == 3


class TestAnswer:
    """Section 10.6.3."""

    def test_nothing_found_is_an_empty_list(self, dicomweb):
        """Table 10.6.3-1 as changed by CP-2473: 200, and a list without an item."""
        answer = dicomweb.get("/studies?PatientID=none")
        assert (answer.status_code, answer.content) == (200, b"[]")

    @pytest.mark.parametrize(
        ("accept", "kind"),
        [
            ("*/*", "application/dicom+json"),
            ("application/dicom+json", "application/dicom+json"),
            ("application/json", "application/json"),
            ("text/html, application/*;q=0.5", "application/dicom+json"),
        ],
    )
    def test_media_types(self, dicomweb, accept, kind):
        answer = dicomweb.get("/studies", headers={"Accept": accept})
        assert answer.headers["content-type"] == kind
        assert json.loads(answer.content)

    @pytest.mark.parametrize(
        "accept",
        ["text/html", 'multipart/related; type="application/dicom+xml"', "application/dicom+json;q=0"],
    )
    def test_others_are_406(self, dicomweb, accept):
        """Table 8.5-1."""
        answer = dicomweb.get("/studies", headers={"Accept": accept})
        assert (answer.status_code, "application/dicom+json" in answer.json()["detail"]) == (406, True)

    def test_several_accept_headers_are_one(self, dicomweb):
        """RFC 9110 section 5.3."""
        headers = [("Accept", "text/html"), ("Accept", "application/dicom+json")]
        assert dicomweb.get("/studies", headers=headers).status_code == 200

    def test_the_query_may_say_what_is_accepted(self, dicomweb):
        """Section 8.3.3.1."""
        headers = {"Accept": "text/html"}
        assert dicomweb.get("/studies?accept=application/dicom%2Bjson", headers=headers).status_code == 200

    def test_head_is_get_without_its_body(self, dicomweb):
        head, get = dicomweb.head("/studies"), dicomweb.get("/studies")
        assert head.headers["content-length"] == str(len(get.content))
        assert head.content == b""
