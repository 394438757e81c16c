"""Whether a site takes part in a run: one decision over what is known, without I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from archive.answer import Decision
from archive.approvals import Policy
from archive.policy import Action, Permit
from federation.manifest import Kind, Manifest

NEEDED = frozenset({Action.TRAIN, Action.READ})
"""What a permit has to allow: to learn from exams is to read them, too."""


MOST_ANSWERS = 20
"""Times that a site answers one round: a hub has it done again after faults, and whoever asks for ever learns more."""


class Refusal(StrEnum):
    """Why a site takes no part. The texts go to the hub: none tells of patients, or of what else the site holds."""

    NO_MEMBER = "the site is not a member of this hub"
    CODE = "the run names other code than is installed here"
    UNSUPPORTED = "the run asks for secure aggregation, which this program has not"
    ROUND = "the run has no such round"
    OFTEN = "the site has answered this round as often as it does"
    DATASET = "the site has no permit for this dataset and purpose"
    REFUSED = "the site has refused the run"
    UNDECIDED = "the site has not approved the run"
    EPSILON = "the run takes more of the dataset's privacy than the site allows"


@dataclass(frozen=True, slots=True)
class Answered:
    """What the steward said to a manifest, by its hash."""

    manifest: str
    decision: Decision
    by: str
    most_epsilon: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What counts at the site now.

    `hub`: of which it is a member, empty for none; `code`: the hash of its own program; `permits`: those of the hub
    that are granted; `dataset`: the number of the manifest's dataset here, None without one; `epsilon`: what training
    has taken from the dataset so far, with the round that is decided on; `answers`: how often that round was answered.
    """

    hub: str
    code: str
    answered: Answered | None = None
    policies: Sequence[Policy] = ()
    permits: Sequence[Permit] = ()
    dataset: int | None = None
    epsilon: float = 0.0
    answers: int = 0


@dataclass(frozen=True, slots=True)
class Allowed:
    """The site takes part, under this permit, because of `by`: who approved the run, or `policy:NUMBER`."""

    permit: str
    by: str


def decide(manifest: Manifest, standing: Standing, now: datetime, number: int = 1) -> Allowed | Refusal:
    """Whether the site takes part in round `number` now, or why not. What its steward refused no policy approves."""
    if standing.hub != manifest.hub:
        return Refusal.NO_MEMBER
    if standing.code != manifest.code:
        return Refusal.CODE
    if manifest.secure_aggregation:
        return Refusal.UNSUPPORTED
    if not 1 <= number <= manifest.last_question:
        return Refusal.ROUND
    if standing.answers >= MOST_ANSWERS:
        return Refusal.OFTEN
    by = _approver(manifest, standing, now)
    if isinstance(by, Refusal):
        return by
    permit = permit_for(manifest, standing, now)
    return Refusal.DATASET if permit is None else Allowed(permit.permit_id, by)


def permit_for(manifest: Manifest, standing: Standing, now: datetime) -> Permit | None:
    """The first permit that lets the hub have its dataset used for its purpose; None without any."""
    return next((one for one in standing.permits if _permits(one, manifest, standing.dataset, now)), None)


def covers(policy: Policy, manifest: Manifest, now: datetime) -> bool:
    """Whether a policy is about such runs, whatever their dataset has spent."""
    bounds = policy.bounds
    return (
        policy.is_valid(now)
        and manifest.kind in bounds.kinds
        and manifest.task in bounds.tasks
        and manifest.dataset in bounds.datasets
        and manifest.purpose in bounds.purposes
        and manifest.rounds <= bounds.most_rounds
    )


def _approver(manifest: Manifest, standing: Standing, now: datetime) -> str | Refusal:
    """Who approved the run, or why nobody did."""
    said = standing.answered
    if said is not None and said.manifest == manifest.sha256:
        if said.decision == Decision.REFUSED:
            return Refusal.REFUSED
        return said.by if _affords(said.most_epsilon, manifest, standing) else Refusal.EPSILON
    about = [policy for policy in standing.policies if covers(policy, manifest, now)]
    for policy in about:
        if _affords(policy.bounds.most_epsilon, manifest, standing):
            return f"policy:{policy.number}"
    return Refusal.EPSILON if about else Refusal.UNDECIDED


def _affords(most_epsilon: float | None, manifest: Manifest, standing: Standing) -> bool:
    """Evaluation changes no weights, so that nothing is taken by it."""
    if most_epsilon is None or manifest.kind == Kind.EVALUATION:
        return True
    return manifest.privacy.is_on and standing.epsilon <= most_epsilon


def _permits(permit: Permit, manifest: Manifest, dataset: int | None, now: datetime) -> bool:
    named = permit.everything or dataset in (*permit.datasets, *permit.versions)
    return (
        dataset is not None
        and named
        and permit.purpose == manifest.purpose
        and permit.actions >= NEEDED
        and permit.is_valid(now)
    )
