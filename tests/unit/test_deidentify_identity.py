"""The identity that is read before it is removed, in every character set (PS3.3 C.12.1.1.2).

pydicom leaves the escapes of GB 2312 in the name of chrGB2312, so that one is spelt out here.
"""

from pathlib import Path

import pydicom
import pytest

from deidentification.elements import collect
from deidentification.identity import TAGS, Identity, decode, read_identity
from deidentification.part10 import read_meta, reader

FILES = """
    chrArab chrFren chrGB2312 chrGerm chrGreek chrH31 chrH32 chrHbrw chrI2 chrJapMulti chrJapMultiExplicitIR6
    chrKoreanMulti chrRuss chrX1 chrX2
""".split()  # noqa: SIM905


def read(path: Path) -> Identity:
    data = path.read_bytes()
    transfer_syntax, start = read_meta(data)
    return read_identity(collect(data, start, reader(transfer_syntax), TAGS, 0x7FE00008))


@pytest.mark.parametrize("name", FILES)
def test_names_read_as_pydicom_reads_them(shared: Path, name: str) -> None:
    path = shared / "data" / "dicom" / "charset" / f"{name}.dcm"
    expected = "Zhang^XiaoDong=张^小东" if name == "chrGB2312" else str(pydicom.dcmread(path).PatientName)
    assert read(path).patient_name.rstrip(" =") == expected.rstrip(" =")


@pytest.mark.parametrize("name", FILES)
def test_bytes_of_names_can_be_given_back(shared: Path, name: str) -> None:
    path = shared / "data" / "dicom" / "charset" / f"{name}.dcm"
    identity = read(path)
    original = pydicom.dcmread(path).get_item("PatientName").value
    kept = bytes.fromhex(identity.raw["patient_name"]) if identity.raw else identity.patient_name.encode()
    assert kept == original.strip(b" \0")


@pytest.mark.parametrize("character_set", ["", "ISO_IR 192", "nonsense", "ISO 2022 IR 87", "ISO_IR 13"])
def test_any_bytes_are_text(character_set: str) -> None:
    for value in (b"\xff\xfe", b"\x1b$B\xff", b"\x1b$)C\xff", bytes(range(256))):
        assert isinstance(decode(value, character_set), str)


def test_json_is_stable() -> None:
    identity = Identity(patient_name="M\u00fcller", raw={"patient_name": "4dfc"})
    assert Identity.from_json(identity.to_json()) == identity
    assert identity.to_json() == Identity.from_json(identity.to_json()).to_json()
