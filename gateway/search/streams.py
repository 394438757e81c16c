"""The streams by which members of a hub wait for questions, and a site's way to its hub, as each gateway has them."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from archive.federation_roles import Joined


@dataclass(slots=True)
class Streams:
    """One for each member: a newer one ends the one before it, whose site may be gone without a word."""

    _ends: dict[str, asyncio.Event] = field(default_factory=dict)

    @contextmanager
    def only(self, member: str) -> Iterator[asyncio.Event]:
        """An event that is set when the member has a newer stream."""
        if before := self._ends.get(member):
            before.set()
        end = self._ends[member] = asyncio.Event()
        try:
            yield end
        finally:
            if self._ends.get(member) is end:
                del self._ends[member]


@dataclass(slots=True)
class Upstream:
    """A client at the hub of the federation that this node has joined, made when the first question goes there."""

    _client: httpx.AsyncClient | None = None
    _joined: Joined | None = None

    async def at(self, joined: Joined, make: Callable[[], httpx.AsyncClient]) -> httpx.AsyncClient:
        """A client at the hub, which may be another after a while."""
        if self._client is None or joined != self._joined:
            await self.aclose()
            self._client, self._joined = make(), joined
        return self._client

    async def aclose(self) -> None:
        """End what is under way."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
