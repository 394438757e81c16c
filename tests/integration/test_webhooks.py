"""Webhooks at a real site: told of each reading that ends, once or more often, of what their principal may see."""

import base64
import json
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from archive import secrets, webhooks
from archive.findings import Task
from archive.readings import Wanted, want
from archive.webhook_keys import Algorithm, Key
from archive.webhooks import Webhook
from tests.conformance.permitted import run
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually
from tests.receiver import Receiver, receiving


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
    """Adds a webhook of the administrator's; its name. All are removed at the end."""
    added: list[str] = []
    key = secrets.read_key(site.settings.secrets, secrets.SITE_KEY)

    def add_one(url: str) -> str:
        added.append(f"w{uuid.uuid4().hex[:10]}")
        wanted = webhooks.Wanted(added[-1], url, "administrator")
        run(site.settings, lambda connection: webhooks.add(connection, wanted, key, by="os:tester"))
        return added[-1]

    yield add_one
    for name in added:
        run(site.settings, lambda connection, name=name: webhooks.remove(connection, name))


def shown(site: LiveSite, name: str) -> Webhook:
    found: Webhook = run(site.settings, lambda connection: webhooks.show(connection, name))
    return found


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
    eventually(lambda: shown(site, name).failures)
    assert shown(site, name).failure == "it answers with the status 500"
    receiver.status = 200
    retry_now(site, name)
    eventually(lambda: shown(site, name).waiting == 0)
    first, second = (headers["webhook-id"] for _, headers, _ in receiver.came)
    assert first == second and not shown(site, name).failures


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
    eventually(lambda: shown(site, name).waiting == 0)
    first, second = (headers["webhook-id"] for _, headers, _ in receiver.came)
    assert first == second


def test_one_that_is_gone_is_told_nothing_more(
    site: LiveSite, study: str, receiver: Receiver, add: Add
) -> None:
    receiver.status = 410
    name = add(receiver.url)
    read_again(site, study)
    eventually(lambda: shown(site, name).stopped_at)
    assert not shown(site, name).waiting


def test_after_a_rotation_both_keys_sign_for_a_while(site: LiveSite, receiver: Receiver, add: Add) -> None:
    name = add(receiver.url)
    second, third = (key_of(site, "rotate", name, "--overlap", "1h") for _ in range(2))
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
        ("add", "a", "http://example.org", "--for", "administrator"),
        ("add", "a", "https://example.org", "--for", "administrator", "--dataset", "nothing"),
        ("test", "nothing"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused(site: LiveSite, arguments: tuple[str, ...]) -> None:
    assert site.run("webhook", *arguments, check=False).returncode == 1


def test_anybodys_key_is_shown_and_what_is_listed(site: LiveSite, receiver: Receiver) -> None:
    name = f"w{uuid.uuid4().hex[:10]}"
    options = ("--for", "administrator", "--algorithm", "ed25519", "--event", "reading.failed", "--json")
    made = json.loads(site.run("webhook", "add", name, receiver.url, *options).stdout)
    assert made["public_key"].startswith("whpk_")
    (row,) = [
        each for each in json.loads(site.run("webhook", "list", "--json").stdout) if each["name"] == name
    ]
    assert (row["events"], row["state"], row["waiting"]) == ("reading.failed", "active", 0)
    site.run("webhook", "test", name)
    assert receiver.came[0][1]["webhook-signature"].startswith("v1a,")
    site.run("webhook", "remove", name)


def test_what_was_told_to_whom_is_in_the_trail(
    site: LiveSite, study: str, receiver: Receiver, add: Add
) -> None:
    name = add(receiver.url)
    read_again(site, study)
    eventually(lambda: study in receiver.told())
    with site.database() as database:
        rows = [json.loads(text) for (text,) in database.execute("select content from audit")]
    told = [each for each in rows if each.get("detail", {}).get("webhook") == name]
    assert [each["event"] for each in told] == ["notice.sent"]
    assert (told[0]["study"], told[0]["detail"]["for"]) == (study, "administrator")
