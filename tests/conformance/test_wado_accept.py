"""WADO-RS: which representation is sent to who accepts what (PS3.18 sections 8.3.3.1, 8.7.3 and 8.7.5)."""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import RLELossless

from archive.pixels.codecs import encode
from archive.pixels.layout import layout_of_dataset
from tests.conformance.cases import is_unacceptable_or_default, own
from tests.conformance.test_wado import parts
from tests.unit.dicom_files import dataset, part10, pixels

EXPLICIT, IMPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
RLE, SV1, JPEG_LS, J2K, HTJ2K = (
    "1.2.840.10008.1.2." + suffix for suffix in ("5", "4.70", "4.80", "4.90", "4.201")
)
DICOM, OCTETS = "application/dicom", "application/octet-stream"
STUDY = "/studies/4.1"
NATIVE, COMPRESSED, REPORT, IMPLICIT_ONE, DEFLATED_ONE = (
    f"{STUDY}/series/4.1.1/instances/4.1.1.{number}" for number in range(1, 6)
)


def instance(number: int, **values) -> dict:
    uids = {"StudyInstanceUID": "4.1", "SeriesInstanceUID": "4.1.1", "SOPInstanceUID": f"4.1.1.{number}"}
    return uids | {"InstanceNumber": number, "ICCProfile": bytes(range(256)) * 8} | values


def run_lengths(made) -> dict:
    from pydicom.encaps import encapsulate

    layout = layout_of_dataset(made)
    cells = np.frombuffer(made.PixelData, "<u2").reshape(layout.frames, *layout.shape)
    return {"PixelData": encapsulate([encode(frame, layout, RLE)[0] for frame in cells])}


def exams() -> list[bytes]:
    grey = pixels(6, 8, 2, 16)
    compressed = instance(2, **grey) | run_lengths(dataset(**grey))
    return [
        part10(dataset(**instance(1, **grey))),
        part10(dataset(**compressed), RLELossless),
        part10(dataset(**instance(3))),
        part10(dataset(**instance(4, **grey)), IMPLICIT),
        part10(dataset(**instance(5, **grey)), DEFLATED),
    ]


@pytest.fixture(scope="module")
def client(serve_instances) -> Iterator[httpx.Client]:
    with serve_instances(exams()) as gateway, gateway.client() as opened:
        yield opened


def syntaxes(client: httpx.Client, path: str, accept: str | None) -> list[str]:
    """The transfer syntax that the bytes of each part are in, and that the part says; none is said of the default."""
    answer = client.get(path, headers={"Accept": accept} if accept else {})
    found = parts(answer)
    stated = [kind.partition("transfer-syntax=")[2] or EXPLICIT for kind, _ in found]
    assert stated == [dcmread(DicomBytesIO(body)).file_meta.TransferSyntaxUID for _, body in found]
    return stated


def dicom(**parameters: str) -> str:
    return f'multipart/related; type="{DICOM}"' + "".join(
        f"; {name.replace('_', '-')}={value}" for name, value in parameters.items()
    )


class TestInstances:
    """Sections 8.7.3.4 and 8.7.3.5.2."""

    @pytest.mark.standard
    @pytest.mark.parametrize("accept", [None, "*/*", dicom(), *own("multipart/*", "multipart/related")])
    @pytest.mark.parametrize("path", [NATIVE, COMPRESSED, REPORT, IMPLICIT_ONE, DEFLATED_ONE])
    def test_explicit_little_endian_where_none_is_named(self, client, path, accept):
        assert syntaxes(client, path, accept) == [EXPLICIT]

    @pytest.mark.parametrize(
        ("path", "expected"),
        [(NATIVE, EXPLICIT), (COMPRESSED, RLE), (DEFLATED_ONE, DEFLATED), (IMPLICIT_ONE, EXPLICIT)],
    )
    def test_as_stored_where_any_will_do(self, client, path, expected):
        """But for Implicit VR, which is not used on the web (section 8.7.3)."""
        assert syntaxes(client, path, dicom(transfer_syntax="*")) == [expected]

    @pytest.mark.parametrize(
        ("accept", "expected"),
        [
            (f"{dicom(transfer_syntax=SV1)};q=0.2, {dicom(transfer_syntax=J2K)};q=0.9", J2K),
            (f"{dicom(transfer_syntax='*')};q=0.2, {dicom(transfer_syntax=JPEG_LS)}", JPEG_LS),
            (f"{dicom(transfer_syntax='*')}, {dicom(transfer_syntax=JPEG_LS)};q=0.5", RLE),
            (f"{dicom()}, {dicom(transfer_syntax=JPEG_LS)};q=0.5", EXPLICIT),
            (f"{dicom()};q=0.5, {dicom(transfer_syntax=JPEG_LS)}", JPEG_LS),
            (f"{dicom(transfer_syntax='1.2.3')}, {dicom(transfer_syntax=HTJ2K)};q=0.1", HTJ2K),
            (f"text/html, {dicom(transfer_syntax=DEFLATED)};q=0.001", DEFLATED),
        ],
    )
    def test_q_values_decide(self, client, accept, expected):
        """RFC 9110 section 12.5.1."""
        assert syntaxes(client, COMPRESSED, accept) == [expected]

    def test_a_study_of_several_as_each_is_stored(self, client):
        found = syntaxes(client, STUDY, dicom(transfer_syntax="*"))
        assert found == [EXPLICIT, RLE, EXPLICIT, EXPLICIT, DEFLATED]

    def test_a_study_in_one_that_is_named(self, client):
        """One without pixels has none to compress."""
        assert syntaxes(client, STUDY, dicom(transfer_syntax=J2K)) == [J2K, J2K, EXPLICIT, J2K, J2K]

    @pytest.mark.standard
    @pytest.mark.parametrize(
        "accept",
        ["text/html", f"{DICOM};q=0", dicom(transfer_syntax="1.2.3"), dicom(transfer_syntax=IMPLICIT), "image/jpeg",
         'multipart/related; type="image/jpeg"', dicom(transfer_syntax="1.2.840.10008.1.2.2")],
    )  # fmt: skip
    def test_nothing_acceptable_is_406_or_the_default(self, client, accept):
        answer = client.get(COMPRESSED, headers={"Accept": accept})
        assert is_unacceptable_or_default(answer, f'multipart/related; type="{DICOM}"')

    @pytest.mark.parametrize(
        "accept",
        ["text/html", f"{DICOM};q=0", dicom(transfer_syntax="1.2.3"), dicom(transfer_syntax=IMPLICIT), "image/jpeg",
         'multipart/related; type="image/jpeg"', dicom(transfer_syntax="1.2.840.10008.1.2.2")],
    )  # fmt: skip
    def test_nothing_acceptable_is_406(self, client, accept):
        assert client.get(COMPRESSED, headers={"Accept": accept}).status_code == 406

    def test_a_406_says_what_there_is(self, client):
        """RFC 9110 section 15.5.7."""
        assert EXPLICIT in client.get(COMPRESSED, headers={"Accept": "text/html"}).json()["detail"]

    @pytest.mark.parametrize(
        "accept", ["dicom", "application/dicom;q=2", "a/b/c", "application/dicom; q=x", "," * 9000]
    )
    def test_a_malformed_accept_is_400(self, client, accept):
        assert client.get(COMPRESSED, headers={"Accept": accept}).status_code == 400

    def test_the_query_stands_in_for_the_header(self, client):
        """Section 8.3.3.1."""
        asked = {"accept": f"{DICOM}; transfer-syntax={JPEG_LS}"}
        answer = client.get(COMPRESSED, params=asked, headers={"Accept": "text/html"})
        assert answer.headers["content-type"] == f"{DICOM}; transfer-syntax={JPEG_LS}"

    def test_no_more_than_the_pixels_differs(self, client):
        stored, recoded = (
            dcmread(DicomBytesIO(client.get(path, headers={"Accept": DICOM}).content))
            for path in (NATIVE, COMPRESSED)
        )
        differing = {e.keyword for e in stored if recoded.get(e.tag) != e} ^ {
            "SOPInstanceUID",
            "InstanceNumber",
        }
        assert differing == set()


class TestFrames:
    """Tables 8.7.3-4 and 8.7.3-5."""

    @pytest.mark.standard
    @pytest.mark.parametrize("accept", [None, "*/*", f'multipart/related; type="{OCTETS}"'])
    def test_octets_are_native(self, client, accept):
        answer = client.get(f"{COMPRESSED}/frames/2", headers={"Accept": accept} if accept else {})
        assert [body for _, body in parts(answer)] == [b"\2" * 96]

    def test_one_frame_as_a_single_part(self, client):
        """Section 8.6.1.1."""
        answer = client.get(f"{COMPRESSED}/frames/2", headers={"Accept": OCTETS})
        assert answer.content == b"\2" * 96

    @pytest.mark.parametrize(
        ("kind", "syntax"),
        [
            ("image/jpeg", SV1),
            ("image/jls", JPEG_LS),
            ("image/jp2", J2K),
            ("image/jphc", HTJ2K),
            ("image/dicom-rle", RLE),
        ],
    )
    @pytest.mark.parametrize("path", [NATIVE, COMPRESSED, IMPLICIT_ONE, DEFLATED_ONE])
    def test_the_default_of_each_media_type(self, client, path, kind, syntax):
        answer = client.get(f"{path}/frames/1", headers={"Accept": kind})
        assert answer.headers["content-type"] == f"{kind}; transfer-syntax={syntax}"

    def test_a_wildcard_of_images_prefers_what_is_stored(self, client):
        accept = 'multipart/related; type="image/*"'
        found = parts(client.get(f"{COMPRESSED}/frames/1,2", headers={"Accept": accept}))
        assert [kind for kind, _ in found] == [f"image/dicom-rle; transfer-syntax={RLE}"] * 2

    @pytest.mark.standard
    def test_several_recoded_in_the_order_asked(self, client):
        found = parts(client.get(f"{COMPRESSED}/frames/2,1,2"))
        assert [body[:1] for _, body in found] == [b"\2", b"\1", b"\2"]

    def test_a_range_of_a_recoded_one(self, client):
        headers = {"Accept": OCTETS, "Range": "bytes=90-99"}
        answer = client.get(f"{COMPRESSED}/frames/1", headers=headers)
        assert (answer.status_code, answer.headers["content-range"]) == (206, "bytes 90-95/96")

    @pytest.mark.parametrize(
        "accept", ["image/jpx", "video/mp4", "image/png", f"image/jpeg; transfer-syntax={J2K}"]
    )
    def test_nothing_acceptable_is_406(self, client, accept):
        assert client.get(f"{COMPRESSED}/frames/1", headers={"Accept": accept}).status_code == 406

    def test_several_are_no_single_part(self, client):
        assert client.get(f"{COMPRESSED}/frames/1,2", headers={"Accept": OCTETS}).status_code == 406


class TestBulkData:
    """Section 10.4.1.1.4."""

    @pytest.mark.parametrize("path", [NATIVE, IMPLICIT_ONE, DEFLATED_ONE])
    def test_pixels_of_native_instances_whole(self, client, path):
        answer = client.get(f"{path}/bulkdata/7FE00010", headers={"Accept": OCTETS})
        assert answer.content == b"\1" * 96 + b"\2" * 96

    def test_pixels_of_compressed_ones_frame_by_frame(self, client):
        assert [body for _, body in parts(client.get(f"{COMPRESSED}/bulkdata/7FE00010"))] == [
            b"\1" * 96,
            b"\2" * 96,
        ]

    @pytest.mark.parametrize("path", [NATIVE, COMPRESSED, REPORT, IMPLICIT_ONE, DEFLATED_ONE])
    @pytest.mark.parametrize(
        ("asked", "status"), [("bytes=0-9", 206), ("bytes=2048-", 416), ("bytes=-1", 206)]
    )
    def test_ranges_of_any_element(self, client, path, asked, status):
        headers = {"Accept": OCTETS, "Range": asked}
        assert client.get(f"{path}/bulkdata/00282000", headers=headers).status_code == status
