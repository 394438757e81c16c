"""What an application says and how it stands; what a consent is in FHIR. Pure values."""

import uuid
from datetime import UTC, date, datetime, timedelta

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.consent import Consent as Resource
from hypothesis import given
from hypothesis import strategies as st

from archive.consents import Consent, Decision, Scope, Statement
from archive.errors import BadRequest
from archive.fhir_consent import to_bundle, to_fhir
from archive.permits import Application, Wanted
from archive.policy import Action, Grants, Role
from archive.proposals import LONGEST_PROTOCOL, Case, Proposal, Told, count_votes, public, steps
from archive.purpose import Purpose

AT = datetime(2026, 3, 1, tzinfo=UTC)
WANTED = Wanted("account:a", ("everything",), Purpose.RESEARCH, "GDPR 6(1)(e)")


def proposal(**changed):
    return Proposal(WANTED, **{"title": "t", "protocol": "p", "people": "A"} | changed)


def case(state="requested", review="received", **changed):
    times = dict.fromkeys(("decided_at", "valid_from", "valid_until", "revoked_at")) | changed
    permit = Application(
        "P1", "account:a", state, "research", "law", "", ["dicomweb.read"], ["everything"], "", AT, "account:a",
        times["decided_at"], None, "", times["valid_from"], times["valid_until"], times["revoked_at"], None,
    )  # fmt: skip
    return Case(permit, review, 1, "t", "p", "A", None, None, None, None, AT)


def told(kind, by="account:s", revision=1):
    return Told(AT, by, kind, "", revision)


@pytest.mark.parametrize("missing", ["title", "protocol", "people"])
def test_an_application_says_what_who_and_why(missing):
    with pytest.raises(BadRequest, match=missing):
        proposal(**{missing: " \n"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": "x" * 201},
        {"protocol": "x" * (LONGEST_PROTOCOL + 1)},
        {"people": "A\x07"},
        {"starts": date(2026, 3, 2), "ends": date(2026, 3, 1)},
    ],
    ids=["title", "protocol", "control character", "days"],
)
def test_what_is_too_long_or_can_not_be_is_refused(wrong):
    with pytest.raises(BadRequest):
        proposal(**wrong)


@given(st.text(max_size=LONGEST_PROTOCOL + 10))
def test_any_text_is_taken_or_refused(text):
    try:
        assert proposal(protocol=text).protocol == text
    except BadRequest:
        assert not text.strip() or len(text) > LONGEST_PROTOCOL or any(ord(each) < 0x20 for each in text)


@pytest.mark.parametrize(
    ("state", "times", "last"),
    [
        ("requested", {}, "received"),
        ("granted", {"decided_at": AT}, "granted"),
        ("rejected", {"decided_at": AT}, "rejected"),
        ("withdrawn", {"decided_at": AT}, "withdrawn"),
        ("expired", {"decided_at": AT, "valid_until": AT + timedelta(1)}, "expired"),
        ("revoked", {"decided_at": AT, "revoked_at": AT}, "revoked"),
    ],
)
def test_the_steps_end_in_the_state(state, times, last):
    found = [each.state for each in steps(case(state, **times), [told("in-review"), told("message")])]
    assert found[:2] == ["received", "in-review"] if state != "requested" else True
    assert (found[-1] == last) or (state == "requested" and found == ["received", "in-review"])


def test_votes_on_earlier_revisions_do_not_count():
    votes = [told("for", "account:x", 0), told("for", "account:y"), told("against", "account:z")]
    assert count_votes(case(), votes) == (1, 1)
    assert public(votes) == []


def test_a_committee_reads_applications_and_manages_nothing():
    committee = Grants(frozenset({Role.COMMITTEE}))
    assert committee.reads_applications
    assert not committee.manages
    assert not committee.everything
    assert not any(map(committee.allows_everywhere, Action))


def consent(decision="given", *, is_current=True):
    return Consent(
        uuid.UUID(int=1),
        ["pseudonym"],
        decision,
        "donation",
        AT,
        "0" * 64,
        "folder 7",
        AT,
        "os:me",
        is_current,
    )


@pytest.mark.parametrize("decision", list(Decision))
@pytest.mark.parametrize("is_current", [True, False])
def test_a_consent_is_a_resource_of_fhir(decision, is_current):
    """FHIR R4 (R4B has the same Consent): https://hl7.org/fhir/R4/consent.html; ppc-1 wants a policy."""
    found = to_fhir(consent(decision, is_current=is_current), "https://node.example")
    resource = Resource.model_validate(found)
    assert resource.status == ("active" if decision == "given" and is_current else "inactive")
    assert resource.provision.type is None  # of the root rule there is none
    assert resource.provision.provision[0].type == ("permit" if decision == "given" else "deny")


def test_consents_are_a_bundle():
    assert len(Bundle.model_validate(to_bundle([consent()], "https://node.example")).entry) == 1
    assert Bundle.model_validate(to_bundle([], "https://node.example")).entry is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"text_sha256": "0"},
        {"evidence": " "},
        {"evidence": "x" * 401},
        {"stated_at": datetime.now(UTC) + timedelta(2)},
    ],
    ids=["hash", "no evidence", "long", "future"],
)
def test_a_statement_that_proves_nothing_is_refused(wrong):
    with pytest.raises(BadRequest):
        Statement(
            **{
                "decision": Decision.GIVEN,
                "scope": Scope.DONATION,
                "text_sha256": "0" * 64,
                "evidence": "x",
                "stated_at": AT,
            }
            | wrong
        )
