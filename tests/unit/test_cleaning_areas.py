"""Where text could be is found whole, and nothing of it is lost when it is laid out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inference.cleaning.areas import areas_of, blocks_of, uneven
from inference.cleaning.mask import Box, covered

SHAPE = (640, 800)
RANDOM = np.random.default_rng(1)


def textured(*boxes: Box) -> np.ndarray:
    frame = np.full(SHAPE, 20, np.uint8)
    for box in boxes:
        size = box.bottom - box.top, box.right - box.left
        frame[box.top : box.bottom, box.left : box.right] = RANDOM.integers(0, 255, size)
    return frame


def test_a_flat_frame_has_no_areas() -> None:
    assert not areas_of(uneven(textured()), SHAPE).boxes


def test_what_differs_in_one_look_alone_counts() -> None:
    assert uneven(textured(), textured(Box(100, 100, 200, 120))).any()


def test_two_texts_far_apart_are_laid_out_in_less_room_than_they_stand_in() -> None:
    texts = Box(10, 10, 200, 40), Box(600, 590, 790, 620)
    frame = textured(*texts)
    areas = areas_of(uneven(frame), SHAPE)
    laid = areas.lay(frame)
    assert laid.size < frame.size / 4
    assert np.count_nonzero(laid > 20) == np.count_nonzero(frame > 20)


def test_a_frame_that_is_uneven_all_over_stays_one() -> None:
    assert areas_of(np.ones((40, 50), np.bool_), SHAPE).boxes == (Box(0, 0, 800, 640),)


BLOCKS = arrays.arrays(np.bool_, (40, 50), elements=st.booleans(), fill=st.just(False))


@given(BLOCKS)
@settings(max_examples=20, deadline=None)
def test_every_block_lies_in_a_box(blocks: np.ndarray) -> None:
    mask = np.kron(blocks, np.ones((16, 16), np.bool_))
    assert (covered(areas_of(blocks, SHAPE).boxes, SHAPE) | ~mask).all()
    assert (blocks_of(mask) == blocks).all()


@given(BLOCKS)
@settings(max_examples=20, deadline=None)
def test_what_is_found_in_the_layout_is_found_back_in_the_frame(blocks: np.ndarray) -> None:
    areas = areas_of(blocks, SHAPE)
    for box, (left, top) in zip(areas.boxes, areas.corners, strict=True):
        placed = Box.of_size(left, top, box.right - box.left, box.bottom - box.top)
        assert list(areas.find_back(placed)) == [box]


@pytest.mark.parametrize("change", [lambda part: part, lambda part: 255 - part])
def test_each_area_lies_in_the_layout_as_it_is_changed(change) -> None:
    frame = textured(Box(10, 10, 200, 40), Box(600, 590, 790, 620))
    areas = areas_of(uneven(frame), SHAPE)
    laid = areas.lay(frame, change)
    for box, (left, top) in zip(areas.boxes, areas.corners, strict=True):
        part = frame[box.top : box.bottom, box.left : box.right]
        np.testing.assert_array_equal(
            laid[top : top + part.shape[0], left : left + part.shape[1]], change(part)
        )
