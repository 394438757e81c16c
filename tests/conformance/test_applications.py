"""How many votes a permit takes, told by value."""

import uuid

import pytest

from archive import applications, persons
from archive.errors import Conflict
from archive.permits import Terms, Wanted
from archive.proposals import Proposal
from archive.purpose import Purpose
from tests.conformance.permitted import BY, Holder, run


@pytest.fixture
def asked(gateway):
    """An application that waits: the settings, its identifier."""
    holder = Holder(gateway.settings)
    wanted = Wanted(holder.subject, ("everything",), Purpose.RESEARCH, "GDPR 6(1)(e)")
    proposal = Proposal(wanted, "title", "protocol", "people")
    apply = lambda connection: applications.apply(connection, proposal, by=holder.subject)  # noqa: E731
    return gateway.settings, run(gateway.settings, apply)


def vote(asked, member, *, in_favour):
    settings, permit = asked
    run(settings, lambda each: applications.vote(each, permit, in_favour=in_favour, by=member))


def grant(asked, needed):
    settings, permit = asked
    run(settings, lambda each: applications.grant(each, permit, Terms(), votes_needed=needed, by="account:s"))
    return run(settings, lambda each: applications.find(each, permit)).state


def test_as_many_votes_as_the_site_wants(asked):
    vote(asked, "account:a", in_favour=True)
    with pytest.raises(Conflict, match="2 votes"):
        grant(asked, 2)
    vote(asked, "account:b", in_favour=True)
    assert grant(asked, 2) == "granted"


def test_more_for_it_than_against_it(asked):
    vote(asked, "account:a", in_favour=True)
    vote(asked, "account:b", in_favour=False)
    with pytest.raises(Conflict, match="1 to 1"):
        grant(asked, 1)


def test_none_where_the_site_wants_none(asked):
    vote(asked, "account:a", in_favour=False)
    assert grant(asked, 0) == "granted"


@pytest.fixture
def member(asked):
    """Two identities of a member of the committee, not yet linked, and what links them."""
    one, other = f"account:{uuid.uuid4().hex}", f"https://login.example#{uuid.uuid4()}"
    return one, other, lambda: run(asked[0], lambda each: persons.link(each, one, other, by=BY))


def test_a_person_votes_once_by_all_of_her_identities(asked, member):
    one, other, link = member
    link()
    vote(asked, one, in_favour=True)
    with pytest.raises(Conflict, match="voted on it already"):
        vote(asked, other, in_favour=True)


def test_votes_of_identities_that_were_linked_later_are_one(asked, member):
    one, other, link = member
    vote(asked, one, in_favour=True)
    vote(asked, other, in_favour=True)
    link()
    with pytest.raises(Conflict, match="1 to 0"):
        grant(asked, 2)
