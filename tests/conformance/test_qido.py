"""QIDO-RS: the Search Transaction (PS3.18 section 10.6), over an index of known values."""

import json

import psycopg
import pytest

from archive import query, search
from archive.attributes import TYPE_2, Level, tag
from tests.conformance.cases import is_unacceptable_or_default, own


def uids(answer, keyword="StudyInstanceUID") -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row[tag(keyword)]["Value"][0] for row in answer.json()]


def studies(dicomweb, text: str) -> list[str]:
    return sorted(uids(dicomweb.get(f"/studies?{text}")))


RESOURCES = [
    ("/studies", "StudyInstanceUID", ["1.2", "1.1", "1.3"]),
    ("/studies/1.1/series", "SeriesInstanceUID", ["1.1.1", "1.1.2"]),
    ("/studies/1.1/series/1.1.1/instances", "SOPInstanceUID", ["1.1.1.1", "1.1.1.2"]),
    ("/studies/1.1/instances", "SOPInstanceUID", ["1.1.1.1", "1.1.1.2", "1.1.2.1"]),
    ("/series", "SeriesInstanceUID", ["1.2.1", "1.1.1", "1.1.2", "1.3.1"]),
    ("/instances", "SOPInstanceUID", ["1.2.1.1", "1.1.1.1", "1.1.1.2", "1.1.2.1", "1.3.1.1"]),
]


class TestResources:
    """Table 10.6.1-1."""

    @pytest.mark.standard
    @pytest.mark.parametrize(("path", "keyword", "expected"), RESOURCES)
    def test_each_resource(self, dicomweb, path, keyword, expected):
        assert sorted(uids(dicomweb.get(path), keyword)) == sorted(expected)

    @pytest.mark.parametrize(("path", "keyword", "expected"), RESOURCES)
    def test_their_order(self, dicomweb, path, keyword, expected):
        """The newest study first, then by the numbers of series and instances."""
        assert uids(dicomweb.get(path), keyword) == expected

    @pytest.mark.standard
    @pytest.mark.parametrize(
        "path", ["/studies/9.9/series", "/studies/9.9/instances", "/studies/1.1/series/9/instances"]
    )
    def test_below_what_is_not_there_nothing_is_found(self, dicomweb, path):
        assert uids(dicomweb.get(path)) == []


class TestMatching:
    """Section 10.6.1.2, table 10.6.1-5 and PS3.4 section C.2.2.2."""

    @pytest.mark.standard
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
            ("AccessionNumber=ACC*", ["1.1", "1.2"]),
            ("StudyInstanceUID=1.1", ["1.1"]),
            ("StudyInstanceUID=1.1,1.3,9.9", ["1.1", "1.3"]),
            ("StudyInstanceUID=1.1%5C1.2", ["1.1", "1.2"]),
            ("StudyDate=20200110", ["1.1"]),
            ("StudyDate=20200111-", ["1.2"]),
            ("StudyDate=-20200110", ["1.1"]),
            ("StudyDate=20200110-20210620", ["1.1", "1.2"]),
            ("StudyTime=101530.500", ["1.1"]),
            ("StudyTime=101531-", ["1.2"]),
            ("StudyTime=-2359", ["1.1", "1.2"]),
            ("PatientName=Doe^Jane^Ann", ["1.1"]),
            ("PatientName=Doe", []),
            ("ModalitiesInStudy=US", ["1.1"]),
            ("ModalitiesInStudy=MG", ["1.1", "1.2"]),
            ("ModalitiesInStudy=U*", ["1.1"]),
            ("PatientID=P1&StudyDate=20210620", []),
            ("PatientID=", ["1.1", "1.2", "1.3"]),
            ("PatientID=' or 1=1 --", []),
            *own(
                ("StudyDescription=*100%25", ["1.1"]),
                ("StudyDescription=*0%25%25", []),
                ("StudyTime=10", ["1.1"]),
                ("StudyTime=101530.5", ["1.1"]),
                ("StudyTime=235900", ["1.2"]),
                ("PatientName=doe*", ["1.1"]),
                ("PatientName=DOE^JANE^ANN", ["1.1"]),
                ("PatientName=Doe^Jane^Ann^^", ["1.1"]),
                ("PatientName=m%C3%BCller*", ["1.2"]),
                ("PatientName=%E5%B1%B1%E7%94%B0*", ["1.2"]),
                ("PatientName=M%C3%9CLLER^Mary=*", ["1.2"]),
                ("PatientName=jane&fuzzymatching=true", ["1.1"]),
                ("PatientName=an+do&fuzzymatching=true", ["1.1"]),
                ("PatientName=oe&fuzzymatching=true", []),
                ("PatientName=m%C3%BCller&fuzzymatching=true", ["1.2"]),
                ("ReferringPhysicianName=house*", ["1.1"]),
                ("ModalitiesInStudy=US%5CCT", ["1.1"]),
                ("SOPClassesInStudy=1.2.840.10008.5.1.4.1.1.6.1", ["1.1"]),
                ("NumberOfStudyRelatedInstances=3", ["1.1"]),
                ("PatientBirthDate=19600102", ["1.1"]),
                ("PatientSex=F", ["1.1"]),
                ("PatientAge=060Y", ["1.1"]),
                ("StudyDate=20200109-20200110&StudyTime=1015-1016", ["1.1"]),
                ("StudyDate=20200110-20210620&StudyTime=1200-2359", ["1.2"]),
                ("StudyDate=20200110-20210620&StudyTime=1000-0900", ["1.1"]),
                ("StudyDate=20200109-20210619&StudyTime=2300-0100", ["1.1"]),
                ("StudyDate=20200110-&StudyTime=1016-", ["1.2"]),
                ("StudyDate=-20210620&StudyTime=-2358", ["1.1"]),
                ("StudyDate=20200110-20210620&StudyTime=10", ["1.1"]),
                ('AccessionNumber=""&emptyvaluematching=true', ["1.3"]),
                ('ModalitiesInStudy=""&emptyvaluematching=true', ["1.3"]),
                ('PatientAge=""&emptyvaluematching=true', ["1.2", "1.3"]),
                ('AccessionNumber=""', []),
                ("ModalitiesInStudy=MG%5CUS&multiplevaluematching=true", ["1.1"]),
                ("ModalitiesInStudy=MG%5CUS&multiplevaluematching=false", ["1.1", "1.2"]),
                ("StudyID=S1%5CS_2&multiplevaluematching=true", []),
                ("NumberOfStudyRelatedSeries=1,2", ["1.1", "1.2", "1.3"]),
            ),
        ],
    )
    def test_studies(self, dicomweb, text, expected):
        assert studies(dicomweb, text) == expected

    @pytest.mark.standard
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Modality=US", ["1.1.2"]),
            ("SeriesInstanceUID=1.1.1", ["1.1.1"]),
            ("SeriesNumber=2", ["1.1.2"]),
            ("PerformedProcedureStepStartDate=20200101-20201231", ["1.1.1"]),
            ("PerformedProcedureStepStartTime=1000-", ["1.1.1"]),
            ("RequestAttributesSequence.ScheduledProcedureStepID=SPS1", ["1.1.1"]),
            ("00400275.00400009=S*", ["1.1.1"]),
            ("RequestAttributesSequence.RequestedProcedureID=none", []),
            ("PatientID=P2", ["1.2.1"]),
            *own(
                ("SeriesNumber=01", ["1.2.1", "1.1.1"]),
                ("PerformedProcedureStepStartTime=101500-", ["1.1.1"]),
                ("SeriesDescription=Views", ["1.1.1"]),
                ("Manufacturer=ACME", ["1.1.1"]),
                ("NumberOfSeriesRelatedInstances=2", ["1.1.1"]),
            ),
        ],
    )
    def test_series(self, dicomweb, text, expected):
        assert sorted(uids(dicomweb.get(f"/series?{text}"), "SeriesInstanceUID")) == sorted(expected)

    @pytest.mark.standard
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("SOPInstanceUID=1.1.1.2", ["1.1.1.2"]),
            ("SOPInstanceUID=1.1.1.2,1.3.1.1", ["1.1.1.2", "1.3.1.1"]),
            ("SOPClassUID=1.2.840.10008.5.1.4.1.1.6.1", ["1.1.2.1"]),
            ("InstanceNumber=2", ["1.1.1.2"]),
            ("Modality=US", ["1.1.2.1"]),
            ("PatientID=P2", ["1.2.1.1"]),
            ("SOPInstanceUID=1.1.1.2%5C1.3.1.1", ["1.1.1.2", "1.3.1.1"]),
            *own(
                ("NumberOfFrames=3", ["1.1.1.1"]),
                ("Rows=4", ["1.2.1.1", "1.1.1.1"]),
                ("00280010=5&Columns=5", ["1.1.1.2"]),
                ("BitsAllocated=16", ["1.1.1.1"]),
                ("ViewPosition=CC", ["1.1.1.1"]),
                ("ViewPosition=C*", ["1.1.1.1"]),
                ("ImageLaterality=R", ["1.1.1.2"]),
                ("ImageType=PRIMARY", ["1.1.1.1"]),
                ("ImageType=PRIMARY%5CORIGINAL&multiplevaluematching=true", ["1.1.1.1"]),
                ("KVP=28", ["1.1.1.1"]),
                ("KVP=28.5", ["1.1.1.2"]),
                ("AcquisitionDateTime=20200110", ["1.1.1.1", "1.1.1.2"]),
                ("AcquisitionDateTime=2020011010-202001101016", ["1.1.1.1"]),
                ("ContentDate=20200110-20200111&ContentTime=2300-0100", ["1.1.1.2"]),
                ("ViewCodeSequence.CodeValue=399162004", ["1.1.1.1"]),
                ("00540220.00080100=399162004", ["1.1.1.1"]),
                ("ViewPosition=CC&Modality=MG&PatientID=P1&StudyDate=20200110", ["1.1.1.1"]),
                ('ViewPosition=""&emptyvaluematching=true&Modality=MG', ["1.2.1.1", "1.1.1.2"]),
                ("AvailableTransferSyntaxUID=1.2.840.10008.1.2", ["1.2.1.1"]),
            ),
        ],
    )
    def test_instances(self, dicomweb, text, expected):
        assert sorted(uids(dicomweb.get(f"/instances?{text}"), "SOPInstanceUID")) == sorted(expected)

    @pytest.mark.standard
    def test_fuzzy_matching_is_done_or_warned_of(self, dicomweb):
        """Section 8.3.4.2."""
        answer = dicomweb.get("/studies?PatientName=jane&fuzzymatching=true")
        assert uids(answer) == ["1.1"] or answer.headers.get("warning", "").startswith("299 ")

    @pytest.mark.parametrize(
        "path",
        [
            "/studies?Foo=1",
            "/studies?Modality=MG",
            "/studies?RequestAttributesSequence.ScheduledProcedureStepID=1",
            "/studies?RequestAttributesSequence=1",
            "/studies?Rows=4",
            "/series?Rows=4",
            "/instances?PixelData=1",
            "/instances?ICCProfile=1",
            "/instances?ViewCodeSequence=1",
            "/instances?Rows=four",
            "/instances?AcquisitionDateTime=20201",
            "/studies?multiplevaluematching=1",
            "/studies?includefield=Foo",
            "/studies?" + "ViewCodeSequence." * 9 + "CodeValue=1",
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

    @pytest.mark.standard
    def test_a_study(self, dicomweb, gateway):
        """Table 10.6.3-3."""
        (full,) = dicomweb.get("/studies?StudyInstanceUID=1.1").json()
        assert full[tag("PatientName")] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane^Ann"}]}
        assert full[tag("ModalitiesInStudy")] == {"vr": "CS", "Value": ["MG", "US"]}
        assert full[tag("NumberOfStudyRelatedSeries")] == {"vr": "IS", "Value": [2]}
        assert full[tag("RetrieveURL")]["Value"] == [f"{gateway.dicomweb_url}/studies/1.1"]

    @pytest.mark.standard
    def test_a_study_without_values(self, dicomweb):
        """Table 10.6.3-3: attributes of type 2 are there all the same."""
        (bare,) = dicomweb.get("/studies?StudyInstanceUID=1.3").json()
        for name in TYPE_2[Level.STUDY]:
            assert bare[name].keys() == {"vr"}

    @pytest.mark.standard
    def test_a_series_below_its_study(self, dicomweb):
        """Table 10.6.3-4."""
        (series,) = dicomweb.get("/studies/1.1/series?SeriesInstanceUID=1.1.1").json()
        assert series[tag("Modality")]["Value"] == ["MG"]
        assert series[tag("NumberOfSeriesRelatedInstances")]["Value"] == [2]
        assert tag("RequestAttributesSequence") in series

    def test_a_study_is_not_told_with_each_of_its_series(self, dicomweb):
        assert tag("PatientName") not in dicomweb.get("/studies/1.1/series").json()[0]

    @pytest.mark.standard
    @pytest.mark.parametrize(
        ("path", "keyword"),
        [("/series", "Modality"), ("/instances", "Rows"), *own(("/studies/1.1/instances", "Rows"))],
    )
    def test_levels_that_the_address_leaves_open_are_told(self, dicomweb, path, keyword):
        row = dicomweb.get(f"{path}?PatientID=P1").json()[0]
        assert {tag(keyword), tag("Modality")} <= set(row)
        assert (tag("PatientName") in row) == (path != "/studies/1.1/instances")
        assert list(row) == sorted(row)

    @pytest.mark.standard
    def test_an_instance(self, dicomweb):
        """Table 10.6.3-5."""
        (row,) = dicomweb.get("/studies/1.1/series/1.1.1/instances?InstanceNumber=1").json()
        assert (row[tag("Rows")]["Value"], row[tag("NumberOfFrames")]["Value"]) == ([4], [3])
        assert row[tag("RetrieveURL")]["Value"][0].endswith("/studies/1.1/series/1.1.1/instances/1.1.1.1")

    def test_an_instance_tells_its_transfer_syntax(self, dicomweb):
        row = dicomweb.get("/studies/1.1/series/1.1.1/instances").json()[0]
        assert row[tag("AvailableTransferSyntaxUID")]["Value"] == ["1.2.840.10008.1.2.1"]

    @pytest.mark.standard
    @pytest.mark.parametrize(
        ("path", "field", "there"),
        [
            ("/studies", "PatientAge", True),
            ("/studies", "00101010", True),
            ("/studies/1.1/series", "Manufacturer", True),
            ("/studies/1.1/series/1.1.1/instances", "ViewPosition", True),
            ("/studies/1.1/series/1.1.1/instances", "00540220", True),
            *own(
                ("/studies", "SeriesDescription", False),
                ("/studies", "Rows", False),
                ("/studies/1.1/series", "PatientName", True),
                ("/studies/1.1/series", "Rows", False),
                ("/studies/1.1/series/1.1.1/instances", "PatientName", True),
                ("/studies/1.1/series/1.1.1/instances", "Manufacturer", True),
            ),
        ],
    )
    def test_included_fields(self, dicomweb, path, field, there):
        """Section 8.3.4.3: those of the level and above, and no others."""
        with_it = dicomweb.get(f"{path}?includefield={field}&PatientID=P1").json()[0]
        without = dicomweb.get(f"{path}?PatientID=P1").json()[0]
        name = field if field.isdigit() else tag(field)
        assert (name in with_it) == there
        assert name not in without

    @pytest.mark.standard
    @pytest.mark.parametrize(
        "field", ["KVP,ViewCodeSequence", *own("ViewCodeSequence.CodeValue", "00540220.00080100")]
    )
    def test_included_sequences(self, dicomweb, field):
        """Section 8.3.4.3; of a sequence all is told."""
        where = "/studies/1.1/series/1.1.1/instances?InstanceNumber=1"
        (row,) = dicomweb.get(f"{where}&includefield={field}").json()
        assert row[tag("ViewCodeSequence")]["Value"][0][tag("CodeValue")]["Value"] == ["399162004"]

    @pytest.mark.standard
    def test_all_fields_of_the_level(self, dicomweb):
        """Section 8.3.4.3."""
        where = "/studies/1.1/series/1.1.1/instances?InstanceNumber=1"
        (row,) = dicomweb.get(f"{where}&includefield=all").json()
        assert {tag(word) for word in ("ViewPosition", "ViewCodeSequence", "KVP", "ContentDate")} <= set(row)

    def test_all_fields(self, dicomweb):
        row = dicomweb.get("/studies/1.1/series/1.1.1/instances?includefield=all").json()[0]
        assert {tag(word) for word in ("ViewPosition", "Manufacturer", "PatientAge", "RetrieveURL")} <= set(
            row
        )

    @pytest.mark.standard
    def test_matched_attributes_are_returned(self, dicomweb):
        (row,) = dicomweb.get("/studies?PatientAge=060Y").json()
        assert row[tag("PatientAge")]["Value"] == ["060Y"]

    def test_urls_are_of_the_public_address_whatever_the_host_header_says(self, dicomweb):
        assert (
            "evil.test" not in dicomweb.get("/instances?includefield=all", headers={"Host": "evil.test"}).text
        )


class TestPaging:
    """Section 8.3.4.4."""

    @pytest.mark.standard
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

    @pytest.mark.parametrize(
        "path",
        [
            "/studies?",
            "/studies?ModalitiesInStudy=MG",
            "/studies?ModalitiesInStudy=MG&StudyDate=2020-",
            "/studies?StudyDate=20200111-",
            "/studies?StudyDate=20200110-&ModalitiesInStudy=US",
            "/studies?PatientSex=F",
            "/series?",
            "/series?StudyDate=-20201231",
            "/series?ModalitiesInStudy=MG",
            "/instances?",
            "/instances?StudyDate=20200110",
        ],
    )
    def test_a_deep_page_is_the_same_part_of_the_order(self, dicomweb, monkeypatch, path):
        path = path.replace("2020-", "20200101-")
        whole = dicomweb.get(path).json()
        monkeypatch.setattr(search, "DEEP", 0)
        pages = [dicomweb.get(f"{path}&limit=2&offset={at}").json() for at in range(len(whole) + 1)]
        assert pages == [whole[at : at + 2] for at in range(len(whole) + 1)]

    def test_days_are_counted_as_studies_come_change_and_go(self, gateway):
        """What deep pages are found by is what a count of the studies would find."""
        tables = {"study_day": "days", "study_month": "months"}
        with psycopg.connect(gateway.settings.database_url) as connection:
            connection.execute("update study set modalities = '{CT,MG}' where study_instance_uid = '1.1'")
            connection.execute(
                "update study set study_date = '', number_of_instances = 9 where patient_id = 'P2'"
            )
            connection.execute("delete from study where study_instance_uid = '1.3'")
            connection.execute("insert into opt_out (patient_id, added_by) values ('P1', 'test')")
            for table, counted in tables.items():
                connection.execute(f"create temp table {counted} as select * from {table} where studies > 0")
            connection.execute("select count_studies()")
            for table, counted in tables.items():
                differences = (
                    f"(table {counted} except table {table}) union (table {table} except table {counted})"
                )
                assert connection.execute(differences).fetchall() == []
            connection.rollback()

    @pytest.mark.standard
    def test_limit_zero(self, dicomweb):
        assert dicomweb.get("/studies?limit=0").json() == []

    @pytest.mark.standard
    @pytest.mark.parametrize(
        "text", ["limit=-1", "limit=a", "offset=-1", "offset=x", *own("limit=", "limit=1&limit=2")]
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

    @pytest.mark.standard
    def test_nothing_found_is_an_empty_list(self, dicomweb):
        """Table 10.6.3-1 as changed by CP-2473: 200, and a list without an item."""
        answer = dicomweb.get("/studies?PatientID=none")
        assert (answer.status_code, answer.content) == (200, b"[]")

    @pytest.mark.standard
    @pytest.mark.parametrize(
        ("accept", "kind"),
        [
            ("*/*", "application/dicom+json"),
            ("application/dicom+json", "application/dicom+json"),
            ("text/html, application/*;q=0.5", "application/dicom+json"),
            *own(("application/json", "application/json")),
        ],
    )
    def test_media_types(self, dicomweb, accept, kind):
        answer = dicomweb.get("/studies", headers={"Accept": accept})
        assert answer.headers["content-type"] == kind
        assert json.loads(answer.content)

    @pytest.mark.standard
    @pytest.mark.parametrize(
        "accept",
        ["text/html", 'multipart/related; type="application/dicom"', "application/dicom+json;q=0, text/*"],
    )
    def test_others_are_406_or_the_default(self, dicomweb, accept):
        answer = dicomweb.get("/studies", headers={"Accept": accept})
        assert is_unacceptable_or_default(answer, "application/dicom+json")

    @pytest.mark.parametrize(
        "accept",
        ["text/html", 'multipart/related; type="application/dicom"', "application/dicom+json;q=0, text/*"],
    )
    def test_others_are_406(self, dicomweb, accept):
        """Table 8.5-1."""
        assert dicomweb.get("/studies", headers={"Accept": accept}).status_code == 406

    def test_a_406_says_what_there_is(self, dicomweb):
        """RFC 9110 section 15.5.7."""
        answer = dicomweb.get("/studies", headers={"Accept": "text/html"})
        assert "application/dicom+json" in answer.json()["detail"]

    @pytest.mark.standard
    def test_several_accept_headers_are_one(self, dicomweb):
        """RFC 9110 section 5.3."""
        headers = [("Accept", "text/html"), ("Accept", "application/dicom+json")]
        assert dicomweb.get("/studies", headers=headers).status_code == 200

    @pytest.mark.standard
    def test_the_query_may_say_what_is_accepted(self, dicomweb):
        """Section 8.3.3.1."""
        headers = {"Accept": "text/html"}
        assert dicomweb.get("/studies?accept=application/dicom%2Bjson", headers=headers).status_code == 200
