"""View markers by their text (PS3.3 C.8.11.7.1.2)."""

import pytest

from inference.cleaning.marker import is_view_marker
from tests.drawn_text import MARKERS, NAMES


@pytest.mark.parametrize(
    "text", [*MARKERS, "r-mlo", " LCC ", "RML0", "L - CC", "CC-L", "MLO", "CC", "LEFT CC", "(R)"]
)
def test_keeps_sides_and_views(text: str) -> None:
    assert is_view_marker(text)


@pytest.mark.parametrize(
    "text",
    [
        *NAMES,
        "",
        "ML",
        "LM",
        "AT",
        "L. Mueller",
        "R-CC Smith",
        "RCC 1961",
        "LCCMUSTERMANN",
        "CC CC",
        "LL",
        "R1",
        "L M",
        "1",
    ],
)
def test_keeps_nothing_that_might_be_a_name_or_a_number(text: str) -> None:
    assert not is_view_marker(text)
