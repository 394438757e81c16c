"""What principals are granted, known to each gateway as long as nothing changes, and what is under way by it.

PostgreSQL tells every gateway of a change (`senogate_access`). One that can't hear it keeps nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

import psycopg
from psycopg import AsyncConnection

from archive import permits
from archive.errors import Forbidden, Unauthenticated, Unavailable
from archive.policy import SEEING_ALL, Action, Grants, Principal, Scope, decide
from archive.pool import connection_string
from archive.search import withheld_among

CHANNEL = "senogate_access"
HEARTBEAT = 0.25  # seconds between two looks whether PostgreSQL is still heard, and what has expired
DEAF = 1.0  # seconds without an answer after which nothing is relied upon
REMEMBERED = 50_000  # principals
_LOG = logging.getLogger("senogate.access")


@dataclass(eq=False, slots=True)
class UnderWay:
    """A request that is being answered: who asks, in which task, and what it was let do on which studies.

    `asked` is its ASGI scope, which names the study that it reads, once a route was found.
    """

    principal: Principal
    task: asyncio.Task[Any]
    asked: Mapping[str, Any]
    decided: list[tuple[tuple[Action, ...], Scope]] = field(default_factory=list)
    is_revoked: bool = False

    @property
    def study_instance_uid(self) -> str | None:
        """The study that is read, where the address names one."""
        if self.asked.get("method") not in ("GET", "HEAD"):
            return None
        named = parse_qs(self.asked.get("query_string", b"")).get(b"studyUID", [])  # of WADO-URI
        found = self.asked.get("path_params", {}).get("study")
        return found or (named[0].decode("latin-1") if named else None)

    def break_off(self) -> None:
        if not self.is_revoked:
            self.is_revoked = True
            self.task.cancel()


class Granted:
    """Tells what a principal is granted now, and breaks off what a change no longer allows."""

    def __init__(self, connection: Callable[[], AbstractAsyncContextManager[AsyncConnection]]) -> None:
        self._connection = connection
        self._known: dict[str, Grants] = {}
        self._changes = 0
        self._heard_at = float("-inf")
        self._changed = asyncio.Event()
        self._under_way: set[UnderWay] = set()

    async def of(self, principal: Principal) -> Grants:
        """What the site grants it, with the roles of its credential.

        Raises Unauthenticated for one that may not act any more, Unavailable where PostgreSQL does not answer.
        """
        if principal.roles & SEEING_ALL and principal.has_roles:
            return Grants(principal.roles)
        found = self._known.get(principal.subject) if self._is_listening() else None
        if found is None:
            found = await self._load(principal.subject)
        return replace(found, roles=found.roles | principal.roles) if principal.roles else found

    async def _load(self, subject: str) -> Grants:
        changes = self._changes
        async with self._connection() as connection:
            found = await permits.grants_of(connection, subject)
        if changes == self._changes and self._is_listening():
            while len(self._known) >= REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[subject] = found
        return found

    def _is_listening(self) -> bool:
        return time.monotonic() - self._heard_at < DEAF

    @contextmanager
    def watching(self, principal: Principal, asked: Mapping[str, Any]) -> Iterator[UnderWay]:
        """The request that the current task answers, as long as the block lasts."""
        task = asyncio.current_task()
        assert task
        request = UnderWay(principal, task, asked)
        self._under_way.add(request)
        try:
            yield request
        finally:
            self._under_way.discard(request)

    async def listen(self, database_url: str) -> None:
        """Hear of changes, and see what has expired, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            while True:
                try:
                    await self._hear(database_url)
                except (psycopg.Error, TimeoutError) as error:
                    _LOG.warning("changes of permits are not heard (%s)", type(error).__name__)
                self._heard_at = float("-inf")
                self._forget()
                await asyncio.sleep(HEARTBEAT)

    async def _hear(self, database_url: str) -> None:
        address = connection_string(database_url)
        async with await AsyncConnection.connect(address, autocommit=True) as connection:
            await connection.execute(f"listen {CHANNEL}".encode())
            self._forget()
            while True:
                asked_at = time.monotonic()
                async with asyncio.timeout(DEAF):
                    await connection.execute("select")
                self._heard_at = asked_at
                async for _ in connection.notifies(timeout=HEARTBEAT, stop_after=1):
                    self._forget()

    def _forget(self) -> None:
        self._changes += 1
        self._known.clear()
        self._changed.set()

    async def _watch(self) -> None:
        """Look after what is under way at each change, and often enough for what expires."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), HEARTBEAT)
            has_changed = self._changed.is_set()
            self._changed.clear()
            decided = [each for each in self._under_way if each.decided]
            withheld = await self._withheld(decided) if has_changed else frozenset()
            for request in decided:
                is_withheld = request.study_instance_uid in withheld
                if is_withheld or not await self._is_still_granted(request):
                    request.break_off()

    async def _withheld(self, requests: Sequence[UnderWay]) -> frozenset[str]:
        """Which of the studies that are read are no longer here for anybody."""
        studies = {study for request in requests if (study := request.study_instance_uid)}
        if not studies:
            return frozenset()
        with suppress(Unavailable):
            async with self._connection() as connection:
                return frozenset(await withheld_among(connection, studies))
        return frozenset()

    async def _is_still_granted(self, request: UnderWay) -> bool:
        try:
            grants = await self.of(request.principal)
            return all(
                decide(request.principal, grants, *actions).covers(scope)
                for actions, scope in request.decided
            )
        except (Unauthenticated, Forbidden):
            return False
        except Unavailable:
            return True  # nobody can revoke either, as long as that lasts
