"""A question as JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest
from gateway.search.question import DEEPEST, MOST_PARTS, Condition, Question, read_question, to_json
from tests.unit.searched import QUESTIONS, Study, holds, studies

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["all", "any", "not", "is", "in", "from", "to", "x"]), inner)
    ),
    max_leaves=10,
)


@given(QUESTIONS, st.lists(studies(), max_size=5))
def test_what_was_written_is_read(question: Question, held: list[Study]) -> None:
    again = read_question(json.loads(json.dumps(to_json(question))))
    assert to_json(again) == to_json(question)
    assert [holds(again, study) for study in held] == [holds(question, study) for study in held]


@given(ANYTHING)
def test_whatever_comes_is_a_question_or_a_bad_request(content: Any) -> None:
    try:
        question = read_question(content)
    except BadRequest:
        return
    assert read_question(to_json(question))


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"all": [], "any": []},
        {"is": "weight", "in": ["1"]},
        {"is": "age"},
        {"is": "age", "in": ["50"]},
        {"is": "age", "from": "50"},
        {"is": "age", "from": True},
        {"is": "age", "from": float("nan")},
        {"is": "age", "to": 10**400},
        {"is": "density", "in": []},
        {"is": "density", "in": ["e"]},
        {"is": "density", "in": "a"},
        {"is": "manufacturer", "in": ["x" * 65]},
        {"is": "manufacturer", "in": ["a\0b"]},
        {"is": "date", "from": "20200101"},
        {"is": "date", "from": "2020-02-30"},
        {"is": ["age"], "from": 1},
        {"all": [{"all": []}] * (MOST_PARTS + 1)},
    ],
    ids=range(19),
)
def test_what_is_no_question(content: Any) -> None:
    with pytest.raises(BadRequest):
        read_question(content)


def test_a_question_has_bounds() -> None:
    deep: Any = {"all": []}
    for _ in range(DEEPEST):
        deep = {"not": deep}
    for content in (deep, {"any": [{"all": [{"all": []}] * 100}] * 3}):
        with pytest.raises(BadRequest):
            read_question(content)


def test_a_day_is_a_number() -> None:
    assert read_question({"is": "date", "from": "2020-01-02"}) == Condition("date", None, 20200102)
