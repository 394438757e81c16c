"""One range of bytes (RFC 9110 section 14)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ranges import parse_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 0)),
        ("bytes=2-", (2, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=-30", (0, 9)),
        ("bytes=5-99999", (5, 9)),
        ("Bytes = 1 - 2 ", (1, 2)),
    ],
)
def test_a_range_of_ten_bytes(header, expected):
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=3-2",
        "bytes=a-b",
        "bytes=0-1,3-4",
        "pages=0-1",
        "bytes=٣-",
    ],
)
def test_what_is_passed_over(header):
    """Section 14.2: the whole is sent."""
    assert parse_range(header, 10) is None


@pytest.mark.parametrize(("header", "length"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_what_is_not_there(header, length):
    """Section 15.5.17."""
    with pytest.raises(ValueError, match="no byte"):
        parse_range(header, length)


@given(st.text(alphabet="bytes=-0123456789, ", max_size=30), st.integers(0, 1000))
def test_a_range_always_lies_within(header, length):
    try:
        found = parse_range(header, length)
    except ValueError:
        return
    assert found is None or 0 <= found[0] <= found[1] < length
