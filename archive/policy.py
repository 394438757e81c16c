"""Who asks, and what of the site that lets them see: values and one decision, no I/O."""

from dataclasses import dataclass
from enum import StrEnum

from archive.errors import Forbidden


class Action(StrEnum):
    """What a token can allow. The values are OAuth scopes (RFC 6749 section 3.3)."""

    READ = "dicomweb.read"
    WRITE = "dicomweb.write"


class Role(StrEnum):
    """What a principal is at the site, beside what permits name it for."""

    ADMINISTRATOR = "administrator"
    STEWARD = "steward"
    CLINICIAN = "clinician"
    RESEARCHER = "researcher"
    SOFTWARE = "software"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a valid credential speaks for, and the most it allows.

    `subject` is unique over all issuers that the site trusts. `roles` are those that the credential itself proves;
    `permit` is the identifier of the only permit that it may be used with.
    """

    subject: str
    actions: frozenset[Action]
    roles: frozenset[Role] = frozenset()
    permit: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """The studies an answer may come from. Every query has it as a condition."""

    everything: bool


EVERYTHING = Scope(everything=True)
NOTHING = Scope(everything=False)


def decide(principal: Principal, action: Action) -> Scope:
    """What the principal may do the action on. Raises Forbidden where the token does not cover the action."""
    if action not in principal.actions:
        raise Forbidden(f"the token lacks the scope {action}")
    return EVERYTHING


def parse_actions(scope: str) -> frozenset[Action]:
    """The actions that a token's space-separated scope names; names of other services are passed over."""
    known = {action.value: action for action in Action}
    return frozenset(known[name] for name in scope.split() if name in known)
