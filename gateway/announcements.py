"""Which subscribers have events to be told: PostgreSQL says so at once, over one connection of each gateway process."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator

import psycopg
from psycopg import AsyncConnection, sql

from archive.pool import connection_string
from archive.worklist import EVENTS

PAUSE = 1.0  # seconds between two tries to reach PostgreSQL


class Announcements:
    """Wakes who waits for a subscriber's events. It listens as long as anybody waits."""

    def __init__(self, database_url: str) -> None:
        self._address = connection_string(database_url)
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._listening: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def to(self, subscriber: str) -> Iterator[asyncio.Event]:
        """An event that is set when something may have come for the subscriber since it was cleared."""
        event = asyncio.Event()
        self._waiting[subscriber].add(event)
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        try:
            yield event
        finally:
            self._waiting[subscriber].discard(event)
            if not self._waiting[subscriber]:
                del self._waiting[subscriber]
            if not self._waiting and self._listening:
                self._listening.cancel()
                self._listening = None

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(psycopg.OperationalError, psycopg.InterfaceError):
                async with await AsyncConnection.connect(self._address, autocommit=True) as connection:
                    await connection.execute(sql.SQL("listen {}").format(sql.Identifier(EVENTS)))
                    self._wake(*self._waiting)  # what came while nobody listened was not announced
                    async for notice in connection.notifies():
                        self._wake(notice.payload)
            await asyncio.sleep(PAUSE)

    def _wake(self, *subscribers: str) -> None:
        for subscriber in subscribers:
            for event in self._waiting.get(subscriber, ()):
                event.set()
