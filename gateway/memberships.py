"""Memberships as each gateway of a hub knows them, and what is under way by them: cut at once when one ends.

PostgreSQL tells of each change. A gateway that can't hear it keeps nothing, and asks each time.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection

from archive.errors import Unavailable
from archive.members import CHANNEL, Member, list_members
from archive.pool import connection_string

HEARTBEAT = 0.25  # seconds between two looks whether PostgreSQL is still heard
DEAF = 1.0  # seconds without an answer after which nothing is relied upon
REMEMBERED = 1000  # names
_LOG = logging.getLogger("senogate.federation")


@dataclass(eq=False, slots=True)
class UnderWay:
    """Something that is done for a member, in the current task."""

    member: Member
    task: asyncio.Task[Any]
    is_cut: bool = False

    def cut(self) -> None:
        if not self.is_cut:
            self.is_cut = True
            self.task.cancel()

    def was_only_cut(self) -> bool:
        """Whether nobody else wants the task cancelled; it is not any more then."""
        return self.is_cut and self.task.uncancel() == 0


class Memberships:
    """Finds members, and ends what is done for one whose membership ends. It listens from the first that is asked."""

    def __init__(
        self, connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]], database_url: str
    ) -> None:
        self._connect = connect
        self._database_url = database_url
        self._known: dict[str, Member] = {}
        self._changes = 0
        self._heard_at = float("-inf")
        self._under_way: set[UnderWay] = set()
        self._listening: asyncio.Task[None] | None = None

    async def find(self, name: str) -> Member | None:
        """The newest membership of a name. Raises Unavailable where PostgreSQL does not answer."""
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen())
        if self._hears() and name in self._known:
            return self._known[name]
        changes = self._changes
        async with self._connect() as connection:
            found = await list_members(connection, name)
        member = found[0] if found else None
        if member and self._hears() and changes == self._changes and len(self._known) < REMEMBERED:
            self._known[name] = member
        return member

    @contextlib.contextmanager
    def watching(self, member: Member) -> Iterator[UnderWay]:
        """As long as the block lasts the current task is cancelled when the membership changes."""
        task = asyncio.current_task()
        assert task
        request = UnderWay(member, task)
        self._under_way.add(request)
        try:
            yield request
        finally:
            self._under_way.discard(request)

    async def aclose(self) -> None:
        """Listen no more."""
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening

    def _hears(self) -> bool:
        return time.monotonic() - self._heard_at < DEAF

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (psycopg.Error, TimeoutError) as error:
                _LOG.warning("changes of memberships are not heard (%s)", type(error).__name__)
            self._heard_at = float("-inf")
            self._known.clear()
            await asyncio.sleep(HEARTBEAT)

    async def _hear(self) -> None:
        address = connection_string(self._database_url)
        async with await AsyncConnection.connect(address, autocommit=True) as connection:
            await connection.execute(f"listen {CHANNEL}".encode())
            await self._look_after(None)  # what was told while nobody listened
            while True:
                asked_at = time.monotonic()
                async with asyncio.timeout(DEAF):
                    await connection.execute("select")
                self._heard_at = asked_at
                async for notice in connection.notifies(timeout=HEARTBEAT, stop_after=1):
                    await self._look_after(notice.payload)

    async def _look_after(self, name: str | None) -> None:
        """Forget a member, or all, and end what is under way for one that is not as it was."""
        self._changes += 1
        if name is None:
            self._known.clear()
        else:
            self._known.pop(name, None)
        for each in [each for each in self._under_way if name in (None, each.member.name)]:
            if not await self._still_holds(each.member):
                each.cut()

    async def _still_holds(self, member: Member) -> bool:
        try:
            return await self.find(member.name) == member
        except Unavailable:
            return True  # nobody can revoke either, as long as that lasts
