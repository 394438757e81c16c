"""The named preprocessing steps: placement kept, and answers that stay where they should."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import PackageError, ReadingFailed
from inference.instance import Instance, read_instance
from inference.phantom import VIEWS, draw_exam
from inference.picture import Picture, View
from inference.preprocess import STEPS, assemble, check, prepare, shape_of
from inference.preprocess.breast import find_breast, is_chest_wall_left
from inference.preprocess.geometry import mirror
from tests.unit.mammograms import small_exam

INSTANCE: Instance = read_instance(small_exam()[0])
EXAMS = [draw_exam(seed, rows=416, columns=320) for seed in range(3)]
Image = npt.NDArray[np.uint16]


def picture(image: npt.NDArray[Any], spacing: tuple[float, float] | None = (0.4, 0.4)) -> Picture:
    return Picture(INSTANCE, ("L", "CC"), image, spacing)


def apply(step: str, one: Picture, **parameters: float | str) -> Picture:
    return STEPS[step](one, parameters)


def overlap(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """Dice's coefficient."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def drawn(rows: int = 400, columns: int = 300, offset: int = 0) -> tuple[Image, npt.NDArray[np.bool_]]:
    """Half an ellipse at the left border of a dark image, and where it is."""
    down, across = np.mgrid[:rows, :columns]
    truth = ((across - offset) / 200) ** 2 + ((down - rows / 2) / 150) ** 2 < 1
    truth &= across >= offset
    return np.where(truth, 1500, 100).astype(np.uint16), truth


def noisy(image: Image, deviation: float) -> Image:
    noise = np.random.default_rng(0).normal(0, deviation, image.shape)
    return np.clip(image + noise, 0, 4095).astype(np.uint16)


class TestBreastMask:
    @pytest.mark.parametrize("deviation", [0, 20, 100, 150])
    def test_noise_hardly_counts(self, deviation: float) -> None:
        image, truth = drawn()
        assert overlap(find_breast(noisy(image, deviation)), truth) > 0.98

    def test_labels_and_markers_are_left_out(self) -> None:
        image, truth = drawn()
        label = cv2.putText(np.zeros((60, 90), np.uint8), "MLO", (2, 40), cv2.FONT_HERSHEY_SIMPLEX, 1, 255, 3)
        image[20:80, 205:295][label > 0] = 4095
        image[320:345, 260:285] = 4095
        assert overlap(find_breast(image), truth) > 0.99

    def test_a_label_that_touches_the_skin_by_a_line_is_left_out(self) -> None:
        image, truth = drawn()
        cv2.line(image, (180, 200), (290, 200), 4095, 2)
        cv2.rectangle(image, (270, 180), (295, 220), 4095, -1)
        assert overlap(find_breast(image), truth) > 0.98

    def test_dark_places_inside_are_filled(self) -> None:
        image, truth = drawn()
        image[150:220, 60:120] = 100
        assert overlap(find_breast(image), truth) > 0.99

    def test_a_white_frame_is_no_breast(self) -> None:
        image, truth = drawn()
        image[:12] = image[-12:] = 4095
        image[:, -20:] = 4095
        truth = truth.copy()
        truth[:12] = truth[-12:] = False
        assert overlap(find_breast(image), truth) > 0.98

    @pytest.mark.parametrize("exam", EXAMS)
    def test_it_is_where_the_phantom_is(self, exam: Any) -> None:
        for image in exam.images.values():
            mask = find_breast(image)
            assert 0.2 < mask.mean() < 0.8
            assert image[~mask].mean() < 0.1 * image[mask].mean()

    @pytest.mark.parametrize("image", [np.zeros((64, 64), np.uint16), np.full((64, 64), 9, np.uint8)])
    def test_an_empty_image_fails(self, image: npt.NDArray[Any]) -> None:
        with pytest.raises(ReadingFailed, match="no breast"):
            find_breast(image)

    @settings(max_examples=20, deadline=None)
    @given(st.floats(0.3, 4), st.integers(0, 500), st.sampled_from([8, 12, 14, 16]))
    def test_a_vendors_grey_scale_changes_little(self, slope: float, intercept: int, bits: int) -> None:
        image, truth = drawn()
        values = np.clip(noisy(image, 20) * slope + intercept, 0, 8191) / 8192 * ((1 << bits) - 1)
        assert overlap(find_breast(values.astype(np.uint16)), truth) > 0.97


class TestChestWall:
    @pytest.mark.parametrize("view", VIEWS)
    @pytest.mark.parametrize("exam", EXAMS)
    def test_it_is_left_in_left_breasts(self, exam: Any, view: View) -> None:
        assert is_chest_wall_left(picture(exam.images[view])) == (view[0] == "L")

    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 80), st.integers(0, 80), st.booleans())
    def test_blank_columns_do_not_count(self, left: int, right: int, flipped: bool) -> None:
        padded = np.pad(EXAMS[0].images["L", "MLO"], ((0, 0), (left, right)))
        assert is_chest_wall_left(picture(padded[:, ::-1] if flipped else padded)) == (not flipped)

    def test_a_mask_is_believed(self) -> None:
        one = apply("breast_mask", picture(EXAMS[0].images["R", "CC"]))
        assert not is_chest_wall_left(one)
        assert is_chest_wall_left(mirror(one))


class TestFlips:
    @pytest.mark.parametrize("view", VIEWS)
    def test_a_mirrored_image_gives_the_same(self, view: View) -> None:
        steps = [
            ("breast_mask", {}),
            ("chest_wall_left", {}),
            ("crop_to_breast", {"margin_mm": 2}),
            ("voi", {}),
        ]
        image = EXAMS[1].images[view]
        one, other = (prepare(picture(each), steps) for each in (image, np.ascontiguousarray(image[:, ::-1])))
        assert abs(one.pixels.shape[1] - other.pixels.shape[1]) <= 1
        rows, columns = np.minimum(one.pixels.shape, other.pixels.shape)
        np.testing.assert_allclose(one.pixels[:rows, :columns], other.pixels[:rows, :columns])

    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
    def test_padding_gives_the_same_crop(self, above: int, below: int, beside: int) -> None:
        """But for the mask's outline, which may move by a pixel as the cells it is found on move."""
        image, _ = drawn()
        padded = np.pad(image, ((above, below), (0, beside)), constant_values=100)
        one, other = (apply("crop_to_breast", picture(each)) for each in (image, padded))
        assert np.abs(np.subtract(one.pixels.shape, other.pixels.shape)).max() <= 4
        (x, y), (u, v) = one.placement.stored([(0, 0)])[0], other.placement.stored([(0, 0)])[0]
        assert abs(u - x) <= 2 and abs(v - above - y) <= 2


class TestPlacement:
    """A point of the prepared picture lies in the stored image where the pixel came from."""

    @settings(max_examples=20, deadline=None)
    @given(st.integers(120, 280), st.integers(10, 100), st.booleans(), st.floats(0.41, 1.5))
    def test_a_bright_dot_is_found_again(self, row: int, column: int, flipped: bool, mm: float) -> None:
        image, _ = drawn()
        image[row - 2 : row + 3, column - 2 : column + 3] = 4000
        image, column = (image[:, ::-1].copy(), 299 - column) if flipped else (image, column)
        steps = [
            ("breast_mask", {}), ("chest_wall_left", {}), ("crop_to_breast", {"margin_mm": 3}),
            ("voi", {}), ("spacing", {"mm": mm}), ("fit", {"rows": 200, "columns": 200}),
        ]  # fmt: skip
        one = prepare(picture(image), steps)
        ys, xs = np.nonzero(one.pixels > 0.75 * one.pixels.max())
        ((x, y),) = one.placement.stored([(float(xs.mean()) + 0.5, float(ys.mean()) + 0.5)])
        assert (x, y) == (pytest.approx(column + 0.5, abs=2.5), pytest.approx(row + 0.5, abs=2.5))

    @pytest.mark.parametrize("step", ["chest_wall_left", "spacing", "fit", "crop_to_breast"])
    def test_the_corners_map_to_the_corners(self, step: str) -> None:
        one = apply(step, picture(EXAMS[0].images["R", "MLO"]), mm=0.7, rows=520, columns=400)
        rows, columns = one.pixels.shape
        inside = one.placement.stored([(0, 0), (columns, rows)])
        assert all(-1e-6 <= x <= 320 + 1e-6 and -1e-6 <= y <= 416 + 1e-6 for x, y in inside)


class TestSpacing:
    @given(st.floats(0.41, 3))
    @settings(max_examples=20, deadline=None)
    def test_means_stay(self, mm: float) -> None:
        image = EXAMS[2].images["L", "CC"].astype(np.float32)
        one = apply("spacing", picture(image), mm=mm)
        assert one.pixels.mean() == pytest.approx(image.mean(), rel=2e-3)
        assert one.spacing == pytest.approx((mm, mm), rel=0.02)

    def test_a_coarser_picture_stays(self) -> None:
        one = picture(EXAMS[0].images["L", "CC"])
        assert apply("spacing", one, mm=0.2) is one

    def test_unequal_spacings_become_equal(self) -> None:
        one = apply("spacing", picture(np.ones((100, 100), np.uint16), (0.1, 0.2)), mm=0.4)
        assert one.pixels.shape == (25, 50)

    @pytest.mark.parametrize(
        ("step", "parameters"), [("spacing", {"mm": 1}), ("crop_to_breast", {"margin_mm": 1})]
    )
    def test_it_must_be_known(self, step: str, parameters: dict[str, float]) -> None:
        with pytest.raises(ReadingFailed, match="PixelSpacing"):
            STEPS[step](picture(EXAMS[0].images["L", "CC"], None), parameters)


class TestFit:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(8, 90), st.integers(8, 90), st.integers(8, 120), st.integers(8, 120))
    def test_the_aspect_is_kept_and_the_rest_is_0(
        self, height: int, width: int, rows: int, columns: int
    ) -> None:
        one = apply("fit", picture(np.ones((height, width), np.float32)), rows=rows, columns=columns)
        assert one.pixels.shape == (rows, columns)
        scale = min(rows / height, columns / width)
        filled = one.pixels > 0.5
        assert abs(filled.any(axis=1).sum() - height * scale) <= 1
        assert abs(filled.any(axis=0).sum() - width * scale) <= 1

    def test_the_mask_comes_along(self) -> None:
        one = apply("fit", apply("breast_mask", picture(EXAMS[0].images["L", "CC"])), rows=100, columns=90)
        assert one.mask is not None and one.mask.shape == (100, 90)
        assert not one.mask[:, 80:].any()


class TestGrey:
    @settings(max_examples=15, deadline=None)
    @given(st.floats(0.2, 9), st.floats(-500, 500))
    def test_standardised_grey_is_that_of_any_window(self, slope: float, intercept: float) -> None:
        image = noisy(drawn()[0], 50).astype(np.float32)
        one, other = (apply("standardise", picture(each)) for each in (image, image * slope + intercept))
        np.testing.assert_allclose(one.pixels, other.pixels, atol=2e-3)

    def test_the_mean_is_0_and_the_deviation_1_over_the_mask(self) -> None:
        one = apply("standardise", apply("breast_mask", picture(EXAMS[0].images["L", "CC"])))
        inside = one.pixels[one.mask]
        assert (inside.mean(), inside.std()) == (pytest.approx(0, abs=1e-4), pytest.approx(1, abs=1e-4))

    def test_relative_grey_has_the_mean_1_over_the_mask_and_black_stays_0(self) -> None:
        one = apply("relative", apply("breast_mask", picture(EXAMS[0].images["L", "CC"])))
        assert one.pixels[one.mask].mean() == pytest.approx(1, abs=1e-4)
        assert (one.pixels[EXAMS[0].images["L", "CC"] == 0] == 0).all()

    @given(st.floats(0.01, 9))
    def test_relative_grey_is_that_of_any_exposure(self, factor: float) -> None:
        image = noisy(drawn()[0], 50).astype(np.float32)
        one, other = (apply("relative", picture(each)) for each in (image, image * factor))
        np.testing.assert_allclose(one.pixels, other.pixels, rtol=1e-4)

    def test_relative_to_black_fails(self) -> None:
        with pytest.raises(ReadingFailed, match="black"):
            apply("relative", picture(np.zeros((20, 20), np.uint16)))

    def test_unit_goes_from_percentile_to_percentile(self) -> None:
        one = apply("unit", picture(np.arange(1000, dtype=np.uint16).reshape(20, 50)), low=10, high=90)
        assert (one.pixels == 0).mean() == pytest.approx(0.1, abs=0.002)
        assert (one.pixels == 1).mean() == pytest.approx(0.1, abs=0.002)

    @pytest.mark.parametrize("step", ["standardise", "unit"])
    def test_one_grey_level_fails(self, step: str) -> None:
        with pytest.raises(ReadingFailed, match="one grey level"):
            apply(step, picture(np.full((20, 20), 7, np.uint16)))


class TestStack:
    def test_smaller_pictures_are_padded_right_and_below(self) -> None:
        pictures = [picture(np.full(shape, 3, np.float32)) for shape in ((5, 9), (7, 4))]
        tensor = assemble(pictures, [("stack", {"multiple": 8})])
        assert tensor.shape == (2, 1, 8, 16)
        assert tensor[1, 0, :7, :4].min() == 3
        assert tensor.sum() == 3 * (5 * 9 + 7 * 4)

    def test_the_shape_is_known_where_pictures_are_fitted(self) -> None:
        steps = [("fit", {"rows": 100, "columns": 90}), ("stack", {"multiple": 32})]
        assert shape_of(steps, 3) == (3, 1, 128, 96)

    def test_else_it_is_free(self) -> None:
        assert shape_of([("voi", {}), ("stack", {})], 2) == (2, 1, None, None)


class TestNames:
    @pytest.mark.parametrize("names", [[], ["voi"], ["stack", "voi"], ["sharpen", "stack"]])
    def test_a_wrong_order_or_name_is_refused(self, names: list[str]) -> None:
        with pytest.raises(PackageError):
            check([(name, {}) for name in names])

    @pytest.mark.parametrize(("step", "name"), [("spacing", "mm"), ("fit", "rows")])
    def test_a_missing_parameter_is_named(self, step: str, name: str) -> None:
        with pytest.raises(PackageError, match=name):
            apply(step, picture(EXAMS[0].images["L", "CC"]))

    @pytest.mark.parametrize("mm", [True, "1", 0, -1, float("nan"), float("inf")])
    def test_a_wrong_parameter_is_named(self, mm: float) -> None:
        with pytest.raises(PackageError, match="mm"):
            apply("spacing", picture(EXAMS[0].images["L", "CC"]), mm=mm)
