"""Who asks, and what of the site that lets them see: values and one decision, no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from archive.errors import Forbidden


class Action(StrEnum):
    """What a token can allow. The values are OAuth scopes (RFC 6749 section 3.3)."""

    READ = "dicomweb.read"
    WRITE = "dicomweb.write"
    WORKLIST = "worklist"
    COUNT = "search.count"
    INFER = "inference.run"
    REVIEW = "results.review"
    TRAIN = "federation.train"
    JOB = "jobs.run"
    METRICS = "metrics.read"
    MANAGE = "manage"


class Role(StrEnum):
    """What a principal is at the site, beside what permits name it for."""

    ADMINISTRATOR = "administrator"
    STEWARD = "steward"
    COMMITTEE = "committee"
    CLINICIAN = "clinician"
    RESEARCHER = "researcher"
    SOFTWARE = "software"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a valid credential speaks for, and the most it allows.

    `subject` is unique over all issuers that the site trusts. `roles` are those that the credential itself proves;
    `permit` is the identifier of the only permit that it may be used with, `purpose` the purpose of the only ones.
    """

    subject: str
    actions: frozenset[Action]
    roles: frozenset[Role] = frozenset()
    permit: str | None = None
    purpose: str | None = None

    @property
    def has_roles(self) -> bool:
        """Whether what its roles let it do counts: a credential for one permit or one purpose has nothing of them."""
        return self.permit is None and self.purpose is None


SEEING_ALL = frozenset({Role.ADMINISTRATOR, Role.STEWARD, Role.CLINICIAN})
"""Roles that see every study of the site; the others see what permits name."""
MANAGING = frozenset({Role.ADMINISTRATOR, Role.STEWARD})
"""Roles that decide on datasets and permits."""
READING_APPLICATIONS = MANAGING | {Role.COMMITTEE}
"""Roles that read what others ask for. A committee votes on it, and decides on nothing."""
REVIEWING = frozenset({Role.ADMINISTRATOR, Role.CLINICIAN})
"""Roles that say of every study's findings whether they are right."""


@dataclass(frozen=True, slots=True)
class Permit:
    """A permit that is granted: for which datasets and versions of them, what for, and until when.

    Datasets and their frozen versions have one series of numbers. `everything`: it names all studies of the site.
    """

    permit_id: str
    purpose: str
    actions: frozenset[Action]
    datasets: tuple[int, ...] = ()
    versions: tuple[int, ...] = ()
    everything: bool = False
    since: datetime | None = None
    until: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether it has begun and has not expired."""
        return (self.since is None or self.since <= now) and (self.until is None or now < self.until)


@dataclass(frozen=True, slots=True)
class Grants:
    """What the site grants a principal now: roles, those of the credential among them, and permits."""

    roles: frozenset[Role] = frozenset()
    permits: tuple[Permit, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether a role lets it see every study."""
        return bool(self.roles & SEEING_ALL)

    def allows_everywhere(self, action: Action) -> bool:
        """Whether a role lets it do the action on every study."""
        return bool(self.roles & (REVIEWING if action == Action.REVIEW else SEEING_ALL))

    @property
    def manages(self) -> bool:
        """Whether it decides on datasets and permits."""
        return bool(self.roles & MANAGING)

    @property
    def reads_applications(self) -> bool:
        """Whether it reads applications of others for permits."""
        return bool(self.roles & READING_APPLICATIONS)


@dataclass(frozen=True, slots=True)
class Scope:
    """The studies an answer may come from. Every query has it as a condition.

    They are all studies, or those of the datasets and of the versions that are named by number. `permits` are the
    identifiers of the permits that it comes from.
    """

    everything: bool
    datasets: tuple[int, ...] = ()
    versions: tuple[int, ...] = ()
    permits: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The datasets and versions."""
        return tuple(sorted({*self.datasets, *self.versions}))

    def covers(self, other: "Scope") -> bool:
        """Whether each study of the other is one of this, as far as their datasets tell."""
        return self.everything or (not other.everything and set(other.numbers) <= set(self.numbers))


EVERYTHING = Scope(everything=True)
NOTHING = Scope(everything=False)


def decide(principal: Principal, grants: Grants, *actions: Action, now: datetime | None = None) -> Scope:
    """What the principal may do one of the actions on, which may be nothing.

    A token's scopes, its permit and its purpose narrow what is granted and never widen it. Raises Forbidden where the
    token covers none of the actions.
    """
    allowed = principal.actions.intersection(actions)
    if not allowed:
        raise Forbidden(f"the token lacks the scope {actions[-1]}")
    if principal.has_roles and any(map(grants.allows_everywhere, allowed)):
        return EVERYTHING
    moment = now or datetime.now(UTC)
    return _join([permit for permit in grants.permits if _applies(permit, principal, allowed, moment)])


def _applies(permit: Permit, principal: Principal, actions: frozenset[Action], now: datetime) -> bool:
    is_named = principal.permit in (None, permit.permit_id) and principal.purpose in (None, permit.purpose)
    return is_named and bool(permit.actions & actions) and permit.is_valid(now)


def _join(permits: Sequence[Permit]) -> Scope:
    identifiers = tuple(permit.permit_id for permit in permits)
    if any(permit.everything for permit in permits):
        return Scope(everything=True, permits=identifiers)
    datasets = {number for permit in permits for number in permit.datasets}
    versions = {number for permit in permits for number in permit.versions}
    return Scope(False, tuple(sorted(datasets)), tuple(sorted(versions)), identifiers)


def parse_actions(scope: str) -> frozenset[Action]:
    """The actions that a token's space-separated scope names; names of other services are passed over."""
    known = {action.value: action for action in Action}
    return frozenset(known[name] for name in scope.split() if name in known)
