"""The walk over data elements (PS3.5 clause 7)."""

import struct

import pytest

from deidentification.elements import UNDEFINED, collect, read_explicit, read_implicit, skip, skip_fragments
from deidentification.refusal import Reason, Refused
from tests.unit.part10_bytes import SEQUENCE_END, element, item, sequence

NAME = 0x00100010
LAST = 0x7FE00010


def reason(call, *arguments) -> Reason:
    with pytest.raises(Refused) as refused:
        call(*arguments)
    return refused.value.reason


class TestReadHead:
    """PS3.5 7.1.2 and 7.1.3."""

    def test_explicit_short(self) -> None:
        assert read_explicit(element(NAME, "PN", b"AB"), 0) == (NAME, b"PN", 2, 8)

    def test_explicit_long(self) -> None:
        assert read_explicit(element(NAME, "UT", b"AB"), 0) == (NAME, b"UT", 2, 12)

    def test_implicit(self) -> None:
        assert read_implicit(element(NAME, "PN", b"AB", explicit=False), 0) == (NAME, b"", 2, 8)

    def test_delimiter_has_no_vr(self) -> None:
        assert read_explicit(SEQUENCE_END, 0) == (0xFFFEE0DD, b"", 0, 8)

    @pytest.mark.parametrize("vr", [b"XX", b"pn", b"\0\0", b"  "])
    def test_unknown_vr_is_refused(self, vr: bytes) -> None:
        assert reason(read_explicit, element(NAME, "PN", b"AB").replace(b"PN", vr), 0) is Reason.UNKNOWN_VR

    def test_past_the_end(self) -> None:
        with pytest.raises(struct.error):
            read_explicit(element(NAME, "PN", b"")[:7], 0)


class TestSkip:
    """PS3.5 7.5: sequences and items of undefined length."""

    @pytest.mark.parametrize("explicit", [True, False])
    def test_nested(self, explicit: bool) -> None:
        inner = sequence(0x00081140, element(NAME, "PN", b"AB", explicit), explicit=explicit, undefined=True)
        value = item(inner, undefined=True) + item(inner) + SEQUENCE_END
        vr, read = (b"SQ", read_explicit) if explicit else (b"", read_implicit)
        assert skip(value + b"rest", 0, len(value) + 4, vr, read) == len(value)

    @pytest.mark.parametrize("explicit", [True, False])
    def test_unknown_is_a_sequence_in_implicit_vr(self, explicit: bool) -> None:
        """PS3.5 6.2.2 note 2, and the writers that do not know it."""
        value = item(element(NAME, "PN", b"AB", explicit), undefined=True) + SEQUENCE_END
        assert skip(value, 0, len(value), b"UN", read_explicit) == len(value)

    def test_too_deep(self) -> None:
        nested = b""
        for _ in range(17):
            nested = sequence(0x00081140, nested, undefined=True)
        value = item(nested, undefined=True) + SEQUENCE_END
        assert reason(skip, value, 0, len(value), b"SQ", read_explicit) is Reason.NESTING_TOO_DEEP

    def test_text_has_no_undefined_length(self) -> None:
        assert reason(skip, SEQUENCE_END, 0, 8, b"PN", read_explicit) is Reason.BAD_LENGTH

    def test_element_where_an_item_is_due(self) -> None:
        value = element(NAME, "PN", b"AB")
        assert reason(skip, value, 0, len(value), b"SQ", read_explicit) is Reason.BAD_STRUCTURE

    def test_delimiter_with_a_length(self) -> None:
        value = struct.pack("<HHL", 0xFFFE, 0xE0DD, 2) + b"AB"
        assert reason(skip, value, 0, len(value), b"SQ", read_explicit) is Reason.BAD_STRUCTURE

    def test_item_past_the_end(self) -> None:
        value = struct.pack("<HHL", 0xFFFE, 0xE000, 100) + b"AB"
        assert reason(skip, value, 0, len(value), b"SQ", read_explicit) is Reason.TRUNCATED


class TestFragments:
    """PS3.5 A.4."""

    def test_end_behind_the_delimiter(self) -> None:
        value = item(b"") + item(b"ABCD") + SEQUENCE_END
        assert skip_fragments(value + b"rest", 0, len(value) + 4) == len(value)

    def test_odd_fragment_is_refused(self) -> None:
        value = item(b"ABC") + SEQUENCE_END
        assert reason(skip_fragments, value, 0, len(value)) is Reason.BAD_LENGTH

    def test_without_delimiter(self) -> None:
        value = item(b"ABCD")
        with pytest.raises(struct.error):
            skip_fragments(value, 0, len(value))


class TestCollect:
    def test_outermost_only(self) -> None:
        nested = sequence(0x00081140, element(NAME, "PN", b"INNER "), undefined=True)
        data = nested + element(NAME, "PN", b"OUTER ")
        assert collect(data, 0, read_explicit, {NAME}, LAST) == {NAME: b"OUTER "}

    def test_stops_at_the_last(self) -> None:
        data = element(NAME, "PN", b"A ") + element(LAST, "OW", b"", length=UNDEFINED)
        assert collect(data, 0, read_explicit, {NAME, LAST}, LAST) == {NAME: b"A "}

    def test_length_that_lies(self) -> None:
        data = element(NAME, "PN", b"AB", length=4)
        assert reason(collect, data, 0, read_explicit, {NAME}, LAST) is Reason.TRUNCATED
