"""That questions wait for their turn, and not without end."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from archive.errors import Unavailable
from gateway.search.answering import MOST_WAITING, answer
from gateway.search.counting import Answer, Counting
from gateway.search.question import EVERYTHING


class Slow(Counting):
    """Answers when it is let."""

    let = threading.Event()

    def answer(self, *asked: Any) -> Answer:
        self.let.wait()
        return Answer(())


async def ask_one_too_many(counting: Counting) -> None:
    services: Any = SimpleNamespace(counting=counting, settings=None)
    waiting = [asyncio.create_task(answer(services, EVERYTHING, "")) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    try:
        with pytest.raises(Unavailable):
            await answer(services, EVERYTHING, "")
    finally:
        Slow.let.set()
    assert await asyncio.gather(*waiting) == [Answer(())] * MOST_WAITING
    assert await answer(services, EVERYTHING, "") == Answer(())


def test_more_than_can_be_answered_are_refused() -> None:
    asyncio.run(asyncio.wait_for(ask_one_too_many(Slow()), 30))
