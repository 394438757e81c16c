"""What the keeper does again and again beside records of the catalogue: exams, reports on them, and a sign of life."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial

import psycopg
from anyio.to_thread import run_sync
from psycopg.errors import QueryCanceled

from archive import job_packages, state
from archive.errors import Unavailable
from archive.pool import autocommitting
from archive.quality import exams, kept
from archive.settings import Settings
from archive.tiers import Tiers

_PAUSE = 5.0  # seconds between two looks, where there was nothing to do
_REST = 10.0  # times as long as a report took the keeper makes none
_TIDY = 3600.0  # seconds between two looks for what is to be deleted
_SIGN = 30.0  # seconds between two signs of life
_STUCK = 3600.0  # seconds that one exam may take; while one takes longer there is no sign of life
SUBJECT = "senogate:keeper"
_log = logging.getLogger("senogate.keeper")


class _Looking:
    """Looks at exams; `since` is when the one under way was begun, on the monotonic clock."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._tiers = settings, Tiers.of(settings)
        self.since: float | None = None

    async def go_on(self) -> None:
        """One exam after the other, each in a thread; what is begun when this is cancelled is not kept."""
        await run_sync(partial(self._tell_tries, exams.begin_anew))
        try:
            while True:
                self.since = time.monotonic()
                found = await run_sync(self._look_at_one, abandon_on_cancel=True)
                self.since = None
                if not found:
                    await asyncio.sleep(_PAUSE)
        except asyncio.CancelledError:
            with suppress(Unavailable):
                self._tell_tries(exams.forgive)
            raise

    def _look_at_one(self) -> int:
        with autocommitting(self._settings.database_url) as connection:
            return exams.look(connection, self._tiers, limit=1)

    def _tell_tries(self, tell: Callable[[psycopg.Connection], None]) -> None:
        with autocommitting(self._settings.database_url) as connection:
            tell(connection)


def begin(settings: Settings) -> Iterator[Coroutine[None, None, None]]:
    """What goes on until it is cancelled."""
    looking = _Looking(settings)
    yield looking.go_on()
    yield _report(settings)
    yield _tidy(settings)
    yield _live(settings, looking)


async def _report(settings: Settings) -> None:
    """Make reports anew, so that it takes a tenth of a core's time at most."""
    while True:
        began = time.monotonic()
        made = await run_sync(partial(_make_report, settings), abandon_on_cancel=True)
        await asyncio.sleep(_REST * (time.monotonic() - began) if made else _PAUSE)


def _make_report(settings: Settings) -> bool:
    with autocommitting(settings.database_url) as connection:
        try:
            return kept.make_due(connection)
        except QueryCanceled:
            _log.warning("a report on data quality takes longer than %d s", kept.LONGEST)
            return True


async def _tidy(settings: Settings) -> None:
    """Delete what is kept for a while, and no longer."""
    while True:
        await run_sync(partial(_forget, settings), abandon_on_cancel=True)
        await asyncio.sleep(_TIDY)


def _forget(settings: Settings) -> None:
    with autocommitting(settings.database_url) as connection:
        job_packages.forget_old(connection, settings.jobs_package_days, by=SUBJECT)


async def _live(settings: Settings, looking: _Looking) -> None:
    """Leave a sign of life, unless an exam takes too long."""
    while True:
        if looking.since is None or time.monotonic() - looking.since < _STUCK:
            await run_sync(partial(_sign, settings), abandon_on_cancel=True)
        await asyncio.sleep(_SIGN)


def _sign(settings: Settings) -> None:
    with autocommitting(settings.database_url) as connection:
        state.note(connection, state.KEEPER)
