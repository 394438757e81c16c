"""A worklist's address: whatever it says, it means a list or is refused by name."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest
from archive.findings import Task
from archive.summaries import Filters, Order, Place
from gateway.portal.list_filters import NAMES, parse_asked, parse_filters, place_of

VALUES = st.sampled_from(
    ["", "a", "failed", "none", "50", "2024-02-30", "1e9", "%00", "%ff", "~", "1~2", "mg"]
)
PAIRS = st.tuples(st.sampled_from([*NAMES, "before", "behind"]), VALUES | st.text(max_size=12))


@given(st.lists(PAIRS, max_size=6))
def test_an_address_is_read_or_refused(pairs: list[tuple[str, str]]) -> None:
    text = "&".join(f"{name}={value}" for name, value in pairs).encode("utf-8", "replace")
    with suppress(BadRequest):
        asked = parse_asked(text)
        filters = parse_filters(asked)
        assert place_of(asked, filters.order) is None or asked.all("before") or asked.all("behind")


@given(st.binary(max_size=60))
def test_bytes_are_read_or_refused(query: bytes) -> None:
    with suppress(BadRequest):
        parse_filters(parse_asked(query))


def test_empty_fields_ask_for_nothing() -> None:
    assert parse_filters(parse_asked(b"from=&to=&density=&score=&unread=&sort=")) == Filters()


def test_what_is_asked_for() -> None:
    found = parse_filters(
        parse_asked(b"density=c&density=d&score=12.5&status=done&task=risk&sort=score&unread=1")
    )
    assert (found.densities, found.minimum_score, found.statuses) == (("c", "d"), 0.125, ("done",))
    assert (found.task, found.order, found.unread) == (Task.RISK, Order.SCORE, True)


def test_other_pages_keep_the_filters_and_nothing_else() -> None:
    asked = parse_asked(b"density=c&density=d&behind=20240101~1.2")
    assert asked.query_of(before="x~1.3") == "density=c&density=d&before=x~1.3"
    assert place_of(asked, Order.DATE) == Place(("20240101", "1.2"))


def test_a_value_is_in_no_message() -> None:
    with pytest.raises(BadRequest) as refused:
        parse_filters(parse_asked(b"Modality=doe%5Ejane"))
    assert "doe" not in str(refused.value)
