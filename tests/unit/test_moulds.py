"""Copies of a study for benchmarks: what is replaced in its bytes, and what copies are called."""

import pytest

from benchmarks.moulds import UID_LENGTH, Copies, Mould, both
from deidentification.pseudonym import Keys, Pseudonyms

NAMES = {"study": "2.25.111", "series": "2.25.1112", "date": "20240229"}
OTHERS = {"study": "2.25.999", "series": "2.25.8888", "date": "20100101"}


@pytest.fixture
def pseudonyms() -> Pseudonyms:
    return Pseudonyms(Keys.derive(bytes(32)))


def test_what_is_named_is_replaced_and_the_rest_stays() -> None:
    assert Mould(b"a 2.25.111, b 20240229.", NAMES).cast(both(OTHERS)) == b"a 2.25.999, b 20100101."


def test_a_name_that_begins_as_another_does_is_taken_whole() -> None:
    assert Mould(b"2.25.1112", NAMES).cast(both(OTHERS)) == b"2.25.8888"


def test_hexadecimal_digits_of_a_name_are_replaced_as_such() -> None:
    form = rb"\\x" + b"in 2.25.111 of".hex().encode()
    assert Mould(form, NAMES).cast(both(OTHERS)) == rb"\\x" + b"in 2.25.999 of".hex().encode()


def test_the_form_itself_comes_from_its_own_names() -> None:
    form = b"2.25.1112 of 2.25.111 on 20240229"
    assert Mould(form, NAMES).cast(both(NAMES)) == form


def test_copies_are_called_by_pseudonyms_of_the_site(pseudonyms: Pseudonyms) -> None:
    names = Copies(pseudonyms)(7)
    uids = [names["study"], names["series"], *(names[f"instance {i}"] for i in range(4))]
    assert len(set(uids)) == 6
    assert all(pseudonyms.is_own_uid(uid) and len(uid) == UID_LENGTH for uid in uids)
    assert pseudonyms.is_own_patient_id(names["patient"])


def test_a_copy_is_called_the_same_at_any_time(pseudonyms: Pseudonyms) -> None:
    assert Copies(pseudonyms)(7) == Copies(pseudonyms)(7) != Copies(pseudonyms)(8)
