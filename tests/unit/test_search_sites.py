"""What other nodes answer: rows that can't be true, or that a page could not show, are not read."""

import asyncio
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest
from archive.questions import Held
from gateway.search.answering import Row
from gateway.search.lines import read_lines, to_line
from gateway.search.sites import (
    DAY,
    MARGIN,
    MOST_ROWS,
    MOST_STUDIES,
    Implausible,
    SiteAnswer,
    SiteState,
    pages,
    read_rows,
    read_site_answer,
    read_told,
    sendable,
    to_rows,
)
from tests.unit.test_search_messages import json_values

ROW = Row("dense", "Dense breasts", "", 120, 100, (45, 74), ("F",), ("MG", "DBT"), ("BREAST",))
ANSWER = SiteAnswer(
    "st-anna", SiteState.ANSWERED, (ROW,), addresses={"dense": "https://st-anna.test/catalogue/dense"}
)


def sent(**changed: object) -> list[dict]:
    """A row as a site sends it, with other members; `held` is beside it."""
    held = changed.pop("held", 500)
    return [{"row": asdict(ROW) | changed, "held": held}]


@pytest.mark.parametrize(
    "row", [ROW, replace(ROW, studies=None, patients=None, ages=None), replace(ROW, patients=None)]
)
def test_rows_are_read_as_they_were_sent(row):
    assert read_told(to_rows([row], {"dense": 2000}), {}) == ((row,), {"dense": 2560})


@pytest.mark.parametrize(
    ("has", "told"), [(0, 640), (3, 640), (640, 640), (641, 1280), (10**6, 1_310_720), (10**9, MOST_STUDIES)]
)
def test_how_much_a_dataset_has_is_told_to_a_power_of_two(has, told):
    assert to_rows([ROW], {"dense": has})[0]["held"] == told


def test_what_a_site_has_found_it_holds_for_noise_may_have_added_to_it():
    assert to_rows([replace(ROW, studies=645)], {"dense": 640})[0]["held"] == 645


COUNTS = {
    "negative": {"studies": -5, "patients": None},
    "nothing": {"studies": 0},
    "few": {"studies": 4},
    "no multiple": {"studies": 121},
    "a fraction": {"studies": 120.0},
    "a truth": {"studies": True},
    "a text": {"studies": "120"},
    "not a number": {"studies": float("nan")},
    "more patients than studies": {"patients": 125},
    "more than the dataset holds": {"studies": 505},
    "more than any dataset holds": {"studies": 5 * 10**12, "held": 5 * 10**12},
    "found where nothing is held": {"held": None},
    "held but nothing found": {"studies": None, "patients": None, "held": 12},
}


@pytest.mark.parametrize("changed", COUNTS.values(), ids=COUNTS)
def test_counts_that_can_not_be_are_not_read(changed):
    with pytest.raises(Implausible):
        read_told(sent(**changed), {})


TEXTS = {
    "script": {"title": "<script>alert(1)</script>"},
    "an image": {"description": "<img src=x onerror=alert(1)>"},
    "an address of script": {"title": "javascript:alert(1)"},
    "another order": {"title": "abc\u202egnp.exe"},
    "a control": {"title": "a\x00b"},
    "half a character": {"title": "\ud800"},
    "a long one": {"title": "x" * 301},
    "no text": {"title": None},
    "a dataset elsewhere": {"dataset": "../../evil"},
    "a dataset that is a place": {"dataset": "//evil.test"},
    "a version": {"dataset": "dense@1"},
    "no dataset": {"dataset": None},
    "a modality of script": {"modalities": ["<b>"]},
    "too many": {"body_parts": ["BREAST"] * 65},
    "an age": {"ages": [74, 45]},
    "one member more": {"url": "https://evil.test"},
}


@pytest.mark.parametrize("changed", TEXTS.values(), ids=TEXTS)
def test_texts_that_no_page_should_show_are_not_read(changed):
    with pytest.raises(Implausible):
        read_told(sent(**changed), {})


def test_a_title_may_say_less_than():
    assert read_told(sent(title="Women < 50, BI-RADS > 3"), {})


def test_a_site_sends_no_title_that_its_hub_does_not_read():
    row = replace(ROW, title="<b>" + "x" * 400, description="\u202e" + "y" * 2000)
    assert read_told(to_rows([row], {}), {})


@pytest.mark.parametrize(
    "rows", [sent() * (MOST_ROWS + 1), sent() * 2], ids=["too many", "one dataset twice"]
)
def test_rows_are_one_for_each_dataset(rows):
    with pytest.raises(Implausible):
        read_told(rows, {})


def test_a_site_has_not_grown_a_hundredfold_since_a_moment_ago():
    rows = sent(held=MOST_STUDIES)
    with pytest.raises(Implausible):
        read_told(rows, {"dense": Held(1000, 60.0)})
    assert read_told(rows, {"dense": Held(1000, 200 * DAY)})
    assert read_told(sent(held=MARGIN), {"dense": Held(5, 60.0)})


@given(st.lists(json_values, max_size=3))
def test_anything_else_is_no_row(rows):
    if rows:
        with pytest.raises(BadRequest):
            read_rows(rows)
        with pytest.raises(BadRequest):
            read_told([{"row": each, "held": 5} for each in rows], {})


@given(st.sampled_from(sorted(asdict(ROW))), json_values)
def test_what_is_read_of_a_row_can_be_passed_on(name, value):
    try:
        rows, _ = read_told(sent(**{name: value}), {})
    except Implausible:
        return
    answer = replace(ANSWER, rows=rows, addresses={})
    assert read_site_answer(answer.to_json()) == answer


def test_what_a_hub_passes_on_is_read_as_it_was():
    assert read_site_answer(ANSWER.to_json()) == ANSWER


@pytest.mark.parametrize(
    "changed",
    [
        {"addresses": {"dense": "javascript:alert(1)"}},
        {"addresses": {"dense": "http://evil.test/"}},
        {"addresses": {"other": "https://st-anna.test/"}},
        {"state": "shown"},
        {"site": "<b>"},
        {"reason": "<script>"},
        {"rows": [{}]},
        {"more": 1},
    ],
    ids=["script", "plain http", "another dataset", "state", "name", "reason", "rows", "more"],
)
def test_what_a_hub_should_not_pass_on_is_not_read(changed):
    with pytest.raises(BadRequest):
        read_site_answer(ANSWER.to_json() | changed)


@given(json_values)
def test_nor_is_anything_else(content):
    with pytest.raises(BadRequest):
        read_site_answer(content)


def test_pages_are_below_the_address_that_is_written_down_and_nowhere_without_one():
    assert pages([ROW], "https://a.test") == {"dense": "https://a.test/catalogue/dense"}
    assert pages([ROW], "") == {}


def lines_of(chunks: list[bytes], most: int = 1000) -> list[bytes]:
    async def coming():
        for chunk in chunks:
            yield chunk

    async def read() -> list[bytes]:
        return [line async for line in read_lines(coming(), most)]

    return asyncio.run(read())


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=5), max_size=5),
    st.integers(1, 7),
)
def test_lines_are_read_however_they_are_cut(contents, size):
    data = b"".join(map(to_line, contents))
    found = lines_of([data[at : at + size] for at in range(0, len(data), size)])
    assert [each + b"\n" for each in found] == list(map(to_line, contents))


@pytest.mark.parametrize(
    "chunks", [[b"x" * 1001], [b"x" * 1001 + b"\n"], [b"x" * 600, b"x" * 600]], ids=["a", "b", "c"]
)
def test_a_line_without_end_is_not_kept(chunks):
    with pytest.raises(BadRequest):
        lines_of(chunks)


@pytest.mark.parametrize(
    "title",
    ["<<b b", "<\u00adb>", "java\u200bscript:x", "a" * 299 + "<b"],
    ids=["nested", "soft", "zero", "cut"],
)
def test_what_a_steward_writes_never_makes_its_site_faulty(title: str):
    row = sendable(Row("dense", title, title, 100, 50))
    assert read_rows([asdict(row)]) == (row,)
