"""A few of the frames of `tests/fault/burned_in_text.py`."""

import pytest

from inference.cleaning.text import Finder
from tests.drawn_text import draw_names
from tests.fault import burned_in_text
from tests.fault.burned_in_text import HELD_OUT, Tally, count_markers, count_names


class Blind(Finder):
    """Finds nothing."""

    def find(self, light, dark, around=None):
        return []


@pytest.fixture(scope="module")
def finder() -> Finder:
    return Finder()


def test_nothing_remains_of_names_over_speckle_and_over_bright_tissue(finder: Finder) -> None:
    tally = Tally()
    count_names(tally, finder, range(HELD_OUT, HELD_OUT + 1))
    assert tally.drawn.total() > 45
    assert not tally.held
    assert not [text for text in tally.remaining if "more" in text]


def test_no_view_marker_is_lost(finder: Finder) -> None:
    tally = Tally()
    count_markers(tally, finder, range(HELD_OUT, HELD_OUT + 3))
    assert tally.drawn.total() == 12
    assert not tally.lost


def test_what_nobody_finds_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the counts above can fail."""
    monkeypatch.setattr(burned_in_text, "GROUNDS", {"speckle": draw_names})
    tally = Tally()
    count_names(tally, Blind(), range(HELD_OUT, HELD_OUT + 1))
    assert len(tally.remaining) == tally.drawn.total()
