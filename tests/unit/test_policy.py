"""Who may do what: roles, permits, and tokens that narrow them (RFC 6749 section 3.3)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import Forbidden
from archive.policy import (
    EVERYTHING,
    NOTHING,
    Action,
    Grants,
    Permit,
    Principal,
    Role,
    Scope,
    decide,
    parse_actions,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
READ = frozenset({Action.READ})


def permit(number: int = 1, **more) -> Permit:
    return Permit(
        **{"permit_id": f"P{number}", "purpose": "research", "actions": READ, "datasets": (number,)} | more
    )


def seen(*permits: Permit, actions=READ, permit_id=None, purpose=None, roles=(), action=Action.READ) -> Scope:
    principal = Principal("client:s", frozenset(actions), permit=permit_id, purpose=purpose)
    return decide(principal, Grants(frozenset(roles), permits), action, now=NOW)


@pytest.mark.parametrize("role", Role)
def test_three_roles_see_everything_and_the_others_nothing(role):
    sees = role in (Role.ADMINISTRATOR, Role.STEWARD, Role.CLINICIAN)
    assert seen(roles=[role]) == (EVERYTHING if sees else NOTHING)


@pytest.mark.parametrize("role", Role)
def test_two_roles_review_everything(role):
    reviews = role in (Role.ADMINISTRATOR, Role.CLINICIAN)
    found = seen(roles=[role], actions={Action.REVIEW}, action=Action.REVIEW)
    assert found == (EVERYTHING if reviews else NOTHING)


def test_a_steward_reviews_what_a_permit_names():
    named = permit(actions=frozenset({Action.REVIEW}))
    found = seen(named, roles=[Role.STEWARD], actions={Action.REVIEW}, action=Action.REVIEW)
    assert found == Scope(False, (1,), (), ("P1",))


@pytest.mark.parametrize("action", Action)
def test_no_action_is_allowed_by_another(action):
    with pytest.raises(Forbidden, match=action.value):
        seen(actions=frozenset(Action) - {action}, roles=[Role.ADMINISTRATOR], action=action)


def test_a_permit_shows_its_datasets():
    assert seen(permit(1), permit(2, datasets=(7,), versions=(9,))) == Scope(
        False, (1, 7), (9,), ("P1", "P2")
    )


def test_a_permit_for_another_action_shows_nothing():
    assert seen(permit(actions=frozenset({Action.WRITE}))) == NOTHING


def test_a_permit_on_everything_shows_everything():
    assert seen(permit(datasets=(), everything=True)) == Scope(True, permits=("P1",))


@pytest.mark.parametrize(
    ("since", "until", "is_valid"),
    [
        (None, None, True),
        (None, timedelta(0), False),
        (None, timedelta(microseconds=1), True),
        (timedelta(0), None, True),
        (timedelta(microseconds=1), None, False),
    ],
)
def test_a_permit_is_valid_until_its_end(since, until, is_valid):
    ends = {
        "since": since is not None and NOW + since or None,
        "until": until is not None and NOW + until or None,
    }
    assert (seen(permit(**ends)) != NOTHING) == is_valid


def test_a_token_of_one_permit_sees_what_that_permit_names():
    assert seen(permit(1), permit(2), permit_id="P2").datasets == (2,)


def test_a_token_of_one_permit_has_nothing_of_a_role():
    assert seen(permit(2), roles=[Role.ADMINISTRATOR], permit_id="P2").datasets == (2,)
    assert seen(roles=[Role.ADMINISTRATOR], permit_id="P2") == NOTHING


def test_a_token_of_one_purpose_sees_what_permits_of_that_purpose_name():
    granted = (permit(1), permit(2, purpose="algorithms"), permit(3, purpose="algorithms"))
    assert seen(*granted, purpose="algorithms").datasets == (2, 3)
    assert seen(*granted, purpose="algorithms", permit_id="P1") == NOTHING


@pytest.mark.parametrize("purpose", ["", "Research", "anything"])
def test_a_purpose_that_no_permit_has_shows_nothing(purpose):
    assert seen(permit(1), purpose=purpose) == NOTHING


def test_a_token_of_one_purpose_has_nothing_of_a_role():
    assert seen(permit(2), roles=[Role.ADMINISTRATOR], purpose="research").datasets == (2,)


numbers = st.lists(st.integers(1, 9), max_size=4).map(tuple)
permits = st.builds(
    permit,
    st.integers(1, 3),
    purpose=st.sampled_from(["research", "algorithms"]),
    datasets=numbers,
    versions=numbers,
    actions=st.frozensets(st.sampled_from(Action)),
    everything=st.booleans(),
)


@given(
    st.lists(permits, max_size=4),
    st.frozensets(st.sampled_from(Action)),
    st.sampled_from([None, "P1", "P2"]),
    st.sampled_from([None, "research", "care"]),
)
def test_a_token_never_widens_what_is_granted(granted, actions, permit_id, purpose):
    """With fewer scopes, one permit or one purpose, it sees no more."""
    whole = seen(*granted, actions=frozenset(Action))
    try:
        narrowed = seen(*granted, actions=actions, permit_id=permit_id, purpose=purpose)
    except Forbidden:
        narrowed = NOTHING
    assert whole.covers(narrowed)


@given(numbers, numbers)
def test_a_scope_covers_another_of_which_it_has_each_dataset(mine, others):
    assert Scope(False, mine).covers(Scope(False, (), others)) == (set(others) <= set(mine))
    assert EVERYTHING.covers(Scope(False, mine)) and not Scope(False, mine).covers(EVERYTHING)


@pytest.mark.parametrize(
    ("scope", "actions"),
    [
        ("", set()),
        ("dicomweb.read", {Action.READ}),
        ("dicomweb.read  openid dicomweb.write", {Action.READ, Action.WRITE}),
        ("DICOMWEB.READ dicomweb.read.all dicomweb", set()),
    ],
)
def test_scopes_are_whole_words_of_their_case(scope, actions):
    assert parse_actions(scope) == actions
