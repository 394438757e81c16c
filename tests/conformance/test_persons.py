"""Nobody decides on what she asked for herself, by whichever of her programs and identities (archive.persons)."""

import hashlib
import uuid
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from archive import applications, job_packages, permits, persons
from archive.errors import BadRequest, Forbidden, NotFound
from archive.policy import Role
from gateway import clients
from tests.conformance.conftest import Gateway
from tests.conformance.permitted import BY, Holder, run

WANTED = {"datasets": ["everything"], "purpose": "research", "legal_basis": "GDPR 6(1)(e)"}


class Steward(Holder):
    """A steward's program."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway.settings)
        self.gateway = gateway
        run(gateway.settings, lambda each: permits.add_role(each, self.subject, Role.STEWARD, by=BY))

    def post(self, path: str, **content: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token()}"}
        url = f"{self.gateway.settings.public_url}/api/permits{path}"
        return httpx.post(url, json=content, headers=headers, trust_env=False)

    def ask(self, subject: str) -> str:
        return str(self.post("", subject=subject, **WANTED).json()["permit_id"])

    def decide(self, permit_id: str, decision: str = "grant") -> int:
        return self.post(f"/{permit_id}/{decision}").status_code


@pytest.fixture
def steward(gateway: Gateway) -> Steward:
    return Steward(gateway)


@pytest.fixture
def another(gateway: Gateway) -> Steward:
    return Steward(gateway)


@pytest.fixture
def program(gateway: Gateway, steward: Steward) -> str:
    """A program of the steward's, who was shown its secret; its subject."""
    name = f"c{uuid.uuid4().hex[:12]}"
    run(
        gateway.settings,
        lambda each: clients.create_client(each, name, "dicomweb.read", owner=steward.subject),
    )
    return f"client:{name}"


@pytest.fixture
def linked(gateway: Gateway, steward: Steward) -> str:
    """Another identity of the steward's."""
    subject = f"https://login.example#{uuid.uuid4()}"
    run(gateway.settings, lambda each: persons.link(each, steward.subject, subject, by=BY))
    return subject


def test_who_is_named_is_a_principal(gateway: Gateway) -> None:
    """A name that names none would keep nobody from deciding."""
    with pytest.raises(BadRequest, match="account:NAME"):
        run(
            gateway.settings, lambda each: clients.create_client(each, "owned", "dicomweb.read", owner="jane")
        )


def test_who_asks_for_her_program_is_not_who_grants_it(
    steward: Steward, another: Steward, program: str
) -> None:
    permit_id = steward.ask(program)
    assert (steward.decide(permit_id), steward.decide(permit_id, "reject")) == (403, 403)
    assert another.decide(permit_id) == 200


def test_who_asks_for_somebody_else_does_not_grant_it_either(steward: Steward, another: Steward) -> None:
    assert steward.decide(steward.ask("account:jane")) == 403


def test_what_a_program_of_hers_asked_for_is_hers(gateway: Gateway, steward: Steward, program: str) -> None:
    wanted = permits.Wanted(program, ("everything",), permits.Purpose.RESEARCH, "GDPR 6(1)(e)")
    permit_id = run(gateway.settings, lambda each: permits.request(each, wanted, by=program))
    assert steward.decide(permit_id) == 403


def test_linked_identities_are_one_person(another: Steward, steward: Steward, linked: str) -> None:
    permit_id = another.ask(linked)
    assert steward.decide(permit_id) == 403


def test_links_are_of_all_that_are_linked(
    gateway: Gateway, steward: Steward, linked: str, program: str
) -> None:
    """A third identity is linked to one; what a program of the first asks for is hers, too."""
    third = f"account:{uuid.uuid4().hex}"
    run(gateway.settings, lambda each: persons.link(each, third, linked, by=BY))

    async def decide(connection: AsyncConnection) -> None:
        await persons.must_be_another(connection, third, program, what="hers")

    with pytest.raises(Forbidden, match="hers"):
        run(gateway.settings, decide)
    run(gateway.settings, lambda each: persons.unlink(each, third, by=BY))
    run(gateway.settings, decide)


def test_a_program_with_an_owner_is_also_whose_it_is_linked_to(
    gateway: Gateway, steward: Steward, another: Steward, program: str
) -> None:
    """Its owner is not who it was linked to: each decides on what the other asked for."""
    run(gateway.settings, lambda each: persons.link(each, another.subject, program, by=BY))
    for asks in (steward, another):
        permit_id = asks.ask(program)
        assert (steward.decide(permit_id), another.decide(permit_id)) == (403, 403)
    assert another.decide(steward.ask("account:jane")) == 200


def test_what_is_not_linked_cannot_be_parted(gateway: Gateway) -> None:
    with pytest.raises(NotFound):
        run(gateway.settings, lambda each: persons.unlink(each, "account:nobody", by=BY))


def test_nobody_approves_a_package_that_she_sent(gateway: Gateway, steward: Steward, program: str) -> None:
    passport = f'name = "{uuid.uuid4()}"\n[network]\nsha256 = "{"0" * 64}"\n'.encode()
    package = hashlib.sha256(passport).hexdigest()
    run(gateway.settings, lambda each: job_packages.add(each, package, passport, by=program))
    with pytest.raises(Forbidden):
        run(gateway.settings, lambda each: job_packages.approve(each, package, by=steward.subject))


def test_the_command_line_decides_on_all_of_it_on_record(gateway: Gateway, steward: Steward) -> None:
    """By the site's own key; a person at the command line is named by the trail."""
    permit_id = run(
        gateway.settings,
        lambda each: permits.request(
            each,
            permits.Wanted("administrator", ("everything",), permits.Purpose.RESEARCH, "x"),
            by="administrator",
        ),
    )
    with gateway.client() as client:
        url = f"{gateway.settings.public_url}/api/permits/{permit_id}/grant"
        assert client.post(url, json={}).status_code == 200


def page(who: Steward, path: str) -> str:
    """A page as a steward's program is shown it."""
    url, headers = who.gateway.settings.public_url + path, {"Authorization": f"Bearer {who.token()}"}
    return httpx.get(url, headers=headers, trust_env=False).text


def test_a_page_offers_no_decision_on_what_another_identity_asked_for(
    steward: Steward, another: Steward, linked: str
) -> None:
    permit_id = another.ask(linked)
    path = f"/access/{permit_id}"
    offered = [
        f'action="{path}/{act}"' in page(who, path)
        for who in (Steward(steward.gateway), steward)
        for act in ("grant", "reject")
    ]
    assert offered == [True, True, False, False]
    assert steward.decide(permit_id) == 403


def test_who_voted_how_is_not_told_to_another_identity_of_who_asked(
    gateway: Gateway, steward: Steward, another: Steward, linked: str
) -> None:
    """She may be of the committee by that one."""
    permit_id = another.ask(linked)
    voter = Steward(gateway)
    run(gateway.settings, lambda each: permits.add_role(each, voter.subject, Role.COMMITTEE, by=BY))
    run(gateway.settings, lambda each: applications.vote(each, permit_id, in_favour=False, by=voter.subject))
    url = f"{gateway.settings.public_url}/api/applications/{permit_id}"
    seen, hers = (
        httpx.get(url, headers={"Authorization": f"Bearer {who.token()}"}, trust_env=False).json()
        for who in (voter, steward)
    )
    assert [each["kind"] for each in seen["told"]] == ["against"]
    assert (hers["told"], "votes" in hers) == ([], False)


@pytest.fixture
def checked(gateway: Gateway, linked: str) -> str:
    """A job of the steward's other identity, whose answer waits for its release."""
    made = (
        "insert into job (subject, permit, dataset, kind, question, sha256, submitted_by, state, result) "
        "values (%(by)s, 'P1', 'screening', 'counts', '{\"kind\": \"counts\", \"groups\": [\"age\"]}', '', %(by)s, "
        '\'checked\', \'{"kind": "counts", "by": [], "columns": [], "rows": {}}\') returning job_id'
    )

    async def insert(connection: AsyncConnection) -> str:
        row = await (await connection.execute(made.encode(), {"by": linked})).fetchone()
        assert row
        return str(row[0])

    return str(run(gateway.settings, insert))


def test_an_answer_that_is_not_out_is_read_by_no_identity_of_who_asked(
    gateway: Gateway, steward: Steward, another: Steward, checked: str
) -> None:
    def status(who: Steward) -> int:
        url = f"{gateway.settings.public_url}/api/jobs/{checked}/result"
        return httpx.get(url, headers={"Authorization": f"Bearer {who.token()}"}, trust_env=False).status_code

    assert (status(another), status(steward)) == (200, 404)


def test_a_page_offers_no_release_of_another_identitys_job(
    steward: Steward, another: Steward, checked: str
) -> None:
    path = f"/jobs/{checked}"
    offered = [
        f'action="{path}/{act}"' in page(who, path)
        for who in (another, steward)
        for act in ("release", "refuse")
    ]
    assert offered == [True, True, False, False]
