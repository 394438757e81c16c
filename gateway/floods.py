"""Requests without a good credential, from one address again and again: a few are on record each, the rest by number.

What is over the address's rate is refused before the trail hears of it; one record a minute says how many those were.
"""

import asyncio
from collections import Counter

from starlette.requests import HTTPConnection
from starlette.types import Scope

from archive.audit import Detail, Event, Outcome, Record
from archive.errors import TooManyRequests, Unavailable
from archive.trail import Journal
from gateway.auditing import ANONYMOUS, UNRECORDED
from gateway.rate_limit import Buckets, Rate, address_of

REFUSED_BY_ADDRESS = Rate(10, 600)
WINDOW = 60.0  # seconds that one record tells of
_ADDRESSES = 1000  # told apart in a window
OTHERS = "others"


class Floods:
    """Counts what this process refused, by address."""

    def __init__(self, buckets: Buckets, trail: Journal) -> None:
        self._buckets = buckets
        self._trail = trail
        self._counts: Counter[str] = Counter()
        self._recording: asyncio.Task[None] | None = None

    async def count(self, scope: Scope) -> None:
        """Note that a request is refused. Raises TooManyRequests where its address has had too many of them."""
        address = address_of(HTTPConnection(scope))
        try:
            await self._buckets.take(f"refused for {address}", REFUSED_BY_ADDRESS)
        except TooManyRequests:
            scope[UNRECORDED] = True
            self._add(address, 1)
            raise

    async def record(self) -> None:
        """Write what has been counted; what the trail does not take is told the next time."""
        counts, self._counts = self._counts, Counter()
        for address, number in counts.items():
            detail: Detail = {"from": address, "count": number, "seconds": int(WINDOW), "status": 429}
            try:
                await self._trail.write(Record(Event.DENIED, ANONYMOUS, Outcome.REFUSED, detail=detail))
            except Unavailable:
                self._add(address, number)

    async def aclose(self) -> None:
        """Write what has been counted since the last record."""
        if self._recording is not None:
            self._recording.cancel()
        await self.record()

    def _add(self, address: str, number: int) -> None:
        known = address in self._counts or len(self._counts) < _ADDRESSES
        self._counts[address if known else OTHERS] += number
        if self._recording is None or self._recording.done():
            self._recording = asyncio.create_task(self._record_later())

    async def _record_later(self) -> None:
        while self._counts:
            await asyncio.sleep(WINDOW)
            await self.record()
