"""STOW-RS, with an Orthanc that is played (PS3.18 section 10.5)."""

import json
import zlib
from io import BytesIO

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian

from gateway.door import study_identifier
from tests.unit import fake_site
from tests.unit.fake_site import FakeOrthanc

CLASS, STUDY, SERIES, INSTANCE = "1.2.840.10008.5.1.4.1.1.7", "1.2.3", "1.2.3.4", "1.2.3.4.5"
MULTIPART = 'multipart/related; type="application/dicom"; boundary=XX'


def instance(syntax=ExplicitVRLittleEndian, **values) -> bytes:
    dataset = Dataset()
    own = {
        "SOPClassUID": CLASS,
        "SOPInstanceUID": INSTANCE,
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
    }
    for name, value in (own | {"PatientName": "Secret^Name"} | values).items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def multipart(*instances: bytes, kind="application/dicom") -> bytes:
    parts = [b"--XX\r\nContent-Type: %s\r\n\r\n%s\r\n" % (kind.encode(), part) for part in instances]
    return b"".join(parts) + b"--XX--\r\n"


@pytest.fixture
def site(tmp_path):
    return fake_site.build(tmp_path)


def store(site, content, *, path="/dicom-web/studies", kind=MULTIPART, **headers) -> httpx.Response:
    fields = site.bearer("dicomweb.write") | {"Content-Type": kind} | headers
    return site.client.post(path, content=content, headers=fields)


def items(answer: httpx.Response, sequence: str) -> list[dict]:
    return answer.json().get(sequence, {}).get("Value", [])


class TestHeld:
    """What the door holds until its pixels are cleaned; it says so to Orthanc, and Orthanc to the gateway."""

    @pytest.fixture
    def answer(self, site) -> httpx.Response:
        site.orthanc.door = lambda body: 202
        return store(site, multipart(instance()))

    def test_is_accepted(self, answer):
        assert answer.status_code == 202
        assert not items(answer, "00081198")

    def test_is_named_as_its_sender_does_and_can_not_be_retrieved_yet(self, answer):
        (item,) = items(answer, "00081199")
        assert item["00081155"]["Value"] == [INSTANCE]
        assert "00081190" not in item
        assert "00081190" not in answer.json()


class TestStored:
    """PS3.18 section 10.5.3."""

    def test_the_door_gets_the_bytes_as_they_came(self, site):
        sent = [instance(SOPInstanceUID=f"1.2.3.4.{number}") for number in range(9)]
        assert store(site, multipart(*sent)).status_code == 200
        assert sorted(site.orthanc.received) == sent

    def test_the_answer_names_pseudonyms_on_the_public_address_only(self, tmp_path):
        site = fake_site.build(tmp_path, public_url="https://public.test")
        answer = store(site, multipart(instance()), Host="evil.test")
        (item,) = items(answer, "00081199")
        study, series, own = map(fake_site.DEIDENTIFIER.pseudonyms.uid, (STUDY, SERIES, INSTANCE))
        assert item["00081155"]["Value"] == [own]
        assert item["00081190"]["Value"] == [
            f"https://public.test/dicom-web/studies/{study}/series/{series}/instances/{own}"
        ]
        assert INSTANCE not in answer.text
        assert answer.headers["content-type"] == "application/dicom+json"

    @pytest.mark.parametrize(
        "kind",
        [
            "multipart/related; type=application/dicom; boundary=XX",
            'multipart/related; boundary="XX"; type="application/dicom"',
            'Multipart/Related; Type="APPLICATION/DICOM"; Boundary=XX',
            "multipart/related; boundary=XX",
        ],
    )
    def test_the_variants_that_clients_send(self, site, kind):
        assert store(site, multipart(instance()), kind=kind).status_code == 200

    def test_a_single_part(self, site):
        """PS3.18 section 8.6.1.1."""
        assert store(site, instance(), kind="application/dicom").status_code == 200

    def test_a_body_in_chunks_with_bare_line_feeds(self, site):
        body = multipart(instance()).replace(b"\r\n--XX", b"\n--XX").replace(b"dicom\r\n\r\n", b"dicom\n\n")

        async def chunks():
            for at in range(0, len(body), 11):
                yield body[at : at + 11]

        assert store(site, chunks()).status_code == 200
        assert site.orthanc.received == [instance()]

    def test_deflated_instances_are_known_by_their_identifiers(self, site):
        assert store(site, multipart(instance(DeflatedExplicitVRLittleEndian))).status_code == 200

    def test_big_endian_is_the_doors_to_convert(self, site):
        assert store(site, multipart(instance(ExplicitVRBigEndian))).status_code == 200

    def test_that_identifiers_were_replaced_is_a_warning(self, site):
        """Table I.2-1, B000: coercion of data elements."""
        (item,) = items(store(site, multipart(instance())), "00081199")
        assert item["00081196"]["Value"] == [0xB000]

    def test_into_their_own_study(self, site):
        assert store(site, multipart(instance()), path=f"/dicom-web/studies/{STUDY}").status_code == 200


class TestOfAStudyOfThisSite:
    """Annotations come back with the pseudonyms that their images were retrieved under."""

    @pytest.fixture(autouse=True)
    def of_nobody_who_opted_out(self, monkeypatch):
        """PostgreSQL knows who has; at a real site: integration/test_optout.py."""

        async def is_hidden(*asked):
            return False

        monkeypatch.setattr("gateway.door._is_hidden", is_hidden)

    @pytest.fixture
    def annotation(self) -> bytes:
        pseudonyms = fake_site.DEIDENTIFIER.pseudonyms
        uids = {name: pseudonyms.uid(name) for name in ("StudyInstanceUID", "SeriesInstanceUID")}
        return instance(PatientID=pseudonyms.patient_id("P1"), SOPInstanceUID="1.2.3.99", **uids)

    def test_is_stored_where_the_site_holds_that_study_of_that_patient(self, site, annotation):
        site.orthanc.held.add(f"/studies/{study_identifier(fake_site.DEIDENTIFIER.recognise(annotation))}")
        answer = store(site, multipart(annotation))
        assert (answer.status_code, site.orthanc.received) == (200, [annotation])

    def test_is_a_mismatch_where_it_does_not(self, site, annotation):
        answer = store(site, multipart(annotation))
        (item,) = items(answer, "00081198")
        assert (answer.status_code, item["00081197"]["Value"]) == (409, [0xA900])
        assert site.orthanc.received == []


class TestAttributesWithBulkData:
    """PS3.18 section 10.5.2: metadata in JSON, and beside it the bulk data that it names."""

    JSON = 'multipart/related; type="application/dicom+json"; boundary=XX'

    def body(self, *parts: tuple[str, str, bytes]) -> bytes:
        head = "--XX\r\nContent-Type: {}\r\nContent-Location: {}\r\n\r\n"
        return b"".join(head.format(kind, at).encode() + part + b"\r\n" for kind, at, part in parts) + (
            b"--XX--\r\n"
        )

    def attributes(self, **more) -> bytes:
        attributes = dcmread(BytesIO(instance())).to_json_dict()
        return json.dumps([attributes | more]).encode()

    def test_are_put_together(self, site):
        pixels = {"7FE00010": {"vr": "OW", "BulkDataURI": "pixels/1"}}
        content = self.body(
            ("application/dicom+json", "", self.attributes(**pixels)),
            ("application/octet-stream", "pixels/1", b"\1\2\3\4"),
        )
        assert store(site, content, kind=self.JSON).status_code == 200
        (received,) = site.orthanc.received
        assert dcmread(BytesIO(received)).PixelData == b"\1\2\3\4"

    def test_without_bulk_data_in_one_part(self, site):
        assert store(site, self.attributes(), kind="application/dicom+json").status_code == 200

    def test_what_lacks_its_bulk_data_fails_and_the_other_is_stored(self, site):
        both = json.loads(self.attributes()) + json.loads(
            self.attributes(**{"7FE00010": {"vr": "OW", "BulkDataURI": "missing"}})
        )
        answer = store(site, json.dumps(both).encode(), kind="application/dicom+json")
        assert (answer.status_code, len(items(answer, "0008119A"))) == (202, 1)

    @pytest.mark.parametrize("content", [b"{", b"[1]", b'"x"'])
    def test_what_is_no_instance_in_json_is_400(self, site, content):
        assert store(site, content, kind="application/dicom+json").status_code == 400


class TestFailed:
    """PS3.18 table 10.5.3-1 and table I.2-2."""

    def reason(self, answer, sequence="00081198"):
        (item,) = items(answer, sequence)
        return item["00081197"]["Value"][0]

    def test_some_stored_is_202(self, site):
        answer = store(site, multipart(instance(), b"junk"))
        assert answer.status_code == 202
        assert (len(items(answer, "00081199")), self.reason(answer, "0008119A")) == (1, 0xC000)

    def test_a_refused_one_is_told_under_its_senders_own_identifiers(self, site):
        site.orthanc.door = lambda body: 500
        answer = store(site, multipart(instance()))
        (item,) = items(answer, "00081198")
        assert answer.status_code == 409
        assert (item["00081150"]["Value"], item["00081155"]["Value"]) == ([CLASS], [INSTANCE])
        assert self.reason(answer) == 0x0110

    @pytest.mark.parametrize(("door", "reason"), [(400, 0xC000), (500, 0x0110), (403, 0x0110), (507, 0xA700)])
    def test_reasons(self, site, door, reason):
        site.orthanc.door = lambda body: door
        assert self.reason(store(site, multipart(instance()))) == reason

    def test_outcomes_keep_the_order_sent(self, site):
        site.orthanc.door = lambda body: 500
        sent = [instance(SOPInstanceUID=f"1.2.3.4.{number}") for number in range(9)]
        failed = items(store(site, multipart(*sent)), "00081198")
        assert [item["00081155"]["Value"] for item in failed] == [
            [f"1.2.3.4.{number}"] for number in range(9)
        ]

    @pytest.mark.parametrize("told", [None, "stored", 0, 299])
    def test_only_what_the_door_calls_stored_is(self, site, told):
        site.orthanc.door = lambda body: told
        assert store(site, multipart(instance())).status_code == 409

    def test_another_study_is_refused_before_anything_is_stored(self, site):
        answer = store(site, multipart(instance()), path="/dicom-web/studies/9.9")
        assert (answer.status_code, self.reason(answer)) == (409, 0xA900)
        assert site.orthanc.received == []

    @pytest.mark.parametrize(
        "content",
        [
            b"junk",
            instance()[:200],
            instance(StudyInstanceUID=""),
            instance(DeflatedExplicitVRLittleEndian)[:-40] + zlib.compress(b"x"),
        ],
    )
    def test_what_is_no_instance_is_refused_here(self, site, content):
        assert store(site, multipart(content)).status_code == 409
        assert site.orthanc.received == []

    def test_a_part_of_another_type_is_refused(self, site):
        assert store(site, multipart(instance(), kind="application/pdf")).status_code == 409

    def test_an_orthanc_that_is_gone_is_503(self, site):
        def gone(body):
            raise httpx.ConnectError("gone")

        site.orthanc.door = gone
        answer = store(site, multipart(instance()))
        assert (answer.status_code, self.reason(answer)) == (503, 0xA700)


class TestRequest:
    """PS3.18 section 10.5.1."""

    @pytest.mark.parametrize(
        "content", [b"", b"--XX--", multipart(), b"nothing", multipart(instance())[:-12]]
    )
    def test_no_instance_or_half_a_body_is_400(self, site, content):
        assert store(site, content).status_code == 400

    @pytest.mark.parametrize(
        "kind",
        [
            "application/json",
            "multipart/form-data; boundary=XX",
        ],
    )
    def test_other_payloads_are_415(self, site, kind):
        assert store(site, multipart(instance()), kind=kind).status_code == 415

    def test_an_encoded_payload_is_415(self, site):
        assert store(site, multipart(instance()), **{"Content-Encoding": "gzip"}).status_code == 415

    @pytest.mark.parametrize("kind", ["multipart/related", "multipart/related; boundary=", "x"])
    def test_a_malformed_type_is_400(self, site, kind):
        assert store(site, multipart(instance()), kind=kind).status_code == 400

    @pytest.mark.parametrize("kind", [MULTIPART, "application/dicom"])
    def test_too_large_an_instance_is_413_and_not_delivered(self, tmp_path, kind):
        site = fake_site.build(tmp_path, max_instance_bytes=100)
        content = multipart(instance()) if kind == MULTIPART else instance()
        assert store(site, content, kind=kind).status_code == 413
        assert site.orthanc.received == []

    def test_an_answer_that_is_not_acceptable_stores_nothing(self, site):
        assert store(site, multipart(instance()), Accept="text/html").status_code == 406
        assert site.orthanc.received == []

    def test_nothing_passes_an_unprotected_orthanc(self, tmp_path):
        site = fake_site.build(tmp_path, FakeOrthanc(protecting=False))
        assert store(site, multipart(instance())).status_code == 503
        assert site.orthanc.received == []


def test_nothing_of_an_instance_gets_into_a_log(site, caplog):
    """Whatever becomes of it."""
    caplog.set_level(0)
    for door in (200, 400, 500):
        site.orthanc.door = lambda body, door=door: door
        store(site, multipart(instance(), instance()[:-3], b"Secret^Name"))
    assert not [word for word in ("Secret", INSTANCE, STUDY) if word in caplog.text]
