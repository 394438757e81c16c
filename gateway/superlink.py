"""The way to a hub's SuperLink, and what is under way on it, as each gateway of the hub has it."""

import ssl
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from httpx_aiohttp import AiohttpTransport

from archive.errors import Unavailable

HOST = "127.0.0.1"
AT_ONCE = 8  # calls of one member
_KEPT = 2.0  # seconds for which it is not asked again whether a member takes part in a run
_REMEMBERED = 1000
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)


@dataclass(slots=True)
class SuperLink:
    """A client of the SuperLink, made when the first call is carried on."""

    _client: httpx.AsyncClient | None = None
    _port: int = 0
    _under_way: Counter[str] = field(default_factory=Counter)
    _allowed: OrderedDict[tuple[str, int], float] = field(default_factory=OrderedDict)

    async def at(self, port: int, trusted: Callable[[], ssl.SSLContext]) -> httpx.AsyncClient:
        """A client at the SuperLink's port, which may be another after a start."""
        if self._client is None or port != self._port:
            await self.aclose()
            self._client = httpx.AsyncClient(
                base_url=f"https://{HOST}:{port}",
                transport=AiohttpTransport(verify=trusted(), trust_env=False),
                timeout=_TIMEOUT,
                trust_env=False,
            )
            self._port = port
        return self._client

    @contextmanager
    def counting(self, member: str) -> Iterator[None]:
        """One more call of a member. Raises Unavailable where that is one too many."""
        if self._under_way[member] >= AT_ONCE:
            raise Unavailable(f"{AT_ONCE} calls of this site are under way")
        self._under_way[member] += 1
        try:
            yield
        finally:
            self._under_way[member] -= 1

    def is_allowed(self, member: str, run: int) -> bool:
        """Whether the member was found to take part in this run a moment ago."""
        return self._allowed.get((member, run), 0.0) > time.monotonic()

    def allow(self, member: str, run: int) -> None:
        """Remember for a moment that it takes part."""
        self._allowed[(member, run)] = time.monotonic() + _KEPT
        while len(self._allowed) > _REMEMBERED:
            self._allowed.popitem(last=False)

    async def aclose(self) -> None:
        """End what is under way."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
