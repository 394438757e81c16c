"""The synthetic breast phantom and what it is known to hold."""

import numpy as np
import pytest

from inference.phantom import HELD_OUT, THRESHOLDS, TRAINING, VIEWS, draw_exam

SIZE = {"rows": 208, "columns": 160}


def test_the_same_seed_draws_the_same_exam() -> None:
    one, other = (draw_exam(5, **SIZE) for _ in range(2))
    assert all(np.array_equal(one.images[view], other.images[view]) for view in VIEWS)


def test_another_seed_draws_another() -> None:
    assert not np.array_equal(draw_exam(5, **SIZE).images["L", "CC"], draw_exam(6, **SIZE).images["L", "CC"])


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("variation", [TRAINING, HELD_OUT])
def test_the_glandular_fraction_is_the_wanted_one(fraction: float, variation: object) -> None:
    exam = draw_exam(1, glandular_fraction=fraction, variation=variation, **SIZE)
    assert exam.glandular_fraction == pytest.approx(fraction, abs=0.03)


@pytest.mark.parametrize(("fraction", "category"), [(0.1, "a"), (0.35, "b"), (0.6, "c"), (0.9, "d")])
def test_the_category_follows_the_stated_thresholds(fraction: float, category: str) -> None:
    assert draw_exam(2, glandular_fraction=fraction, **SIZE).category == category


def test_the_thresholds_cover_every_fraction() -> None:
    assert list(THRESHOLDS.values()) == sorted(THRESHOLDS.values())
    assert THRESHOLDS["d"] > 1


def test_pixels_are_of_twelve_bits() -> None:
    images = draw_exam(3, **SIZE).images.values()
    assert all(image.dtype == np.uint16 and 1000 < image.max() < 4096 for image in images)


@pytest.mark.parametrize(("laterality", "side"), [("L", slice(0, 40)), ("R", slice(-40, None))])
def test_the_chest_wall_is_where_the_breast_hangs(laterality: str, side: slice) -> None:
    image = draw_exam(4, **SIZE).images[laterality, "CC"]
    assert image[:, side].mean() > 2 * image.mean(axis=0).min()
    assert image[:, side].mean() > image.mean()


def test_the_muscle_shows_in_the_oblique_view_only() -> None:
    images = draw_exam(4, **SIZE).images
    assert images["L", "MLO"][:10, :10].mean() > 4 * images["L", "CC"][:10, :10].mean() + 500


def test_denser_breasts_are_brighter() -> None:
    means = [draw_exam(8, glandular_fraction=one, **SIZE).images["L", "CC"].mean() for one in (0.1, 0.5, 0.9)]
    assert means == sorted(means)
