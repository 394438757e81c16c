"""A search over a federation: a hub with sites that answer, are slow, dead or hostile."""

import json
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from datetime import timedelta

import httpx
import pytest

from archive import questions
from archive.errors import TooManyRequests
from archive.questions import Opened
from gateway.search import messages
from gateway.search.answering import Row
from gateway.search.messages import Asked, Said
from gateway.search.question import EVERYTHING
from tests.federation.nodes import Node
from tests.federation.searching import (
    PATH,
    Client,
    Relay,
    Somebody,
    by_site,
    listening,
    publish,
    until_answered,
)
from tests.live import eventually

ROW = {"row": asdict(Row("dense", "Dense breasts", "", 100, 50)), "held": 200}
SEARCH = "/federation/v1/search"


@pytest.fixture(scope="module")
def hub(make_node: Callable[[], Node]) -> Node:
    node = make_node()
    node.run("init", "hub")
    publish(node, "hubs", "What the hub has")
    return node


def join(hub: Node, node: Node, name: str) -> Node:
    told = node.told("join", stdin=hub.invite(name))[0]
    hub.run("approve", name, told["fingerprint"])
    return node


def allow(node: Node, subject: str, dataset: str = "everything") -> str:
    """Let another node count here; the permit."""
    node.senogate(
        *("permit", "grant", subject, "--dataset", dataset, "--purpose", "research"),
        *("--legal-basis", "EHDS 53(1)(e)", "--action", "search.count"),
    )
    with node.database() as connection:
        return connection.execute("select max(permit_id) from permit").fetchone()[0]


@pytest.fixture(scope="module")
def north(hub: Node, make_node: Callable[[], Node]) -> Node:
    """A site with two datasets, of which its hub may count in one."""
    node = join(hub, make_node(), "north")
    publish(node, "dense", "Dense breasts")
    publish(node, "own", "Nobody's business")
    allow(node, "federation:hub", "dense")
    return node


@pytest.fixture(scope="module")
def relay(north: Node, tmp_path_factory) -> Iterator[Relay]:
    made = Relay(north, tmp_path_factory.mktemp("relay") / "log")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def client(hub: Node, make_node: Callable[[], Node]) -> Iterator[Client]:
    """A site that says what it is told to."""
    with listening(Client(hub, join(hub, make_node(), "south"))) as made:
        yield made


@pytest.fixture(scope="module")
def somebody(hub: Node, north: Node, relay: Relay, client: Client) -> Somebody:
    asking = Somebody(hub)
    until_answered(asking, "north")
    return asking


def records(node: Node) -> list[dict]:
    with node.database() as connection:
        rows = connection.execute("select content::jsonb from audit order by number").fetchall()
    return [row for (row,) in rows if row["event"] == "federation.search"]


def faults(hub: Node) -> list[dict]:
    return [
        each for each in records(hub) if (each["subject"], each["outcome"]) == ("member:south", "refused")
    ]


class TestAnswers:
    def test_the_own_rows_come_first_and_each_sites_with_its_pages(self, hub, somebody, client):
        client.says = lambda asked: client.told(asked, ROW)
        answers = somebody.asks()
        assert [answers[0].site, {each.site for each in answers[1:]}] == ["hub", {"north", "south"}]
        assert answers[0].addresses == {"hubs": f"{hub.settings.public_url}/catalogue/hubs"}
        south = by_site(answers)["south"]
        assert (south.state, south.rows[0].studies, south.addresses) == ("answered", 100, {})

    def test_a_site_tells_of_the_datasets_that_its_permit_names_and_has_it_on_record(
        self, somebody, north, client
    ):
        client.says = lambda asked: client.told(asked)
        found = by_site(somebody.asks())["north"]
        assert [row.title for row in found.rows] == ["Dense breasts"]
        record = records(north)[-1]
        assert record["subject"] == "federation:hub" and record["permits"] == ["P1"]
        assert record["detail"]["question"] == client.asked[-1].question_id

    def test_sites_are_told_who_asks_as_a_hash(self, hub, somebody, client):
        client.says = lambda asked: client.told(asked)
        somebody.asks(), Somebody(hub, "account:other").asks()
        first, second = client.asked[-2:]
        assert first.asker != second.asker and "some" not in first.asker
        assert first.question_id != second.question_id

    def test_the_command_asks_by_the_nodes_own_gateway(self, hub, somebody, client):
        client.says = client.told
        told = json.loads(hub.senogate("search", "count", "--federated", "--json").stdout)
        assert told[0] == {
            "site": "hub", "state": "answered", "dataset": "hubs", "studies": None, "patients": None,
        }  # fmt: skip
        assert {row["site"] for row in told} == {"hub", "north", "south"}

    def test_a_page_is_below_the_address_that_the_hub_has_written_down(self, hub, somebody, client):
        client.says = lambda asked: client.told(asked, ROW)
        hub.run("address", "south", "https://south.test/")
        assert by_site(somebody.asks())["south"].addresses == {"dense": "https://south.test/catalogue/dense"}
        hub.run("address", "south", "")

    @pytest.mark.parametrize(
        "url", ["javascript:alert(1)", "http://south.test", "https://a:b@south.test", "//x"]
    )
    def test_an_address_that_is_no_https_is_not_written_down(self, hub, client, url):
        assert hub.run("address", "south", url, check=False).returncode == 1


class TestHostileSites:
    """None of this shows a row, or changes another's."""

    def faulty(self, hub: Node, somebody: Somebody, client: Client) -> str:
        before = len(faults(hub))
        found = by_site(somebody.asks())
        assert found["north"].state == found["hub"].state == "answered"
        assert (found["south"].state, found["south"].rows) == ("faulty", ())
        assert len(faults(hub)) == before + 1
        return str(found["south"].reason)

    def test_another_keys_signature(self, hub, somebody, client, north):
        key, others = client.identity.key, Client(hub, north).identity.key

        def says(asked: Asked) -> dict:
            text = messages.verify(Said.ANSWER, client.told(asked, ROW), key.public_key())
            return messages.sign(Said.ANSWER, text, others)

        client.says = says
        assert "signed" in self.faulty(hub, somebody, client)

    @pytest.mark.parametrize(
        "changed",
        [
            {"site": "north"},
            {"question_id": "0" * 32},
            {"state": "faulty"},
            {"state": "refused", "why": "<script>"},
            {"why": "no-permit"},
            {"at": messages.now() - timedelta(minutes=2)},
        ],
        ids=["another's name", "another question", "a state", "a reason", "both", "another time"],
    )
    def test_an_answer_that_is_none_of_this_site_to_this_question(self, hub, somebody, client, changed):
        client.says = lambda asked: client.told(asked, ROW, **changed)
        self.faulty(hub, somebody, client)

    @pytest.mark.parametrize(
        "row",
        [
            {"row": ROW["row"] | {"studies": 5 * 10**15}, "held": 5 * 10**15},
            {"row": ROW["row"] | {"studies": -100}, "held": 200},
            {"row": ROW["row"] | {"patients": 500}, "held": 200},
            {"row": ROW["row"] | {"title": "<script>alert(1)</script>"}, "held": 200},
        ],
        ids=["absurd", "negative", "more patients", "script"],
    )
    def test_rows_that_can_not_be(self, hub, somebody, client, row):
        client.says = lambda asked: client.told(asked, row)
        self.faulty(hub, somebody, client)

    def test_a_dataset_that_has_grown_a_thousandfold_since_the_last_answer(self, hub, somebody, client):
        client.says = lambda asked: client.told(asked, ROW)
        assert by_site(somebody.asks())["south"].state == "answered"
        client.says = lambda asked: client.told(asked, ROW | {"held": 9_000_000})
        assert "far more" in self.faulty(hub, somebody, client)

    @pytest.mark.parametrize(
        "body",
        [b"x" * 10**6, b"[]", b'{"text": "", "signature": ""}', b"\xff"],
        ids=["large", "list", "empty", "bytes"],
    )
    def test_a_body_that_is_none(self, hub, somebody, client, body):
        client.says = lambda asked: body
        self.faulty(hub, somebody, client)

    def test_an_answer_that_was_given_before(self, hub, somebody, client):
        """A replay is bound to its question, and a second answer is none."""
        client.says = lambda asked: client.told(asked, ROW)
        assert by_site(somebody.asks())["south"].state == "answered"
        old, sent = client.asked[-1], client.told(client.asked[-1], ROW)
        assert client.send(old.question_id, sent) == 404
        client.says = lambda asked: sent
        self.faulty(hub, somebody, client)

    def test_only_the_first_answer_to_a_question_counts(self, somebody, client):
        def says(asked: Asked) -> dict:
            assert client.send(asked.question_id, client.told(asked)) == 204
            return client.told(asked, ROW)

        client.says = says
        found = by_site(somebody.asks())["south"]
        assert (found.state, found.rows) == ("answered", ())
        assert eventually(lambda: client.statuses[-1:] in ([404], [409]))


class TestWhoDoesNotAnswer:
    def test_a_slow_and_a_dead_site_are_late_and_change_nothing_but_their_own_rows(
        self, somebody, relay, client
    ):
        client.says = None
        relay.signal(signal.SIGSTOP)
        found = somebody.asks(within=1.0)
        assert [(each.site, each.state) for each in found] == [
            ("hub", "answered"),
            ("north", "late"),
            ("south", "late"),
        ]
        client.says = client.told
        relay.signal(signal.SIGCONT)
        assert until_answered(somebody, "north").state == "answered"

    def test_a_site_that_was_killed_is_late_and_answers_when_it_is_back(self, somebody, relay, client):
        client.says = lambda asked: client.told(asked, ROW)
        relay.signal(signal.SIGKILL)
        found = by_site(somebody.asks(within=3.0))
        assert (found["north"].state, found["south"].state) == ("late", "answered")
        relay.start()
        assert until_answered(somebody, "north").state == "answered"

    def test_what_is_too_late_is_taken_of_nobody(self, somebody, client):
        client.says = None
        somebody.asks(within=0.5)
        asked = client.asked[-1]
        assert client.send(asked.question_id, client.told(asked, ROW)) == 404

    def test_a_site_without_a_permit_refuses(self, hub, somebody, north, client):
        client.says = lambda asked: client.told(asked)
        north.senogate("permit", "revoke", "P1", "--reason", "enough")
        found = by_site(somebody.asks())["north"]
        assert (found.state, found.rows) == ("refused", ()) and "permit" in found.reason
        assert records(north)[-1]["outcome"] == "refused"
        allow(north, "federation:hub", "dense")
        assert by_site(somebody.asks())["north"].state == "answered"

    def test_a_hub_keeps_one_stream_of_a_site(self, client):
        """Who comes anew may have been cut off without that the hub has heard."""
        first = threading.Thread(target=client.listen, daemon=True)
        client.has_ended.clear()
        first.start()
        assert client.has_ended.wait(60)
        first.join(0)


class TestFromASite:
    def test_a_person_at_a_site_asks_all_through_its_hub(self, hub, north, somebody, client):
        client.says = lambda asked: client.told(asked, ROW)
        allow(hub, "member:north")
        answers = Somebody(north).asks()
        assert answers[0].site == "north" and [row.dataset for row in answers[0].rows] == ["dense", "own"]
        found = by_site(answers)
        assert found.keys() == {"north", "hub", "south"} and {each.state for each in answers} == {"answered"}
        assert found["hub"].addresses == {"hubs": f"{hub.settings.public_url}/catalogue/hubs"}
        assert client.asked[-1].sender == "hub" and client.asked[-1].to == "south"

    def test_without_a_permit_of_the_hub_its_own_rows_are_refused(self, hub, somebody, client):
        client.says = None
        sent = self.question(client)
        assert [self.answer(hub, client, sent), sent] and '"refused"' in self.answer(
            hub, client, self.question(client)
        ).text

    def test_a_question_is_asked_once(self, hub, somebody, client):
        sent = self.question(client)
        assert [self.answer(hub, client, sent).status_code for _ in range(2)] == [200, 409]

    @pytest.mark.parametrize(
        ("changed", "status"),
        [
            ({"sender": "north"}, 403),
            ({"to": "other"}, 403),
            ({"at": messages.now() - timedelta(minutes=2)}, 400),
        ],
        ids=["another's name", "another hub", "another time"],
    )
    def test_a_question_that_is_none_of_this_site_now_is_refused(
        self, hub, somebody, client, changed, status
    ):
        assert self.answer(hub, client, self.question(client, **changed)).status_code == status

    def test_what_is_signed_for_something_else_is_no_question(self, hub, somebody, client):
        assert self.answer(hub, client, self.question(client, said=Said.QUESTION)).status_code == 400

    def question(self, client: Client, said: Said = Said.SEARCH, **changed: object) -> dict:
        values = {"question_id": uuid.uuid4().hex, "sender": "south", "to": "hub", "at": messages.now()}
        values |= {"asker": "ab" * 32, "question": EVERYTHING}
        return messages.sign(said, Asked(**(values | changed)).to_bytes(), client.identity.key)

    def answer(self, hub: Node, client: Client, sent: dict) -> httpx.Response:
        return hub.ask("POST", SEARCH, client.identity.token(), json=sent)


class TestBounds:
    def test_one_who_has_many_questions_open_waits_and_others_do_not(self, somebody):
        async def many(services) -> int:
            async with services.connection() as connection:
                for number in range(questions.MOST_OF_ASKER + 1):
                    opened = Opened(f"{number:032x}", {"all": []}, "account:eager", "ab" * 32)
                    with suppress(TooManyRequests):
                        await questions.open_question(connection, opened, 60)
                        continue
                    await questions.open_question(connection, replace(opened, asker="account:calm"), 60)
                    return number
            return -1

        assert somebody.does(many) == questions.MOST_OF_ASKER

    @pytest.mark.parametrize(
        ("method", "path"), [("GET", PATH), ("POST", f"{PATH}/{'0' * 32}/answer"), ("POST", SEARCH)]
    )
    def test_a_stranger_is_told_nothing(self, hub, somebody, method, path):
        assert hub.ask(method, path).status_code == 401

    def test_a_revoked_site_is_cut_at_once_and_nothing_is_told_of_it(self, hub, somebody, client):
        with ExitStack() as stack:
            client.has_begun.clear(), client.has_ended.clear()
            stack.enter_context(listening(client))
            client.has_ended.clear()
            hub.run("revoke", "south")
            assert client.has_ended.wait(60)
        assert by_site(somebody.asks()).keys() == {"hub", "north"}
        for method, path in (("GET", PATH), ("POST", SEARCH)):
            assert hub.ask(method, path, client.identity.token(), json={}).status_code == 403
