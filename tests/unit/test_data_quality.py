"""Reports of what there is to learn from: small numbers are hidden, and can't be worked out."""

import pytest

from federation.examples.quality import hide


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"a": 5, "b": 90}, {"a": 5, "b": 90}),
        ({"a": 4, "b": 90, "c": 30}, {"a": "<5", "b": 90, "c": "hidden"}),
        ({"a": 4, "b": 1, "c": 30}, {"a": "<5", "b": "<5", "c": 30}),
        ({"a": 1}, {"a": "<5"}),
        ({}, {}),
    ],
)
def test_one_hidden_number_takes_another_with_it(counts: dict[str, int], told: dict[str, int | str]) -> None:
    assert hide(counts) == told
