"""Orthanc's log followed into the index, by one worker of a site at a time."""

import asyncio
import logging
from contextlib import closing

from archive import measures
from archive.errors import Unavailable
from archive.follow import Follower
from archive.orthanc import Orthanc
from archive.pool import autocommitting
from archive.settings import Settings
from archive.spans import Nowhere, Spans
from archive.tiers import Tiers
from inference.arrivals import ArrivalSpans
from inference.cues import Cues
from inference.reader import Reader

_IDLE = 0.25  # seconds between two looks at Orthanc's log when it had nothing new
_PAUSE = 2.0  # seconds at most before another try after a part of the site did not answer
_log = logging.getLogger("senogate.worker")


class Following:
    """The follower, which works where no other process follows."""

    def __init__(self, settings: Settings, reader: Reader, cues: Cues, spans: Spans | None = None) -> None:
        self._settings, self._reader, self._cues = settings, reader, cues
        self._spans = spans or Nowhere()
        self._is_prepared = False
        self._retry = _IDLE

    async def follow(self) -> None:
        """Follow Orthanc's log as long as this process lives, also across times when a part does not answer."""
        while not self._cues.ended.is_set():
            try:
                await asyncio.to_thread(self._follow_until_unavailable, asyncio.get_running_loop())
            except Unavailable as error:
                _log.warning("indexing pauses: %s", error)
            await self._cues.pause(self._retry)
            self._retry = min(2 * self._retry, _PAUSE)

    def _follow_until_unavailable(self, loop: asyncio.AbstractEventLoop) -> None:
        with (
            closing(Orthanc(self._settings)) as orthanc,
            autocommitting(self._settings.database_url) as connection,
        ):
            arrivals = ArrivalSpans(self._spans, orthanc)
            proven, tiers = self._reader.is_proven, Tiers.of(self._settings)
            follower = Follower(connection, orthanc, tiers, proven, arrivals)
            while not self._cues.ended.is_set() and follower.is_alone():
                followed = follower.step()
                self._retry = _IDLE
                if followed.indexed:
                    measures.INDEXED.inc(followed.indexed)
                    loop.call_soon_threadsafe(self._cues.changed.set)
                    self._prepare()
                follower.settle(self._settings.stable_age, self._reader.wanted)
                if followed.done:
                    asyncio.run_coroutine_threadsafe(self._cues.pause(_IDLE), loop).result()

    def _prepare(self) -> None:
        """Have the first reading's models start while it is waited whether more images come."""
        if not self._is_prepared:
            self._is_prepared = True
            self._reader.prepare()
