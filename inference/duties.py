"""What a worker does again and again beside reading, each duty a loop of its own until the worker is to end."""

import asyncio
import logging
from collections.abc import Callable, Coroutine

import psycopg

from archive import checkpoints, performing, reviews
from archive.errors import BadRequest, Conflict, NotFound, SenogateError, Unavailable
from archive.pool import connection_string
from archive.settings import Settings
from inference.cues import Cues, pause
from inference.moving import Mover
from inference.notification.lanes import Notifier
from inference.notification.tracing import Tracer
from inference.reviews import ReviewWriter

_PAUSE = 2.0  # seconds at most before another try after a part of the site did not answer
_TELL = 1.0  # seconds between two looks at what the worklist is to be told, where none was announced
_REVIEW = 1.0  # seconds between two looks for reviews to be written
_SIGN = 60.0  # seconds between two looks whether the audit trail is to be signed
_ERASE = 5.0  # seconds between two looks for erasures that were cut short
_MOVE = 5.0  # seconds between two looks for what is to be moved to the bucket
_log = logging.getLogger("senogate.worker")


class Duties:
    """The loops. `erase` goes on with erasures that were cut short, and gives their number."""

    def __init__(
        self,
        settings: Settings,
        cues: Cues,
        review_writer: ReviewWriter,
        erase: Callable[[], int],
        notifier: Notifier,
        tracer: Tracer | None,
        mover: Mover,
    ) -> None:
        self._settings, self._cues = settings, cues
        self._review_writer, self._go_on_erasing = review_writer, erase
        self._notifier, self._tracer, self._mover = notifier, tracer, mover

    def end(self) -> None:
        """Let what is under way in a thread end soon."""
        self._mover.end()

    @property
    def loops(self) -> tuple[Callable[[], Coroutine[None, None, None]], ...]:
        return (
            *(self._perform, self._sign, self._erase, self._write_reviews),
            *(self._notify, self._trace, self._move),
        )

    async def _perform(self) -> None:
        """Tell the worklist how far the readings are that it asked for."""
        address = connection_string(self._settings.database_url)
        while not self._cues.ended.is_set():
            try:
                async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
                    while not self._cues.ended.is_set():
                        self._cues.changed.clear()
                        await performing.perform(connection)
                        await pause(self._cues.changed, _TELL)
            except psycopg.Error as error:
                _log.warning("the worklist does not answer (%s)", type(error).__name__)
            except (BadRequest, Conflict, NotFound):
                _log.info("a workitem was changed by another meanwhile")
            await self._cues.pause(_PAUSE)

    async def _write_reviews(self) -> None:
        """Write what readers said into their studies."""
        address = connection_string(self._settings.database_url)
        while not self._cues.ended.is_set():
            try:
                async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
                    while not self._cues.ended.is_set():
                        for identifier in await reviews.due(connection):
                            await asyncio.to_thread(self._review_writer.write, identifier)
                        await self._cues.pause(_REVIEW)
            except (psycopg.Error, Unavailable) as error:
                _log.warning("reviews wait (%s)", type(error).__name__)
            await self._cues.pause(_PAUSE)

    async def _notify(self) -> None:
        """Tell webhooks of readings that have ended."""
        await self._notifier.run(self._cues.ended)
        await self._cues.ended.wait()

    async def _trace(self) -> None:
        """Tell the tracing service what was done with datasets."""
        if self._tracer:
            await self._tracer.run(self._cues.ended)
        await self._cues.ended.wait()

    async def _move(self) -> None:
        """Move what came long ago to the bucket, where the site has one."""
        while self._mover.is_wanted and not self._cues.ended.is_set():
            moved = 0
            try:
                moved = await asyncio.to_thread(self._mover.run)
            except (SenogateError, psycopg.Error, OSError) as error:
                _log.warning("nothing can be moved to the bucket now (%s)", type(error).__name__)
            await self._cues.pause(0 if moved else _MOVE)
        await self._cues.ended.wait()

    async def _sign(self) -> None:
        """Sign the audit trail each hour. Raises ConfigurationError without the key."""
        while not self._cues.ended.is_set():
            try:
                await asyncio.to_thread(checkpoints.attend, self._settings)
            except (Unavailable, psycopg.Error, OSError) as error:
                _log.warning("the audit trail could not be signed (%s)", type(error).__name__)
            await self._cues.pause(_SIGN)

    async def _erase(self) -> None:
        """Go on with what was to be erased by a process that ended before it had."""
        while not self._cues.ended.is_set():
            try:
                if number := await asyncio.to_thread(self._go_on_erasing):
                    _log.info("%d erasures that were cut short are complete", number)
            except Conflict:
                _log.debug("another process is erasing")
            except (SenogateError, psycopg.Error, OSError) as error:
                _log.warning("an erasure could not be gone on with (%s)", type(error).__name__)
            await self._cues.pause(_ERASE)
