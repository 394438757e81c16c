"""Pseudonyms: keyed, stable, self-recognising."""

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deidentification.pseudonym import Keys, Pseudonyms, WeakSecret, is_standard_uid

SECRET = b"a site secret of thirty-two bytes"
OURS = Pseudonyms(Keys.derive(SECRET))
THEIRS = Pseudonyms(Keys.derive(SECRET[::-1]))
UIDS = st.from_regex(r"[0-2](\.[1-9][0-9]{0,9}){1,6}", fullmatch=True)
PATIENT_IDS = st.text(min_size=1, max_size=64)


class TestKeys:
    def test_short_secret_is_refused(self) -> None:
        with pytest.raises(WeakSecret):
            Keys.derive(b"x" * 31)

    def test_keys_differ_from_each_other_and_from_the_secret(self) -> None:
        keys = Keys.derive(SECRET)
        assert len({keys.uid, keys.patient, keys.date, keys.proof, SECRET}) == 5

    def test_repr_shows_no_key(self) -> None:
        assert repr(Keys.derive(SECRET)) == "Keys()"


class TestUid:
    """PS3.5 B.2: a UID from a UUID; RFC 9562 5.8: version 8."""

    @given(UIDS)
    def test_is_a_version_8_uuid(self, uid: str) -> None:
        pseudonym = OURS.uid(uid)
        if not is_standard_uid(uid):
            number = uuid.UUID(int=int(pseudonym.removeprefix("2.25.")))
            assert (number.version, number.variant) == (8, uuid.RFC_4122)

    @given(UIDS)
    def test_is_not_mapped_twice(self, uid: str) -> None:
        assert OURS.uid(OURS.uid(uid)) == OURS.uid(uid)

    @given(UIDS)
    def test_is_a_strangers_elsewhere(self, uid: str) -> None:
        if not is_standard_uid(uid):
            assert OURS.is_own_uid(OURS.uid(uid))
            assert not THEIRS.is_own_uid(OURS.uid(uid))
            assert THEIRS.uid(uid) != OURS.uid(uid)

    def test_differs_for_different_uids(self) -> None:
        assert len({OURS.uid(f"1.2.3.{n}") for n in range(1000)}) == 1000

    @pytest.mark.parametrize("uid", ["1.2.840.10008.1.2", "1.2.840.10008.5.1.4.1.1.88.34", ""])
    def test_standard_and_empty_stay(self, uid: str) -> None:
        assert OURS.uid(uid) == uid

    @pytest.mark.parametrize("uid", ["1.2.840.10008.19551203", "1.2.840.100081.1", "1.2.840.10008"])
    def test_what_only_looks_standard_is_mapped(self, uid: str) -> None:
        assert OURS.uid(uid).startswith("2.25.")

    @given(st.text(max_size=70))
    def test_any_text_can_be_asked_about(self, text: str) -> None:
        assert not OURS.is_own_uid(text)
        assert not OURS.is_own_uid(f"2.25.{text}")


class TestPatientId:
    @given(PATIENT_IDS)
    def test_fits_every_vr_that_takes_it(self, patient_id: str) -> None:
        assert re.fullmatch("SG[A-Z2-7]{24}", OURS.patient_id(patient_id))

    @given(PATIENT_IDS)
    def test_is_not_mapped_twice(self, patient_id: str) -> None:
        pseudonym = OURS.patient_id(patient_id)
        assert OURS.patient_id(pseudonym) == pseudonym
        assert THEIRS.patient_id(pseudonym) != pseudonym

    def test_issuer_tells_two_people_with_one_number_apart(self) -> None:
        assert OURS.patient_id("1", "A") != OURS.patient_id("1", "B")

    @given(PATIENT_IDS)
    def test_no_plain_id_is_taken_for_a_pseudonym(self, patient_id: str) -> None:
        assert not OURS.is_own_patient_id(patient_id)


class TestDays:
    @given(PATIENT_IDS)
    def test_moves_into_the_past_by_ten_years_at_most(self, patient_id: str) -> None:
        assert -3652 <= OURS.days(patient_id) <= -1

    @given(PATIENT_IDS)
    def test_a_pseudonymous_patient_is_not_moved_again(self, patient_id: str) -> None:
        pseudonym = OURS.patient_id(patient_id)
        assert OURS.days(pseudonym) == 0
        assert OURS.days_of_pseudonym(pseudonym) == OURS.days(patient_id)

    def test_spreads(self) -> None:
        assert len({OURS.days(str(n)) for n in range(1000)}) > 800
