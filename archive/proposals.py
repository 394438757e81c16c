"""What an application for a permit says, and how it stands: values, no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from archive import permits
from archive.errors import BadRequest
from archive.permits import Application, Wanted, check_text

LONGEST_PROTOCOL = 10_000  # characters
LONGEST_TITLE = 200


class Review(StrEnum):
    """How far the review of an application has come that nobody has decided on."""

    RECEIVED = "received"
    IN_REVIEW = "in-review"
    CHANGES_ASKED = "changes-asked"


class Kind(StrEnum):
    """What was done with an application, beside the decision."""

    MESSAGE = "message"
    IN_REVIEW = "in-review"
    CHANGES_ASKED = "changes-asked"
    CHANGED = "changed"
    FOR = "for"
    AGAINST = "against"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is asked for: a permit, and what it is to serve. `rules` is the version that is agreed to."""

    wanted: Wanted
    title: str
    protocol: str
    people: str  # a line for each: name, affiliation
    starts: date | None = None
    ends: date | None = None
    rules: str = ""

    def __post_init__(self) -> None:
        """Raises BadRequest for what is missing, too long or contradicts itself."""
        for name, longest in (
            ("title", LONGEST_TITLE),
            ("protocol", LONGEST_PROTOCOL),
            ("people", permits.LONGEST),
        ):
            text = getattr(self, name)
            if not text.strip():
                raise BadRequest("%(name)s is missing", name=name)
            if len(text) > longest:
                raise BadRequest("%(name)s has %(most)s characters at most", name=name, most=longest)
            for each in range(0, len(text), permits.LONGEST):
                check_text(text[each : each + permits.LONGEST])
        if self.starts and self.ends and self.ends < self.starts:
            raise BadRequest("the use ends before it begins")


class Told(NamedTuple):
    """A line of an application's history. `revision` is the one that it was about."""

    at: datetime
    by: str
    kind: str
    text: str
    revision: int


@dataclass(frozen=True, slots=True)
class Case:
    """An application as it stands. `revision` 0: it was asked for without a form, and says no more than its permit."""

    permit: Application
    review: str
    revision: int
    title: str
    protocol: str
    people: str
    starts: date | None
    ends: date | None
    rules_version: str | None
    rules_sha256: str | None
    changed_at: datetime | None

    @property
    def state(self) -> str:
        """The permit's state; of one that is requested, how far its review has come."""
        return self.review if self.permit.state == "requested" else self.permit.state

    def is_of(self, subject: str) -> bool:
        """Whether it is the principal's own: it is for it, or was asked for by it."""
        return subject in (self.permit.subject, self.permit.requested_by)


class Step(NamedTuple):
    """A state that an application was in, from when on."""

    state: str
    at: datetime


def steps(case: Case, told: Sequence[Told]) -> list[Step]:
    """The states of an application in their order, up to the one that it is in."""
    permit = case.permit
    found = [Step(Review.RECEIVED, permit.requested_at)]
    found += [Step(each.kind, each.at) for each in told if each.kind in _STEPS]
    if permit.decided_at:
        was_granted = permit.state in ("granted", "expired", "revoked")
        found.append(Step("granted" if was_granted else permit.state, permit.decided_at))
    if permit.state == "revoked" and permit.revoked_at:
        found.append(Step("revoked", permit.revoked_at))
    elif permit.state == "expired" and permit.valid_until:
        found.append(Step("expired", permit.valid_until))
    return found


_STEPS = frozenset([Kind.IN_REVIEW, Kind.CHANGES_ASKED, Kind.CHANGED])
_VOTES = frozenset([Kind.FOR, Kind.AGAINST])


class Votes(NamedTuple):
    """How a committee voted on the newest revision."""

    in_favour: int
    against: int


def count_votes(case: Case, told: Sequence[Told]) -> Votes:
    """Votes on earlier revisions do not count."""
    kinds = [each.kind for each in told if each.revision == case.revision]
    return Votes(kinds.count(Kind.FOR), kinds.count(Kind.AGAINST))


def voters_on(case: Case, told: Sequence[Told]) -> frozenset[str]:
    """Who voted on the newest revision."""
    return frozenset(each.by for each in told if each.revision == case.revision and each.kind in _VOTES)


def public(told: Sequence[Told]) -> list[Told]:
    """What the applicant sees of the history: who voted how is the committee's and the stewards' alone."""
    return [each for each in told if each.kind not in _VOTES]
