"""Text is found in drawn frames, and view markers are told from it."""

import numpy as np
import pytest

from inference.cleaning.mask import covered
from inference.cleaning.text import Finder, Grey, Text
from tests.drawn_text import draw_markers, draw_names


@pytest.fixture(scope="module")
def finder() -> Finder:
    return Finder()


def find(finder: Finder, frame: Grey) -> list[Text]:
    return finder.find(frame, 255 - frame)


@pytest.mark.parametrize("light", [True, False], ids=["light on dark", "dark on light"])
@pytest.mark.parametrize("seed", range(4))
def test_every_pixel_of_every_name_is_covered(finder: Finder, seed: int, light: bool) -> None:
    frame, drawn = draw_names(seed, light=light)
    mask = covered([text.box for text in find(finder, frame) if not text.is_marker], frame.shape)
    missed = [(each.text, each.size) for each in drawn if not mask[each.ink].all()]
    assert len(drawn) > 10
    assert not missed


def test_two_hundred_view_markers_are_all_kept(finder: Finder) -> None:
    lost, count = [], 0
    for seed in range(50):
        frame, drawn = draw_markers(seed)
        masked = covered([text.box for text in find(finder, frame) if not text.is_marker], frame.shape)
        count += len(drawn)
        lost += [(each.text, each.size) for each in drawn if masked[each.ink].any()]
    assert count == 200
    assert not lost


def test_speckle_without_text_is_left_nearly_whole(finder: Finder) -> None:
    random = np.random.default_rng(7)
    frame = np.clip(random.rayleigh(40, (480, 640)), 0, 255).astype(np.uint8)
    assert covered([text.box for text in find(finder, frame)], frame.shape).mean() < 0.02


def test_small_text_in_a_large_frame_is_found_in_a_tile(finder: Finder) -> None:
    large = np.full((2600, 2000), 20, np.uint8)
    frame, drawn = draw_names(3, light=True, rows=400, columns=700)
    large[1900:2300, 900:1600] = frame
    mask = covered([text.box for text in find(finder, large)], large.shape)[1900:2300, 900:1600]
    assert drawn and all(mask[each.ink].all() for each in drawn)
