"""The canonical form of an audit record: one text for equal values, storable whatever the values are."""

import json
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from archive.audit import LONGEST, Event, Outcome, Record, canonical, instant, mark_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
VALUES = st.one_of(st.text(max_size=400), st.integers(-(2**53), 2**53))


def record(**values: object) -> Record:
    return Record(**{"event": Event.READ, "subject": "client:a", "at": NOON} | values)


def test_its_names_are_in_order_and_nothing_empty_is_in_it() -> None:
    text = record(detail={"b": 1, "a": "é"}, study_instance_uid="1.2").content()
    assert text == (
        '{"detail":{"a":"é","b":1},"event":"access.read","outcome":"success",'
        '"study":"1.2","subject":"client:a","time":"2026-03-01T12:00:00.000000Z"}'
    )


def test_times_are_in_utc_and_order_as_texts() -> None:
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    assert instant(east) == instant(NOON) < instant(NOON + timedelta(microseconds=1))


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=40), st.text(max_size=400), st.lists(st.text()))
def test_whatever_is_in_it_can_be_stored_and_read_again(detail, subject, permits) -> None:
    text = record(detail=detail, subject=subject, permits=permits, outcome=Outcome.FAILED).content()
    assert "\0" not in text and "\\u0000" not in text
    assert canonical(json.loads(text.encode("utf-8"))) == text


@given(st.text(min_size=LONGEST + 1))
def test_a_name_is_cut(subject: str) -> None:
    assert len(json.loads(record(subject=subject).content())["subject"]) == LONGEST


RANDOM = "2.25.239482743829473829473829473829473829"


class TestStudiesListed:
    def test_are_named_by_the_end_of_uids_that_are_random_each_once(self) -> None:
        text = record(shown=[RANDOM, "1.2.840.1", RANDOM]).content()
        assert json.loads(text)["shown"] == [RANDOM[-16:], "1.2.840.1"]

    def test_a_uid_of_few_digits_is_named_whole(self) -> None:
        assert mark_of("2.25.1234567890123456789012345") == "2.25.1234567890123456789012345"

    def test_no_study_is_another_thing_than_no_list(self) -> None:
        assert json.loads(record(shown=[]).content())["shown"] == []
        assert "shown" not in record().content()

    def test_a_page_of_a_hundred_is_at_most_two_kilobytes_more(self) -> None:
        page = [f"{RANDOM[:-3]}{number:03}" for number in range(100)]
        assert len(record(shown=page).content()) - len(record().content()) < 2048
