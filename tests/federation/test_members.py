"""How a site comes to take part in a federation, and how that ends."""

import asyncio
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import AsyncConnection

from archive import federation_keys, members, secrets
from archive.federation_roles import read_leaving, read_site
from archive.invitations import decode, encode, parse_invitation, sign_request
from archive.members import State
from gateway.memberships import Memberships
from tests.federation.nodes import MEMBERS, SELF, Node

Make = Callable[[], Node]


@pytest.fixture(scope="module")
def hub(make_node: Make) -> Node:
    node = make_node()
    node.run("init", "hub")
    return node


@pytest.fixture(scope="module")
def node(make_node: Make) -> Node:
    return make_node()


@pytest.fixture
def name() -> str:
    return f"s{uuid.uuid4().hex[:12]}"


def joined(hub: Node, node: Node, name: str) -> str:
    """Let the node join and be approved; its fingerprint."""
    node.run("leave", "--untold", check=False)
    fingerprint = node.told("join", stdin=hub.invite(name))[0]["fingerprint"]
    hub.run("approve", name, fingerprint)
    return fingerprint


def state_of(hub: Node, name: str) -> list[str]:
    return [row["state"] for row in hub.told("members") if row["name"] == name]


class TestJoining:
    def test_from_the_invitation_to_the_end(self, hub, node, name):
        asked = node.told("join", stdin=hub.invite(name))[0]
        assert (
            asked["state"] == "requested"
            and hub.ask("GET", SELF, node.token()).json()["state"] == "requested"
        )
        hub.run("approve", name, *asked["fingerprint"].upper().split())
        assert hub.ask("GET", SELF, node.token()).json() == {
            "name": name, "state": "active", "fingerprint": asked["fingerprint"], "hub": "hub",
        }  # fmt: skip
        hub.run("revoke", name)
        assert hub.ask("GET", SELF, node.token()).status_code == 403
        assert "revoked" in node.told("status")[0]["state"]
        changes = [each["detail"]["change"] for each in hub.trail() if each["detail"].get("member") == name]
        assert changes == ["invited", "requested", "approved", "revoked"]
        assert node.trail()[-1]["detail"]["change"] == "joined"

    def test_keys_that_were_not_compared_are_not_approved(self, hub, node, name):
        node.run("leave", "--untold", check=False)
        fingerprint = node.told("join", stdin=hub.invite(name))[0]["fingerprint"]
        for wrong in (fingerprint[:-1] + "x", fingerprint[:39], ""):
            assert hub.run("approve", name, wrong, check=False).returncode == 1
        assert state_of(hub, name) == ["requested"]

    def test_a_site_that_did_not_hear_the_answer_asks_again(self, hub, node, name):
        node.run("leave", "--untold", check=False)
        line = hub.invite(name)
        first, again = (node.told("join", stdin=line) for _ in range(2))
        assert first == again and state_of(hub, name) == ["requested"]

    def test_a_node_joins_one_federation(self, hub, node, name):
        joined(hub, node, name)
        refused = node.run("join", check=False, stdin=hub.invite(f"{name}-2"))
        assert refused.returncode == 1 and "already" in refused.stderr

    def test_who_takes_part_is_not_invited_again(self, hub, node, name):
        joined(hub, node, name)
        assert "revoke" in hub.run("invite", name, check=False).stderr

    def test_a_key_that_was_lost_is_missed_and_not_replaced(self, hub, node, name):
        line = hub.invite(name)
        node.run("leave", "--untold", check=False)
        node.run("join", stdin=line)
        federation_keys.forget(node.settings, federation_keys.FEDERATION_KEY)
        assert "federation.key" in node.run("join", check=False, stdin=line).stderr
        assert "federation.key" in node.run("status", check=False).stderr

    def test_a_node_that_is_no_hub_knows_no_members(self, node):
        assert {
            node.ask(*each).status_code for each in (("POST", MEMBERS), ("GET", SELF), ("DELETE", SELF))
        } == {404}
        assert node.run("invite", "x", check=False).returncode == 1


@pytest.fixture
def asking(hub: Node, name: str) -> Callable[..., dict[str, str]]:
    """A callable that makes requests, with keys of their own, by one invitation for a site of this name."""
    invitation = parse_invitation(hub.invite(name))
    return lambda: sign_request(
        invitation, Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())
    )


class TestInvitation:
    def test_it_is_used_once(self, hub, asking, name):
        assert hub.ask("POST", MEMBERS, json=asking()).status_code == 201
        refused = hub.ask("POST", MEMBERS, json=asking())
        assert refused.status_code == 409 and "used already" in refused.json()["detail"]
        assert state_of(hub, name) == ["requested"]

    def test_of_many_at_once_one_uses_it(self, hub, asking, name):
        ready = threading.Barrier(6)

        def ask(sent: dict[str, str]) -> int:
            ready.wait()
            return hub.ask("POST", MEMBERS, json=sent).status_code

        with ThreadPoolExecutor(6) as threads:
            assert sorted(threads.map(ask, [asking() for _ in range(6)])) == [201] + [409] * 5
        assert state_of(hub, name) == ["requested"]

    @pytest.mark.parametrize("expires", ["0d", "91d", "9" * 30 + "d", "-1d", "soon"])
    def test_how_long_it_can_not_be_good_for(self, hub, name, expires):
        assert hub.run("invite", name, "--expires", expires, check=False).returncode == 2

    def test_it_expires(self, hub, asking, name):
        with hub.database() as connection:
            connection.execute("update invitation set expires_at = now() where name = %s", [name])
        assert "expired" in hub.ask("POST", MEMBERS, json=asking()).json()["detail"]
        assert state_of(hub, name) == []

    def test_it_is_taken_back(self, hub, asking, name):
        hub.run("revoke", name)
        assert "withdrawn" in hub.ask("POST", MEMBERS, json=asking()).json()["detail"]

    def test_a_newer_one_takes_its_place(self, hub, asking, name):
        hub.run("invite", name)
        assert "withdrawn" in hub.ask("POST", MEMBERS, json=asking()).json()["detail"]

    def test_its_code_is_stored_nowhere(self, hub, name):
        code = parse_invitation(hub.invite(name)).code
        with hub.database() as connection:
            rows = connection.execute(
                "select i::text from invitation i union all select content from audit"
            ).fetchall()
        assert rows and not [row for (row,) in rows if code in row]

    def test_a_request_that_was_changed_leaves_it_as_it_was(self, hub, asking, name):
        sent = asking()
        text = decode(sent["request"]).replace(name.encode(), b"other")
        for changed in (
            {"request": encode(text)},
            {"signature": encode(bytes(64))},
            {"node_signature": ""},
            {"request": 1},
        ):
            assert hub.ask("POST", MEMBERS, json=sent | changed).status_code == 400
        assert hub.ask("POST", MEMBERS, content=b"{" * 100_000).status_code in (413, 415)
        assert state_of(hub, name) == ["invited"]
        assert hub.ask("POST", MEMBERS, json=sent).status_code == 201

    def test_it_is_for_one_name(self, hub, name):
        invitation = parse_invitation(hub.invite(name))
        object.__setattr__(invitation, "name", "other")
        sent = sign_request(invitation, Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1()))
        refused = hub.ask("POST", MEMBERS, json=sent)
        assert refused.status_code == 403 and "another name" in refused.json()["detail"]
        assert state_of(hub, name) == ["invited"]


class TestTokens:
    def test_nobody_is_answered_without_one_of_a_member(self, hub, node, name):
        joined(hub, node, name)
        head, claims, _ = node.token().split(".")
        for token in ("", "x", f"{head}.{claims}.", "j" * 100_000):
            assert hub.ask("GET", SELF, token).status_code in (401, 431)

    def test_one_of_the_hubs_own_clients_is_none(self, hub):
        from gateway.issuing import issue
        from gateway.signing import SigningKeys

        keys = SigningKeys.load(Path(hub.settings.secrets, secrets.SIGNING_KEY))
        assert hub.ask("GET", SELF, issue(keys, hub.settings, subject="x")).status_code == 401

    def test_one_of_a_member_is_none_for_images(self, hub, node, name):
        joined(hub, node, name)
        assert hub.ask("GET", "/dicom-web/studies", node.token()).status_code == 401


class TestEnd:
    def test_a_site_leaves(self, hub, node, name):
        joined(hub, node, name)
        token = node.token()
        node.run("leave")
        assert state_of(hub, name) == ["left"] and hub.ask("GET", SELF, token).status_code == 403
        assert read_site(node.settings) is read_leaving(node.settings) is None
        assert not federation_keys.node_key_path(node.settings).exists()

    def test_a_site_that_leaves_is_told_what_its_hub_may_still_do(self, hub, node, name):
        joined(hub, node, name)
        granted = node.senogate(
            *("permit", "grant", "federation:hub", "--dataset", "everything", "--purpose", "research"),
            *("--legal-basis", "law", "--action", "federation.train"),
        )
        permit = granted.stdout.strip()
        assert node.told("leave")[0]["permits"] == [permit]

    def test_it_comes_back_with_other_keys(self, hub, node, name):
        before = joined(hub, node, name)
        node.run("leave")
        assert joined(hub, node, name) != before
        assert state_of(hub, name) == ["active", "left"]

    def test_a_site_that_was_revoked_leaves_as_well(self, hub, node, name):
        joined(hub, node, name)
        hub.run("revoke", name)
        node.run("leave")
        assert state_of(hub, name) == ["revoked"] and node.told("status") == []

    def test_keys_that_were_revoked_do_not_come_back(self, hub, node, name):
        joined(hub, node, name)
        hub.run("revoke", name)
        key, node_key = federation_keys.federation_key(node.settings), federation_keys.node_key(node.settings)
        for other in (name, f"{name}-2"):
            sent = sign_request(parse_invitation(hub.invite(other)), key, node_key)
            assert hub.ask("POST", MEMBERS, json=sent).status_code == 409

    def test_keys_of_one_site_are_none_for_another(self, hub, node, name):
        joined(hub, node, name)
        key, node_key = federation_keys.federation_key(node.settings), federation_keys.node_key(node.settings)
        invitation = parse_invitation(hub.invite(f"{name}-2"))
        for keys in (
            (key, ec.generate_private_key(ec.SECP384R1())),
            (Ed25519PrivateKey.generate(), node_key),
        ):
            assert hub.ask("POST", MEMBERS, json=sign_request(invitation, *keys)).status_code == 409

    def test_a_site_whose_hub_is_gone_has_left_for_itself(self, hub, node, name):
        joined(hub, node, name)
        joining = node.settings.federation / "site.json"
        joining.write_text(joining.read_text().replace(hub.settings.public_url, "http://127.0.0.1:9"))
        assert node.run("leave", check=False).returncode == 1
        assert read_site(node.settings) is None and read_leaving(node.settings)
        assert node.run("join", check=False, stdin=hub.invite(f"{name}-2")).returncode == 1
        node.run("leave", "--untold")
        assert node.told("status") == []


DEAFEN = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""


@pytest.mark.parametrize("deafen", ["select", DEAFEN], ids=["heard", "not heard"])
def test_what_is_under_way_for_a_member_is_cut_when_it_is_revoked(hub, node, name, deafen):
    joined(hub, node, name)
    database_url = hub.settings.database_url

    @asynccontextmanager
    async def connect():
        async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
            yield connection

    async def revoke() -> None:
        async with connect() as connection:
            await connection.execute(deafen)
            await members.end(connection, name, State.REVOKED)

    async def work() -> str:
        memberships = Memberships(connect, database_url)
        member = await memberships.find(name)
        assert member and member.state == State.ACTIVE
        with memberships.watching(member) as under_way:
            revoking = asyncio.create_task(revoke())
            try:
                await asyncio.wait_for(asyncio.Event().wait(), 60)
            except asyncio.CancelledError:
                assert under_way.was_only_cut()
        await revoking
        found = await memberships.find(name)
        await memberships.aclose()
        assert found
        return found.state

    assert asyncio.run(work()) == State.REVOKED
