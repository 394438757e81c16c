"""Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 6.1): read rightly into the identity, harmless in the output."""

import io
from pathlib import Path

import pydicom
import pytest

from deidentification.deidentify import Deidentifier
from deidentification.elements import collect
from deidentification.identity import TAGS, read_identity
from deidentification.part10 import read_meta, reader
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from tests.unit.part10_bytes import MG_FOR_PRESENTATION

DEIDENTIFIER = Deidentifier(
    Keys.derive(b"a site secret of thirty-two bytes"), Profile.load("breast-screening")
)
NAMES = """chrArab chrFren chrGB2312 chrGerm chrGreek chrH31 chrH32 chrHbrw chrI2 chrJapMulti
chrJapMultiExplicitIR6 chrKoreanMulti chrRuss chrX1 chrX2""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", NAMES)
class TestRealFiles:
    def test_name_is_read_as_pydicom_reads_it(self, shared: Path, name: str) -> None:
        data = (shared / "data" / "dicom" / "charset" / f"{name}.dcm").read_bytes()
        syntax, start = read_meta(data)
        values = collect(data, start, reader(syntax), TAGS.keys(), max(TAGS) + 1)
        dataset = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
        identity = read_identity(values)
        read_by_pydicom = str(dataset.PatientName).replace("\x1b$)A", "")  # which leaves this escape in
        assert identity.patient_name.rstrip("=") == read_by_pydicom.rstrip("=")
        assert "\ufffd" not in identity.patient_name
        assert bytes.fromhex(identity.raw.get("patient_name", "")) in (b"", values[0x00100010].strip(b" \0"))

    def test_nothing_of_it_is_left(self, shared: Path, name: str) -> None:
        source = as_mammogram(shared / "data" / "dicom" / "charset" / f"{name}.dcm")
        made = DEIDENTIFIER.deidentify(source)
        output = pydicom.dcmread(io.BytesIO(made.instance))
        assert output.PatientName == output.PatientID == made.patient_id
        header = made.instance[: made.instance.rindex(b"\xe0\x7f\x10\0")]
        words = [word for word in made.identity.patient_name.replace("=", "^").split("^") if len(word) > 3]
        raw = bytes.fromhex(made.identity.raw.get("patient_name", ""))
        assert raw == b"" or raw not in header
        assert not [word for word in words if word.encode("utf-8") in header]

    def test_character_set_is_unchanged(self, shared: Path, name: str) -> None:
        source = as_mammogram(shared / "data" / "dicom" / "charset" / f"{name}.dcm")
        output = pydicom.dcmread(io.BytesIO(DEIDENTIFIER.deidentify(source).instance))
        before = pydicom.dcmread(io.BytesIO(source)).get("SpecificCharacterSet")
        assert output.get("SpecificCharacterSet") == before


def as_mammogram(path: Path) -> bytes:
    """The file under a class that is taken, with pixels as its description says."""
    dataset = pydicom.dcmread(path)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MG_FOR_PRESENTATION
    for keyword in ("ConversionType", "BurnedInAnnotation", "ImageType"):
        if keyword in dataset:
            delattr(dataset, keyword)
    dataset.Rows = dataset.Columns = 2
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 7, 1, "MONOCHROME2"
    dataset.PixelData = b"\1\2\3\4"
    dataset["PixelData"].VR = "OW"
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()
