"""Delivers notices to webhooks, in a lane for each: one that does not answer holds up no other."""

import asyncio
import logging

import psycopg
from psycopg_pool import AsyncConnectionPool

from archive import measures, notices
from archive.notices import Lane
from archive.pool import connection_string
from archive.settings import Settings
from archive.webhooks import keys_of
from inference.cues import pause
from inference.notification.sending import Sender

_LOOK = 1.0  # seconds between two looks for what is to be told
_PAUSE = 2.0  # seconds before another try after PostgreSQL did not answer
_EXPIRE = 60.0  # seconds between two looks for notices that are too old
_CONNECTIONS = 4  # to PostgreSQL at most; none is held while a receiver is waited for
_log = logging.getLogger("senogate.notices")


class Notifier:
    """Tells webhooks what they are still to be told, as long as no other process does."""

    def __init__(self, settings: Settings, site_key: bytes, sender: Sender) -> None:
        self._address = connection_string(settings.database_url)
        self._dicomweb_url = settings.dicomweb_url
        self._site_key = site_key
        self._sender = sender
        self._lanes: dict[int, asyncio.Task[None]] = {}

    async def run(self, ended: asyncio.Event) -> None:
        """Deliver until `ended`. A message that is under way then may be sent again."""
        while not ended.is_set():
            try:
                await self._deliver_alone(ended)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                _log.warning("webhooks are told nothing now (%s)", type(error).__name__)
            await pause(ended, _PAUSE)

    async def _deliver_alone(self, ended: asyncio.Event) -> None:
        async with await psycopg.AsyncConnection.connect(self._address, autocommit=True) as leading:
            while not ended.is_set() and not await notices.is_alone(leading):
                await pause(ended, _PAUSE)
            if ended.is_set():
                return
            async with AsyncConnectionPool(
                self._address, min_size=0, max_size=_CONNECTIONS, open=False, kwargs={"autocommit": True}
            ) as pool:
                try:
                    await self._deliver(pool, leading, ended)
                finally:
                    await self._end_lanes()

    async def _deliver(
        self, pool: AsyncConnectionPool, leading: psycopg.AsyncConnection, ended: asyncio.Event
    ) -> None:
        """Open a lane for each webhook that something waits for, again and again."""
        clock = asyncio.get_running_loop()
        expire_at = clock.time()
        while not ended.is_set():
            for lane in await notices.waiting(leading):
                if lane.number not in self._lanes:
                    self._open_lane(pool, lane)
            if clock.time() >= expire_at and not await notices.expire(leading):
                expire_at = clock.time() + _EXPIRE
            await pause(ended, _LOOK)

    def _open_lane(self, pool: AsyncConnectionPool, lane: Lane) -> None:
        def close(task: asyncio.Task[None]) -> None:
            del self._lanes[lane.number]
            if not task.cancelled() and task.exception():
                _log.error("the lane of the webhook %s broke", lane.name, exc_info=task.exception())

        self._lanes[lane.number] = asyncio.create_task(self._tell(pool, lane))
        self._lanes[lane.number].add_done_callback(close)

    async def _tell(self, pool: AsyncConnectionPool, lane: Lane) -> None:
        """Tell a webhook, as it is kept at that moment, notice after notice, until one is not taken."""
        try:
            now: Lane | None = lane
            while now and await self._tell_next(pool, now):
                async with pool.connection() as connection:
                    now = next(iter(await notices.waiting(connection, lane.number)), None)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            _log.warning("the webhook %s is told nothing now (%s)", lane.name, type(error).__name__)

    async def _tell_next(self, pool: AsyncConnectionPool, lane: Lane) -> bool:
        """Tell a webhook the next notice; whether it took it, so that it may be told another."""
        async with pool.connection() as connection:
            notice = await notices.take(connection, lane)
        if notice is None:
            return False
        keys = keys_of(self._site_key, lane.algorithm, lane.salt, lane.previous_salt)
        body = notice.payload(self._dicomweb_url)
        answer = await self._sender.send(lane.url, keys, notice.identifier, body)
        async with pool.connection() as connection:
            if answer.is_gone:
                await notices.stop(connection, lane, answer.failure)
            elif answer.failure:
                await notices.failed(connection, lane, notice, answer.failure, answer.wait)
            else:
                await notices.told(connection, lane, notice)
        measures.NOTICES.labels("failed" if answer.failure else "told").inc()
        if answer.failure:
            _log.warning("the webhook %s was not told: %s", lane.name, answer.failure)
        return not answer.failure

    async def _end_lanes(self) -> None:
        lanes = list(self._lanes.values())
        for task in lanes:
            task.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)
