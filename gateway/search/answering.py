"""A node's answer to a question: how many patients and studies of each published dataset, giving nobody away."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from archive.errors import Unavailable
from gateway.search.counting import Answer, Counting, Exact, Row
from gateway.search.question import Question
from gateway.services import Searched

__all__ = ["Answer", "Exact", "Row", "answer", "exact"]
MOST_WAITING = 64  # questions in one process
_Counted = TypeVar("_Counted")


async def answer(services: Searched, question: Question, asker: str, *, hub: str = "") -> Answer:
    """Answer with protected counts (`gateway.search.disclosure`), from the budget of `asker`; "": of anonymous ones.

    Where another node asks, `hub` is whom a budget besides is taken from that all its askers share.
    Raises TooManyRequests where the asker has spent today's budget, and Unavailable.
    """
    counting = services.counting
    return await _in_turn(counting, lambda: counting.answer(services.settings, question, asker, hub))


async def exact(services: Searched, question: Question) -> tuple[Exact, ...]:
    """Numbers as they are, for stewards and tests. Raises Unavailable."""
    counting = services.counting
    return await _in_turn(counting, lambda: counting.exact(services.settings, question))


async def _in_turn(counting: Counting, count: Callable[[], _Counted]) -> _Counted:
    """Raises Unavailable where more wait for their turn than are answered in a time that anybody waits."""
    if counting.waiting >= MOST_WAITING:
        raise Unavailable("too many questions wait to be answered: ask again in a moment")
    counting.waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(counting.thread, count)
    finally:
        counting.waiting -= 1
