"""What a site hears of its hub's runs, what its steward sees and says, and what of that the hub hears."""

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from archive import approvals, federation_keys, runs
from archive.answer import Decision
from archive.approvals import Part, Spent
from archive.errors import Conflict
from archive.federation_roles import read_site
from archive.purpose import Purpose
from federation.code import code_hash
from federation.hub.proposal import propose
from federation.manifest import Kind, Manifest, sign
from federation.site import gate
from federation.site.offers import Offers
from federation.training.task import Privacy
from gateway.fleet.identity import Identity
from senogate.operator import run as ask_database
from tests.federation.nodes import Node, serve_node
from tests.live import LiveSite

POLICY = (
    *("policy", "add", "--task", "density", "--dataset", "everything", "--purpose", "research"),
    *("--until", "2999-12-31"),
)
Nodes = tuple[Node, Node]


@pytest.fixture(scope="module")
def nodes(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A hub, and a site that has joined it and granted it a permit."""
    with ExitStack() as stack:
        hub, node = (stack.enter_context(serve_node(site, tmp_path_factory.mktemp("node"))) for _ in "hs")
        hub.run("init", "breast-north")
        asked = node.told("join", stdin=hub.invite("st-anna"))[0]
        hub.run("approve", "st-anna", asked["fingerprint"])
        grant(node)
        yield hub, node


@pytest.fixture
def hub(nodes: Nodes) -> Node:
    return nodes[0]


@pytest.fixture
def node(nodes: Nodes) -> Node:
    return nodes[1]


@pytest.fixture
def offers(node: Node) -> Offers:
    joined = read_site(node.settings)
    assert joined
    return Offers(node.settings, Identity.load(node.settings, joined))


@pytest.fixture
def manifest(hub: Node) -> Manifest:
    """A run that the hub has proposed."""
    return proposed(hub)


def proposed(hub: Node, **changes: Any) -> Manifest:
    made = Manifest(
        run=f"R{uuid.uuid4().hex[:16]}",
        kind=Kind.TRAINING,
        task="density",
        dataset="everything",
        purpose=Purpose.RESEARCH,
        hub="breast-north",
        created_at=datetime(2026, 11, 23, tzinfo=UTC),
        rounds=10,
        min_sites=1,
        code=code_hash(),
        initial="0" * 64,
    )
    made = replace(made, **changes)
    with hub.database() as connection, connection.transaction():
        propose(hub.settings, connection, made, by="test")
    return made


def grant(node: Node) -> None:
    with node.database() as connection:
        row = connection.execute(
            """insert into permit (subject, state, purpose, legal_basis, hdab_identifier, actions, conditions,
                   requested_by, decided_at, decided_by)
               values ('federation:breast-north', 'granted', 'research', 'law', '',
                   array['federation.train', 'dicomweb.read'], '', 'test', now(), 'test')
               returning number"""
        ).fetchone()
        assert row
        connection.execute("insert into permit_dataset values (%s, 0)", row)


def follow(node: Node, offers: Offers) -> None:
    ask_database(node.settings, offers.follow)


def shown(node: Node, manifest: Manifest) -> dict[str, Any]:
    return node.told("runs", manifest.run)[0]


def heard(hub: Node, manifest: Manifest) -> list[tuple[str, Decision]]:
    with hub.database() as connection:
        return [(said.member, said.decision) for said in runs.answers(connection, manifest.run)]


def trail(node: Node) -> list[dict[str, Any]]:
    with node.database() as connection:
        rows = connection.execute("select content from audit order by number").fetchall()
    found = [json.loads(content) for (content,) in rows]
    return [one for one in found if one["event"] == "federation.answer"]


def test_a_steward_sees_what_there_is_to_decide_on(node, offers, manifest):
    follow(node, offers)
    row = shown(node, manifest)
    wanted = {"dataset": "everything", "purpose": "research", "rounds": 10, "code": code_hash()}
    assert wanted.items() <= row.items()
    assert (row["code_is_installed"], row["permit"], row["manifest"]) == (True, "P1", manifest.sha256)
    assert row["privacy"] == {"noise_multiplier": 0.0, "max_grad_norm": 1.0, "delta": 1e-5}
    assert row["answer"] == "the site has not approved the run"


def test_nothing_is_said_that_nobody_has_decided(hub, node, offers, manifest):
    follow(node, offers)
    assert heard(hub, manifest) == []


def test_the_hub_hears_what_the_steward_says_and_says_anew(hub, node, offers, manifest):
    follow(node, offers)
    node.run("approve-run", manifest.run)
    follow(node, offers)
    assert heard(hub, manifest) == [("st-anna", Decision.APPROVED)]
    node.run("refuse-run", manifest.run)
    follow(node, offers)
    assert heard(hub, manifest) == [("st-anna", Decision.REFUSED)]
    said = [one for one in trail(node) if one["detail"].get("run") == manifest.run]
    assert [(one["detail"]["action"], one["outcome"]) for one in said] == [
        ("approved", "success"),
        ("refused", "refused"),
    ]


def test_a_policy_answers_until_it_is_withdrawn(hub, node, offers, manifest):
    node.run(*POLICY, "--most-rounds", "10")
    follow(node, offers)
    assert heard(hub, manifest) == [("st-anna", Decision.APPROVED)]
    number = str(node.told("policy", "list")[-1]["number"])
    node.run("policy", "remove", number)
    follow(node, offers)
    assert heard(hub, manifest) == [("st-anna", Decision.REFUSED)]
    assert node.told("policy", "list")[-1]["state"] == "withdrawn"


def test_a_policy_is_silent_on_more_rounds_than_it_covers(hub, node, offers, manifest):
    node.run(*POLICY, "--most-rounds", "9")
    follow(node, offers)
    assert heard(hub, manifest) == []


def test_a_run_of_other_code_is_never_approved(hub, node, offers):
    manifest = proposed(hub, code="d" * 64)
    follow(node, offers)
    assert node.told("approve-run", manifest.run)[0]["is_allowed"] is False
    follow(node, offers)
    assert heard(hub, manifest) == []


def test_a_run_that_the_hub_did_not_sign_is_passed_over(hub, node, offers, manifest):
    with hub.database() as connection:
        connection.execute("update run set signature = %s where run = %s", [bytes(64), manifest.run])
    follow(node, offers)
    assert manifest.run not in [row["run"] for row in node.told("runs")]


def test_what_was_offered_never_changes(hub, node, offers, manifest):
    follow(node, offers)
    other = replace(manifest, rounds=11)
    key = federation_keys.federation_key(hub.settings)
    text = other.to_bytes()

    async def offer(connection: psycopg.AsyncConnection) -> None:
        await approvals.offer(
            connection, other.run, hub=other.hub, manifest=text, signature=sign(text, key), state="waiting"
        )

    with pytest.raises(Conflict):
        ask_database(node.settings, offer)


def test_a_bound_of_epsilon_needs_a_private_run(node, offers, manifest):
    follow(node, offers)
    assert node.run("approve-run", manifest.run, "--most-epsilon", "3", check=False).returncode == 1


def test_each_answer_to_a_round_counts(node, offers, manifest):
    follow(node, offers)
    made = Part(manifest.run, 1, b"{}", "")
    for _ in range(2):
        ask_database(node.settings, lambda connection: approvals.keep_part(connection, made))
    told = ask_database(node.settings, lambda connection: approvals.answers(connection, manifest.run, 1))
    assert told == 2


@pytest.mark.parametrize("named", ["SGA", "SGX"])
def test_who_opts_out_while_a_round_goes_on_is_seen_before_it_leaves(node, named):
    """By the pseudonym in the exams, and by that without an issuer."""
    asked = lambda: ask_database(node.settings, lambda one: approvals.is_opted_out(one, ["SGA", "SGB"]))  # noqa: E731
    assert not asked()
    with node.database() as connection:
        connection.execute(
            "insert into patient_alias (alias, patient_id) values ('SGX', 'SGA') on conflict do nothing"
        )
        connection.execute("insert into opt_out (patient_id, added_by) values (%s, 'test')", [named])
    assert asked()
    with node.database() as connection:
        connection.execute("delete from opt_out")
        connection.execute("delete from patient_alias")


class TestLedger:
    @pytest.fixture(autouse=True)
    def _needs_opacus(self) -> None:
        pytest.importorskip("opacus")

    @pytest.fixture
    def private(self, hub: Node, node: Node, offers: Offers) -> Manifest:
        manifest = proposed(hub, privacy=Privacy(noise_multiplier=1.0))
        follow(node, offers)
        return manifest

    def test_a_dataset_spends_over_runs_and_a_round_that_is_done_again_is_free(self, node, private):
        before = spent(node)
        keep(node, private, 1, "a")
        once = spent(node)
        keep(node, private, 1, "a")
        assert before < once == spent(node)

    def test_what_was_spent_in_all_runs_stops_the_next(self, hub, node, offers, private):
        keep(node, private, 1, "b")
        other = proposed(hub, privacy=Privacy(noise_multiplier=1.0))
        follow(node, offers)
        row = node.told("approve-run", other.run, "--most-epsilon", str(spent(node) / 2))[0]
        assert row["answer"].startswith("the run takes more of the dataset's privacy")


def spent(node: Node) -> float:
    return gate.epsilon_of(ask_database(node.settings, approvals.spent))


def keep(node: Node, manifest: Manifest, number: int, part: str) -> None:
    """Put a private round on the site's record."""
    taken = Spent(f"{manifest.run}-{part}", "everything", manifest.run, number, 1.0, 0.2, 50, 1e-5)
    made = Part(manifest.run, number, b"{}", "", spent=taken)
    ask_database(node.settings, lambda connection: approvals.keep_part(connection, made))


def test_each_run_has_its_own_epsilon_and_they_add_up():
    pytest.importorskip("opacus")
    one, other = (Spent(name, "d", name, 1, 1.0, 0.2, 50, 1e-5) for name in ("R1", "R2"))
    assert gate.epsilon_of([one, other]) == pytest.approx(2 * gate.epsilon_of([one]))
