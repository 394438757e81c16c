"""A site's way out: what its SuperNode alone may say goes to the hub alone, and a hub's no is a rest and no end."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from archive import measures
from gateway.fleet import outward
from gateway.fleet.carrying import Upload, send_on
from gateway.fleet.outward import Outward, create

KEY = "a2V5"
CALL, PULL = "send-node-heartbeat", "pull-messages"
PROBLEM = {"content-type": "application/problem+json"}


class Hub:
    """Answers with `status` and `headers`; `asked` is what reached it."""

    def __init__(self) -> None:
        self.status, self.headers = 200, {"content-type": "application/protobuf"}
        self.asked: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.asked.append(request)
        return httpx.Response(self.status, headers=self.headers, stream=httpx.ByteStream(b"answer"))


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def way(hub: Hub) -> Outward:
    return Outward(httpx.AsyncClient(base_url="https://hub.test", transport=httpx.MockTransport(hub)), KEY)


def ask(
    way: Outward, call: str = CALL, *, key: str = KEY, path: str = "/v1/fleet/", **headers: str
) -> httpx.Response:
    async def sent() -> httpx.Response:
        application: Starlette = create(way)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(application), base_url="https://127.0.0.1"
        ) as client:
            return await client.post(path + call, content=b"body", headers={"flwr-public-key": key} | headers)

    return asyncio.run(sent())


def test_a_call_goes_to_the_hubs_own_path_with_flowers_headers_alone(way: Outward, hub: Hub) -> None:
    answer = ask(way, **{"flwr-timestamp": "now", "cookie": "a=b", "host": "evil.example"})
    assert (answer.status_code, answer.content) == (200, b"answer")
    (asked,) = hub.asked
    assert str(asked.url) == f"https://hub.test/federation/v1/fleet/{CALL}" and asked.content == b"body"
    assert asked.headers["flwr-timestamp"] == "now" and "cookie" not in asked.headers


def test_what_is_carried_is_counted_by_its_direction(way: Outward) -> None:
    counted = [measures.FEDERATION_BYTES.labels(each)._value for each in ("to_hub", "from_hub")]
    before = [each.get() for each in counted]
    ask(way)
    assert [now.get() - then for now, then in zip(counted, before, strict=True)] == [4, 6]


@pytest.mark.parametrize("status", [200, 503])
def test_when_the_hub_answered_last_is_told(way: Outward, hub: Hub, status: int) -> None:
    contact = measures.FEDERATION_CONTACT.labels("hub")
    contact.set(0)
    hub.status = status
    ask(way)
    assert (contact._value.get() > 0) == (status == 200)


@pytest.mark.parametrize(
    "call", ["register-node", "../control/list-runs", "%2e%2e/x", "pull-messages?a=1", ""]
)
def test_what_is_no_fleet_call_goes_nowhere(way: Outward, hub: Hub, call: str) -> None:
    assert ask(way, call).status_code == 404 and not hub.asked


@pytest.mark.parametrize("path", ["/v1/control/", "/v1/runtime/", "/federation/v1/fleet/"])
def test_other_addresses_are_not_here(way: Outward, hub: Hub, path: str) -> None:
    assert ask(way, path=path).status_code == 404 and not hub.asked


@pytest.mark.parametrize("key", ["", "b3RoZXI=", KEY + "="])
def test_another_programs_call_goes_nowhere(way: Outward, hub: Hub, key: str) -> None:
    assert ask(way, key=key).status_code == 403 and not hub.asked


@pytest.mark.parametrize("status", [401, 403, 404])
def test_after_the_hubs_no_it_is_left_alone(way: Outward, hub: Hub, status: int) -> None:
    """A SuperNode ends at 401, and at 503 it tries again."""
    hub.status, hub.headers = status, PROBLEM
    assert [ask(way).status_code for _ in range(3)] == [503] * 3 and len(hub.asked) == 1


def test_a_no_about_a_run_is_the_supernodes(way: Outward, hub: Hub) -> None:
    """It takes 403 for a run that has ended, and goes on."""
    hub.status, hub.headers = 403, PROBLEM
    assert [ask(way, "pull-object").status_code for _ in range(2)] == [403] * 2 and len(hub.asked) == 2


def test_a_no_of_the_superlink_is_the_supernodes(way: Outward, hub: Hub) -> None:
    hub.status, hub.headers = 401, {"content-type": "application/json"}
    assert ask(way).status_code == 401


def test_rests_grow_and_a_success_ends_them(way: Outward, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(outward.time, "monotonic", lambda: now[0])
    hub.status, hub.headers = 403, PROBLEM
    for pause in (0, 5, 10, 20, 40, 60):
        now[0] += pause
        ask(way)
    assert len(hub.asked) == 6
    now[0] += 59
    assert ask(way).status_code == 503 and len(hub.asked) == 6
    now[0] += 1
    hub.status, hub.headers = 200, {}
    assert ask(way).status_code == 200


def test_a_hub_that_is_away_is_told_as_unavailable(way: Outward) -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("away")

    way.client = httpx.AsyncClient(base_url="https://hub.test", transport=httpx.MockTransport(gone))
    assert ask(way).status_code == 503


def test_no_more_is_read_than_the_other_side_takes() -> None:
    """What one hop has in memory of a body is one piece."""
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(256):
            read += 1
            yield bytes(65536)

    class Stuck(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            assert isinstance(request.stream, httpx.AsyncByteStream)
            async for _ in request.stream:
                await asyncio.Event().wait()
            raise AssertionError

    async def send() -> None:
        client = httpx.AsyncClient(base_url="https://hub.test", transport=Stuck())
        async with asyncio.timeout(0.2):
            await send_on(client, "/x", {}, 256 * 65536, Upload(body()))

    with pytest.raises(TimeoutError):
        asyncio.run(send())
    assert read == 1
