"""So many at a time, and so many that wait: whoever comes to more than that is told to come again."""

import asyncio

from archive.errors import Unavailable

WAITING = 64
PATIENCE = 30.0  # seconds, less than clients wait for an answer


class Turns:
    """For `async with`: lets `at_once` in and has `waiting` others wait.

    Raises Unavailable for who comes to more, or has waited `patience` seconds.
    """

    def __init__(self, at_once: int, waiting: int = WAITING, patience: float = PATIENCE) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._places = waiting
        self._patience = patience

    async def __aenter__(self) -> None:
        if self._places <= 0 and self._free.locked():
            raise Unavailable("too many requests wait for their turn")
        self._places -= 1
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable("the turn of the request did not come in time") from None
        finally:
            self._places += 1

    async def __aexit__(self, *_: object) -> None:
        self._free.release()
