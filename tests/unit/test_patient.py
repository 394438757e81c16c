"""A Patient ID as a person writes it finds the pseudonym that de-identification gave, however the file wrote it."""

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from deidentification.deidentify import Deidentifier
from deidentification.patient import patient_pseudonyms
from deidentification.profile import Profile
from deidentification.pseudonym import Keys, Pseudonyms
from tests.unit.dicom_files import dataset, part10, pixels

KEYS = Keys.derive(bytes(range(32)))
PSEUDONYMS = Pseudonyms(KEYS)
MG = "1.2.840.10008.5.1.4.1.1.1.2"


def deidentified(**values: object) -> str:
    uids = {
        "SOPClassUID": MG,
        "StudyInstanceUID": "1.5",
        "SeriesInstanceUID": "1.5.1",
        "SOPInstanceUID": "1.5.1.1",
    }
    made = Deidentifier(KEYS, Profile.load("basic")).deidentify(
        part10(dataset(**uids, Modality="MG", **pixels(4, 4), **values))
    )
    return str(dcmread(DicomBytesIO(made.instance)).PatientID)


@pytest.mark.parametrize(
    ("patient_id", "issuer", "character_set"),
    [
        ("123-A b", "", "ISO_IR 100"),
        ("123", "HOSPITAL", "ISO_IR 100"),
        ("Ü-12", "", "ISO_IR 100"),
        ("Ü-12", "Klinik Süd", "ISO_IR 192"),
        ("Ж7", "", "ISO_IR 144"),
        ("山7", "", "GB18030"),
    ],
)
def test_finds_the_pseudonym_of_an_instance(patient_id: str, issuer: str, character_set: str) -> None:
    """PatientID and IssuerOfPatientID (PS3.3 C.2.2) enter as de-identification has them."""
    named = {"IssuerOfPatientID": issuer} if issuer else {}
    given = deidentified(PatientID=patient_id, SpecificCharacterSet=character_set, **named)
    assert given in patient_pseudonyms(PSEUDONYMS, patient_id, issuer)


def test_plain_ascii_has_one_pseudonym() -> None:
    assert patient_pseudonyms(PSEUDONYMS, " P1 \n") == (PSEUDONYMS.patient_id("P1"),)


def test_a_pseudonym_stands_for_itself() -> None:
    own = PSEUDONYMS.patient_id("P1")
    assert patient_pseudonyms(PSEUDONYMS, own) == (own,)


@pytest.mark.parametrize("text", ["", "  ", "a\\b", "a\x1bb", "x" * 65])
def test_what_can_be_none_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="at most 64") as error:
        patient_pseudonyms(PSEUDONYMS, text)
    assert "x" * 65 not in str(error.value)
