"""Fragments and offset tables of encapsulated pixel data (PS3.5 A.4, PS3.3 C.7.6.3.1.8)."""

import io
import struct

import pydicom
import pytest
from pydicom.encaps import generate_frames, parse_basic_offsets

from deidentification.deidentify import Deidentifier, Refused
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from tests.unit.frames import JPEG
from tests.unit.part10_bytes import SEQUENCE_END, UNDEFINED, dataset, element, item, jpeg, mammogram, part10

DEIDENTIFIER = Deidentifier(
    Keys.derive(b"a site secret of thirty-two bytes"), Profile.load("breast-screening")
)
COMMENT = b"\xff\xfe\0\x0cMUSTERMANN"
FIRST, SECOND = jpeg(b"1111"), jpeg(b"2222")
COMMENTED = FIRST[:2] + COMMENT + FIRST[2:]


def rewritten(
    *fragments: bytes, table: bytes = b"", frames: int = 2, extended: bytes = b""
) -> pydicom.Dataset:
    value = b"".join(map(item, (table, *fragments))) + SEQUENCE_END
    body = dataset(mammogram(x00280008=("IS", b"%d" % frames), x7FE00010=None)) + extended
    instance = part10(body + element(0x7FE00010, "OB", value, length=UNDEFINED), JPEG)
    output = DEIDENTIFIER.deidentify(instance).instance
    assert DEIDENTIFIER.deidentify(output).instance == output
    assert b"MUSTERMANN" not in output
    return pydicom.dcmread(io.BytesIO(output))


def frames_of(output: pydicom.Dataset) -> list[bytes]:
    return list(generate_frames(output.PixelData, number_of_frames=int(output.NumberOfFrames)))


class TestOffsetTables:
    def test_basic_table_follows_the_frames(self) -> None:
        output = rewritten(COMMENTED, SECOND, table=struct.pack("<LL", 0, len(COMMENTED) + 8))
        assert frames_of(output) == [FIRST, SECOND]
        assert parse_basic_offsets(output.PixelData) == [0, len(FIRST) + 8]

    def test_none_is_made_where_none_was(self) -> None:
        assert parse_basic_offsets(rewritten(COMMENTED, SECOND).PixelData) == []

    def test_extended_table_follows_the_frames(self) -> None:
        extended = element(0x7FE00001, "OV", bytes(16)) + element(0x7FE00002, "OV", b"MUSTERMANNMUSTER")
        output = rewritten(COMMENTED, SECOND, extended=extended)
        assert struct.unpack("<QQ", output.ExtendedOffsetTable) == (0, len(FIRST) + 8)
        assert struct.unpack("<QQ", output.ExtendedOffsetTableLengths) == (len(FIRST), len(SECOND))


class TestFramesOfSeveralFragments:
    def test_by_the_table(self) -> None:
        parts = COMMENTED[:6], COMMENTED[6:], SECOND
        table = struct.pack("<LL", 0, len(COMMENTED) + 16)
        assert frames_of(rewritten(*parts, table=table)) == [FIRST, SECOND]

    def test_by_how_frames_begin(self) -> None:
        assert frames_of(rewritten(COMMENTED[:6], COMMENTED[6:], SECOND)) == [FIRST, SECOND]

    def test_that_need_no_change_stay_in_their_fragments(self) -> None:
        output = rewritten(FIRST[:6], FIRST[6:], SECOND)
        assert output.PixelData == b"".join(map(item, (b"", FIRST[:6], FIRST[6:], SECOND)))

    def test_frame_that_no_one_counts_goes(self) -> None:
        assert frames_of(rewritten(FIRST, COMMENTED, frames=1)) == [FIRST]

    def test_unclear_is_refused(self) -> None:
        with pytest.raises(Refused, match="pixel-data-ambiguous"):
            rewritten(FIRST, SECOND, FIRST)

    def test_too_few_are_refused(self) -> None:
        with pytest.raises(Refused, match="pixel-data-too-short"):
            rewritten(FIRST, frames=3)
