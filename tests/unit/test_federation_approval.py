"""Whether a site takes part in a run: one decision, put to every state of the site."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.answer import Decision
from archive.approvals import Bounds, Policy
from archive.errors import BadRequest
from archive.policy import Action, Permit
from archive.purpose import Purpose
from federation.manifest import Kind, Manifest
from federation.site.approval import MOST_ANSWERS, NEEDED, Allowed, Answered, Refusal, Standing, decide
from federation.training.task import Privacy

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CODE = "c" * 64
MANIFEST = Manifest(
    run="R0123456789abcdef",
    kind=Kind.TRAINING,
    task="density",
    dataset="dense-2024",
    purpose=Purpose.RESEARCH,
    hub="breast-north",
    created_at=NOW,
    rounds=10,
    min_sites=2,
    code=CODE,
    initial="1" * 64,
)
PRIVATE = replace(MANIFEST, privacy=Privacy(noise_multiplier=1.0))
PERMIT = Permit("P1", Purpose.RESEARCH, NEEDED, datasets=(7,))
APPROVED = Answered(MANIFEST.sha256, Decision.APPROVED, "steward")
STANDING = Standing("breast-north", CODE, APPROVED, permits=(PERMIT,), dataset=7)
BOUNDS = Bounds(
    ("training",), ("density",), ("dense-2024",), (Purpose.RESEARCH,), 10, None, NOW + timedelta(days=1)
)
POLICY = Policy(3, BOUNDS, NOW, "steward")
BY_POLICY = replace(STANDING, answered=None, policies=(POLICY,))


def test_what_the_steward_approved_is_done_under_the_permit():
    assert decide(MANIFEST, STANDING, NOW) == Allowed("P1", "steward")


def test_a_policy_approves_what_lies_within_its_bounds():
    assert decide(MANIFEST, BY_POLICY, NOW) == Allowed("P1", "policy:3")


def test_what_the_steward_refused_no_policy_approves():
    said = replace(APPROVED, decision=Decision.REFUSED)
    assert decide(MANIFEST, replace(BY_POLICY, answered=said), NOW) == Refusal.REFUSED


def test_a_round_is_answered_so_often_and_no_more():
    assert isinstance(decide(MANIFEST, replace(STANDING, answers=MOST_ANSWERS - 1), NOW), Allowed)
    assert decide(MANIFEST, replace(STANDING, answers=MOST_ANSWERS), NOW) == Refusal.OFTEN


def test_an_approval_is_of_one_manifest():
    assert decide(replace(MANIFEST, rounds=9), STANDING, NOW) == Refusal.UNDECIDED


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"hub": ""}, Refusal.NO_MEMBER),
        ({"hub": "another"}, Refusal.NO_MEMBER),
        ({"code": "d" * 64}, Refusal.CODE),
        ({"dataset": None}, Refusal.DATASET),
        ({"dataset": 8}, Refusal.DATASET),
        ({"permits": ()}, Refusal.DATASET),
        ({"permits": (replace(PERMIT, purpose="statistics"),)}, Refusal.DATASET),
        ({"permits": (replace(PERMIT, actions=frozenset({Action.READ})),)}, Refusal.DATASET),
        ({"permits": (replace(PERMIT, until=NOW),)}, Refusal.DATASET),
        ({"permits": (replace(PERMIT, since=NOW + timedelta(hours=1)),)}, Refusal.DATASET),
        ({"answered": None}, Refusal.UNDECIDED),
    ],
)
def test_one_thing_that_lacks_is_enough(changes, refusal):
    assert decide(MANIFEST, replace(STANDING, **changes), NOW) == refusal


@pytest.mark.parametrize(
    "changes",
    [
        {"kinds": ("evaluation",)},
        {"tasks": ("lesions",)},
        {"datasets": ("dense-2024@1",)},
        {"purposes": ("statistics",)},
        {"most_rounds": 9},
        {"valid_until": NOW},
    ],
)
def test_beyond_one_bound_a_policy_says_nothing(changes):
    standing = replace(BY_POLICY, policies=(replace(POLICY, bounds=replace(BOUNDS, **changes)),))
    assert decide(MANIFEST, standing, NOW) == Refusal.UNDECIDED


def test_a_policy_that_is_withdrawn_says_nothing():
    standing = replace(BY_POLICY, policies=(replace(POLICY, withdrawn_at=NOW),))
    assert decide(MANIFEST, standing, NOW) == Refusal.UNDECIDED


@pytest.mark.parametrize(("number", "is_one"), [(0, False), (1, True), (11, True), (12, False)])
def test_a_run_has_its_rounds_and_a_last_look(number, is_one):
    assert isinstance(decide(MANIFEST, STANDING, NOW, number), Allowed) == is_one


def test_secure_aggregation_is_not_pretended():
    asked = replace(MANIFEST, secure_aggregation=True)
    said = replace(APPROVED, manifest=asked.sha256)
    assert decide(asked, replace(STANDING, answered=said), NOW) == Refusal.UNSUPPORTED


class TestPrivacy:
    @pytest.mark.parametrize(("spent", "is_allowed"), [(0.0, True), (3.0, True), (3.01, False)])
    def test_a_policy_bounds_what_the_dataset_may_spend(self, spent, is_allowed):
        bounded = replace(POLICY, bounds=replace(BOUNDS, most_epsilon=3.0))
        standing = replace(BY_POLICY, policies=(bounded,), epsilon=spent)
        assert isinstance(decide(PRIVATE, standing, NOW), Allowed) == is_allowed

    def test_a_policy_with_a_bound_is_for_private_runs_alone(self):
        bounded = replace(POLICY, bounds=replace(BOUNDS, most_epsilon=3.0))
        assert decide(MANIFEST, replace(BY_POLICY, policies=(bounded,)), NOW) == Refusal.EPSILON

    def test_so_is_an_approval_with_one(self):
        said = Answered(PRIVATE.sha256, Decision.APPROVED, "steward", 3.0)
        assert decide(PRIVATE, replace(STANDING, answered=said, epsilon=4.0), NOW) == Refusal.EPSILON

    @pytest.mark.parametrize("bound", [0.0, -1.0, float("inf"), float("nan")])
    def test_a_bound_is_a_number_above_0(self, bound):
        with pytest.raises(BadRequest):
            replace(BOUNDS, most_epsilon=bound)


@st.composite
def permits(draw: st.DrawFn) -> Permit:
    actions = draw(st.frozensets(st.sampled_from([Action.TRAIN, Action.READ, Action.COUNT])))
    moments = st.none() | st.sampled_from([NOW - timedelta(days=1), NOW, NOW + timedelta(days=1)])
    return Permit(
        draw(st.sampled_from(["P1", "P2", "P3"])),
        draw(st.sampled_from(["research", "care"])),
        actions,
        draw(st.sampled_from([(), (7,), (8,), (7, 8)])),
        draw(st.sampled_from([(), (7,), (9,)])),
        draw(st.booleans()),
        draw(moments),
        draw(moments),
    )


@given(
    hub=st.sampled_from(["breast-north", "", "another"]),
    code=st.sampled_from([CODE, "d" * 64]),
    said=st.sampled_from([None, APPROVED, replace(APPROVED, decision=Decision.REFUSED)]),
    policies=st.lists(st.sampled_from([POLICY, replace(POLICY, withdrawn_at=NOW)]), max_size=2),
    granted=st.lists(permits(), max_size=3),
    dataset=st.sampled_from([None, 7, 8]),
    number=st.integers(-1, 13),
)
def test_it_is_allowed_only_where_nothing_lacks(hub, code, said, policies, granted, dataset, number):
    standing = Standing(hub, code, said, policies, granted, dataset)
    decided = decide(MANIFEST, standing, NOW, number)
    if isinstance(decided, Refusal):
        return
    assert (hub, code) == ("breast-north", CODE)
    assert dataset is not None
    assert 1 <= number <= 11
    assert said == APPROVED or (said is None and POLICY in policies)
    assert any(
        one.permit_id == decided.permit
        and one.is_valid(NOW)
        and one.purpose == "research"
        and one.actions >= NEEDED
        and (one.everything or dataset in (*one.datasets, *one.versions))
        for one in granted
    )


@given(revoked=st.lists(permits(), max_size=3))
def test_without_a_permit_nothing_is_allowed_whatever_was_approved(revoked):
    standing = replace(STANDING, permits=[one for one in revoked if one.purpose != "research"])
    assert decide(MANIFEST, standing, NOW) == Refusal.DATASET
