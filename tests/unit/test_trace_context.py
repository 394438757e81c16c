"""W3C Trace Context: what a `traceparent` says, and which traces are exported."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.trace_context import begin, current, is_drawn, parse, within

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_header_is_read_as_section_3_2_has_it() -> None:
    found = parse(f"00-{TRACE}-{SPAN}-01")
    assert found and (found.trace_id, found.span_id, found.is_sampled) == (TRACE, SPAN, True)
    assert found.header == f"00-{TRACE}-{SPAN}-01"


def test_a_version_to_come_may_say_more() -> None:
    assert parse(f"cc-{TRACE}-{SPAN}-00-what-the-future-will-be-like")


@pytest.mark.parametrize(
    "header",
    [
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        "",
    ],
    ids=["version", "too-long", "no-trace", "no-span", "capitals", "line-break", "empty"],
)
def test_what_is_malformed_counts_as_none(header: str) -> None:
    assert parse(header) is None


@given(st.text())
def test_whatever_a_client_sends_is_read_or_is_none(header: str) -> None:
    found = parse(header)
    assert found is None or re.fullmatch(r"[0-9a-f-]+", found.header)


def test_a_child_is_another_span_of_the_same_trace() -> None:
    one = begin(100)
    other = one.child()
    assert (other.trace_id, other.is_sampled) == (one.trace_id, True) and other.span_id != one.span_id


@given(st.integers(0, 2**56 - 1), st.integers(0, 100))
def test_a_share_draws_that_many_of_all_traces_the_same_everywhere(random: int, share: int) -> None:
    assert is_drawn(f"{random:032x}", share) == (random * 100 < share * 2**56)


def test_what_is_done_within_a_span_knows_it_and_forgets_it() -> None:
    context = begin()
    with within(context):
        assert current.get() is context
    assert current.get() is None
