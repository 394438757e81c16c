"""Preprocessing against plain numpy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from inference.errors import PackageError, ReadingFailed
from inference.instance import read_instance
from inference.picture import Picture
from inference.preprocess import ASSEMBLERS, Parameters
from inference.preprocess.levels import face_right, histogram, scale_to_unit, shrink
from tests.unit.mammograms import small_exam

IMAGES = arrays(
    st.sampled_from([np.uint8, np.uint16]), array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=20)
)


INSTANCE = read_instance(small_exam()[0])


def assembled(
    name: str, images: Sequence[npt.NDArray[Any]], parameters: Parameters
) -> npt.NDArray[np.float32]:
    return ASSEMBLERS[name]([Picture(INSTANCE, ("L", "CC"), image, None) for image in images], parameters)


def plain_histogram(image: npt.NDArray[np.unsignedinteger], bins: int) -> npt.NDArray[np.float64]:
    values = image.astype(np.float64)
    counts, _ = np.histogram((values - values.mean()) / values.std(), bins)
    return counts / image.size


class TestHistogram:
    def test_it_is_that_of_the_standardised_image(self) -> None:
        """But for a grey level on a bin's edge, which rounding may put on either side."""
        image = np.random.default_rng(0).integers(0, 4093, (300, 211)).astype(np.uint16)
        np.testing.assert_allclose(histogram(image, 50), plain_histogram(image, 50), atol=5e-4)

    @given(IMAGES)
    def test_it_sums_to_one(self, image: npt.NDArray[np.unsignedinteger]) -> None:
        if image.min() < image.max():
            assert histogram(image, 50).sum() == pytest.approx(1)

    @given(IMAGES)
    def test_flips_change_nothing(self, image: npt.NDArray[np.unsignedinteger]) -> None:
        if image.min() < image.max():
            np.testing.assert_array_equal(histogram(image[::-1, ::-1], 50), histogram(image, 50))

    def test_inversion_mirrors_it(self) -> None:
        image = np.random.default_rng(1).integers(0, 4000, (100, 90)).astype(np.uint16)
        np.testing.assert_allclose(histogram(4095 - image, 50), histogram(image, 50)[::-1], atol=2e-3)

    def test_one_grey_level_fails(self) -> None:
        with pytest.raises(ReadingFailed, match="one grey level"):
            histogram(np.full((4, 4), 7, np.uint8), 50)

    def test_the_views_stand_one_after_the_other(self) -> None:
        dark, bright = np.eye(4, dtype=np.uint8), 1 - np.eye(4, dtype=np.uint8)
        features = assembled("histogram", [dark, bright], {"bins": 2})
        np.testing.assert_allclose(features, [[0.75, 0.25, 0.25, 0.75]])


class TestThumbnails:
    def test_shrinking_keeps_the_mean(self) -> None:
        image = np.random.default_rng(2).integers(0, 4096, (40, 60)).astype(np.uint16)
        assert shrink(image, 8, 10).mean() == pytest.approx(image.mean())

    def test_cells_are_means_of_their_pixels(self) -> None:
        image = np.arange(12, dtype=np.uint16).reshape(3, 4)
        np.testing.assert_array_equal(shrink(image, 1, 2), [[4.5, 6.5]])

    def test_odd_sizes_are_covered_wholly(self) -> None:
        assert shrink(np.full((211, 163), 5, np.uint16), 104, 80) == pytest.approx(5)

    def test_a_smaller_image_fails(self) -> None:
        with pytest.raises(ReadingFailed, match="smaller than"):
            shrink(np.zeros((103, 80), np.uint8), 104, 80)

    def test_the_chest_wall_comes_to_the_left(self) -> None:
        image = np.array([[0.0, 0.0, 1.0, 2.0]])
        np.testing.assert_array_equal(face_right(image), [[2, 1, 0, 0]])

    def test_grey_values_go_from_0_to_1(self) -> None:
        scaled = scale_to_unit(np.random.default_rng(3).uniform(100, 4000, (50, 50)))
        assert (scaled.min(), scaled.max()) == (0, 1)

    @given(st.integers(1, 15), st.integers(0, 1000))
    def test_a_linear_window_changes_nothing(self, slope: int, intercept: int) -> None:
        image = np.random.default_rng(4).integers(0, 4096, (20, 16)).astype(np.uint16)
        parameters = {"rows": 8, "columns": 8}
        one, other = (
            assembled("thumbnails", [each], parameters) for each in (image, image * slope + intercept)
        )
        np.testing.assert_allclose(one, other, atol=1e-6)


class TestParameters:
    @pytest.mark.parametrize("bins", [1, 0, -1, 2.5, "50", None, 10**9, True])
    def test_a_wrong_one_is_named(self, bins: int) -> None:
        with pytest.raises(PackageError, match="bins"):
            assembled("histogram", [np.eye(3, dtype=np.uint8)], {"bins": bins})

    @pytest.mark.parametrize(
        ("name", "parameters"), [("histogram", {"bins": 20}), ("thumbnails", {"rows": 8, "columns": 9})]
    )
    def test_the_shape_is_known_beforehand(self, name: str, parameters: dict[str, int]) -> None:
        images = [np.random.default_rng(5).integers(0, 256, (20, 16)).astype(np.uint8)] * 3
        assert assembled(name, images, parameters).shape == ASSEMBLERS[name].shape(3, parameters)

    @pytest.mark.parametrize("name", ["histogram", "thumbnails"])
    def test_grey_values_are_no_stored_values(self, name: str) -> None:
        with pytest.raises(PackageError, match="maps grey values"):
            assembled(name, [np.eye(9, dtype=np.float32)], {"bins": 5, "rows": 8, "columns": 8})
