"""Lookup tables against their descriptors (PS3.3 C.7.6.3.1.5, C.11.1.1.1)."""

import io
import struct

import pydicom
import pytest

from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from tests.unit.part10_bytes import dataset, element, item, mammogram, part10

DEIDENTIFIER = Deidentifier(
    Keys.derive(b"a site secret of thirty-two bytes"), Profile.load("breast-screening")
)
HIDDEN = b"MUSTERMANN"


def table_of(data: bytes, entries: int = 4, bits: int = 16, *, described: bool = True) -> bytes | None:
    descriptor = element(0x00283002, "US", struct.pack("<HHH", entries, 0, bits)) if described else b""
    lut = item(descriptor + element(0x00283006, "OW", data))
    body = dataset(mammogram(x00283010=("SQ", lut)))
    output = DEIDENTIFIER.deidentify(part10(body)).instance
    assert HIDDEN not in output
    assert DEIDENTIFIER.deidentify(output).instance == output
    return pydicom.dcmread(io.BytesIO(output)).VOILUTSequence[0].get("LUTData")


@pytest.mark.parametrize(("bits", "length"), [(16, 8), (12, 8), (8, 8), (8, 4)])
def test_what_rides_behind_a_table_goes(bits: int, length: int) -> None:
    data = bytes(range(length))
    assert table_of(data, bits=bits) == data
    if length == 8:
        assert table_of(data + HIDDEN, bits=bits) == data


def test_table_without_descriptor_goes() -> None:
    assert table_of(bytes(8), described=False) is None


def test_palette() -> None:
    described = {0x00281100 + n: ("US", struct.pack("<HHH", 2, 0, 16)) for n in (1, 2, 3)}
    data = {0x00281200 + n: ("OW", b"\1\2\3\4" + HIDDEN) for n in (1, 2, 3)}
    output = DEIDENTIFIER.deidentify(part10(dataset(mammogram() | described | data))).instance
    assert HIDDEN not in output
    assert pydicom.dcmread(io.BytesIO(output)).BluePaletteColorLookupTableData == b"\1\2\3\4"
