"""All that is told of a site: what its processes counted, and what its database, files and Orthanc say of it now."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import psycopg
from prometheus_client.metrics_core import Metric
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from archive import measure_sockets, measures, state
from archive.errors import Unavailable
from archive.pool import queries
from archive.settings import Settings
from archive.state_item import Item
from gateway import site_measures
from gateway.readiness import Readiness

FRESH = 5.0  # seconds for which what the site says is told again: any number of scrapers ask it no oftener
PATIENCE = 8.0  # seconds for all of the site to answer; Prometheus itself waits for 10
Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


class Measured:
    """Asks when somebody wants to know, once for all who ask within `FRESH` seconds."""

    def __init__(
        self,
        settings: Settings,
        pool: AsyncConnectionPool,
        connect: Connect,
        readiness: Readiness,
        orthanc: httpx.AsyncClient,
    ) -> None:
        self._settings, self._connect, self._readiness = settings, connect, readiness
        self._orthanc = orthanc
        self._pool = pool
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._site = ""

    async def text(self) -> str:
        """In Prometheus' text format. It raises nothing of what may be wrong with the site."""
        self._note_pool()
        others = await measure_sockets.ask_others(self._settings)
        site = await self._of_site()
        answering = measures.render([site_measures.answering({**others, measures.IDENTITY.name: "answers"})])
        return measures.join([site, answering, measures.text(), *others.values()])

    def _note_pool(self) -> None:
        found = self._pool.get_stats()
        size, idle = found.get("pool_size", 0), found.get("pool_available", 0)
        measures.POOL.labels("used").set(size - idle)
        measures.POOL.labels("idle").set(idle)
        measures.POOL.labels("waited_for").set(found.get("requests_waiting", 0))

    async def _of_site(self) -> str:
        async with self._asking:
            if time.monotonic() - self._asked_at > FRESH:
                self._site = await asyncio.to_thread(measures.render, list(await self._ask()))
                self._asked_at = time.monotonic()  # not before: who waited for a slow answer would ask again
            return self._site

    async def _ask(self) -> Sequence[Metric]:
        began = time.monotonic()
        parts: dict[str, str] = {}
        items: list[Item] = []
        rows: dict[str, Any] = {}
        try:
            async with asyncio.timeout(PATIENCE):
                parts = await self._readiness.report()
                items, rows = await asyncio.gather(
                    state.look(self._settings, self._connect, parts), self._ask_database()
                )
                rows |= {"last_change": await self._last_change()}
        except TimeoutError:
            pass  # what is missing is not told, and an alert says so
        return list(self._families(parts, items, rows, time.monotonic() - began))

    def _families(
        self, parts: dict[str, str], items: list[Item], rows: dict[str, Any], seconds: float
    ) -> Iterator[Metric]:
        yield from site_measures.parts(parts, self._readiness.orthanc_version)
        yield from site_measures.items(items)
        yield from site_measures.federation(rows.pop("federation", {}))
        yield from site_measures.rows(rows)
        yield from site_measures.door(self._readiness.counted)
        yield site_measures.asking(seconds)

    async def _ask_database(self) -> dict[str, Any]:
        """The row of archive/sql/watch.sql, with that of the federation; nothing where PostgreSQL does not answer."""
        try:
            async with self._connect() as connection, asyncio.timeout(state.PATIENCE):
                cursor = connection.cursor(row_factory=dict_row)
                told = await (await cursor.execute(queries("watch.sql")["site"])).fetchone() or {}
                federation = await (await cursor.execute(queries("watch.sql")["federation"])).fetchone()
        except (psycopg.Error, Unavailable, TimeoutError):
            return {}
        return told | {"federation": federation or {}}

    async def _last_change(self) -> int | None:
        """The number of the last row of Orthanc's log; None where it does not answer."""
        try:
            answer = await self._orthanc.get("/changes", params={"last": 1}, timeout=state.PATIENCE)
            last = answer.json()["Last"] if answer.status_code == httpx.codes.OK else None
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None
        return last if isinstance(last, int) else None
