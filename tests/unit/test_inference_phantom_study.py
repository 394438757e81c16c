"""Structured phantoms: the truth they tell is where it is in the pixels."""

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from inference.phantom.study import Order, Study, draw_study
from inference.phantom.truth import Kind, Seen
from inference.phantom.vendor import VENDORS

SPACING = 0.25


@cache
def study(seed: int, *lesions: Kind, vendor: str = "alpha", category: str = "b") -> Study:
    order = Order(lesions=lesions, benign=False, category=category, vendor=vendor, spacing=SPACING)
    return draw_study(seed, order)


def grey(one: Study, view: tuple[str, str]) -> npt.NDArray[np.float64]:
    image = one.images[view]
    dark = one.vendor.photometric == "MONOCHROME1"
    return one.vendor.curve(one.vendor.top - image if dark else image)


def inside(seen: Seen, shape: tuple[int, ...], grow: float = 0) -> npt.NDArray[np.bool_]:
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.rint(np.array(seen.outline)).astype(np.int32).reshape(-1, 1, 2)], 1)
    if grow:
        size = 2 * round(grow / SPACING) + 1
        canvas = np.asarray(cv2.dilate(canvas, np.ones((size, size), np.uint8)), np.uint8)
    return canvas.astype(bool)


def test_the_same_seed_draws_the_same_exam() -> None:
    first, second = (draw_study(3, Order(spacing=0.5)) for _ in range(2))
    assert first.truth == second.truth
    assert all((first.images[view] == second.images[view]).all() for view in first.images)


@pytest.mark.parametrize("category", "abcd")
def test_an_exam_is_of_the_category_that_was_asked_for(category: str) -> None:
    """The share of dense area decides, in quarters, as in BI-RADS 4."""
    assert study(11, category=category).truth.category == category


def test_a_mass_is_brighter_than_what_surrounds_it() -> None:
    one = study(5, Kind.MASS, category="a")
    for finding, seen in one.truth.seen(("L", "CC")) + one.truth.seen(("R", "CC")):
        image = grey(one, seen.view)
        body = inside(seen, image.shape)
        ring = inside(seen, image.shape, grow=4) & ~body
        assert image[body].mean() > image[ring].mean(), finding.name


def test_calcifications_are_bright_at_their_points() -> None:
    one = study(7, Kind.CALCIFICATIONS, category="a")
    (finding,) = one.truth.lesions
    for seen in finding.seen:
        image = grey(one, seen.view)
        reach = [image[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].max() for x, y in seen.points]
        assert np.mean(reach) > np.median(image[inside(seen, image.shape)])


def test_a_lesion_is_in_both_views_of_its_breast() -> None:
    one = study(5, Kind.MASS, Kind.CALCIFICATIONS)
    for finding in one.truth.lesions:
        assert {seen.view for seen in finding.seen} == {(finding.laterality, view) for view in ("CC", "MLO")}


def test_the_nipple_is_the_breasts_farthest_point_from_the_chest_wall() -> None:
    one = study(5)
    for truth in one.truth.views:
        breast = grey(one, truth.view) > grey(one, truth.view).min() + 0.005
        columns = np.flatnonzero(breast.sum(axis=0) > 3)
        farthest = columns.max() if truth.view[0] == "L" else columns.min()
        assert abs(truth.nipple[0] - farthest) * SPACING < 7


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendors_values_fit_its_bits(vendor: str) -> None:
    one = draw_study(9, Order(vendor=vendor, spacing=0.5, views=(("R", "MLO"),)))
    image = one.images["R", "MLO"]
    assert image.dtype == np.uint16
    assert image.max() <= VENDORS[vendor].top
    assert (
        image[:, 0] if VENDORS[vendor].photometric == "MONOCHROME2" else one.vendor.top - image[:, 0]
    ).min() == 0
