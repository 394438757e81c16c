"""A site's ear: it answers what its hub asks it now, once, and nothing else that comes."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import secrets
from archive.errors import Unavailable
from archive.federation_keys import FEDERATION_KEY, public_bytes
from archive.federation_roles import Joined
from archive.settings import Settings
from gateway.fleet import listening
from gateway.fleet.listening import Known, Listener
from gateway.search import messages
from gateway.search.answering import Row
from gateway.search.lines import to_line
from gateway.search.messages import Asked, Said, Told
from gateway.search.permitted import Permitted
from gateway.search.question import EVERYTHING
from gateway.search.sites import SiteState

HUB, SITE = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
JOINED = Joined("north", "https://hub.test", "hub", base64.b64encode(public_bytes(HUB)).decode(), "")
ROWS = (Row("dense", "Dense breasts", "", 10, 5),)


def asked(number: int = 1, **changed: Any) -> Asked:
    values = {"question_id": f"{number:032x}", "sender": "hub", "to": "north", "at": messages.now()}
    return Asked(**(values | {"asker": "ab" * 32, "question": EVERYTHING} | changed))


def line(question: Asked, key: Ed25519PrivateKey = HUB, said: Said = Said.QUESTION) -> bytes:
    return to_line(messages.sign(said, question.to_bytes(), key))


class Hub:
    """Says its lines, one stream after the other, and keeps what it is told."""

    def __init__(self, *streams: list[bytes] | int) -> None:
        self.streams, self.told = list(streams), asyncio.Queue()
        self.opened = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            text = messages.verify(Said.ANSWER, json.loads(await request.aread()), SITE.public_key())
            self.told.put_nowait(messages.parse_told(text))
            return httpx.Response(204)
        self.opened += 1
        stream = self.streams.pop(0) if self.streams else []
        return (
            httpx.Response(stream)
            if isinstance(stream, int)
            else httpx.Response(200, content=_coming(stream))
        )


async def _coming(lines: list[bytes]) -> AsyncIterator[bytes]:
    for each in lines:
        yield each
    await asyncio.Event().wait()


async def say(question: Asked) -> Permitted:
    return Permitted(SiteState.ANSWERED, ROWS, {"dense": 500})


def told(tmp_path, hub: Hub, number: int, answering: Any = say) -> list[Told]:
    """The first answers that the hub gets."""
    settings = Settings(home=tmp_path)
    secrets.write(tmp_path / settings.secrets / FEDERATION_KEY, SITE.private_bytes_raw())

    async def heard() -> list[Told]:
        transport = httpx.MockTransport(hub)
        async with httpx.AsyncClient(base_url=JOINED.hub_url, transport=transport) as client:
            task = asyncio.create_task(Listener(settings, JOINED, client, answering).listen())
            try:
                async with asyncio.timeout(60):
                    return [await hub.told.get() for _ in range(number)]
            finally:
                task.cancel()

    return asyncio.run(heard())


def test_a_question_is_answered_with_the_sites_signature(tmp_path):
    (answer,) = told(tmp_path, Hub([line(asked())]), 1)
    assert (answer.question_id, answer.site, answer.state) == (f"{1:032x}", "north", "answered")
    assert answer.rows[0]["row"]["studies"] == 10 and answer.rows[0]["held"] == 640


NONE = {
    "another key": line(asked(1), SITE),
    "another use": line(asked(1), said=Said.SEARCH),
    "another site": line(asked(1, to="south")),
    "another hub": line(asked(1, sender="other")),
    "another time": line(asked(1, at=messages.now() - timedelta(minutes=2))),
    "a later time": line(asked(1, at=messages.now() + timedelta(minutes=2))),
    "no object": b"[]\n",
    "no JSON": b"\xff\n",
    "no text": b'{"text": 1, "signature": null}\n',
    "a beat": b"{}\n",
}


@pytest.mark.parametrize("first", NONE.values(), ids=NONE)
def test_what_the_hub_has_not_asked_this_site_now_is_not_answered(tmp_path, first):
    """And what comes after it is."""
    answers = told(tmp_path, Hub([first, line(asked(2))]), 1)
    assert [each.question_id for each in answers] == [f"{2:032x}"]


def test_a_question_that_comes_again_is_not_answered_again(tmp_path):
    first = line(asked(1))
    answers = told(tmp_path, Hub([first, first, line(asked(2))]), 2)
    assert [each.question_id for each in answers] == [f"{1:032x}", f"{2:032x}"]


@pytest.mark.parametrize(
    "first", [503, 403, [b"x" * 10**6]], ids=["away", "not approved", "a line without end"]
)
def test_a_site_tries_again(tmp_path, monkeypatch, first):
    monkeypatch.setattr(listening, "_SHORTEST", 0.01)
    hub = Hub(first, [line(asked())])
    assert told(tmp_path, hub, 1) and hub.opened == 2


def test_a_site_that_can_not_count_says_so(tmp_path):
    async def fail(question: Asked) -> Permitted:
        raise Unavailable("PostgreSQL does not answer")

    (answer,) = told(tmp_path, Hub([line(asked())]), 1, fail)
    assert (answer.state, answer.why, answer.rows) == ("refused", "failed", ())


def test_a_site_that_is_asked_too_much_says_so_and_goes_on(tmp_path):
    async def never(question: Asked) -> Permitted:
        await asyncio.Event().wait()
        raise AssertionError

    lines = [line(asked(number)) for number in range(listening.AT_ONCE + 1)]
    (answer,) = told(tmp_path, Hub(lines), 1, never)
    assert answer.why == "busy"


def test_what_is_remembered_is_bounded_and_forgotten_when_it_can_not_come_again(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(listening.time, "monotonic", lambda: now[0])
    known = Known(most=2)
    for each in "ab":
        known.add(each)
    for each in "bc":
        with pytest.raises(Exception, match="question"):
            known.add(each)
    now[0] = 2 * messages.FRESH.total_seconds() + 1
    known.add("c")
