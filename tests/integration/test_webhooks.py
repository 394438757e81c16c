"""Webhooks at a real site: told of each reading that ends, once or more often, of what their principal may see."""

import asyncio
import base64
import json
import os
import signal
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg
import pytest

from archive import notices
from archive.findings import Task
from archive.notices import Lane, Notice
from archive.readings import Wanted, want
from archive.webhook_keys import Algorithm, Key
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually
from tests.receiver import Receiver, receiving

pytestmark = pytest.mark.xdist_group("site")


@pytest.fixture(scope="module")
def study(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A phantom exam that was sent and read; tests have it read again."""
    folder = write(tmp_path_factory.mktemp("exam"), phantom_exam())
    uid: str = site.send(folder)["studies"][0]["study_instance_uid"]
    return uid


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


Add = Callable[..., str]


@pytest.fixture
def add(site: LiveSite) -> Iterator[Add]:
    """Adds a webhook; its name. All are removed at the end."""
    added: list[str] = []

    def add_one(url: str, *options: str, subject: str = "administrator") -> str:
        name = f"w{uuid.uuid4().hex[:10]}"
        site.run("webhook", "add", name, url, "--for", subject, *options)
        added.append(name)
        return name

    yield add_one
    for name in added:
        site.run("webhook", "remove", name, check=False)


def row(site: LiveSite, name: str) -> dict[str, Any]:
    rows = json.loads(site.run("webhook", "list", "--json").stdout)
    return next(each for each in rows if each["name"] == name)


def key_of(site: LiveSite, *arguments: str) -> Key:
    """What a command shows as the secret."""
    shown = json.loads(site.run("webhook", *arguments, "--json").stdout)["secret"]
    return Key(Algorithm.HMAC, base64.b64decode(shown.removeprefix("whsec_")))


def read_again(site: LiveSite, study: str, task: Task = Task.DENSITY) -> None:
    with site.database() as database:
        assert want(database, [Wanted(task, "MG")], [study], again=True)


def retry_now(site: LiveSite, name: str) -> None:
    """Once an attempt has failed, let the next one be made at once."""
    failing = "update webhook set retry_at = now() where name = %s and retry_at > now()"
    with site.database() as database:
        eventually(lambda: database.execute(failing, [name]).rowcount)


def signed(key: Key, headers: Any, body: bytes) -> str:
    return key.sign(headers["webhook-id"], int(headers["webhook-timestamp"]), body)


def test_a_receiver_is_told_of_a_reading_and_finds_its_report(
    site: LiveSite, study: str, receiver: Receiver
) -> None:
    name = f"w{uuid.uuid4().hex[:10]}"
    key = key_of(site, "add", name, receiver.url, "--for", "administrator")
    read_again(site, study)
    eventually(lambda: study in receiver.told())
    site.run("webhook", "remove", name)
    ((_, headers, body),) = [one for one in receiver.came if study.encode() in one[2]]
    data = json.loads(body)["data"]
    assert headers["webhook-signature"] == signed(key, headers, body)
    assert {name: data[name] for name in ("task", "modality", "state")} == {
        "task": "density", "modality": "MG", "state": "done",
    }  # fmt: skip
    with site.client() as client:
        assert client.get(data["result_url"]).status_code == 200


def test_nothing_of_what_was_found_is_told(site: LiveSite, study: str, receiver: Receiver, add: Add) -> None:
    add(receiver.url)
    read_again(site, study)
    eventually(lambda: study in receiver.told())
    (data,) = [each["data"] for each in receiver.messages() if each["data"]["study_instance_uid"] == study]
    assert set(data) == {
        *("study_instance_uid", "task", "modality", "state", "model", "research_use_only"),
        *("result_sop_instance_uid", "result_url"),
    }


def test_one_that_does_not_answer_holds_up_no_other(
    site: LiveSite, study: str, receiver: Receiver, add: Add
) -> None:
    with receiving() as dead:
        dead.hold.clear()
        add(dead.url)
        add(receiver.url)
        for count in (1, 2):
            read_again(site, study)
            eventually(lambda count=count: receiver.told().count(study) == count)
        assert len(dead.came) == 1


def test_what_was_not_taken_is_told_again_as_the_same(
    site: LiveSite, study: str, receiver: Receiver, add: Add
) -> None:
    receiver.status = 500
    name = add(receiver.url)
    read_again(site, study)
    eventually(lambda: study in receiver.told())
    eventually(lambda: row(site, name)["state"] == "failing")
    assert row(site, name)["failure"] == "it answers with the status 500"
    receiver.status = 200
    retry_now(site, name)
    eventually(lambda: row(site, name)["waiting"] == 0)
    first, second = (headers["webhook-id"] for _, headers, _ in receiver.came)
    assert first == second and row(site, name)["state"] == "active"


def test_a_worker_that_is_killed_meanwhile_loses_none(
    site: LiveSite, study: str, receiver: Receiver, add: Add
) -> None:
    receiver.hold.clear()
    name = add(receiver.url)
    read_again(site, study)
    eventually(lambda: study in receiver.told())
    os.kill(site.child("worker"), signal.SIGKILL)
    receiver.hold.set()
    eventually(lambda: len(receiver.came) == 2)
    eventually(lambda: row(site, name)["waiting"] == 0)
    first, second = (headers["webhook-id"] for _, headers, _ in receiver.came)
    assert first == second


def test_one_that_is_gone_is_told_nothing_more(
    site: LiveSite, study: str, receiver: Receiver, add: Add
) -> None:
    receiver.status = 410
    name = add(receiver.url)
    read_again(site, study)
    eventually(lambda: row(site, name)["state"] == "stopped")
    assert row(site, name)["waiting"] == 0


def test_after_a_rotation_both_keys_sign_for_a_while(site: LiveSite, receiver: Receiver, add: Add) -> None:
    name = add(receiver.url)
    second, third = (key_of(site, "rotate", name, "--overlap", overlap) for overlap in ("1h", "1h"))
    assert "takes it" in site.run("webhook", "test", name).stdout
    ((_, headers, body),) = receiver.came
    assert headers["webhook-signature"] == f"{signed(third, headers, body)} {signed(second, headers, body)}"
    fourth = key_of(site, "rotate", name, "--overlap", "0s")
    site.run("webhook", "test", name)
    _, headers, body = receiver.came[-1]
    assert headers["webhook-signature"] == signed(fourth, headers, body)


def test_a_test_that_is_not_taken_says_why(site: LiveSite, receiver: Receiver, add: Add) -> None:
    receiver.status = 403
    done = site.run("webhook", "test", add(receiver.url), check=False)
    assert (done.returncode, "the status 403" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "A b", "https://example.org", "--for", "administrator"),
        ("add", "a", "http://example.org", "--for", "administrator"),
        ("add", "a", "https://example.org", "--for", "administrator", "--dataset", "nothing"),
        ("add", "a", "https://example.org", "--for", "administrator", "--permit", "x"),
        ("rotate", "nothing"), ("remove", "nothing"), ("test", "nothing"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused(site: LiveSite, arguments: tuple[str, ...]) -> None:
    assert site.run("webhook", *arguments, check=False).returncode == 1


def test_an_anyones_public_key_is_shown(site: LiveSite, add: Add, receiver: Receiver) -> None:
    name = add(receiver.url, "--algorithm", "ed25519", "--event", "reading.failed")
    assert json.loads(site.run("webhook", "rotate", name, "--json").stdout)["public_key"].startswith("whpk_")
    assert row(site, name)["events"] == "reading.failed"
    site.run("webhook", "test", name)
    assert receiver.came[0][1]["webhook-signature"].startswith("v1a,")


def test_what_was_told_to_whom_is_in_the_trail(
    site: LiveSite, study: str, receiver: Receiver, add: Add
) -> None:
    name = add(receiver.url)
    read_again(site, study)
    eventually(lambda: study in receiver.told())
    with site.database() as database:
        rows = [json.loads(text) for (text,) in database.execute("select content from audit")]
    told = [each for each in rows if each.get("detail", {}).get("webhook") == name]
    assert [each["event"] for each in told] == ["webhook.changed", "notice.sent"]
    assert (told[1]["study"], told[1]["detail"]["for"]) == (study, "administrator")


class Held:
    """A webhook that the site's worker leaves alone, with one notice of the study."""

    def __init__(self, site: LiveSite, name: str, study: str) -> None:
        self.site, self.name, self.study = site, name, study
        self._update("update webhook set retry_at = 'infinity' where name = %s")
        read = "select fingerprint from reading where study_instance_uid = %s and task = 'density' and not shadow"
        with site.database() as database:
            ((fingerprint,),) = database.execute(read, [study])
            key = {"study_instance_uid": study, "task": "density", "modality": "MG", "shadow": False}
            notices.want(database, key | {"fingerprint": fingerprint}, "done")

    def run(self, work: Callable[[psycopg.AsyncConnection, Lane], Awaitable[Any]]) -> Any:
        async def connected() -> Any:
            address = self.site.settings.database_url
            async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
                select = "update webhook set retry_at = now() where name = %s returning number"
                async with connection.transaction(force_rollback=True):
                    ((number,),) = await (await connection.execute(select, [self.name])).fetchall()
                    (lane,) = await notices.waiting(connection, number)
                return await work(connection, lane)

        return asyncio.run(connected())

    def take(self) -> Notice | None:
        found: Notice | None = self.run(notices.take)
        return found

    @property
    def waiting(self) -> int:
        return int(row(self.site, self.name)["waiting"])

    def _update(self, statement: str) -> None:
        with self.site.database() as database:
            database.execute(statement.encode(), [self.name])


@pytest.fixture
def hold(site: LiveSite, study: str, add: Add) -> Callable[..., Held]:
    def hold_one(*options: str, subject: str = "administrator") -> Held:
        return Held(site, add("https://example.org", *options, subject=subject), study)

    return hold_one


class TestWhoIsTold:
    """A webhook is told of what its principal may see at that moment."""

    @pytest.fixture
    def client(self, site: LiveSite) -> str:
        name = f"c{uuid.uuid4().hex[:10]}"
        site.run("client", "add", name, "--scope", "dicomweb.read")
        return f"client:{name}"

    def grant(self, site: LiveSite, subject: str, dataset: str = "everything") -> str:
        named = ("--dataset", dataset, "--purpose", "research", "--legal-basis", "GDPR 6(1)(e)")
        return site.run("permit", "grant", subject, *named).stdout.strip()

    def test_of_what_a_permit_names(self, site: LiveSite, client: str, hold: Callable[..., Held]) -> None:
        dataset = f"d{uuid.uuid4().hex[:10]}"
        site.run("dataset", "create", dataset, "Modality=MG")
        permit = self.grant(site, client, dataset)
        held = hold(subject=client)
        taken = held.take()
        assert taken is not None and taken.study_instance_uid == held.study
        site.run("permit", "revoke", permit)
        assert (held.take(), held.waiting) == (None, 0)

    @pytest.mark.parametrize("query", ["Modality=US", "StudyDate=19000101"])
    def test_of_nothing_else(
        self, site: LiveSite, client: str, hold: Callable[..., Held], query: str
    ) -> None:
        dataset = f"d{uuid.uuid4().hex[:10]}"
        site.run("dataset", "create", dataset, query)
        self.grant(site, client, dataset)
        held = hold(subject=client)
        assert (held.take(), held.waiting) == (None, 0)
        narrowed = hold("--dataset", dataset)
        assert (narrowed.take(), narrowed.waiting) == (None, 0)

    def test_not_by_another_permit_than_the_one_that_is_named(
        self, site: LiveSite, client: str, hold: Callable[..., Held]
    ) -> None:
        permit = self.grant(site, client)
        assert hold("--permit", permit, subject=client).take()
        assert hold("--permit", "P999999", subject=client).take() is None

    def test_who_may_not_act_any_more_is_told_nothing(
        self, site: LiveSite, client: str, hold: Callable[..., Held]
    ) -> None:
        self.grant(site, client)
        held = hold(subject=client)
        site.run("client", "revoke", client.removeprefix("client:"))
        assert held.take() is None

    def test_of_no_study_that_is_withheld(self, site: LiveSite, hold: Callable[..., Held]) -> None:
        held = hold()
        withhold = "update study set withheld = %s where study_instance_uid = %s"
        with site.database() as database:
            database.execute(withhold, [True, held.study])
            try:
                assert (held.take(), held.waiting) == (None, 0)
            finally:
                database.execute(withhold, [False, held.study])

    def test_of_no_report_that_can_not_be_retrieved_yet(
        self, site: LiveSite, hold: Callable[..., Held]
    ) -> None:
        held = hold()
        own = "webhook = (select number from webhook where name = %s)"
        moved = f"update notice set result_sop_instance_uid = '1.2.3' where {own}"
        with site.database() as database:
            database.execute(moved, [held.name])
        assert (held.take(), held.waiting) == (None, 1)


class TestHowOften:
    def test_pauses_grow_and_an_hour_is_the_longest(self, site: LiveSite, hold: Callable[..., Held]) -> None:
        held = hold()
        pauses = []
        for _ in range(12):
            held.run(self.fail)
            with site.database() as database:
                pause = "select extract(epoch from retry_at - now()) from webhook where name = %s"
                pauses.append(float(database.execute(pause, [held.name]).fetchone()[0]))
        assert pauses[0] < 6 and pauses == sorted(pauses[:10]) + pauses[10:] and 3500 < max(pauses) <= 3600

    def test_a_notice_is_given_up_in_the_end(self, site: LiveSite, hold: Callable[..., Held]) -> None:
        held = hold()
        with site.database() as database:
            database.execute("update notice set attempts = %s", [notices.MOST_ATTEMPTS - 1])
        held.run(self.fail)
        assert (held.waiting, row(site, held.name)["given_up"]) == (0, 1)

    def test_one_that_is_too_old_is_given_up(self, site: LiveSite, hold: Callable[..., Held]) -> None:
        held = hold()
        with site.database() as database:
            database.execute("update notice set created_at = now() - interval '4 days'")
        held.run(lambda connection, _: notices.expire(connection))
        assert (held.waiting, row(site, held.name)["given_up"]) == (0, 1)

    async def fail(self, connection: psycopg.AsyncConnection, lane: Lane) -> None:
        notice = await notices.take(connection, lane)
        assert notice
        await notices.failed(connection, lane, notice, "it answers with the status 500")
