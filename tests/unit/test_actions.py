"""What is done to a value (PS3.15 table E.1-1a), and how what is kept is checked."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deidentification import actions, texts
from deidentification.actions import DUMMIES, Action, Subject, empty, make_dummy, remove
from deidentification.profile import Profile
from deidentification.pseudonym import Keys, Pseudonyms

PROFILE = Profile.load("breast-screening")
PSEUDONYMS = Pseudonyms(Keys.derive(b"a site secret of thirty-two bytes"))


def subject(days: int = -100, suspects: tuple[bytes, ...] = ()) -> Subject:
    return Subject(PSEUDONYMS, "SG", "", days, PROFILE.codes, PROFILE.code_values, suspects)


def act(action: Action, value: bytes, **of_subject) -> bytes | None:
    return action(subject(**of_subject), value)


class TestBasicActions:
    def test_zero(self) -> None:
        assert act(empty, b"anything") == b""

    def test_remove(self) -> None:
        assert act(remove, b"anything") is None

    @pytest.mark.parametrize("vr", DUMMIES)
    def test_dummy_is_the_same_for_all(self, vr: str) -> None:
        assert act(make_dummy(vr), b"anything") == act(make_dummy(vr), b"else") == DUMMIES[vr]

    def test_dummy_leaves_what_is_empty(self) -> None:
        assert act(make_dummy("LO"), b"") == b""

    def test_dummy_is_not_replaced_twice(self) -> None:
        value = b"REMOVED "
        assert act(make_dummy("LO"), value) is value

    def test_uid(self) -> None:
        assert (
            act(actions.map_uid, b"1.2.3.4\\1.2.840.10008.1.2\0")
            == (PSEUDONYMS.uid("1.2.3.4") + "\\1.2.840.10008.1.2").encode()
        )


class TestDates:
    """PS3.15 E.3.6.2: retain longitudinal temporal information with modified dates."""

    shift_date = staticmethod(actions.make_shift_date(empty))
    shift_date_time = staticmethod(actions.make_shift_date_time(make_dummy("DT")))
    keep_time = staticmethod(actions.make_keep_time(remove))

    def test_date(self) -> None:
        assert act(self.shift_date, b"20240301", days=-1) == b"20240229"

    def test_several_and_empty_ones(self) -> None:
        assert act(self.shift_date, b"20240301\\\\20240101", days=-1) == b"20240229\\\\20231231"

    @given(st.dates(min_value=date(1900, 1, 1)), st.dates(min_value=date(1900, 1, 1)), st.integers(-3652, -1))
    def test_intervals_stay(self, first: date, second: date, days: int) -> None:
        moved = [act(self.shift_date, day.strftime("%Y%m%d").encode(), days=days) for day in (first, second)]
        a, b = (date.fromisoformat(day.decode()) for day in moved if day)
        assert b - a == second - first

    @pytest.mark.parametrize(
        "value", [b"20240230", b"2024", b"yesterday", b"00010101", b"20240101x", b"\xff"]
    )
    def test_no_date_is_left_to_the_basic_action(self, value: bytes) -> None:
        assert act(self.shift_date, value) == b""

    def test_date_time_keeps_its_time_and_zone(self) -> None:
        assert (
            act(self.shift_date_time, b"20240301101530.123456+0100", days=-1) == b"20240229101530.123456+0100"
        )

    @pytest.mark.parametrize("value", [b"2024", b"202403", b"20240301x", b"20240301101530.1234567"])
    def test_date_time_without_a_day(self, value: bytes) -> None:
        assert act(self.shift_date_time, value) == DUMMIES["DT"]

    @pytest.mark.parametrize("value", [b"10", b"1015", b"101530", b"101530.123456", b"10:15:30", b""])
    def test_time_stays(self, value: bytes) -> None:
        assert act(self.keep_time, value) is value

    @pytest.mark.parametrize("value", [b"25", b"101530.1234567", b"MUELLER", b"1015\\MUELLER"])
    def test_no_time_goes(self, value: bytes) -> None:
        assert act(self.keep_time, value) is None

    def test_pseudonymous_dates_stay_as_they_are(self) -> None:
        value = b"20240301"
        assert act(self.shift_date, value, days=0) is value


class TestAge:
    keep_age = staticmethod(actions.make_keep_age(remove))

    @pytest.mark.parametrize("value", [b"089Y", b"012M", b"003W", b"090Y", b""])
    def test_stays(self, value: bytes) -> None:
        assert act(self.keep_age, value) is value

    @pytest.mark.parametrize("value", [b"091Y", b"104Y"])
    def test_great_age_is_given_as_ninety(self, value: bytes) -> None:
        assert act(self.keep_age, value) == b"090Y"

    @pytest.mark.parametrize("value", [b"68", b"MUELLER", b"068Y\\069Y"])
    def test_no_age_goes(self, value: bytes) -> None:
        assert act(self.keep_age, value) is None


class TestNumbers:
    @pytest.mark.parametrize(
        "value", [b"0.094\\0.094 ", b"-1.5e-3", b" 7 ", b"", b"0.07000000029802322", b".5"]
    )
    def test_decimal_strings_stay(self, value: bytes) -> None:
        assert act(actions.make_keep_number("DS", 2, remove), value) is value

    @pytest.mark.parametrize(
        "value", [b"MUELLER", b"1\\2\\3", b"1 2", b"1,5", b"+", b"1e", b"12345678901234567"]
    )
    def test_other_strings_go(self, value: bytes) -> None:
        assert act(actions.make_keep_number("DS", 2, remove), value) is None

    @pytest.mark.parametrize(
        ("vr", "length"), [("US", 2), ("FD", 8), ("FL", 4), ("AT", 4), ("UV", 8), ("SL", 4)]
    )
    def test_binary_numbers_are_of_their_size(self, vr: str, length: int) -> None:
        value = bytes(length)
        assert act(actions.make_keep_number(vr, 1, remove), value) is value
        assert act(actions.make_keep_number(vr, 1, remove), value * 2) is None
        assert act(actions.make_keep_number(vr, 0, remove), value * 9) is not None
        assert act(actions.make_keep_number(vr, 0, remove), value + b"x") is None

    def test_a_number_that_is_the_patients_goes(self) -> None:
        assert act(actions.make_keep_number("IS", 1, remove), b"1234567 ", suspects=(b"1234567",)) is None


class TestTerms:
    listed = staticmethod(actions.make_keep_term(frozenset({b"CC", b"MLO"}), empty))
    open = staticmethod(actions.make_keep_term(frozenset(), empty))

    @pytest.mark.parametrize("value", [b"CC", b"MLO ", b"CC\0", b""])
    def test_listed_stays(self, value: bytes) -> None:
        assert act(self.listed, value) is value

    def test_case_is_mended(self) -> None:
        assert act(self.listed, b"mlo") == b"MLO"

    @pytest.mark.parametrize("value", [b"MUELLER", b"CC\\MUELLER", b"\xff"])
    def test_unlisted_goes(self, value: bytes) -> None:
        assert act(self.listed, value) == b""

    @pytest.mark.parametrize("value", [b"ORIGINAL\\PRIMARY\\\\VOLUME", b"A_1 "])
    def test_without_a_list_the_form_decides(self, value: bytes) -> None:
        assert act(self.open, value) is value

    @pytest.mark.parametrize("value", [b"Mueller", b"M^E", b"SEVENTEEN_LETTERS_", b"BORN 19551203"])
    def test_without_a_list_other_forms_go(self, value: bytes) -> None:
        assert act(self.open, value) == b""

    def test_a_term_that_is_the_patients_name_goes(self) -> None:
        assert act(self.open, b"MUELLER", suspects=(b"MUELLER",)) == b""


class TestProducts:
    keep = staticmethod(texts.make_keep_product(make_dummy("LO")))

    @pytest.mark.parametrize(
        "value", [b"HOLOGIC, Inc.", b"GE MEDICAL SYSTEMS", b"Senographe Pristina ", b"IMS s.r.l."]
    )
    def test_stays(self, value: bytes) -> None:
        assert act(self.keep, value) is value

    @pytest.mark.parametrize("value", [b"SN 1234567", b"A^B", b"M\xfcller", b"x" * 65, b"line\nline"])
    def test_goes(self, value: bytes) -> None:
        assert act(self.keep, value) == b"REMOVED"


class TestCodes:
    """PS3.3 section 8: a coded entry, its parts in the order of their tags."""

    @staticmethod
    def rewrite(value: bytes, scheme: bytes, meaning: bytes) -> tuple[bytes, bytes, bytes]:
        one = subject()
        return (
            actions.keep_code_value(one, value),
            actions.keep_code_scheme(one, scheme),
            actions.keep_code_meaning(one, meaning),
        )

    @pytest.mark.parametrize(
        ("value", "scheme"), [(b"399162004", b"SCT "), (b"R-10242 ", b"SRT"), (b"R-10242", b"SNM3")]
    )
    def test_known_stays(self, value: bytes, scheme: bytes) -> None:
        assert self.rewrite(value, scheme, b"cranio-caudal") == (value, scheme, b"cranio-caudal")

    def test_known_gets_its_meaning(self) -> None:
        assert self.rewrite(b"399162004", b"SCT", b"of Mrs Mueller")[2] == b"cranio-caudal"

    def test_unknown_loses_its_meaning(self) -> None:
        assert self.rewrite(b"X-999", b"DCM", b"of Mrs Mueller") == (b"X-999", b"DCM", b"REMOVED")

    def test_local_loses_its_scheme(self) -> None:
        assert self.rewrite(b"361", b"99CLINIC", b"of Mrs Mueller") == (b"361", b"99LOCAL", b"REMOVED")

    @pytest.mark.parametrize("value", [b"19551203", b"1234567890", b"Mrs Mueller", b"\xff"])
    def test_someones_number_goes(self, value: bytes) -> None:
        assert self.rewrite(value, b"L", b"x")[0] == b"REMOVED"

    def test_a_meaning_is_not_that_of_the_item_before(self) -> None:
        one = subject()
        actions.keep_code_value(one, b"399162004")
        actions.keep_code_scheme(one, b"SCT")
        actions.keep_code_meaning(one, b"cranio-caudal")
        assert actions.keep_code_meaning(one, b"cranio-caudal") == b"REMOVED"


class TestCharacterSet:
    keep = staticmethod(actions.make_keep_character_set(remove))

    @pytest.mark.parametrize(
        "value", [b"ISO_IR 100", b"ISO_IR 192", b"\\ISO 2022 IR 87", b"ISO 2022 IR 13\\ISO 2022 IR 87"]
    )
    def test_stays(self, value: bytes) -> None:
        assert act(self.keep, value) is value

    @pytest.mark.parametrize("value", [b"UTF-8", b"ISO_IR 100\\MUELLER", b"ISO_IR 100MUELLER"])
    def test_goes(self, value: bytes) -> None:
        assert act(self.keep, value) is None


@given(st.binary(max_size=60), st.sampled_from(sorted(PROFILE.rules)))
def test_every_rule_takes_every_value(value: bytes, tag: int) -> None:
    action = PROFILE.rules[tag].action
    if action is not None:
        once = act(action, value)
        if once is not None:
            assert act(action, once, days=0) == once
