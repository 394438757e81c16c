"""One message to a real receiver: what counts as taken, and where none is sent."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from archive.errors import ConfigurationError
from archive.settings import Settings
from archive.webhook_keys import Algorithm, Key
from inference.notification import sending
from inference.notification.sending import Answer, Sender
from tests import certificates
from tests.live import find_free_ports
from tests.receiver import Receiver, receiving

KEY = Key.derive(b"k" * 32, b"s" * 32, Algorithm.HMAC)
Send = Callable[..., Answer]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def send(tmp_path: Path) -> Send:
    """Sends a message by a sender of these settings."""

    def send_by(url: str, **settings: str) -> Answer:
        options = {"webhook_networks": "127.0.0.0/8"} | settings
        with closing(Sender(Settings(home=tmp_path, **options))) as sender:
            return asyncio.run(sender.send(url, [KEY, KEY], "msg_1", b"{}"))

    return send_by


def test_a_message_is_signed_by_every_key(send: Send, receiver: Receiver) -> None:
    assert send(receiver.url) == Answer()
    ((path, headers, body),) = receiver.came
    signature = KEY.sign("msg_1", int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == f"{signature} {signature}"
    assert (path, headers["webhook-id"], headers["host"]) == ("/hook", "msg_1", f"127.0.0.1:{receiver.port}")


@pytest.mark.parametrize("status", [199 + 1, 201, 204])
def test_what_counts_as_taken(send: Send, receiver: Receiver, status: int) -> None:
    receiver.status = status
    assert not send(receiver.url).failure


@pytest.mark.parametrize("status", [304, 400, 401, 404, 500, 503])
def test_what_does_not(send: Send, receiver: Receiver, status: int) -> None:
    receiver.status = status
    assert send(receiver.url) == Answer(f"it answers with the status {status}")


def test_a_redirect_is_not_followed(send: Send, receiver: Receiver) -> None:
    with receiving() as other:
        receiver.status, receiver.headers = 307, {"location": other.url}
        assert send(receiver.url).failure == "it answers with the status 307"
        assert other.came == []


def test_who_is_gone_says_so(send: Send, receiver: Receiver) -> None:
    receiver.status = 410
    assert send(receiver.url).is_gone


@pytest.mark.parametrize(("told", "wait"), [("120", 120), ("9" * 9, 3600), ("soon", 0), ("-1", 0)])
def test_who_asks_to_wait_is_waited_for(send: Send, receiver: Receiver, told: str, wait: float) -> None:
    receiver.status, receiver.headers = 503, {"retry-after": told}
    assert send(receiver.url).wait == wait


def test_the_body_of_an_answer_is_not_read(send: Send, receiver: Receiver) -> None:
    receiver.status, receiver.body = 200, bytes(50_000_000)
    assert send(receiver.url) == Answer()


def test_an_answer_that_is_no_http_is_a_failure(send: Send, receiver: Receiver) -> None:
    receiver.headers = {"x": "y" * 1_000_000}
    assert "broke" in send(receiver.url).failure


def test_who_does_not_answer_is_not_waited_for(
    send: Send, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PATIENCE", 0.5)
    receiver.hold.clear()
    assert "no answer" in send(receiver.url).failure


def test_nobody_there_is_a_failure(send: Send) -> None:
    assert "can't be connected to" in send(f"http://127.0.0.1:{find_free_ports(1)[0]}/").failure


@pytest.mark.parametrize("networks", ["", "10.0.0.0/8", "::1"])
def test_this_machine_is_told_only_where_a_setting_says_so(
    send: Send, receiver: Receiver, networks: str
) -> None:
    assert "not public" in send(receiver.url, webhook_networks=networks).failure
    assert receiver.came == []


class TestNames:
    """A name is looked up once, and what is connected to is the address that was checked."""

    @pytest.fixture
    def lookups(self, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        """What each lookup finds, the last for all that follow."""
        answers: list[list[str]] = []

        def look_up(host: str, port: int, **_: object) -> list[tuple]:
            found = answers.pop(0) if len(answers) > 1 else answers[0]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

        monkeypatch.setattr(sending, "getaddrinfo", look_up)
        return answers

    def test_one_that_is_private_is_not_connected_to(
        self, send: Send, receiver: Receiver, lookups: list[list[str]]
    ) -> None:
        lookups[:] = [["127.0.0.1", "169.254.169.254"]]
        url = f"https://receiver.example:{receiver.port}/"
        assert "not public" in send(url, webhook_networks="").failure

    def test_one_that_changes_meanwhile_is_not_asked_again(
        self, send: Send, receiver: Receiver, lookups: list[list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """DNS rebinding: first an address that may be told, then one that may not."""
        lookups[:] = [["127.0.0.1"], ["127.0.0.2"]]
        connected: list[str] = []
        connect = asyncio.SelectorEventLoop.sock_connect

        async def note(self, sock: socket.socket, address: tuple) -> None:
            connected.append(address[0])
            await connect(self, sock, address)

        monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", note)
        send(receiver.url.replace("127.0.0.1", "localhost"), webhook_networks="127.0.0.1")
        assert len(receiver.came) == 1 and len(lookups) == 1
        assert connected == ["127.0.0.1"]
        assert receiver.came[0][1]["host"] == f"localhost:{receiver.port}"

    def test_another_of_its_addresses_is_tried(
        self, send: Send, receiver: Receiver, lookups: list[list[str]]
    ) -> None:
        lookups[:] = [["10.0.0.1", "127.0.0.9", "127.0.0.1"]]
        assert send(receiver.url.replace("127.0.0.1", "localhost")) == Answer()

    def test_http_goes_to_this_machine_alone(self, send: Send, lookups: list[list[str]]) -> None:
        lookups[:] = [["8.8.8.8"]]
        assert "not public" in send("http://localhost/").failure

    def test_one_that_is_unknown_is_a_failure(self, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> list:
            raise socket.gaierror

        monkeypatch.setattr(sending, "getaddrinfo", fail)
        assert send("https://nowhere.invalid/").failure == "its name is not known"


class TestCertificates:
    """TLS is that of the name in the URL, whatever the address."""

    def test_one_of_an_authority_that_is_named_is_trusted(self, send: Send, tmp_path: Path) -> None:
        authority = certificates.make(tmp_path, "authority")
        with receiving(certificates.make(tmp_path, "receiver", authority)) as receiver:
            url = f"https://127.0.0.1:{receiver.port}/"
            assert send(url, webhook_authorities=str(authority.path)) == Answer()
            assert send(url).failure == "its certificate is not trusted"
            elsewhere = url.replace("127.0.0.1", "localhost")  # which the certificate does not name
            refused = send(elsewhere, webhook_authorities=str(authority.path))
        assert refused.failure == "its certificate is not trusted"
        assert len(receiver.came) == 1

    def test_authorities_that_are_none_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="webhook_authorities"):
            Sender(Settings(home=tmp_path, webhook_authorities="nothing.pem"))
