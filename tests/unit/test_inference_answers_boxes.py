"""Boxes of a network become lesions: suppressed, outlined, and joined across the views of a breast."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from archive.findings import Code
from inference.answers.boxes import answer, find
from inference.errors import ReadingFailed
from inference.passport import Passport
from inference.picture import Picture, Placement
from tests.unit.pictures import mammography, passport, picture

KINDS = [
    {"label": "mass", "value": "4147007", "scheme": "SCT", "meaning": "Mass"},
    {
        "label": "calcification cluster",
        "value": "129769006",
        "scheme": "SCT",
        "meaning": "Calcification Cluster",
    },
]


def boxes(**outputs: Any) -> Passport:
    return passport("boxes", mammography("view"), {"threshold": 0.5, "classes": KINDS, **outputs})


def view(name: tuple[str, str], **values: Any) -> Picture:
    """A breast of 100 × 80 mm whose nipple lies 80 mm from the chest wall."""
    mask = np.zeros((100, 100), bool)
    mask[:, :80] = True
    return picture(name, shape=(100, 100), spacing=(1.0, 1.0), mask=mask, **values)


def told(*found: tuple[tuple[float, float, float, float], float, int]) -> dict[str, Any]:
    scores = np.zeros((len(found), 2), np.float32)
    for row, (_, score, kind) in enumerate(found):
        scores[row, kind] = score
    sides = np.array([one for one, _, _ in found], np.float32).reshape(-1, 4)
    return {"boxes": (sides,), "scores": (scores,)}


def both(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {name: first[name] + second[name] for name in first}


def test_of_boxes_that_overlap_the_most_likely_one_stays() -> None:
    outputs = told(((10, 10, 30, 30), 0.9, 0), ((12, 11, 32, 30), 0.8, 0), ((60, 60, 70, 70), 0.7, 0))
    found = answer(outputs, [view(("L", "CC"))], boxes())
    assert [lesion.score for lesion in found.lesions] == [pytest.approx(0.9), pytest.approx(0.7)]


def test_kinds_do_not_suppress_each_other() -> None:
    outputs = told(((10, 10, 30, 30), 0.9, 0), ((10, 10, 30, 30), 0.8, 1))
    found = answer(outputs, [view(("L", "CC"))], boxes())
    assert [lesion.kind.meaning for lesion in found.lesions] == ["Mass", "Calcification Cluster"]


def test_nothing_below_the_operating_point_is_told() -> None:
    assert answer(told(((1, 1, 9, 9), 0.49, 0)), [view(("L", "CC"))], boxes()).lesions == ()


def test_a_class_may_have_an_operating_point_of_its_own() -> None:
    classes = [KINDS[0] | {"threshold": 0.2}, KINDS[1]]
    found = answer(told(((1, 1, 9, 9), 0.3, 0)), [view(("L", "CC"))], boxes(classes=classes))
    assert len(found.lesions) == 1


def test_a_box_is_told_in_the_stored_image() -> None:
    placed = Placement().cropped(5, 7).mirrored(100).scaled(2, 2)
    picture = replace(view(("R", "CC")), placement=placed)
    (lesion,) = answer(told(((10, 20, 30, 40), 0.9, 0)), [picture], boxes()).lesions
    corners = placed.stored([(10, 20), (30, 40)])
    left, right = sorted(column for column, _ in corners)
    assert lesion.regions[0].box == (left, corners[0][1], right, corners[1][1])


def test_what_lies_as_far_behind_the_nipple_in_both_views_is_one_lesion() -> None:
    """Paquerault et al. 2002: the distance from the nipple is about the same in CC and MLO."""
    outputs = both(told(((30, 10, 40, 20), 0.9, 0)), told(((33, 60, 43, 70), 0.6, 0)))
    (lesion,) = answer(outputs, [view(("L", "CC")), view(("L", "MLO"))], boxes()).lesions
    assert [region.sop_instance_uid for region in lesion.regions] == ["L-CC", "L-MLO"]
    assert lesion.score == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("second", "kind", "column"), [(("R", "MLO"), 0, 33), (("L", "MLO"), 1, 33), (("L", "MLO"), 0, 60)]
)
def test_other_breasts_kinds_and_depths_are_other_lesions(
    second: tuple[str, str], kind: int, column: int
) -> None:
    outputs = both(told(((30, 10, 40, 20), 0.9, 0)), told(((column, 60, column + 10, 70), 0.6, kind)))
    assert len(answer(outputs, [view(("L", "CC")), view(second)], boxes()).lesions) == 2


def test_the_mask_outlines_what_the_box_holds() -> None:
    mask = np.zeros((1, 2, 25, 25), np.float32)
    mask[0, 0, 4:8, 3:6] = 1
    outputs = told(((8, 12, 30, 36), 0.9, 0)) | {"mask": (mask,)}
    (lesion,) = answer(outputs, [view(("L", "CC"))], boxes()).lesions
    assert lesion.regions[0].box == pytest.approx((12, 16, 24, 32), abs=2)


def test_the_mask_of_a_padded_picture_begins_at_its_corner() -> None:
    """40 × 40 pixels are stacked to 64 × 64, so a mask of 16 × 16 has cells of 4 pixels."""
    mask = np.zeros((1, 2, 16, 16), np.float32)
    mask[0, 0, 4:8, 3:6] = 1
    small = picture(("L", "CC"), shape=(40, 40), spacing=None)
    inputs = mammography("view") | {"preprocessing": [{"name": "stack", "multiple": 32}]}
    asked = passport("boxes", inputs, {"threshold": 0.5, "classes": KINDS})
    (lesion,) = answer(told(((8, 12, 30, 36), 0.9, 0)) | {"mask": (mask,)}, [small], asked).lesions
    assert lesion.regions[0].box == pytest.approx((12, 16, 24, 32), abs=2)


def test_sizes_are_in_millimetres_of_the_detector() -> None:
    fine = replace(view(("L", "CC")), spacing=(0.5, 0.25))
    found = answer(told(((10, 20, 30, 60), 0.9, 0)), [fine], boxes())
    sizes = {one.concept.meaning: one.value for one in found.measurements}
    assert sizes == {"Area": pytest.approx(100), "Long axis": pytest.approx(np.hypot(5, 20), abs=1e-3)}


def test_a_box_beside_the_picture_is_no_lesion() -> None:
    assert answer(told(((-50, 1, -40, 9), 0.9, 0)), [view(("L", "CC"))], boxes()).lesions == ()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.1, 1.1])
def test_scores_that_are_no_probabilities_are_refused(wrong: float) -> None:
    with pytest.raises(ReadingFailed):
        answer(told(((1, 1, 9, 9), wrong, 0)), [view(("L", "CC"))], boxes())


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ReadingFailed):
        find({"boxes": np.zeros((3, 4)), "scores": np.zeros((2, 2))}, least=0.5)


@given(
    arrays.arrays(np.float32, (6, 4), elements=st.floats(-200, 200, width=32)),
    arrays.arrays(np.float32, (6, 2), elements=st.floats(0, 1, width=32)),
)
def test_any_finite_boxes_give_lesions_inside_the_picture(sides: np.ndarray, scores: np.ndarray) -> None:
    found = answer({"boxes": (sides,), "scores": (scores,)}, [view(("L", "MLO"))], boxes())
    for lesion in found.lesions:
        left, top, right, bottom = lesion.regions[0].box
        assert 0 <= left < right <= 100
        assert 0 <= top < bottom <= 100
    assert all(isinstance(lesion.kind, Code) for lesion in found.lesions)
