"""Who may do what (RFC 6749 section 3.3)."""

import pytest

from archive.errors import Forbidden
from archive.policy import EVERYTHING, Action, Principal, decide, parse_actions


def test_a_reader_reads_everything_on_a_site_without_permits():
    assert decide(Principal("s", frozenset({Action.READ})), Action.READ) == EVERYTHING


@pytest.mark.parametrize("action", Action)
def test_no_action_is_allowed_by_another(action):
    others = frozenset(Action) - {action}
    with pytest.raises(Forbidden, match=action.value):
        decide(Principal("s", others), action)


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
