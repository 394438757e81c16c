"""How often anybody may ask: token buckets that lie in PostgreSQL, one for all gateways of a site.

A process takes tokens in shares, a few hundredths of a second's worth, so that most requests ask nobody; what of a
share is not used in a second is lost. A token is given to one process only, so together they never let through more
than the bucket holds. Where PostgreSQL does not answer, each process has a bucket of its own.
"""

import asyncio
import ipaddress
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from archive.errors import TooManyRequests, Unavailable
from archive.pool import queries
from gateway.issuers import Connect

SHARES_PER_SECOND = 20  # of a bucket's tokens, at the rate at which it fills
LARGEST_SHARE = 256
SHARE_LASTS = 1.0  # seconds
_KNOWN = 4096  # buckets of which a process has a share


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens per second that a bucket gets, and how many it holds at most."""

    per_second: float
    capacity: float

    @property
    def share(self) -> int:
        return max(1, min(LARGEST_SHARE, int(self.per_second / SHARES_PER_SECOND)))


SIGN_IN_BY_NAME = Rate(1 / 15, 20)
SIGN_IN_BY_ADDRESS = Rate(1 / 2, 60)
TOKENS_BY_ADDRESS = Rate(50, 500)


@dataclass(slots=True)
class _Share:
    """What a process may still let through of a bucket, or until when nothing of it."""

    left: int = 0
    until: float = 0.0  # monotonic
    empty_until: float = 0.0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take(self, now: float) -> bool:
        """Whether there was one. Raises TooManyRequests while the bucket is known to be empty."""
        if now < self.empty_until:
            raise TooManyRequests(self.empty_until - now)
        if self.left and now < self.until:
            self.left -= 1
            return True
        return False

    def count_alone(self, rate: Rate) -> tuple[int, float]:
        """What a process lets through by itself: as much as the rate allows, from second to second."""
        rest = self.until - time.monotonic()
        return (0, rest) if rest > 0 else (max(1, int(rate.per_second * SHARE_LASTS)), 0.0)


class Buckets:
    """The shares of this process."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._shares: OrderedDict[str, _Share] = OrderedDict()

    async def take(self, name: str, rate: Rate) -> None:
        """Take one token. Raises TooManyRequests, with the seconds after which there is one."""
        share = self._shares.get(name)
        if share is None:
            share = self._shares[name] = _Share()
            while len(self._shares) > _KNOWN:
                self._shares.popitem(last=False)
        if share.take(time.monotonic()):
            return
        async with share.asking:
            if share.take(time.monotonic()):
                return
            try:
                taken, wait = await self._ask(name, rate)
            except Unavailable:
                taken, wait = share.count_alone(rate)
            now = time.monotonic()
            if not taken:
                share.empty_until = now + wait
                raise TooManyRequests(wait)
            share.left, share.until = taken - 1, now + SHARE_LASTS

    async def give_back(self, name: str, rate: Rate) -> None:
        """Put a token back that should not have counted. Raises Unavailable."""
        async with self._connect() as connection:
            row = {"name": name, "capacity": rate.capacity}
            await connection.execute(queries("bucket.sql")["give_back"], row)

    async def _ask(self, name: str, rate: Rate) -> tuple[int, float]:
        row = {"name": name, "wanted": rate.share, "per_second": rate.per_second, "capacity": rate.capacity}
        async with self._connect() as connection:
            cursor = await connection.execute(queries("bucket.sql")["take_tokens"], row)
            taken, wait = await cursor.fetchone() or (0, SHARE_LASTS)
        return taken, wait


class RateLimit:
    """Refuses requests of a principal that asks more often than the site allows (RFC 6585 section 4)."""

    def __init__(self, app: ASGIApp, buckets: Buckets, rate: Rate) -> None:
        self._app = app
        self._buckets = buckets
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = scope.get("principal")
        if principal and self._rate.per_second:
            await self._buckets.take(principal.subject, self._rate)
        await self._app(scope, receive, send)


def address_of(request: HTTPConnection) -> str:
    """Whom a request without a credential counts for: the client's address, of IPv6 the network of its site."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:64]
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else host
