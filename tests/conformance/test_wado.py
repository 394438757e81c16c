"""WADO-RS: the Retrieve Transaction (PS3.18 section 10.4), over known bytes."""

from email import message_from_bytes
from email.policy import HTTP

import httpx
import pytest
from dicomweb_client import DICOMwebClient
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from archive.attributes import tag
from archive.media_type import parse_media_type
from tests.conformance.cases import is_unacceptable_or_default, own

STUDY, SERIES = "/studies/1.1", "/studies/1.1/series/1.1.1"
NATIVE, COMPRESSED = f"{SERIES}/instances/1.1.1.1", "/studies/1.1/series/1.1.2/instances/1.1.2.1"
EXPLICIT, IMPLICIT, LOSSLESS = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.70"
BASELINE = "1.2.840.10008.1.2.4.50"
STORED_JPEG = 'multipart/related; type="image/jpeg"; transfer-syntax=*'
DICOM = 'multipart/related; type="application/dicom"'


def parts(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """The parts of a multipart answer as Python's own reader of mail takes them: content type and bytes."""
    assert answer.status_code == 200, answer.text
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = message_from_bytes(head + answer.content, policy=HTTP)
    assert not message.defects
    boundary = message.get_boundary()
    pieces = answer.content.split(f"--{boundary}".encode())[1:-1]
    bodies = [piece.split(b"\r\n\r\n", 1)[1][:-2] for piece in pieces]
    kinds = [str(parse_media_type(part["content-type"])) for part in message.get_payload()]
    return list(zip(kinds, bodies, strict=True))


class TestInstances:
    """Sections 10.4.1.1.1 to 10.4.1.1.3."""

    @pytest.mark.standard
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            *own((STUDY, ["1.1.1.1", "1.1.1.2", "1.1.2.1"])),
            (SERIES, ["1.1.1.1", "1.1.1.2"]),
            (NATIVE, ["1.1.1.1"]),
        ],
    )
    @pytest.mark.parametrize(
        "accept",
        [None, "*/*", DICOM, f"{DICOM}; transfer-syntax=*", "multipart/related; type=application/dicom"],
    )
    def test_all_of_a_resource_byte_for_byte(self, dicomweb, gateway, path, expected, accept):
        answer = dicomweb.get(path, headers={"Accept": accept} if accept else {})
        assert answer.headers["content-type"].startswith(
            'multipart/related; type="application/dicom"; boundary='
        )
        assert sorted(body for _, body in parts(answer)) == sorted(gateway.files[uid] for uid in expected)

    def test_a_study_as_it_is_stored(self, dicomweb, gateway):
        """Section 8.7.3.5.2: any transfer syntax will do."""
        found = parts(dicomweb.get(STUDY, headers={"Accept": f"{DICOM}; transfer-syntax=*"}))
        uids = ["1.1.1.1", "1.1.1.2", "1.1.2.1"]
        assert sorted(body for _, body in found) == sorted(gateway.files[uid] for uid in uids)

    @pytest.mark.standard
    def test_a_part_says_its_transfer_syntax_where_it_is_not_the_default(self, dicomweb):
        """Section 8.7.3.5.1."""
        ((kind, _),) = parts(dicomweb.get(COMPRESSED, headers={"Accept": f"{DICOM}; transfer-syntax=*"}))
        assert kind == f"application/dicom; transfer-syntax={LOSSLESS}"

    def test_each_part_says_its_transfer_syntax_and_place(self, dicomweb, gateway):
        """Section 8.6.1.2."""
        answer = dicomweb.get(STUDY)
        kinds = [f"application/dicom; transfer-syntax={syntax}" for syntax in (EXPLICIT, EXPLICIT, LOSSLESS)]
        assert [kind for kind, _ in parts(answer)] == kinds
        assert f"Content-Location: {gateway.dicomweb_url}{NATIVE}".encode() in answer.content

    def test_the_length_is_told_beforehand(self, dicomweb):
        assert int(dicomweb.head(SERIES).headers["content-length"]) == len(dicomweb.get(SERIES).content)

    @pytest.mark.parametrize(
        "accept", ["application/dicom", f"application/dicom; transfer-syntax={EXPLICIT}"]
    )
    def test_a_single_part(self, dicomweb, gateway, accept):
        """Section 8.6.1.1."""
        answer = dicomweb.get(NATIVE, headers={"Accept": accept})
        assert answer.content == gateway.files["1.1.1.1"]
        assert answer.headers["content-type"].startswith("application/dicom")

    def test_a_single_part_says_its_transfer_syntax(self, dicomweb):
        answer = dicomweb.get(NATIVE, headers={"Accept": "application/dicom"})
        assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={EXPLICIT}"

    @pytest.mark.standard
    @pytest.mark.parametrize("path", [STUDY, SERIES])
    def test_several_as_a_single_part_are_406_or_the_default(self, dicomweb, path):
        answer = dicomweb.get(path, headers={"Accept": "application/dicom"})
        assert is_unacceptable_or_default(answer, DICOM)

    @pytest.mark.parametrize("path", [STUDY, SERIES])
    def test_several_as_a_single_part_are_406(self, dicomweb, path):
        assert dicomweb.get(path, headers={"Accept": "application/dicom"}).status_code == 406

    @pytest.mark.standard
    @pytest.mark.parametrize(
        ("path", "syntax", "status"),
        [
            (NATIVE, EXPLICIT, 200),
            (COMPRESSED, LOSSLESS, 200),
            *own(
                ("/studies/1.2", IMPLICIT, 406),
                (NATIVE, LOSSLESS, 200),
                (NATIVE, BASELINE, 406),
                (COMPRESSED, EXPLICIT, 406),
                (STUDY, EXPLICIT, 200),
            ),
        ],
    )
    def test_a_transfer_syntax_asked_for(self, dicomweb, path, syntax, status):
        """Section 8.7.3.5.2; what would lose is refused, so are pixels that can't be decoded, and so is Implicit VR."""
        assert (
            dicomweb.get(path, headers={"Accept": f"{DICOM}; transfer-syntax={syntax}"}).status_code == status
        )

    @pytest.mark.standard
    def test_implicit_vr_is_never_sent(self, dicomweb):
        """Section 8.7.3: it shall not be used with web services, whatever is asked for."""
        answer = dicomweb.get("/studies/1.2", headers={"Accept": f"{DICOM}; transfer-syntax={IMPLICIT}"})
        sent = [] if answer.is_error else [dcmread(DicomBytesIO(body)) for _, body in parts(answer)]
        assert IMPLICIT not in [instance.file_meta.TransferSyntaxUID for instance in sent]

    @pytest.mark.standard
    @pytest.mark.parametrize(
        "path",
        ["/studies/9.9", "/studies/1.1/series/9", "/studies/1.2/series/1.1.1", f"{SERIES}/instances/9"],
    )
    @pytest.mark.parametrize("below", ["", "/metadata"])
    def test_what_is_not_there_is_404(self, dicomweb, path, below):
        """Table 10.4.3-1."""
        assert dicomweb.get(path + below).status_code == 404

    @pytest.mark.parametrize(
        "path", ["/studies/a", "/studies/1..2", "/studies/1.1/series/x", "/studies/" + "1" * 65]
    )
    def test_what_is_no_uid_is_400(self, dicomweb, path):
        assert dicomweb.get(path).status_code == 400

    @pytest.mark.parametrize("path", [STUDY, SERIES, NATIVE, f"{NATIVE}/frames/1"])
    def test_bytes_that_are_gone_are_found_before_the_first_is_sent(self, dicomweb, gateway, path):
        file = gateway.paths["1.1.1.1"]
        hidden = file.rename(file.with_suffix(".hidden"))
        try:
            answer = dicomweb.get(path)
        finally:
            hidden.rename(file)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


class TestMetadata:
    """Section 10.4.1.1.5."""

    @pytest.mark.standard
    @pytest.mark.parametrize(("path", "number"), [(STUDY, 3), (SERIES, 2), (NATIVE, 1)])
    def test_three_levels(self, dicomweb, path, number):
        answer = dicomweb.get(f"{path}/metadata")
        assert answer.headers["content-type"].startswith("application/dicom+json")
        assert len(answer.json()) == number

    @pytest.mark.standard
    def test_it_is_the_data_set_without_its_pixels(self, dicomweb, gateway):
        (found,) = dicomweb.get(f"{NATIVE}/metadata").json()
        stored = dcmread(DicomBytesIO(gateway.files["1.1.1.1"]))
        assert set(found) == {f"{element.tag:08X}" for element in stored}
        assert found[tag("ViewPosition")] == {"vr": "CS", "Value": ["CC"]}

    def test_pixels_are_by_reference_on_the_public_address(self, dicomweb, gateway):
        (found,) = dicomweb.get(f"{NATIVE}/metadata", headers={"Host": "evil.test"}).json()
        assert found["7FE00010"] == {
            "vr": "OW",
            "BulkDataURI": f"{gateway.dicomweb_url}{NATIVE}/bulkdata/7FE00010",
        }

    @pytest.mark.standard
    @pytest.mark.parametrize("accept", ["text/html", "application/dicom", "multipart/related; type=text/xml"])
    def test_other_types_are_406_or_the_default(self, dicomweb, accept):
        answer = dicomweb.get(f"{NATIVE}/metadata", headers={"Accept": accept})
        assert is_unacceptable_or_default(answer, "application/dicom+json")

    @pytest.mark.parametrize("accept", ["text/html", "application/dicom", "multipart/related; type=text/xml"])
    def test_other_types_are_406(self, dicomweb, accept):
        assert dicomweb.get(f"{NATIVE}/metadata", headers={"Accept": accept}).status_code == 406


class TestFrames:
    """Section 10.4.1.1.6."""

    @pytest.mark.standard
    @pytest.mark.parametrize("numbers", [[1], [3, 1], [2, 2, 2], [1, 2, 3]])
    def test_native_ones_in_the_order_asked(self, dicomweb, numbers):
        answer = dicomweb.get(f"{NATIVE}/frames/{','.join(map(str, numbers))}")
        assert [body for _, body in parts(answer)] == [bytes([number]) * 48 for number in numbers]

    @pytest.mark.standard
    def test_compressed_ones_as_they_are_stored(self, dicomweb):
        """Table 8.7.3-5: the media type of the compression."""
        answer = dicomweb.get(f"{COMPRESSED}/frames/2,1", headers={"Accept": STORED_JPEG})
        found = parts(answer)
        assert [body for _, body in found] == [b"\xff\xd8klmnopqrst", b"\xff\xd8abcdefghij"]
        assert {kind.partition(";")[0] for kind, _ in found} == {"image/jpeg"}

    @pytest.mark.parametrize(
        "accept",
        [
            'multipart/related; type="application/octet-stream"; transfer-syntax=*',
            f"multipart/related; type=application/octet-stream; transfer-syntax={LOSSLESS}",
        ],
    )
    def test_compressed_ones_as_octets_say_what_they_are(self, dicomweb, accept):
        ((kind, body),) = parts(dicomweb.get(f"{COMPRESSED}/frames/1", headers={"Accept": accept}))
        assert (kind, body[:2]) == (f"application/octet-stream; transfer-syntax={LOSSLESS}", b"\xff\xd8")

    def test_frames_say_their_transfer_syntax(self, dicomweb):
        native = parts(dicomweb.get(f"{NATIVE}/frames/1"))[0][0]
        jpeg = parts(dicomweb.get(f"{COMPRESSED}/frames/1", headers={"Accept": STORED_JPEG}))[0][0]
        assert native == f"application/octet-stream; transfer-syntax={EXPLICIT}"
        assert jpeg == f"image/jpeg; transfer-syntax={LOSSLESS}"

    def test_one_frame_may_be_a_single_part(self, dicomweb):
        answer = dicomweb.get(f"{COMPRESSED}/frames/1", headers={"Accept": "image/jpeg; transfer-syntax=*"})
        assert (answer.content, answer.headers["content-type"]) == (
            b"\xff\xd8abcdefghij",
            f"image/jpeg; transfer-syntax={LOSSLESS}",
        )

    def test_several_frames_as_a_single_part_is_406(self, dicomweb):
        assert dicomweb.get(f"{COMPRESSED}/frames/1,2", headers={"Accept": "image/jpeg"}).status_code == 406

    @pytest.mark.standard
    @pytest.mark.parametrize("frames", ["4", "1,4", "0", "-1", "a", "1,", *own("1;2", "99999999")])
    def test_numbers_that_are_not_there_or_no_numbers(self, dicomweb, frames):
        """Table 10.4.3-1."""
        assert dicomweb.get(f"{NATIVE}/frames/{frames}").status_code in (400, 404)

    @pytest.mark.parametrize(("frames", "status"), [("4", 404), ("1,4", 404), ("0", 400), ("a", 400)])
    def test_which_of_both_it_is(self, dicomweb, frames, status):
        assert dicomweb.get(f"{NATIVE}/frames/{frames}").status_code == status

    def test_an_instance_without_pixels_has_none(self, dicomweb):
        assert dicomweb.get("/studies/1.3/series/1.3.1/instances/1.3.1.1/frames/1").status_code == 404

    @pytest.mark.parametrize(
        "accept",
        [
            "image/png",
            'multipart/related; type="image/jp2"',
            f'multipart/related; type="application/octet-stream"; transfer-syntax={EXPLICIT}',
        ],
    )
    def test_what_can_not_be_decoded_or_is_no_pixels_type_is_406(self, dicomweb, accept):
        assert dicomweb.get(f"{COMPRESSED}/frames/1", headers={"Accept": accept}).status_code == 406

    @pytest.mark.standard
    def test_pixels_of_implicit_vr_are_the_same_in_explicit(self, dicomweb):
        ((_, body),) = parts(dicomweb.get("/studies/1.2/series/1.2.1/instances/1.2.1.1/frames/1"))
        assert body == b"\1" * 16


class TestBulkData:
    """Section 10.4.1.1.4."""

    @pytest.mark.standard
    def test_every_reference_in_the_metadata_can_be_followed(self, dicomweb, gateway):
        (found,) = dicomweb.get(f"{SERIES}/instances/1.1.1.2/metadata").json()
        urls = {name: value["BulkDataURI"] for name, value in found.items() if "BulkDataURI" in value}
        stored = dcmread(DicomBytesIO(gateway.files["1.1.1.2"]))
        assert set(urls) == {"7FE00010", tag("ICCProfile")}
        for name, url in urls.items():
            ((_, body),) = parts(dicomweb.get(url))
            assert body == stored[int(name, 16)].value

    def test_compressed_pixels_are_their_frames(self, dicomweb):
        answer = dicomweb.get(f"{COMPRESSED}/bulkdata/7FE00010", headers={"Accept": STORED_JPEG})
        assert len(parts(answer)) == 2

    @pytest.mark.parametrize(
        ("asked", "status", "expected"),
        [
            ("bytes=0-3", 206, b"\1\1\1\1"),
            ("bytes=47-48", 206, b"\1\2"),
            ("bytes=-2", 206, b"\3\3"),
            ("bytes=142-", 206, b"\3\3"),
            ("bytes=144-", 416, None),
            ("bytes=5-1", 200, None),
            ("items=0-1", 200, None),
            ("bytes=0-1,5-6", 200, None),
        ],
    )
    def test_ranges(self, dicomweb, asked, status, expected):
        """RFC 9110 section 14."""
        headers = {"Accept": "application/octet-stream", "Range": asked}
        answer = dicomweb.get(f"{NATIVE}/bulkdata/7FE00010", headers=headers)
        assert answer.status_code == status
        assert expected is None or answer.content == expected
        assert ("content-range" in answer.headers) == (status != 200)

    @pytest.mark.parametrize(
        ("address", "status"),
        [
            ("00100010", 404),
            ("00282000/0/00282000", 404),
            ("0009", 400),
            ("../x", 404),
            ("00282000/9999999/00282000", 400),
        ],
    )
    def test_others(self, dicomweb, address, status):
        assert dicomweb.get(f"{SERIES}/instances/1.1.1.2/bulkdata/{address}").status_code in (
            status,
            400,
            404,
        )


class TestClient:
    """The Python package dicomweb-client, through what it has for searching and retrieving."""

    @pytest.fixture
    def client(self, gateway) -> DICOMwebClient:
        headers = {"Authorization": f"Bearer {gateway.token}"}
        return DICOMwebClient(gateway.dicomweb_url, headers=headers)

    def test_it_searches(self, client):
        assert len(client.search_for_studies(search_filters={"PatientID": "P1"}, fields=["PatientAge"])) == 1
        assert len(client.search_for_series("1.1", limit=1, offset=1)) == 1
        assert len(client.search_for_instances(fuzzymatching=True)) == 5
        assert client.search_for_studies(search_filters={"PatientID": "none"}) == []

    def test_it_retrieves_instances(self, client):
        anything = (("application/dicom", "*"),)
        assert len(client.retrieve_study("1.1", media_types=anything)) == 3
        assert len(client.retrieve_series("1.1", "1.1.1")) == 2
        assert client.retrieve_instance("1.1", "1.1.1", "1.1.1.1").SOPInstanceUID == "1.1.1.1"
        assert len(list(client.iter_study("1.1", media_types=anything))) == 3

    def test_it_retrieves_metadata(self, client):
        assert len(client.retrieve_study_metadata("1.1")) == 3
        assert len(client.retrieve_series_metadata("1.1", "1.1.1")) == 2
        assert client.retrieve_instance_metadata("1.1", "1.1.1", "1.1.1.1")[tag("Rows")]["Value"] == [4]

    def test_it_retrieves_frames_and_bulk_data(self, client):
        assert client.retrieve_instance_frames("1.1", "1.1.1", "1.1.1.1", [2, 1]) == [b"\2" * 48, b"\1" * 48]
        jpeg = (("image/jpeg", LOSSLESS),)
        frames = client.retrieve_instance_frames("1.1", "1.1.2", "1.1.2.1", [1], media_types=jpeg)
        assert frames == [b"\xff\xd8abcdefghij"]
        url = client.retrieve_instance_metadata("1.1", "1.1.1", "1.1.1.1")["7FE00010"]["BulkDataURI"]
        assert len(client.retrieve_bulkdata(url)[0]) == 3 * 48


def test_the_fixture_holds_what_the_cases_rely_on(gateway):
    """So that a case can't pass on an empty archive."""
    assert sorted(gateway.files) == ["1.1.1.1", "1.1.1.2", "1.1.2.1", "1.2.1.1", "1.3.1.1"]
