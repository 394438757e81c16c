"""The keeper: counts what datasets hold, checks what everybody sees of them, and looks at exams (rounds.py).

A process of its own, at the lowest priority, one exam and one dataset at a time, a count for so long at most; it takes
no lock that the index waits for. A dataset is counted when other studies are in it, and once a day, for readings and
corrections change what its studies are.
"""

import asyncio
import logging
import os
import signal
import time
from contextlib import suppress

import psycopg
from anyio.to_thread import run_sync
from psycopg import AsyncConnection
from psycopg.errors import QueryCanceled

from archive import catalogue, holdings, state
from archive.catalogue import Entry
from archive.errors import ConfigurationError, NotFound, SenogateError
from archive.measure_sockets import published
from archive.pool import SESSION, autocommitting, connection_string
from archive.record_versions import list_versions
from archive.settings import Settings
from gateway.catalogue import rounds
from gateway.catalogue.findings import Finding
from gateway.catalogue.rounds import SUBJECT

LOCK = 0x5E0A_0037  # key of the advisory lock of the one process that keeps
_LOOK = 60.0  # seconds between two looks whether studies came to datasets or left them
_THROUGH = 3600.0  # seconds between two looks at all datasets, whether or not
_AGAIN = 3600.0  # seconds before another try at a dataset that took too long to count
_LOWEST = 19  # of a process's priority
_log = logging.getLogger("senogate.keeper")


class Keeper:
    """Looks after the records of a site. `longest` are the seconds that a count may take."""

    def __init__(self, settings: Settings, *, longest: float = holdings.LONGEST) -> None:
        self._settings = settings
        self._longest = longest
        self._slow: dict[int, float] = {}

    async def look(self, connection: AsyncConnection) -> int:
        """Count and check what is due, one dataset after the other; the number of those that were counted."""
        counted = 0
        for entry in await catalogue.entries(connection, published=False):
            if entry.revision and time.monotonic() >= self._slow.get(entry.number, 0.0):
                try:
                    counted += await self._attend(connection, entry)
                except (ConfigurationError, NotFound) as error:  # it keeps no other from being looked after
                    self._slow[entry.number] = time.monotonic() + _AGAIN
                    _log.warning("a dataset's record can't be checked (%s)", type(error).__name__)
        return counted

    async def _attend(self, connection: AsyncConnection, entry: Entry) -> bool:
        is_stale = await holdings.is_stale(connection, entry.number)
        if is_stale:
            try:
                await holdings.count(connection, entry.number, longest=self._longest)
            except QueryCanceled:
                self._slow[entry.number] = time.monotonic() + _AGAIN
                _log.warning("a dataset takes longer than %d s to count", self._longest)
                return False
        if entry.published_at is not None and await catalogue.is_unchecked(connection, entry.number):
            await check(connection, self._settings, entry.name)
        return is_stale


async def find_wrong(connection: AsyncConnection, settings: Settings, entry: Entry) -> list[Finding]:
    """What is wrong with what everybody sees of a dataset: drift, and what the shapes say now."""
    from gateway.catalogue.drift import find_drift
    from gateway.catalogue.publishing import problems

    issued = (await list_versions(connection, entry.name))[0].numbers
    drifted = find_drift(entry, issued)
    return drifted + await run_sync(problems, settings, await catalogue.node(connection), entry)


async def check(connection: AsyncConnection, settings: Settings, name: str) -> list[Finding]:
    """The same, kept for stewards to see; what is new of it is on record. Raises NotFound."""
    entry = await catalogue.entry(connection, name, published=True)
    found = await find_wrong(connection, settings, entry)
    if await catalogue.note(connection, entry, [str(one) for one in found], by=SUBJECT):
        _log.warning("a record of the catalogue and its dataset have come apart: %d findings", len(found))
    return found


def is_alive(settings: Settings) -> bool:
    """Whether the site's keeper left a sign of life lately. Raises Unavailable."""
    with autocommitting(settings.database_url) as connection:
        return state.is_keeper_alive(connection)


def main(settings: Settings) -> None:
    """Keep until SIGTERM."""
    os.nice(_LOWEST)
    with published(settings, "keeper"), suppress(asyncio.CancelledError):
        asyncio.run(_keep(settings))


async def _keep(settings: Settings) -> None:
    keeping, keeper = asyncio.current_task(), Keeper(settings)
    assert keeping is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, keeping.cancel)
    while not keeping.cancelling():
        try:
            await _look_again_and_again(settings, keeper)
        except (SenogateError, psycopg.Error) as error:
            _log.warning("the catalogue is not looked after (%s)", type(error).__name__)
        if not keeping.cancelling():
            await asyncio.sleep(_LOOK)


async def _look_again_and_again(settings: Settings, keeper: Keeper) -> None:
    """Look while the lock is held. Raises psycopg.Error, SenogateError."""
    address = connection_string(settings.database_url)
    async with await AsyncConnection.connect(address, autocommit=True, options=SESSION["options"]) as one:
        row = await (await one.execute("select pg_try_advisory_lock(%s)", [LOCK])).fetchone()
        if not row or not row[0]:
            return
        looks = [_look_at_datasets(one, keeper), *rounds.begin(settings)]
        tasks = [asyncio.create_task(each) for each in looks]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in tasks:
                each.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error


async def _look_at_datasets(connection: AsyncConnection, keeper: Keeper) -> None:
    seen, until = -1, 0.0
    while True:
        changes = await holdings.changes(connection)
        if changes != seen or time.monotonic() >= until:
            await keeper.look(connection)
            seen, until = changes, time.monotonic() + _THROUGH
        await asyncio.sleep(_LOOK)
