"""The form of `/search`: what its address says, as a question."""

import contextlib
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest
from gateway.portal.search_form import CHOICES, MOST_GROUPS, parse_form
from gateway.search.question import CRITERIA, EVERYTHING, All, Condition, Either, Not, check


def form(address: str, in_federation: bool = False):
    return parse_form(parse_qsl(address, keep_blank_values=True), in_federation=in_federation)


MG, US = Condition("modality", ("MG",)), Condition("modality", ("US",))
ASKED = [
    ("", EVERYTHING),
    ("modality=MG", All((MG,))),
    ("modality=MG&modality=US", All((Condition("modality", ("MG", "US")),))),
    ("modality=MG&density=c", All((MG, Condition("density", ("c",))))),
    ("modality=MG&2.modality=US", Either((All((MG,)), All((US,))))),
    ("modality=MG&2.modality=", All((MG,))),
    ("modality=MG&not.density=a", All((All((MG,)), Not(Condition("density", ("a",)))))),
    ("not.modality=MG", All((EVERYTHING, Not(MG)))),
    ("not.modality=MG&not.density=a", All((EVERYTHING, Not(MG), Not(Condition("density", ("a",)))))),
    ("age_from=50&age_to=69", All((Condition("age", None, 50, 69),))),
    ("age_to=69", All((Condition("age", None, None, 69),))),
    ("date_from=2020-01-31", All((Condition("date", None, 20200131, None),))),
    ("round=first", All((Condition("round", None, 1.0, 1.0),))),
    ("round=later", All((Condition("round", None, 2.0, None),))),
]


@pytest.mark.parametrize(("address", "question"), ASKED, ids=[address or "nothing" for address, _ in ASKED])
def test_what_an_address_asks(address, question):
    assert form(address).question == check(question)


@pytest.mark.parametrize("address", ["modality=XX", "2.density=e", "not.sex=%00", "views=' or 1=1"])
def test_what_can_not_be_chosen_is_refused(address):
    with pytest.raises(BadRequest):
        form(address)


@pytest.mark.parametrize(
    "address", ["age_from=old", "age_from=-1", "age_to=1e3", "date_to=2020-02-30", "date_from=x"]
)
def test_a_limit_that_is_none_is_refused(address):
    with pytest.raises(BadRequest):
        form(address).question  # noqa: B018


def test_an_answer_is_wanted_once_it_is_asked_for():
    assert (form("modality=MG").is_asked, form("modality=MG&ask=1").is_asked) == (False, True)


def test_another_alternative_can_be_added():
    more = form("modality=MG&more=1&ask=1")
    assert (len(more.groups), more.is_asked) == (2, False)
    assert len(form("4.modality=MG&more=1").groups) == MOST_GROUPS


def test_a_federation_is_asked_at_first_and_then_if_it_is_chosen():
    assert [form(each, True).federated for each in ("", "ask=1", "ask=1&federated=1")] == [True, False, True]
    assert not form("federated=1").federated


def test_each_choice_is_one_of_its_criterion():
    for name, (_, values) in CHOICES.items():
        allowed = CRITERIA[name].values
        assert allowed is None or {value for value, _ in values} <= set(allowed)


PAIRS = st.tuples(
    st.sampled_from(["", "2.", "3.", "not."]),
    st.sampled_from([(name, value) for name, (_, values) in CHOICES.items() for value, _ in values])
    | st.tuples(st.sampled_from(["age_from", "age_to"]), st.integers(0, 120).map(str)),
).map(lambda found: (found[0] + found[1][0], found[1][1]))


@given(st.lists(PAIRS, max_size=8))
def test_the_address_of_a_search_asks_the_same(pairs):
    first = parse_form(pairs, in_federation=True)
    again = parse_form(parse_qsl(urlsplit(first.address).query), in_federation=True)
    assert again.question == first.question and again.is_asked


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)) | PAIRS, max_size=8))
def test_any_address_is_a_question_or_refused(pairs):
    with contextlib.suppress(BadRequest):
        assert check(parse_form(pairs, in_federation=False).question)
