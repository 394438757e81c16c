"""Big endian (PS3.5-2016 A.3) is stored as explicit VR little endian."""

import io
import struct
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deidentification.deidentify import Deidentifier, Refused
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from tests.unit.part10_bytes import UNDEFINED, part10

BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEIDENTIFIER = Deidentifier(
    Keys.derive(b"a site secret of thirty-two bytes"), Profile.load("breast-screening")
)
LONG = ("OB", "OW", "SQ", "UN", "UT")


def swapped(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    value += b" " * (len(value) % 2)
    length = len(value) if length is None else length
    head = struct.pack(">HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return (
        head + struct.pack(">HL" if vr in LONG else ">H", *((0, length) if vr in LONG else (length,))) + value
    )


def mammogram(middle: bytes = b"", pixels: bytes = struct.pack(">6H", *range(6)), bits: int = 16) -> bytes:
    return part10(
        swapped(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.1.2\0")
        + swapped(0x00080018, "UI", b"1.2.752.99.1.2.3.4\0")
        + swapped(0x00080020, "DA", b"20240229")
        + swapped(0x00100010, "PN", b"MUSTERMANN^ERIKA")
        + swapped(0x00100020, "LO", b"PATIENT-12345")
        + swapped(0x0020000D, "UI", b"1.2.752.99.1.2")
        + swapped(0x0020000E, "UI", b"1.2.752.99.1.2.3")
        + swapped(0x00280002, "US", b"\0\1")
        + swapped(0x00280004, "CS", b"MONOCHROME2")
        + swapped(0x00280010, "US", b"\0\2")
        + swapped(0x00280011, "US", b"\0\3")
        + swapped(0x00280100, "US", struct.pack(">H", bits))
        + middle
        + swapped(0x7FE00010, "OW", pixels),
        BIG_ENDIAN,
    )


def rewritten(instance: bytes) -> pydicom.Dataset:
    output = DEIDENTIFIER.deidentify(instance).instance
    assert DEIDENTIFIER.deidentify(output).instance == output
    assert b"MUSTERMANN" not in output
    return pydicom.dcmread(io.BytesIO(output))


def test_numbers_and_pixels_are_swapped() -> None:
    output = rewritten(mammogram())
    assert output.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert (output.Rows, output.Columns) == (2, 3)
    assert output.PixelData == struct.pack("<6H", *range(6))


@pytest.mark.parametrize("undefined", [True, False])
def test_sequences(undefined: bool) -> None:
    value = swapped(0x00080100, "SH", b"399162004") + swapped(0x00100010, "PN", b"MUSTERMANN")
    if undefined:
        value += struct.pack(">HHL", 0xFFFE, 0xE00D, 0)
    items = struct.pack(">HHL", 0xFFFE, 0xE000, UNDEFINED if undefined else len(value)) + value
    if undefined:
        items += struct.pack(">HHL", 0xFFFE, 0xE0DD, 0)
    views = swapped(0x00540220, "SQ", items, UNDEFINED if undefined else None)
    assert rewritten(mammogram(views)).ViewCodeSequence[0].CodeValue == "399162004"


def test_unknown_values_go() -> None:
    assert "ViewPosition" not in rewritten(mammogram(swapped(0x00540010, "UN", b"MUSTERMANN")))


def test_cells_of_32_bits_are_refused() -> None:
    with pytest.raises(Refused):
        rewritten(mammogram(pixels=bytes(24), bits=32))


def test_every_cut_is_refused() -> None:
    instance = mammogram()
    for length in range(len(instance)):
        with pytest.raises(Refused):
            DEIDENTIFIER.deidentify(instance[:length])


@given(st.integers(140, 500), st.binary(min_size=1, max_size=4))
def test_any_change_is_taken_or_refused(at: int, content: bytes) -> None:
    instance = mammogram()
    try:
        output = DEIDENTIFIER.deidentify(instance[:at] + content + instance[at + len(content) :]).instance
    except Refused:
        return
    assert DEIDENTIFIER.carries_proof(output)


def test_real_file(shared: Path) -> None:
    """An uncompressed file of another writer: read the same by pydicom before and after."""
    found = [
        path
        for path in (shared / "data" / "dicom" / "encodings").iterdir()
        if pydicom.dcmread(path, force=True).file_meta.get("TransferSyntaxUID") == BIG_ENDIAN
    ]
    assert found
    (path,) = found
    before = pydicom.dcmread(path)
    assert (rewritten(path.read_bytes()).pixel_array == before.pixel_array).all()
