"""Questions and answers between nodes: nothing but what a node has signed, as that very text, is read of it."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest, PayloadTooLarge
from gateway.search import messages
from gateway.search.asking import ask
from gateway.search.messages import Asked, Said, Told, asker_of, parse_asked, parse_told, sign, verify
from gateway.search.question import All, Condition, Not, to_json

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
ASKED = Asked("ab" * 16, "hub", "st-anna", AT, "cd" * 32, Not(Condition("modality", ("MG",))))
TOLD = Told("ab" * 16, "st-anna", AT, "answered", ({"row": {}, "held": None},))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def test_a_question_is_read_as_it_was_written():
    assert parse_asked(ASKED.to_bytes()) == ASKED


def test_an_answer_is_read_as_it_was_written():
    assert parse_told(TOLD.to_bytes()) == TOLD


def test_what_sites_would_not_read_is_put_to_none():
    """A line that is longer than is read would end the stream of each site."""
    names = tuple(Condition("manufacturer", (f"{'é' * 60}{number}",)) for number in range(180))
    with pytest.raises(PayloadTooLarge):
        asyncio.run(anext(ask(None, All(names), "")))
    asked = replace(ASKED, question=All(names[:160]), sender="a" * 32, to="b" * 32)
    messages.check_size(asked.question)
    assert to_json(parse_asked(asked.to_bytes()).question) == to_json(asked.question)


@given(json_values)
def test_any_other_json_is_neither(content):
    for parse in (parse_asked, parse_told):
        with pytest.raises(BadRequest):
            parse(json.dumps(content).encode())


@given(st.binary(max_size=200))
def test_nor_are_other_bytes(text):
    for parse in (parse_asked, parse_told):
        with pytest.raises(BadRequest):
            parse(text)


@given(st.sampled_from(["asker", "at", "from", "id", "question", "to"]), json_values)
def test_a_question_with_a_member_of_another_kind_is_none_or_one_all_the_same(name, value):
    """What is read can be written, whatever it was."""
    try:
        read = parse_asked(json.dumps(json.loads(ASKED.to_bytes()) | {name: value}).encode())
    except BadRequest:
        return
    assert parse_asked(read.to_bytes()) == read


@given(st.sampled_from(["at", "id", "rows", "site", "state", "why"]), json_values)
def test_so_is_an_answer(name, value):
    try:
        read = parse_told(json.dumps(json.loads(TOLD.to_bytes()) | {name: value}).encode())
    except BadRequest:
        return
    assert parse_told(json.dumps(json.loads(read.to_bytes())).encode()).site == read.site


@pytest.mark.parametrize("most", ["question", "answer"])
def test_what_is_too_long_is_not_even_looked_at(most):
    parse, length = {
        "question": (parse_asked, messages.LONGEST),
        "answer": (parse_told, messages.LONGEST_ANSWER),
    }[most]
    with pytest.raises(BadRequest):
        parse(ASKED.to_bytes() + b" " * length)


def test_what_is_signed_is_what_is_read():
    assert verify(Said.ANSWER, sign(Said.ANSWER, b"text", KEY), KEY.public_key()) == b"text"


@pytest.mark.parametrize(
    ("said", "key"), [(Said.QUESTION, KEY), (Said.SEARCH, KEY), (Said.ANSWER, OTHER)], ids=["a", "b", "c"]
)
def test_a_signature_of_another_kind_or_key_is_none(said, key):
    with pytest.raises(BadRequest):
        verify(Said.ANSWER, sign(said, b"text", key), KEY.public_key())


@given(st.dictionaries(st.sampled_from(["text", "signature"]), json_values))
def test_anything_else_that_is_sent_is_not_signed(sent):
    with pytest.raises(BadRequest):
        verify(Said.ANSWER, sent, KEY.public_key())


@pytest.mark.parametrize(
    ("seconds", "is_fresh"), [(0, True), (34, True), (-34, True), (36, False), (-36, False)]
)
def test_a_question_is_for_its_moment(seconds, is_fresh):
    assert ASKED.is_fresh(AT + timedelta(seconds=seconds)) is is_fresh


def test_who_asks_is_told_as_the_same_hash_each_time_and_as_another_at_another_node():
    told = asker_of(KEY, "hub", "account:anna")
    assert told == asker_of(KEY, "hub", "account:anna") and len(told) == 64
    others = {
        asker_of(OTHER, "hub", "account:anna"),
        asker_of(KEY, "b", "account:anna"),
        asker_of(KEY, "hub", ""),
    }
    assert len(others | {told}) == 4
