"""What a hub tells its members of runs, and what they say to them."""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import answer, runs
from archive.answer import Answer, Decision
from archive.federation_keys import federation_key, load_public, public_bytes
from archive.runs import State
from federation import manifest
from federation.hub import ledger
from federation.hub.proposal import KEPT, folder_of, forget_ended, new_run, propose
from federation.manifest import parse_manifest
from tests.federation.nodes import Node, serve_node
from tests.federation.test_aggregate import MANIFEST

RUNS = "/federation/v1/runs"


@pytest.fixture(scope="module")
def nodes(site, tmp_path_factory) -> Iterator[tuple[Node, Node, Node]]:
    """A hub, a member, and a site that only asked to be one."""
    with ExitStack() as stack:
        hub, member, stranger = [
            stack.enter_context(serve_node(site, tmp_path_factory.mktemp("node"))) for _ in "123"
        ]
        hub.run("init", "hub")
        asked = member.told("join", stdin=hub.invite("member"))[0]
        hub.run("approve", "member", asked["fingerprint"])
        stranger.run("join", stdin=hub.invite("stranger"))
        yield hub, member, stranger


@pytest.fixture(scope="module")
def hub(nodes) -> Node:
    return nodes[0]


@pytest.fixture(scope="module")
def member(nodes) -> Node:
    return nodes[1]


@pytest.fixture
def run(hub: Node) -> Iterator[str]:
    """A run that waits."""
    proposed = replace(MANIFEST, run=new_run())
    with hub.database() as connection, connection.transaction():
        propose(hub.settings, connection, proposed, by="steward")
    yield proposed.run
    with hub.database() as connection:
        runs.end(connection, proposed.run, State.STOPPED, "", by="steward")


def said(run: str, **changed: Any) -> Answer:
    sha256 = replace(MANIFEST, run=run).sha256
    return replace(Answer(run, sha256, "member", Decision.APPROVED, datetime.now(UTC)), **changed)


def body(said: Answer, key: Ed25519PrivateKey) -> dict[str, str]:
    texts = {"answer": said.to_bytes(), "signature": answer.sign(said, key)}
    return {name: base64.b64encode(text).decode() for name, text in texts.items()}


def tell(hub: Node, member: Node, said: Answer, key: Ed25519PrivateKey | None = None, run: str = "") -> int:
    """The status that the hub answers with."""
    sent = body(said, key or federation_key(member.settings))
    path = f"{RUNS}/{run or said.run}/answer"
    return hub.ask("POST", path, member.token(), json=sent).status_code


def approved(hub: Node, run: str) -> list[str]:
    with hub.database() as connection:
        return [one.name for one in ledger.approved(connection, runs.find(connection, run))]


def test_a_member_is_told_of_a_run_that_the_hub_has_signed(hub: Node, member: Node, run: str) -> None:
    listed = hub.ask("GET", RUNS, member.token()).json()["runs"]
    told = next(one for one in listed if one["run"] == run)
    text, signature = (base64.b64decode(told[name]) for name in ("manifest", "signature"))
    manifest.verify(text, signature, load_public(public_bytes(federation_key(hub.settings))))
    assert parse_manifest(text).sha256 == told["sha256"]
    assert (told["state"], told["answer"]) == ("waiting", None)
    assert hub.ask("GET", f"{RUNS}/{run}", member.token()).json() == told


@pytest.mark.parametrize(("days", "remains"), [(None, True), (KEPT - 1, True), (KEPT + 1, False)])
def test_the_files_of_a_run_are_kept_for_a_week_after_its_end(
    hub: Node, run: str, days, remains: bool
) -> None:
    folder = folder_of(hub.settings, run)
    folder.mkdir(parents=True)
    with hub.database() as connection:
        if days is not None:
            runs.end(connection, run, State.STOPPED, "", by="steward")
            connection.execute(
                "update run set ended_at = now() - make_interval(days => %s) where run = %s", [days, run]
            )
        forget_ended(hub.settings, connection)
    assert folder.is_dir() is remains


@pytest.mark.parametrize("path", [RUNS, f"{RUNS}/R0123456789abcdef"])
def test_who_is_no_active_member_is_told_of_no_run(nodes, path: str) -> None:
    hub, _, stranger = nodes
    assert hub.ask("GET", path).status_code == 401
    assert hub.ask("GET", path, stranger.token()).status_code == 403


def test_what_a_member_says_counts_and_may_change(hub: Node, member: Node, run: str) -> None:
    assert tell(hub, member, said(run)) == 200
    assert approved(hub, run) == ["member"]
    assert tell(hub, member, said(run, decision=Decision.REFUSED)) == 200
    assert approved(hub, run) == []


@pytest.mark.parametrize(
    ("changed", "status"),
    [({"site": "other"}, 403), ({"manifest": "0" * 64}, 409)],
)
def test_an_answer_that_is_not_to_this_run_by_this_site(
    hub: Node, member: Node, run: str, changed, status
) -> None:
    assert tell(hub, member, said(run, **changed)) == status
    assert approved(hub, run) == []


def test_an_answer_to_no_run(hub: Node, member: Node) -> None:
    assert tell(hub, member, said(new_run())) == 404


def test_an_answer_under_another_runs_address(hub: Node, member: Node, run: str) -> None:
    assert tell(hub, member, said(run), run="R" + "0" * 16) == 400


def test_an_answer_that_another_key_signed(hub: Node, member: Node, run: str) -> None:
    assert tell(hub, member, said(run), Ed25519PrivateKey.generate()) == 400
    assert approved(hub, run) == []


def test_a_run_that_has_ended_takes_no_answer(hub: Node, member: Node, run: str) -> None:
    hub.run("run", "stop", run)
    assert tell(hub, member, said(run)) == 409


@pytest.mark.parametrize(
    "sent", [{}, {"answer": "?", "signature": ""}, {"answer": "e30=", "signature": "e30="}]
)
def test_what_is_no_answer(hub: Node, member: Node, run: str, sent: dict[str, str]) -> None:
    assert hub.ask("POST", f"{RUNS}/{run}/answer", member.token(), json=sent).status_code == 400


def test_an_approval_counts_only_by_the_key_that_the_member_has_now(
    hub: Node, member: Node, run: str
) -> None:
    tell(hub, member, said(run))
    other = public_bytes(Ed25519PrivateKey.generate())
    with hub.database() as connection, connection.transaction(force_rollback=True):
        connection.execute("update member set site_key = %s where name = 'member'", [other])
        assert ledger.approved(connection, runs.find(connection, run)) == []


def test_answers_and_ends_are_on_record(hub: Node, member: Node, run: str) -> None:
    tell(hub, member, said(run))
    hub.run("run", "stop", run, "--reason", "enough")
    with hub.database() as connection:
        rows = connection.execute("select content from audit order by number").fetchall()
    records = [json.loads(content) for (content,) in rows]
    found = [
        (each["subject"].partition(":")[0], each["detail"]["action"])
        for each in records
        if each["event"] == "federation.run" and each["detail"]["run"] == run
    ]
    assert found == [("steward", "started"), ("member", "approved"), ("os", "stopped")]


def test_rounds_are_shown_with_their_figures_and_who_was_away(hub: Node, run: str) -> None:
    with hub.database() as connection:
        runs.complete_round(connection, run, 1, {"loss": 0.5}, {"a": {"loss": 0.5}, "b": {"absent": "norm"}})
        runs.complete_round(connection, run, 1, {"loss": 0.25}, {"b": {"absent": "norm"}})
    shown = hub.run("run", "show", run).stdout
    assert "round 1  loss 0.25  without b" in shown
    assert json.loads(hub.run("run", "show", run, "--json").stdout)["round"] == 1


def test_a_node_that_is_no_hub_starts_no_run(member: Node) -> None:
    done = member.run("run", "list", check=False)
    assert done.returncode == 1 and "hub of no federation" in done.stderr + done.stdout
