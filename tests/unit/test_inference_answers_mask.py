"""From a mask of probabilities to outlined lesions in the stored image (PS3.3 C.18.6.1.2)."""

from typing import Any

import numpy as np
import pytest

from archive.findings import Lesion, Shape
from inference.answers import mask
from inference.answers.answer import Answer
from inference.passport import Passport
from inference.picture import Picture, Placement
from tests.unit.pictures import passport, picture

MASS = {"label": "mass", "value": "4147007", "scheme": "SCT", "meaning": "Mass"}


def asked(inputs: dict[str, Any] | None = None, **outputs: Any) -> Passport:
    return passport("mask", inputs, {"classes": [MASS], "threshold": 0.5, **outputs})


def told(planes: np.ndarray, picture: Picture, given: Passport | None = None) -> Answer:
    return mask.answer({"mask": planes[None, None].astype(np.float32)}, [picture], given or asked())


def plane(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (32, 40)) -> np.ndarray:
    """0.9 within left, top, right, bottom; 0.1 elsewhere."""
    values = np.full(shape, 0.1)
    for left, top, right, bottom in boxes:
        values[top:bottom, left:right] = 0.9
    return values


def only(answer: Answer) -> Lesion:
    (lesion,) = answer.lesions
    return lesion


class TestOutlines:
    def test_an_outline_lies_on_the_border(self) -> None:
        lesion = only(told(plane((10, 6, 20, 12)), picture(shape=(32, 40))))
        assert lesion.regions[0].box == pytest.approx((10, 6, 20, 12), abs=0.3)
        assert lesion.regions[0].shape is Shape.POLYGON

    def test_it_is_closed(self) -> None:
        points = only(told(plane((10, 6, 20, 12)), picture(shape=(32, 40)))).regions[0].points
        assert points[0] == points[-1]

    def test_it_lies_in_the_stored_image(self) -> None:
        place = Placement(column=100, row=50, columns=-2, rows=3)
        lesion = only(told(plane((10, 6, 20, 12)), picture(shape=(32, 40), placement=place, frame=4)))
        assert lesion.regions[0].box == pytest.approx((60, 68, 80, 86), abs=0.9)
        assert lesion.regions[0].frame == 4

    def test_a_coarser_mask_is_spread_over_the_picture(self) -> None:
        lesion = only(told(plane((10, 6, 20, 12)), picture(shape=(64, 80))))
        assert lesion.regions[0].box == pytest.approx((20, 12, 40, 24), abs=0.8)

    def test_a_mask_of_a_padded_tensor_keeps_its_place(self) -> None:
        """A picture of 30 × 36 stacked to a multiple of 16 is a tensor of 32 × 48."""
        given = asked({"preprocessing": [{"name": "stack", "multiple": 16}]})
        lesion = only(told(plane((5, 3, 10, 6), shape=(16, 24)), picture(shape=(30, 36)), given))
        assert lesion.regions[0].box == pytest.approx((10, 6, 20, 12), abs=0.8)

    def test_what_lies_in_the_padding_is_no_lesion(self) -> None:
        given = asked({"preprocessing": [{"name": "stack", "multiple": 16}]})
        assert not told(plane((20, 0, 24, 16), shape=(16, 24)), picture(shape=(30, 36)), given).lesions


class TestChoice:
    def test_the_largest_parts_are_told_first(self) -> None:
        boxes = (0, 0, 6, 6), (10, 0, 20, 10), (24, 0, 32, 8), (34, 0, 39, 5)
        lesions = told(plane(*boxes), picture(shape=(32, 40)), asked(parameters={"most": 2})).lesions
        assert [round(one.regions[0].box[0]) for one in lesions] == [10, 24]

    def test_specks_are_none(self) -> None:
        assert not told(plane((0, 0, 3, 3)), picture(shape=(32, 40))).lesions

    def test_the_threshold_is_the_passports(self) -> None:
        shown = plane((10, 6, 20, 12)), picture(shape=(32, 40))
        assert not told(*shown, asked(threshold=0.95)).lesions

    def test_the_score_is_the_mean_probability(self) -> None:
        assert only(told(plane((10, 6, 20, 12)), picture(shape=(32, 40)))).score == pytest.approx(0.9)

    def test_a_calibrated_mask_is_cut_after_calibration(self) -> None:
        sharp = {"kind": "platt", "a": 1.0, "b": -3.0}
        assert not told(plane((10, 6, 20, 12)), picture(shape=(32, 40)), asked(calibration=sharp)).lesions

    def test_names_are_unique_over_images(self) -> None:
        planes = np.stack([plane((10, 6, 20, 12))] * 2)[:, None]
        answer = mask.answer({"mask": planes}, [picture(shape=(32, 40))] * 2, asked())
        assert [one.name for one in answer.lesions] == ["mass 1", "mass 2"]


class TestMeasurements:
    def test_area_and_long_axis(self) -> None:
        """8 × 6 mm: PS3.16 CID 7469 Area and Long Axis."""
        answer = told(plane((10, 6, 26, 18)), picture(shape=(32, 40), spacing=(0.5, 0.5)))
        found = {one.concept.meaning: (one.value, one.unit.value) for one in answer.measurements}
        assert found["Area"] == (48, "mm2")
        assert found["Long axis"] == (pytest.approx(10, abs=0.4), "mm")

    def test_they_are_about_the_lesion(self) -> None:
        answer = told(plane((10, 6, 26, 18)), picture(shape=(32, 40), spacing=(0.5, 0.5)))
        assert {one.target.lesion for one in answer.measurements} == {only(answer).name}

    def test_without_spacing_there_are_none(self) -> None:
        assert not told(plane((10, 6, 26, 18)), picture(shape=(32, 40))).measurements


def test_any_shape_of_a_part_has_an_outline() -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        noise = (random.random((32, 40)) > 0.55).astype(float)
        answer = told(noise, picture(shape=(32, 40)), asked(parameters={"most": 50, "least_pixels": 1}))
        assert all(len(one.regions[0].points) >= 4 for one in answer.lesions)
