"""What becomes of input that is odd or broken: a stated outcome each, and a site that goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    generate_uid,
)

from tests.integration.conftest import WAYS, edit, send_c_store, send_rest, send_stow
from tests.integration.test_whole_way import read_back, write
from tests.live import LiveSite, eventually

Exam = Callable[[], list[bytes]]


def encode(instance: bytes, transfer_syntax: str) -> bytes:
    """The instance in another transfer syntax without compression of pixels."""
    dataset = dcmread(DicomBytesIO(instance))
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax == ImplicitVRLittleEndian
    buffer.is_little_endian = transfer_syntax != ExplicitVRBigEndian
    dcmwrite(
        buffer,
        dataset,
        force_encoding=True,
        implicit_vr=buffer.is_implicit_VR,
        little_endian=buffer.is_little_endian,
    )
    return buffer.getvalue()


def garble_length(instance: bytes) -> bytes:
    """Rows says that its value is longer than the file."""
    at = instance.index(b"\x28\x00\x10\x00US") + 6
    return instance[:at] + b"\xff\xff" + instance[at + 2 :]


def make_odd(instance: bytes) -> bytes:
    """Two values of an odd number of bytes, which PS3.5 section 7.1.1 does not allow and senders send."""
    for mark, value in ((b"\x10\x00\x00\x40LT", b"odd"), (b"\x08\x00\x70\x00LO", b"SENOGATE DEMO")):
        at = instance.index(mark) + 6
        end = at + 2 + int.from_bytes(instance[at : at + 2], "little")
        instance = instance[:at] + len(value).to_bytes(2, "little") + value + instance[end:]
    return instance


@pytest.mark.parametrize("way", WAYS)
def test_values_of_odd_length_are_stored_with_even_ones(site: LiveSite, instance: bytes, way: str) -> None:
    assert WAYS[way](site, make_odd(instance)) == "stored"


@pytest.mark.parametrize("send", [send_rest, send_stow], ids=["REST", "STOW-RS"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda _: b"not DICOM at all" * 100,
        lambda instance: instance[:100],
        lambda instance: instance[: len(instance) // 2],
        lambda instance: instance[:400],
        lambda instance: instance[:132] + bytes(400),
        garble_length,
    ],
    ids=["empty", "text", "no meta", "half", "cut header", "zero meta", "lying length"],
)
def test_what_is_no_whole_instance_is_refused_and_nothing_stored(
    site: LiveSite, instance: bytes, spoil: Callable[[bytes], bytes], send: Callable[[LiveSite, bytes], str]
) -> None:
    before = site.stored_instances()
    assert send(site, spoil(instance)) in {"400", "409", "500"}
    assert site.stored_instances() == before


def test_big_endian_is_stored(site: LiveSite, instance: bytes, tmp_path: Path) -> None:
    answer = site.send(write(tmp_path, [encode(instance, ExplicitVRBigEndian)]), wait=False)
    assert answer["refused"] == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
)
def test_little_endian_and_deflated_are_stored_as_they_came(
    site: LiveSite, instance: bytes, syntax: str, way: str
) -> None:
    assert WAYS[way](site, encode(instance, syntax)) == "stored"
    original = dcmread(DicomBytesIO(instance)).SOPInstanceUID
    query = "select transfer_syntax_uid from instance where sop_instance_uid = %s"
    with site.database() as database:
        row = eventually(lambda: database.execute(query, [site.pseudonyms().uid(original)]).fetchone())
    assert row == (syntax,)


def test_a_wrong_transfer_syntax_is_refused(site: LiveSite, instance: bytes) -> None:
    """Native pixels under the name of a compressed transfer syntax."""

    dataset = dcmread(DicomBytesIO(instance))
    mark = str(dataset.file_meta.TransferSyntaxUID).encode()
    wrong = instance.replace(mark + b"\0" * (len(mark) % 2), JPEG2000Lossless.encode() + b"\0", 1)
    before = site.stored_instances()
    assert send_rest(site, wrong) in {"400", "500"}
    assert site.stored_instances() == before


def test_an_image_that_has_lost_its_pixels_is_refused_with_the_reason(
    site: LiveSite, instance: bytes, tmp_path: Path
) -> None:
    def drop_pixels(dataset: Dataset) -> None:
        del dataset.PixelData

    (refused,) = site.send(write(tmp_path, [edit(instance, drop_pixels)]), wait=False)["refused"]
    assert "pixel data is missing" in refused["reason"]


def test_the_uid_of_another_studys_instance_leaves_that_one_as_it_is(
    site: LiveSite, instance: bytes, tmp_path: Path
) -> None:
    def move(dataset: Dataset) -> None:
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
        dataset.PatientID = "ANOTHER-4711"

    study = site.send(write(tmp_path, [instance]))["studies"][0]["study_instance_uid"]
    before = read_back(site, study)
    with site.database() as database:
        count = "select count(*) from unindexed where reason = 'Conflict'"
        (conflicts,) = database.execute(count).fetchone()
        assert send_c_store(site, edit(instance, move)) == "stored"
        eventually(lambda: database.execute(count).fetchone() == (conflicts + 1,))
    assert read_back(site, study) == before


def test_a_structured_report_is_stored_without_what_it_says_of_people(site: LiveSite, shared: Path) -> None:
    path = shared / "data" / "dicom" / "sr-seg-pr" / "sr_document_with_multiple_groups.dcm"
    answer = site.send(path)
    assert answer["sent"] == 1, answer["refused"]
    original, pseudonyms = dcmread(path), site.pseudonyms()
    study = read_back(site, answer["studies"][0]["study_instance_uid"])
    (stored,) = [each for each in study if each.SOPInstanceUID == pseudonyms.uid(original.SOPInstanceUID)]
    assert stored.Modality == "SR"
    assert stored.PatientID == pseudonyms.patient_id(original.PatientID)


def test_an_ultrasound_with_a_name_in_its_pixels_is_accepted_and_cleaned(
    site: LiveSite, shared: Path
) -> None:
    answer = site.send(shared / "data" / "dicom" / "us" / "rgb_burned_in.dcm")
    assert (answer["sent"], answer["refused"], answer["held"]) == (1, [], [])


@pytest.mark.parametrize("send", [send_rest, send_stow], ids=["REST", "STOW-RS"])
def test_a_truncated_ultrasound_is_refused_and_not_held(
    site: LiveSite, shared: Path, send: Callable[[LiveSite, bytes], str]
) -> None:
    """Over DIMSE as well, where Orthanc waits half a minute for the rest: one is among all real files."""
    whole = (shared / "data" / "dicom" / "us" / "rgb_burned_in.dcm").read_bytes()
    before = site.run("spool", "list").stdout
    assert send(site, whole[:-1000]) in {"400", "409", "500"}
    assert site.run("spool", "list").stdout == before


def test_a_study_of_a_modality_that_no_model_reads_has_no_reading(site: LiveSite, shared: Path) -> None:
    answer = site.send(shared / "data" / "dicom" / "sr-seg-pr" / "ct_image.dcm")
    assert answer["sent"] == 1
    assert [study["reading"] for study in answer["studies"]] == [None]


def test_send_goes_on_past_what_is_not_dicom(site: LiveSite, instance: bytes, tmp_path: Path) -> None:
    write(tmp_path, [instance])
    (tmp_path / "notes.txt").write_text("not DICOM")
    answer = site.send(tmp_path)
    assert answer["sent"] == 1
    assert (answer["refused"], [Path(each).name for each in answer["skipped"]]) == ([], ["notes.txt"])


def test_the_same_instance_twice_is_one(site: LiveSite, instance: bytes) -> None:
    before = site.stored_instances()
    assert [send_c_store(site, instance), send_rest(site, instance), send_stow(site, instance)] == [
        "stored"
    ] * 3
    assert site.stored_instances() == before + 1


def test_no_job_is_left_over(site: LiveSite, phantom_exam: Exam, tmp_path: Path) -> None:
    """After everything above the queue still works, and holds nothing that never ends."""
    answer = site.send(write(tmp_path, phantom_exam()))
    assert answer["studies"][0]["reading"]["state"] == "done"
    with site.database() as database:
        (stuck,) = database.execute(
            "select count(*) from procrastinate_jobs where status in ('failed', 'aborted')"
        ).fetchone()
    assert stuck == 0


def test_every_real_file_is_stored_or_refused_with_a_reason(site: LiveSite, shared: Path) -> None:
    answer = site.send(shared / "data" / "dicom", wait=True)
    assert answer["sent"] >= 13
    assert all(refused["reason"] for refused in answer["refused"])
    assert all(held["state"] == "quarantined" and held["reason"] for held in answer["held"])
