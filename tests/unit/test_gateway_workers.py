"""Decoding in processes of their own: what ends one harms one request."""

import os
import signal
import threading
import time

import anyio
import pytest
from starlette.requests import ClientDisconnect, Request

from archive.errors import NotFound, Unavailable
from archive.pixels.layout import Undecodable
from gateway.workers import WAITING, Workers


def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def refuse() -> None:
    raise NotFound("not there")


def devour() -> int:
    return len(bytearray(64 * 1024**3))


def identify() -> int:
    return os.getpid()


def request(gone: anyio.Event | None = None) -> Request:
    """One whose client goes when it is told to, or never."""

    async def receive() -> dict[str, str]:
        await (gone or anyio.Event()).wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "method": "GET", "headers": []}, receive)


def run(function, *arguments, seconds: float = 30, workers: Workers | None = None):
    async def main():
        return await (workers or Workers(1)).run(request(), seconds, function, *arguments)

    return anyio.run(main)


def test_it_is_another_process():
    assert run(identify) != os.getpid()


@pytest.mark.parametrize(
    ("function", "arguments", "error"),
    [
        (die, (), Undecodable),
        (refuse, (), NotFound),
        (devour, (), Undecodable),
        (time.sleep, (60,), Unavailable),
    ],
)
def test_what_goes_wrong_there_is_told(function, arguments, error):
    with pytest.raises(error):
        run(function, *arguments, seconds=0.5 if arguments else 30)


def test_one_that_died_is_replaced():
    async def main() -> int:
        workers = Workers(1)
        with pytest.raises(Undecodable):
            await workers.run(request(), 30, die)
        return await workers.run(request(), 30, identify)

    assert anyio.run(main) != os.getpid()


def test_nobody_decodes_for_a_client_that_has_gone():
    gone = anyio.Event()
    gone.set()

    async def main() -> None:
        with pytest.raises(ClientDisconnect):
            await Workers(1).run(request(gone), 30, time.sleep, 60)

    began = time.monotonic()
    anyio.run(main)
    assert time.monotonic() - began < 30


def test_too_many_that_wait_are_sent_away():
    async def main() -> None:
        workers = Workers(1)
        async with anyio.create_task_group() as group:
            for _ in range(WAITING + 1):
                group.start_soon(workers.run, request(), 60, time.sleep, 60)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Unavailable):
                await workers.run(request(), 60, time.sleep, 0)
            group.cancel_scope.cancel()

    anyio.run(main)


class TestDraw:
    def test_it_is_this_process_and_what_is_damaged_is_told(self):
        assert anyio.run(Workers(1).draw, identify) == os.getpid()
        with pytest.raises(Undecodable):
            anyio.run(Workers(1).draw, int, "no number")

    def test_too_many_that_wait_are_sent_away(self):
        async def main() -> None:
            workers, go = Workers(1), threading.Event()
            async with anyio.create_task_group() as group:
                for _ in range(WAITING):
                    group.start_soon(workers.draw, go.wait)
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(Unavailable):
                    await workers.draw(identify)
                go.set()
            assert await workers.draw(identify) == os.getpid()

        anyio.run(main)
