"""What is computed in a quick way for cleaning is what the plain way gives, to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inference.cleaning.areas import _count, ranges_of
from inference.cleaning.detection import Scatter, _median, _planes
from inference.cleaning.frames import _looked_up

SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70)
GREYS = arrays.arrays(np.uint8, SHAPES)


@given(arrays.arrays(np.bool_, SHAPES))
@settings(deadline=None)
def test_the_pixels_of_each_block_are_counted(mask: np.ndarray) -> None:
    down, across = (-(-side // 16) for side in mask.shape)
    blocks = [
        [mask[16 * y : 16 * y + 16, 16 * x : 16 * x + 16].sum() for x in range(across)] for y in range(down)
    ]
    assert _count(mask).tolist() == blocks


@given(GREYS)
@settings(deadline=None)
def test_a_median_is_numpys(image: np.ndarray) -> None:
    assert _median(image) == np.median(image)


@given(GREYS)
@settings(deadline=None)
def test_planes_are_the_scaled_image_three_times(image: np.ndarray) -> None:
    scaled = image.astype(np.float32) / 127.5 - 1
    assert np.array_equal(_planes(image), np.stack([scaled] * 3)[None])


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32])
@given(data=st.data())
@settings(deadline=None)
def test_a_table_is_looked_up(kind: type, data: st.DataObject) -> None:
    table = data.draw(arrays.arrays(np.uint8, st.integers(1, 256)))
    values = data.draw(arrays.arrays(kind, SHAPES, elements=st.integers(0, len(table) - 1)))
    assert np.array_equal(_looked_up(table, values), table[values])


@given(GREYS)
@settings(deadline=None)
def test_a_range_is_the_greatest_less_the_least_within_four_pixels(image: np.ndarray) -> None:
    rows, columns = image.shape
    y, x = rows // 2, columns // 3
    around = image[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5]
    assert ranges_of(image)[y, x] == around.max() - around.min()


class TestScatter:
    @given(GREYS, st.data())
    @settings(deadline=None)
    def test_fills_with_pixels_of_other_places_and_leaves_these(
        self, image: np.ndarray, data: st.DataObject
    ) -> None:
        where = data.draw(arrays.arrays(np.bool_, image.shape))
        rough = Scatter(where).over(image)
        assert np.array_equal(rough[~where], image[~where])
        assert where.all() or set(rough[where].tolist()) <= set(image[~where].tolist())

    def test_is_the_same_each_time_and_for_each_look(self) -> None:
        random = np.random.default_rng(1)
        image, where = random.integers(0, 256, (60, 80)).astype(np.uint8), random.random((60, 80)) < 0.3
        assert np.array_equal(Scatter(where).over(255 - image), 255 - Scatter(where).over(image))
