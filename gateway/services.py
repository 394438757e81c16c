"""What an application is made with, for its endpoints to reach."""

from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, cast

import httpx
from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from starlette.requests import HTTPConnection

from archive.errors import Unavailable
from archive.policy import Action, Grants, Principal, Scope, decide
from archive.pool import translated_errors
from archive.settings import Settings
from archive.trail import Journal
from deidentification.deidentify import Deidentifier
from gateway.accounts import Passwords
from gateway.announcements import Announcements
from gateway.cache import Cache
from gateway.floods import Floods
from gateway.granted import Granted
from gateway.issuers import Issuers
from gateway.measured import Measured
from gateway.memberships import Memberships
from gateway.rate_limit import Buckets
from gateway.readiness import Readiness
from gateway.search.counting import Counting
from gateway.search.streams import Streams, Upstream
from gateway.sessions import Sessions
from gateway.signing import Keyring
from gateway.stored import StoredFiles
from gateway.superlink import SuperLink
from gateway.turns import Turns
from gateway.workers import Workers

POOL_TIMEOUT = 5.0  # seconds that a request waits for a connection
STORED_AT_ONCE = (
    8  # requests to store that are read at a time; each holds one instance in memory, the others wait
)

PICTURES = 64 * 1024 * 1024  # bytes of rendered pictures that are kept to be asked for again


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a site that requests are answered from."""

    settings: Settings
    pool: AsyncConnectionPool
    orthanc: httpx.AsyncClient
    keys: Keyring
    readiness: Readiness
    deidentifier: Deidentifier
    stored: StoredFiles
    trail: Journal
    granted: Granted
    sessions: Sessions
    issuers: Issuers
    buckets: Buckets
    floods: Floods
    announcements: Announcements
    memberships: Memberships
    storing: Turns = field(default_factory=lambda: Turns(STORED_AT_ONCE))
    passwords: Passwords = field(default_factory=Passwords)
    workers: Workers = field(default_factory=Workers)
    superlink: SuperLink = field(default_factory=SuperLink)
    streams: Streams = field(default_factory=Streams)
    upstream: Upstream = field(default_factory=Upstream)
    pictures: Cache = field(default_factory=lambda: Cache(PICTURES))
    counting: Counting = field(default_factory=Counting)
    measured: Measured = field(init=False)

    def __post_init__(self) -> None:
        asked = Measured(self.settings, self.pool, self.connection, self.readiness, self.orthanc)
        object.__setattr__(self, "measured", asked)

    def connection(self) -> "Lent":
        """A connection of the pool, for `async with`. Raises Unavailable where PostgreSQL does not answer."""
        return Lent(self.pool)


class Searched(Protocol):
    """What a question is answered from, also by a process that is no gateway."""

    @property
    def settings(self) -> Settings: ...

    @property
    def trail(self) -> Journal: ...

    @property
    def counting(self) -> Counting: ...

    def connection(self) -> "Lent":
        """A connection to PostgreSQL, for `async with`. Raises Unavailable."""


class Lent:
    """A connection that goes back to its pool. In autocommit mode nothing is left to commit then."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def __aenter__(self) -> AsyncConnection:
        with translated_errors():
            try:
                self._connection: AsyncConnection = await self._pool.getconn(POOL_TIMEOUT)
            except PoolTimeout:
                raise Unavailable("PostgreSQL does not answer in time") from None
        return self._connection

    async def __aexit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._pool.putconn(self._connection)
        if isinstance(error, OperationalError | InterfaceError):
            with translated_errors():
                await self._pool.check()  # others that died with this one serve no request any more
                raise error


def services_of(request: HTTPConnection) -> Services:
    return cast(Services, request.app.state.services)


def scope_of(request: HTTPConnection, *actions: Action) -> Scope:
    """What the request's principal may do one of the actions on. Raises Forbidden."""
    scope = decide(principal_of(request), grants_of(request), *actions)
    request.scope["decided"].append((actions, scope))
    request.scope["permits_used"] = scope.permits
    return scope


def principal_of(request: HTTPConnection) -> Principal:
    return cast(Principal, request.scope["principal"])


def grants_of(request: HTTPConnection) -> Grants:
    return cast(Grants, request.scope["grants"])
