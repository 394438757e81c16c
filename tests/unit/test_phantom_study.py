"""The structured phantom: what is told of it is what it shows."""

import io
from functools import cache

import cv2
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from inference.instance import read_instance
from inference.phantom.instances import write_instances
from inference.phantom.study import Order, Study, draw_study
from inference.phantom.truth import Kind
from inference.phantom.vendor import VENDORS
from inference.pixels import decode
from inference.views import FOR_PRESENTATION

ORDER = Order(
    lesions=(Kind.MASS, Kind.CALCIFICATIONS), benign=False, category="a", vendor="alpha", spacing=0.4
)


@cache
def study(vendor: str = "alpha", seed: int = 5) -> Study:
    return draw_study(seed, Order(lesions=ORDER.lesions, category="a", vendor=vendor, spacing=0.4))


@cache
def instances(vendor: str) -> list[Dataset]:
    return [dcmread(io.BytesIO(content)) for _, _, content in write_instances(study(vendor))]


def inside(outline: tuple[tuple[float, float], ...], shape: tuple[int, ...]) -> np.ndarray:
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.rint(outline).astype(np.int32).reshape(-1, 1, 2)], 1)
    return canvas.astype(bool)


def test_the_same_seed_draws_the_same_exam() -> None:
    again = draw_study(5, Order(lesions=ORDER.lesions, category="a", vendor="alpha", spacing=0.4))
    assert again.truth == study().truth
    assert all(np.array_equal(again.images[view], image) for view, image in study().images.items())


def test_a_lesion_is_seen_in_both_views_of_its_breast() -> None:
    for lesion in study().truth.lesions:
        assert {seen.view for seen in lesion.seen} == {(lesion.laterality, "CC"), (lesion.laterality, "MLO")}


def test_the_lesions_that_are_asked_for_are_there() -> None:
    assert sorted(one.kind for one in study().truth.lesions) == sorted(ORDER.lesions or ())


def test_masses_in_fatty_breasts_are_brighter_than_what_lies_around_them() -> None:
    order = Order(lesions=(Kind.MASS,), benign=False, category="a", vendor="alpha", spacing=0.8)
    ratios = []
    for drawn in (draw_study(seed, order) for seed in range(4)):
        for seen in (seen for lesion in drawn.truth.lesions for seen in lesion.seen):
            image = drawn.images[seen.view]
            mass = inside(seen.outline, image.shape)
            around = cv2.dilate(mass.astype(np.uint8), np.ones((13, 13))).astype(bool) & ~mass
            ratios.append(image[mass].mean() / image[around].mean())
    assert np.mean(ratios) > 1.1


def test_calcifications_outshine_what_lies_around_them() -> None:
    """The brightest pixel of a cluster stands above all but a hundredth of those around it."""
    order = Order(lesions=(Kind.CALCIFICATIONS,), benign=False, category="b", vendor="alpha", spacing=0.2)
    drawn = draw_study(11, order)
    for seen in (seen for lesion in drawn.truth.lesions for seen in lesion.seen):
        left, top, right, bottom = (int(side) for side in seen.box)
        around = drawn.images[seen.view][top - 60 : bottom + 60, left - 60 : right + 60]
        assert drawn.images[seen.view][top:bottom, left:right].max() > np.percentile(around, 99)


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_vendors_curve_cuts_a_dense_breast_off(vendor: str) -> None:
    drawn = draw_study(3, Order(category="d", vendor=vendor, views=(("L", "CC"),), spacing=0.8))
    (image,) = drawn.images.values()
    make = drawn.vendor
    shown = make.curve(make.top - image.astype(float) if make.photometric == "MONOCHROME1" else image)
    assert (shown >= 1).mean() < 0.001


def test_no_lesion_is_told_where_none_was_asked_for() -> None:
    assert not draw_study(8, Order(lesions=(), views=(("L", "CC"),), spacing=0.8)).truth.lesions


def test_calcifications_lie_within_their_outline() -> None:
    (cluster,) = (one for one in study().truth.lesions if one.kind is Kind.CALCIFICATIONS)
    for seen in cluster.seen:
        polygon = np.array(seen.outline, np.float32).reshape(-1, 1, 2)
        assert len(seen.points) >= 6
        assert all(cv2.pointPolygonTest(polygon, point, False) >= 0 for point in seen.points)


@pytest.mark.parametrize("category", ["a", "b", "c", "d"])
def test_an_exam_is_of_the_category_that_is_asked_for(category: str) -> None:
    truth = draw_study(3, Order(category=category, spacing=0.8)).truth
    assert truth.category == category


def test_the_nipple_of_the_right_breast_lies_left_of_its_chest_wall() -> None:
    nipples = {one.view: one.nipple[0] for one in study().truth.views}
    columns = study().images["R", "CC"].shape[1]
    assert nipples["R", "CC"] == pytest.approx(columns - nipples["L", "CC"], abs=0.1 * columns)


def test_the_muscle_is_known_in_oblique_views_only() -> None:
    assert {one.view[1] for one in study().truth.views if one.pectoral} == {"MLO"}


@pytest.mark.parametrize("vendor", VENDORS)
class TestInstances:
    def test_they_are_mammograms_of_four_views(self, vendor: str) -> None:
        assert {one.SOPClassUID for one in instances(vendor)} == {FOR_PRESENTATION}
        views = {(one.ImageLaterality, one.ViewPosition) for one in instances(vendor)}
        assert views == set(study(vendor).images)

    def test_nobody_is_named(self, vendor: str) -> None:
        assert {str(one.PatientName) for one in instances(vendor)} == {"Phantom^5"}

    def test_the_stored_values_are_the_images(self, vendor: str) -> None:
        image, dataset = study(vendor).images["L", "CC"], instances(vendor)[0]
        inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
        assert np.array_equal(decode(dataset), study(vendor).vendor.top - image if inverted else image)

    def test_the_spacing_is_read_back(self, vendor: str) -> None:
        content = next(iter(write_instances(study(vendor))))[2]
        assert read_instance(content).spacing == (0.4, 0.4)

    def test_background_is_shown_black_and_the_breast_is_not(self, vendor: str) -> None:
        """PS3.3 C.11.2: what the header's VOI shows is the vendor's curve."""
        make, values = study(vendor).vendor, decode(instances(vendor)[0]).astype(float)
        assert make.curve(np.zeros(1))[0] < 0.1
        assert make.curve(values).max() > 0.4
