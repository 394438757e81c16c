"""STOW-RS: the Store Transaction (PS3.18 section 10.5), through the door of a real site."""

import json
from uuid import uuid4

import httpx
import imagecodecs
import pytest
from dicomweb_client import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.uid import generate_uid

from gateway.native_model import render_native_model
from tests.conformance.cases import own
from tests.conformance.test_wado import parts
from tests.live import LiveSite, eventually
from tests.unit.dicom_files import dataset, part10, pixels
from tests.unit.native_model import read_native_model

MG = "1.2.840.10008.5.1.4.1.1.1.2"
PR = "1.2.840.10008.5.1.4.1.1.11.1"
RT_IMAGE = "1.2.840.10008.5.1.4.1.1.481.1"


def exam(number: int = 2, **values) -> list[bytes]:
    """New mammograms of one study of a person with a name."""
    own = {
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "PatientName": "Secret^Name",
    }
    own |= {"PatientID": uuid4().hex, "StudyDate": "20200110", "Modality": "MG", "SOPClassUID": MG} | values
    return [
        part10(dataset(**pixels(8, 8, bits=16) | own, SOPInstanceUID=generate_uid())) for _ in range(number)
    ]


def read(instance: bytes):
    return dcmread(DicomBytesIO(instance), stop_before_pixels=True)


def body(*instances: bytes, end: bytes = b"\r\n") -> bytes:
    head = b"--BOUND" + end + b"Content-Type: application/dicom" + end + end
    return b"".join(head + instance + end for instance in instances) + b"--BOUND--" + end


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


def store(client: httpx.Client, content, path: str = "/studies", kind: str = "") -> httpx.Response:
    kind = kind or 'multipart/related; type="application/dicom"; boundary=BOUND'
    return client.post(
        path, content=content, headers={"Content-Type": kind, "Accept": "application/dicom+json"}
    )


def stored(answer: httpx.Response) -> list[str]:
    return [item["00081155"]["Value"][0] for item in answer.json().get("00081199", {}).get("Value", [])]


def reasons(answer: httpx.Response) -> list[int]:
    sequences = [answer.json().get(name, {}).get("Value", []) for name in ("00081198", "0008119A")]
    return [item["00081197"]["Value"][0] for items in sequences for item in items]


DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def retrieved(client: httpx.Client, url: str, accept: str = "application/dicom; transfer-syntax=*") -> bytes:
    """One instance, once the index has it."""

    def ask() -> bytes | None:
        answer = client.get(url, headers={"Accept": accept})
        if answer.status_code != 200:
            return None
        return parts(answer)[0][1] if accept == DICOM else answer.content

    return eventually(ask)


class TestStored:
    @pytest.mark.standard
    def test_what_is_stored_can_be_retrieved_where_the_answer_says(self, client):
        """Section 10.5.3.3 and table I.1-1."""
        answer = store(client, body(*exam()))
        items = answer.json()["00081199"]["Value"]
        found = [read(retrieved(client, item["00081190"]["Value"][0], DICOM)) for item in items]
        assert [each.SOPInstanceUID for each in found] == stored(answer)
        assert (answer.status_code, len(found)) == (200, 2)

    def test_what_is_stored_is_found_under_the_pseudonyms_that_the_answer_names(self, client, site):
        """Section 10.5.3.1 and PS3.15 annex E."""
        answer = store(client, body(*exam()))
        assert (answer.status_code, len(stored(answer))) == (200, 2)
        for item in answer.json()["00081199"]["Value"]:
            found = read(retrieved(client, item["00081190"]["Value"][0]))
            assert found.SOPInstanceUID == item["00081155"]["Value"][0]
            assert "Secret" not in str(found.PatientName)
        assert (
            answer.json()["00081190"]["Value"][0] == f"{site.dicomweb_url}/studies/{found.StudyInstanceUID}"
        )

    def test_that_identifiers_were_replaced_is_a_warning(self, client):
        """Table I.2-1, B000: coercion of data elements; nothing is wrong, so the status stays 200."""
        answer = store(client, body(*exam(1)))
        assert (answer.status_code, answer.json()["00081199"]["Value"][0]["00081196"]["Value"]) == (
            200,
            [0xB000],
        )

    def test_the_answer_as_xml(self, client):
        """Section 10.5.3.4."""
        kind = 'multipart/related; type="application/dicom"; boundary=BOUND'
        headers = {"Content-Type": kind, "Accept": "application/dicom+xml"}
        answer = client.post("/studies", content=body(*exam(1)), headers=headers)
        assert answer.headers["content-type"] == "application/dicom+xml"
        assert len(read_native_model(answer.content)["00081199"]["Value"]) == 1

    def test_an_answer_names_no_identifier_that_came(self, client):
        (instance,) = exam(1)
        answer = store(client, body(instance))
        sent = read(instance)
        for uid in (sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID, sent.PatientID):
            assert uid not in answer.text

    def test_storing_again_changes_nothing(self, client, site):
        """Idempotent repeats: the same answer and one instance."""
        content = body(*exam(1))
        first, before = store(client, content), site.stored_instances()
        assert stored(store(client, content)) == stored(first)
        assert site.stored_instances() == before

    @pytest.mark.standard
    @pytest.mark.parametrize(
        "kind",
        [
            'multipart/related; type="application/dicom"; boundary="BOUND"',
            "multipart/related; type=application/dicom; boundary=BOUND",
            *own('multipart/related; boundary="BOUND"'),
        ],
    )
    @pytest.mark.parametrize("end", [b"\r\n", *own(b"\n")])
    def test_the_variants_that_clients_send(self, client, kind, end):
        assert store(client, body(*exam(1), end=end), kind=kind).status_code == 200

    @pytest.mark.standard
    def test_a_chunked_body(self, client):
        content = body(*exam(1))
        assert store(client, iter([content[:100], content[100:700], content[700:]])).status_code == 200

    def test_a_single_part(self, client):
        assert store(client, exam(1)[0], kind="application/dicom").status_code == 200

    @pytest.mark.standard
    def test_into_the_study_it_belongs_to(self, client):
        (instance,) = exam(1)
        assert store(client, body(instance), f"/studies/{read(instance).StudyInstanceUID}").status_code == 200

    def test_dicomweb_client_stores(self, site):
        client = DICOMwebClient(site.dicomweb_url, headers={"Authorization": f"Bearer {site.token()}"})
        answer = client.store_instances([dcmread(DicomBytesIO(instance)) for instance in exam(2)])
        assert len(answer.ReferencedSOPSequence) == 2


class TestAttributesWithBulkData:
    """Section 10.5.2: attributes in JSON, and bulk data in parts of their own."""

    KIND = 'multipart/related; type="application/dicom+json"; boundary=BOUND'

    def content(self, sent, *bulk: tuple[str, bytes]) -> bytes:
        attributes = sent.to_json_dict(1, lambda element: f"bulk/{int(element.tag):08X}")
        head = "--BOUND\r\nContent-Type: {}\r\nContent-Location: {}\r\n\r\n".format
        parts = [("application/dicom+json", "", json.dumps([attributes]).encode())]
        parts += [(kind, "bulk/7FE00010", value) for kind, value in bulk]
        body = b"".join(head(kind, at).encode() + value + b"\r\n" for kind, at, value in parts)
        return body + b"--BOUND--\r\n"

    def image(self):
        (instance,) = exam(1, **pixels(64, 64, bits=16))
        return dcmread(DicomBytesIO(instance))

    def test_native_pixels(self, client):
        sent = self.image()
        answer = store(
            client, self.content(sent, ("application/octet-stream", sent.PixelData)), kind=self.KIND
        )
        found = dcmread(
            DicomBytesIO(retrieved(client, answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]))
        )
        assert (answer.status_code, found.PixelData) == (200, sent.PixelData)

    def test_compressed_pixels(self, client):
        """Table 8.7.3-5: image/jls is JPEG-LS Lossless unless it says otherwise."""
        sent = self.image()
        frame = imagecodecs.jpegls_encode(sent.pixel_array)
        answer = store(client, self.content(sent, ("image/jls", frame)), kind=self.KIND)
        found = dcmread(
            DicomBytesIO(retrieved(client, answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]))
        )
        assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.80"
        assert (imagecodecs.jpegls_decode(next(generate_frames(found.PixelData))) == sent.pixel_array).all()

    def test_attributes_as_xml(self, client):
        """One part of the Native DICOM Model for each instance."""
        sent = self.image()
        attributes = sent.to_json_dict(1, lambda element: f"bulk/{int(element.tag):08X}")
        content = self.content(sent, ("application/octet-stream", sent.PixelData))
        head, _, rest = content.partition(b"[{")
        xml = (
            head.replace(b"+json", b"+xml") + render_native_model(attributes) + rest[rest.index(b"\r\n--") :]
        )
        answer = store(client, xml, kind=self.KIND.replace("+json", "+xml"))
        url = answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]
        found = dcmread(DicomBytesIO(retrieved(client, url)))
        assert (found.Rows, found.PixelData) == (64, sent.PixelData)

    @pytest.mark.parametrize("document", [b"", b"<a/>", b"<!DOCTYPE a><a/>", b"<a", b"\xff"])
    def test_xml_that_is_no_data_set(self, client, document):
        assert store(client, document, kind="application/dicom+xml").status_code == 400

    def test_pixels_that_do_not_come(self, client, site):
        before = site.stored_instances()
        assert store(client, self.content(self.image()), kind=self.KIND).status_code == 409
        assert site.stored_instances() == before


class TestAnnotations:
    """What software makes of images that it retrieved comes back into their study, under their pseudonyms."""

    @pytest.fixture
    def image(self, client):
        answer = store(client, body(*exam(1)))
        return read(retrieved(client, answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]))

    def annotation(self, image, **values):
        own = {name: image[name].value for name in ("StudyInstanceUID", "PatientID", "StudyDate")}
        referenced = Dataset()
        referenced.ReferencedSOPClassUID, referenced.ReferencedSOPInstanceUID = MG, image.SOPInstanceUID
        series = Dataset()
        series.SeriesInstanceUID, series.ReferencedImageSequence = image.SeriesInstanceUID, [referenced]
        (instance,) = exam(
            1, SOPClassUID=PR, Modality="PR", ReferencedSeriesSequence=[series], **(own | values)
        )
        return instance

    def test_are_stored_in_that_study_with_their_references(self, client, image):
        answer = store(client, body(self.annotation(image)), f"/studies/{image.StudyInstanceUID}")
        assert answer.status_code == 200, answer.text
        found = read(retrieved(client, answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]))
        names = ("StudyInstanceUID", "PatientID", "StudyDate")
        assert [found[name].value for name in names] == [image[name].value for name in names]
        (series,) = found.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == image.SeriesInstanceUID
        assert series.ReferencedImageSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID

    def test_of_another_patient_are_a_mismatch(self, client, image, site):
        before = site.stored_instances()
        answer = store(client, body(self.annotation(image, PatientID="somebody else")))
        assert (answer.status_code, reasons(answer)) == (409, [0xA900])
        assert site.stored_instances() == before


def test_what_is_held_is_accepted_and_named_as_its_sender_did(client, site):
    """Section 10.5.3: 202, and no address, until the text in its pixels is masked."""
    (instance,) = exam(1, BurnedInAnnotation="YES")
    answer = store(client, body(instance))
    assert (answer.status_code, stored(answer)) == (202, [read(instance).SOPInstanceUID])
    assert "00081190" not in answer.json()["00081199"]["Value"][0]
    eventually(lambda: is_settled(site))


def is_settled(site: LiveSite) -> bool:
    """Whether nothing is held any more but for a person."""
    with site.database() as database:
        query = "select count(*) from spool where state in ('waiting', 'cleaning')"
        return database.execute(query).fetchone() == (0,)


class TestFailed:
    """Tables 10.5.3-1 and I.2-2. Whatever fails, nothing of it is stored."""

    @pytest.fixture(autouse=True)
    def unchanged(self, server):
        self.before = server.stored_instances()
        yield
        assert server.stored_instances() == self.before + self.__dict__.get("more", 0)

    def test_what_the_door_refuses(self, client):
        """Radiotherapy: the reason is the door's, the identifiers are the sender's own."""
        (instance,) = exam(1, SOPClassUID=RT_IMAGE)
        answer = store(client, body(instance))
        (item,) = answer.json()["00081198"]["Value"]
        assert (answer.status_code, item["00081155"]["Value"]) == (409, [read(instance).SOPInstanceUID])
        assert reasons(answer) == [0x0122]

    def test_some_of_several(self, client):
        self.more = 1
        answer = store(client, body(exam(1)[0], b"no instance", exam(1, SOPClassUID=RT_IMAGE)[0]))
        assert (answer.status_code, len(stored(answer)), len(reasons(answer))) == (202, 1, 2)

    @pytest.mark.standard
    def test_one_of_two(self, client):
        """Table 10.5.3-1."""
        self.more = 1
        answer = store(client, body(exam(1)[0], b"no instance"))
        assert (answer.status_code, len(stored(answer)), len(reasons(answer))) == (202, 1, 1)

    @pytest.mark.standard
    def test_another_study_than_the_address_names(self, client):
        """Section 10.5.2."""
        assert store(client, body(*exam(2)), "/studies/1.2.3").status_code == 409

    def test_the_reason_of_that(self, client):
        answer = store(client, body(*exam(2)), "/studies/1.2.3")
        assert reasons(answer) == [0xA900, 0xA900]

    @pytest.mark.parametrize(
        "content", [b"x", b"", b"\0" * 128 + b"DICM", exam(1)[0][:400]], ids=["text", "empty", "bare", "cut"]
    )
    def test_what_is_no_instance(self, client, content):
        assert store(client, body(content)).status_code == 409

    @pytest.mark.standard
    @pytest.mark.parametrize(
        "content", [b"", b"--BOUND--\r\n", body(exam(1)[0])[:300]], ids=["empty", "no part", "cut"]
    )
    def test_what_is_no_request(self, client, content):
        """Table 8.5-1."""
        assert store(client, content).status_code == 400

    @pytest.mark.standard
    @pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=BOUND"])
    def test_payloads_that_are_not_taken(self, client, kind):
        assert store(client, body(*exam(1)), kind=kind).status_code == 415

    def test_a_token_that_only_reads(self, site):
        with site.client("dicomweb.read") as reader:
            assert store(reader, body(*exam(1))).status_code == 403


def test_every_real_file_is_stored_and_read_back_or_refused_with_a_reason(client, site, shared):
    """Section 10.5.3: whatever is sent, the answer is one of the Store Instances Response's."""
    urls = []
    for path in sorted(path for path in (shared / "data" / "dicom").rglob("*") if path.is_file()):
        answer = store(client, path.read_bytes(), kind="application/dicom")
        assert answer.status_code in (200, 202, 409), path.name
        assert len(stored(answer)) + len(reasons(answer)) == 1
        items = answer.json().get("00081199", {}).get("Value", [])
        urls += [item["00081190"]["Value"][0] for item in items if answer.status_code == 200]
    assert len(urls) >= 10
    eventually(lambda: is_settled(site))
    for url in urls:
        found = dcmread(DicomBytesIO(retrieved(client, url)))
        assert found.SOPInstanceUID == url.rpartition("/")[2]
        expected = 200 if "PixelData" in found else 404
        assert client.get(f"{url}/frames/1", headers={"Accept": "*/*"}).status_code == expected
