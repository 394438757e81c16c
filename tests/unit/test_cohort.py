"""Cohorts: a root that tells nothing, a proof that a study is in it (RFC 9162 section 2.1); and who is held out."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import NotFound
from federation.examples.split import SHARE, is_held_out
from federation.provenance.cohort import leaves, prove, root, verify

KEY, OTHER = bytes(32), bytes([1] * 32)
STUDIES = st.lists(
    st.from_regex(r"2\.25\.[1-9][0-9]{0,8}", fullmatch=True), min_size=1, max_size=40, unique=True
)


@given(STUDIES, st.data())
def test_each_study_can_be_shown_to_be_in(studies: list[str], data: st.DataObject) -> None:
    tree = leaves(KEY, studies)
    study = data.draw(st.sampled_from(studies))
    assert verify(root(tree), prove(KEY, tree, study))


@given(STUDIES, st.data())
def test_no_other_study_can(studies: list[str], data: st.DataObject) -> None:
    tree = leaves(KEY, studies)
    proof = prove(KEY, tree, data.draw(st.sampled_from(studies)))
    assert not verify(root(tree), replace(proof, study_instance_uid="1.2"))
    assert not verify(root(tree), replace(proof, salt=OTHER.hex()))
    assert not verify(root([*tree, b"x" * 32]), proof)


def test_of_a_study_that_is_not_in_there_is_no_proof() -> None:
    with pytest.raises(NotFound):
        prove(KEY, leaves(KEY, ["1.2"]), "1.3")


@pytest.mark.parametrize(
    "broken", [{"index": -1}, {"index": 9}, {"size": 0}, {"salt": "x"}, {"path": ("z",)}]
)
def test_what_is_no_proof_proves_nothing(broken: dict[str, object]) -> None:
    tree = leaves(KEY, ["1.2", "1.3", "1.4"])
    assert not verify(root(tree), replace(prove(KEY, tree, "1.3"), **broken))


def test_the_root_hangs_on_the_studies_and_the_sites_key_and_on_no_order() -> None:
    given = root(leaves(KEY, ["1.2", "1.3"]))
    assert given == root(leaves(KEY, ["1.3", "1.2"]))
    assert given not in (root(leaves(KEY, ["1.2"])), root(leaves(OTHER, ["1.2", "1.3"])))


def test_a_fifth_of_the_patients_is_held_out_and_another_fifth_by_another_key() -> None:
    patients = [f"SG{number}" for number in range(5000)]
    out, others = ({one for one in patients if is_held_out(key, one)} for key in (KEY, OTHER))
    assert abs(len(out) / 5000 - SHARE) < 0.03 and abs(len(out & others) / 5000 - SHARE**2) < 0.02
