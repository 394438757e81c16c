"""Masks: boxes of text, and what lies outside of ultrasound regions (PS3.3 C.8.5.5)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydicom.dataset import Dataset

from inference.cleaning.mask import Box, boxes_of, covered, outside_of_regions

SHAPE = (40, 60)
SIDES = st.integers(-100, 100)


def regions(*corners: tuple[int, int, int, int]) -> Dataset:
    dataset = Dataset()
    dataset.SequenceOfUltrasoundRegions = [Dataset() for _ in corners]
    for item, (left, top, right, bottom) in zip(dataset.SequenceOfUltrasoundRegions, corners, strict=True):
        item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
        item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right, bottom
    return dataset


def test_covers_the_boxes_and_not_what_is_kept() -> None:
    mask = covered([Box(0, 0, 10, 5)], SHAPE, kept=[Box(8, 0, 12, 5)])
    assert mask.sum() == 8 * 5
    assert not mask[0, 8]


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 50))
def test_a_box_never_leaves_the_frame(left: int, top: int, right: int, bottom: int, margin: int) -> None:
    grown = Box(left, top, right, bottom).grown(margin, SHAPE)
    assert 0 <= grown.left <= grown.right <= SHAPE[1]
    assert 0 <= grown.top <= grown.bottom <= SHAPE[0]


def test_all_but_the_regions_is_outside_and_their_last_row_and_column_are_not() -> None:
    outside = outside_of_regions(regions((10, 8, 49, 39), (0, 20, 9, 39)), SHAPE)
    assert outside[:8].all() and outside[:, 50:].all() and outside[8:20, :10].all()
    assert not outside[8:40, 10:50].any() and not outside[20:40, :10].any()


@pytest.mark.parametrize(
    "dataset",
    [Dataset(), regions(), regions((0, 0, 2, 2)), regions((30, 30, 10, 10)), regions((100, 100, 200, 200))],
)
def test_regions_that_hold_no_picture_mask_nothing(dataset: Dataset) -> None:
    assert not outside_of_regions(dataset, SHAPE).any()


def test_a_region_without_its_corners_is_left_out() -> None:
    dataset = regions((0, 0, 59, 19))
    dataset.SequenceOfUltrasoundRegions.append(Dataset())
    assert outside_of_regions(dataset, SHAPE).sum() == 20 * 60


@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_a_mask_is_its_boxes_and_no_two_of_them_meet(mask: np.ndarray) -> None:
    boxes = boxes_of(mask)
    assert (covered(boxes, mask.shape) == mask).all()
    assert sum((box.right - box.left) * (box.bottom - box.top) for box in boxes) == mask.sum()


def test_two_boxes_apart_stay_two() -> None:
    boxes = [Box(3, 2, 20, 9), Box(30, 25, 40, 31)]
    assert boxes_of(covered(boxes, SHAPE)) == boxes


def test_a_box_is_the_same_by_its_size() -> None:
    box = Box(3, 2, 20, 9)
    assert box.sized == [3, 2, 17, 7]
    assert Box.of_size(*box.sized) == box
