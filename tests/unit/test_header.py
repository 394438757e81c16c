"""The quick reader of headers says what pydicom says, or leaves the file to it (PS3.5 section 7)."""

import dataclasses
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from archive import dicom_json
from archive.header import Unusual
from archive.index import UNREADABLE
from inference.demo import demo_exam
from tests.unit.dicom_files import compressed, dataset, part10, pixels

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)


def both(file: bytes) -> tuple[object, object]:
    """What the quick reader and pydicom make of a file; an error as its kind."""
    found = []
    for read in (dicom_json._read_quickly, dicom_json._read_patiently):
        try:
            found.append(dataclasses.astuple(read(BytesIO(file))))
        except (Unusual, *UNREADABLE, BytesLengthException, EOFError, OSError, NotImplementedError) as error:
            found.append(type(error))
    return found[0], found[1]


def nested(depth: int) -> Dataset:
    item = Dataset()
    item.CodeValue, item.ICCProfile = str(depth), b"\1" * 1026
    if depth:
        item.ContentSequence = [nested(depth - 1), Dataset()]
    return item


HEADERS = {
    "a mammogram": dict(pixels(4, 5)),
    "without pixels": {"Modality": "SR"},
    "nested": {"ContentSequence": [nested(3)], **pixels(2, 2)},
    "an empty sequence": {"ReferencedImageSequence": []},
    "UTF-8": {"PatientName": "Doe^Jane=山田^花子", "SpecificCharacterSet": "ISO_IR 192"},
    "Latin-1": {"PatientName": "Buc^Jérôme", "SpecificCharacterSet": "ISO_IR 100"},
    "Japanese": {"PatientName": "Yamada^Tarou", "SpecificCharacterSet": ["", "ISO 2022 IR 87"]},
    "no such character set": {"PatientName": "Doe", "SpecificCharacterSet": "NONE"},
    "signed": {**pixels(2, 2), "PixelRepresentation": 1, "SmallestImagePixelValue": 5},
    "unsigned": {"PixelRepresentation": 0, "SmallestImagePixelValue": 5},
    "numbers": {"SliceThickness": "2.50", "InstanceNumber": 7, "FlipAngle": 1.5, "ImageType": ["A", "", "C"]},
    "long binary": {"ICCProfile": b"\1" * 40_000, **pixels(2, 2)},
}


@pytest.mark.parametrize("syntax", SYNTAXES, ids=["explicit", "implicit"])
@pytest.mark.parametrize("name", HEADERS)
def test_both_say_the_same(name: str, syntax: str) -> None:
    quick, patient = both(part10(dataset(**HEADERS[name]), syntax))
    assert quick == patient
    assert quick is not Unusual


def test_of_compressed_pixels_too() -> None:
    quick, patient = both(part10(dataset(**compressed([[b"\xff\x4fab"]], table=True)), JPEG2000Lossless))
    assert quick == patient and quick is not Unusual


def test_of_a_whole_exam_and_wherever_it_is_cut() -> None:
    """A file that ends too early is for the other reader, if it is for any."""
    for instance in demo_exam():
        quick, patient = both(instance)
        assert quick == patient and quick is not Unusual
    for end in range(132, 2400, 7):
        quick, patient = both(instance[:end])
        assert quick in (patient, Unusual), end


@given(
    st.dictionaries(
        st.sampled_from(["PatientName", "PatientID", "StudyDescription", "PatientComments"]), TEXT
    )
)
def test_of_any_text(values: dict[str, str]) -> None:
    quick, patient = both(part10(dataset(SpecificCharacterSet="ISO_IR 192", **values)))
    assert quick in (patient, Unusual)


def small() -> dict[str, object]:
    """A value of each kind, in few bytes."""
    item = Dataset()
    item.CodeValue, item.PixelRepresentation, item.SmallestImagePixelValue = "5", 1, 7
    item.ICCProfile, item.PatientName = b"ab" * 4, "Doe^Jane"
    outer = Dataset()
    outer.ContentSequence = [item, Dataset()]
    numbers = {"SliceThickness": "2.50", "FlipAngle": 1.5, "FrameIncrementPointer": 0x00181063}
    return {"ContentSequence": [outer, item], "StudyDate": "20240102", **numbers, **pixels(2, 2)}


SMALL = small()


@pytest.mark.parametrize("syntax", SYNTAXES, ids=["explicit", "implicit"])
@settings(max_examples=400)
@given(st.data())
def test_of_bytes_that_were_changed(syntax: str, data: st.DataObject) -> None:
    """Of a damaged header the quick one says the same, or leaves it: never something else."""
    values = {**SMALL, "SpecificCharacterSet": data.draw(st.sampled_from(["ISO_IR 192", "ISO_IR 100"]))}
    file = bytearray(part10(dataset(**values), syntax))
    for _ in range(data.draw(st.integers(1, 3))):
        file[data.draw(st.integers(132, len(file) - 1))] = data.draw(st.integers(0, 255))
    quick, patient = both(bytes(file))
    assert quick in (patient, Unusual)


@pytest.mark.parametrize("damage", [b"\0", b" ", b"x", b"\xff"], ids=["null", "space", "letter", "no-ascii"])
def test_an_identifier_that_is_no_uid_is_for_the_other_reader(damage: bytes) -> None:
    """A file is proven under the bytes that it has, so no reader may make another UID of them (PS3.5 section 9.1)."""
    uid = dataset().SOPInstanceUID.encode()
    quick, _ = both(part10(dataset()).replace(uid, uid[:-2] + damage + uid[-1:]))
    assert quick is Unusual


def test_of_what_others_made(shared: Path) -> None:
    paths = [path for path in sorted((shared / "data" / "dicom").rglob("*")) if path.is_file()]
    said = {path: both(path.read_bytes()) for path in paths if path.stat().st_size < 500_000}
    assert [path for path, (quick, patient) in said.items() if quick not in (patient, Unusual)] == []
    assert sum(quick is not Unusual for quick, _ in said.values()) > len(said) // 3
