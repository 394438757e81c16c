"""The worker: follows Orthanc into the index, and reads studies and cleans pixels on procrastinate's queues.

What is to be read stands in the table `reading`, what is to be cleaned in `spool`; a job is only the nudge to do it,
so a job that is lost, doubled or cut short changes nothing but the time. No job is tried again: what is still due is
put on the queue anew. (A job that procrastinate tries again while another of its name waits would keep its lock for
good.)
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any, Protocol

import procrastinate
import psycopg
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.jobs import Status

from archive import checkpoints, measures, performing, reviews
from archive.errors import BadRequest, Conflict, NotFound, SenogateError, Unavailable
from archive.findings import Task
from archive.follow import Follower
from archive.orthanc import Orthanc
from archive.pool import autocommitting, connection_string, queries
from archive.readings import CHANNEL, DUE, JOB
from archive.settings import Settings
from archive.spans import Nowhere, Spans
from archive.tiers import Tiers
from inference.arrivals import ArrivalSpans
from inference.cleaning.spooled import Cleaning
from inference.errors import ModelProcessEnded
from inference.moving import Mover
from inference.notification.lanes import Notifier
from inference.notification.tracing import Tracer
from inference.reader import Due, Reader
from inference.reviews import ReviewWriter

READINGS, OTHERS, JOBS = "readings", "default", "jobs"
"""Queues: cleanings and jobs over datasets are done beside readings, so that none waits for another."""
_IDLE = 0.25  # seconds between two looks at Orthanc's log when it had nothing new
_PAUSE = 2.0  # seconds at most before another try after a part of the site did not answer
_WATCH = 1.0  # seconds between two looks for instances to be cleaned
_TELL = 1.0  # seconds between two looks at what the worklist is to be told, where none was announced
_REVIEW = 1.0  # seconds between two looks for reviews to be written
_SIGN = 60.0  # seconds between two looks whether the audit trail is to be signed
_ERASE = 5.0  # seconds between two looks for erasures that were cut short
_MOVE = 5.0  # seconds between two looks for what is to be moved to the bucket
_NUDGE = 5.0  # seconds between two looks for readings whose job was lost
_HEARTBEAT, _STALLED = 2.0, 10.0  # seconds
_log = logging.getLogger("senogate.worker")


class Runner(Protocol):
    """What runs jobs over datasets, one at a time."""

    def run(self, job_id: str) -> None:
        """Do what is due of a job. Raises Unavailable where it is to be done again."""

    def end(self) -> None:
        """End the job under way: it is begun anew by whoever works next."""


class Worker:
    """One worker process: the follower, if no other process follows, and readings and cleanings on their queues.

    `readings` are done at once; cleanings one at a time. `erase` goes on with erasures that were cut short, and gives
    their number.
    """

    def __init__(
        self,
        settings: Settings,
        reader: Reader,
        cleaning: Cleaning,
        review_writer: ReviewWriter,
        readings: int = 1,
        erase: Callable[[], int] = lambda: 0,
        notifier: Notifier | None = None,
        tracer: Tracer | None = None,
        jobs: Runner | None = None,
        mover: Mover | None = None,
        spans: Spans | None = None,
    ) -> None:
        self._spans = spans or Nowhere()
        self._jobs, self._mover = jobs, mover
        self._settings = settings
        self._go_on_erasing = erase
        self._notifier, self._tracer = notifier, tracer
        self._reader = reader
        self._cleaning = cleaning
        self._review_writer = review_writer
        self._readings = readings
        self._ended = asyncio.Event()
        self._changed = asyncio.Event()
        self._is_prepared = False
        self._retry = _IDLE
        connector = procrastinate.PsycopgConnector(conninfo=connection_string(settings.database_url))
        self._queue = procrastinate.App(connector=connector)
        self._read = self._queue.task(name="read", queue=READINGS)(self._read_due)
        self._clean = self._queue.task(name="clean")(self._clean_due)
        self._run_job = self._queue.task(name="job", queue=JOBS)(self._job_due)

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT; a reading that has begun is finished first."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        async with self._queue.open_async():
            queues = [
                asyncio.create_task(self._work([OTHERS], 1)),
                asyncio.create_task(self._work([READINGS], self._readings)),
                *([asyncio.create_task(self._work([JOBS], 1))] if self._jobs else []),
                asyncio.create_task(self._listen()),
            ]
            ended = asyncio.create_task(self._ended.wait())
            loops = (
                *(self._follow, self._nudge, self._watch_spool, self._perform, self._sign, self._erase),
                *(self._write_reviews, self._notify, self._trace, self._move),
            )
            others = [asyncio.create_task(each()) for each in loops]
            await asyncio.wait([*queues, ended, *others], return_when=asyncio.FIRST_COMPLETED)
            self._end()
            for queue in queues:
                queue.cancel()
            await asyncio.gather(*queues, *others, return_exceptions=True)
            for task in (*queues, *others):
                if not task.cancelled() and task.exception():
                    raise task.exception() or Unavailable("the worker ended")

    def _end(self) -> None:
        self._ended.set()
        self._changed.set()
        if self._jobs:
            self._jobs.end()
        if self._mover:
            self._mover.end()

    async def _work(self, queues: list[str], concurrency: int) -> None:
        """Take jobs from queues; what has begun when this is cancelled is finished first."""
        await self._queue.run_worker_async(
            queues=queues,
            concurrency=concurrency,
            install_signal_handlers=False,
            delete_jobs="always",
            update_heartbeat_interval=_HEARTBEAT,
            stalled_worker_timeout=_STALLED,
            fetch_job_polling_interval=1.0,
        )

    async def _read_due(
        self, study_instance_uid: str, task: str, modality: str = "MG", shadow: bool = False
    ) -> None:
        await self._do(self._reader.read, Due(study_instance_uid, Task(task), modality, shadow))

    async def _clean_due(self, identifier: str) -> None:
        await self._do(self._cleaning.clean, identifier)

    async def _job_due(self, job_id: str) -> None:
        assert self._jobs
        await self._do(self._jobs.run, job_id)

    async def _do(self, work: Callable[[Any], None], due: Any) -> None:
        """Do what is due, in a thread; where a part of the site does not answer it stays due, and a moment passes."""
        try:
            await asyncio.to_thread(work, due)
        except ModelProcessEnded as error:
            _log.warning("a reading came to no end: %s", error)
        except Unavailable as error:
            _log.warning("what is due waits: %s", error)
            await self._pause(_PAUSE)

    async def _follow(self) -> None:
        """Follow Orthanc's log as long as this process lives, also across times when a part does not answer."""
        while not self._ended.is_set():
            try:
                await asyncio.to_thread(self._follow_until_unavailable, asyncio.get_running_loop())
            except Unavailable as error:
                _log.warning("indexing pauses: %s", error)
            await self._pause(self._retry)
            self._retry = min(2 * self._retry, _PAUSE)

    def _follow_until_unavailable(self, loop: asyncio.AbstractEventLoop) -> None:
        with (
            closing(Orthanc(self._settings)) as orthanc,
            autocommitting(self._settings.database_url) as connection,
        ):
            arrivals = ArrivalSpans(self._spans, orthanc)
            proven, tiers = self._reader.is_proven, Tiers.of(self._settings)
            follower = Follower(connection, orthanc, tiers, proven, arrivals)
            while not self._ended.is_set() and follower.is_alone():
                followed = follower.step()
                self._retry = _IDLE
                if followed.indexed:
                    measures.INDEXED.inc(followed.indexed)
                    loop.call_soon_threadsafe(self._changed.set)
                    self._prepare()
                follower.settle(self._settings.stable_age, self._reader.wanted)
                if followed.done:
                    asyncio.run_coroutine_threadsafe(self._pause(_IDLE), loop).result()

    def _prepare(self) -> None:
        """Have the first reading's models start while it is waited whether more images come."""
        if not self._is_prepared:
            self._is_prepared = True
            self._reader.prepare()

    async def _listen(self) -> None:
        """Have what is announced of readings attended to at once; what is missed is found at the next look.

        To be cancelled is not end enough: of a connect that is cancelled psycopg makes an error of its own.
        """
        address = connection_string(self._settings.database_url)
        while not self._ended.is_set():
            try:
                async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
                    await connection.execute(f"listen {CHANNEL}")
                    async for announced in connection.notifies():
                        self._changed.set()
                        if announced.payload == DUE:
                            await self._enqueue_due()
                        elif announced.payload == JOB:
                            await self._enqueue_jobs()
            except (procrastinate.exceptions.ConnectorException, psycopg.Error) as error:
                _log.warning("announcements are not heard (%s)", type(error).__name__)
            await self._pause(_PAUSE)

    async def _nudge(self) -> None:
        """Put what is due on the queue again and again, without the jobs of a process that was killed.

        Those are not tried again themselves: another of their name may wait behind them by now.
        """
        while not self._ended.is_set():
            try:
                await self._queue.connector.execute_query_async(queries("reading.sql")["right_heartbeats"])
                for job in await self._queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=_STALLED):
                    await self._queue.job_manager.finish_job(job, Status.ABORTED, delete_job=True)
                await self._enqueue_due()
                await self._enqueue_jobs()
                await asyncio.to_thread(self._cleaning.sweep)
            except (procrastinate.exceptions.ConnectorException, Unavailable) as error:
                _log.warning("the queue does not answer (%s)", type(error).__name__)
            await self._pause(_NUDGE)

    async def _watch_spool(self) -> None:
        """Put what is to be cleaned on the queue, while the key that opens it is there."""
        while not self._ended.is_set():
            try:
                if self._cleaning.is_possible():
                    await self._enqueue_cleanings()
            except procrastinate.exceptions.ConnectorException as error:
                _log.warning("the queue does not answer (%s)", type(error).__name__)
            await self._pause(_WATCH)

    async def _perform(self) -> None:
        """Tell the worklist how far the readings are that it asked for."""
        address = connection_string(self._settings.database_url)
        while not self._ended.is_set():
            try:
                async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
                    while not self._ended.is_set():
                        self._changed.clear()
                        await performing.perform(connection)
                        with suppress(TimeoutError):
                            await asyncio.wait_for(self._changed.wait(), _TELL)
            except psycopg.Error as error:
                _log.warning("the worklist does not answer (%s)", type(error).__name__)
            except (BadRequest, Conflict, NotFound):
                _log.info("a workitem was changed by another meanwhile")
            await self._pause(_PAUSE)

    async def _write_reviews(self) -> None:
        """Write what readers said into their studies."""
        address = connection_string(self._settings.database_url)
        while not self._ended.is_set():
            try:
                async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
                    while not self._ended.is_set():
                        for identifier in await reviews.due(connection):
                            await asyncio.to_thread(self._review_writer.write, identifier)
                        await self._pause(_REVIEW)
            except (psycopg.Error, Unavailable) as error:
                _log.warning("reviews wait (%s)", type(error).__name__)
            await self._pause(_PAUSE)

    async def _notify(self) -> None:
        """Tell webhooks of readings that have ended."""
        if self._notifier:
            await self._notifier.run(self._ended)
        await self._ended.wait()

    async def _trace(self) -> None:
        """Tell the tracing service what was done with datasets."""
        if self._tracer:
            await self._tracer.run(self._ended)
        await self._ended.wait()

    async def _move(self) -> None:
        """Move what came long ago to the bucket, where the site has one."""
        while self._mover and self._mover.is_wanted and not self._ended.is_set():
            moved = 0
            try:
                moved = await asyncio.to_thread(self._mover.run)
            except (SenogateError, psycopg.Error, OSError) as error:
                _log.warning("nothing can be moved to the bucket now (%s)", type(error).__name__)
            await self._pause(0 if moved else _MOVE)
        await self._ended.wait()

    async def _sign(self) -> None:
        """Sign the audit trail each hour. Raises ConfigurationError without the key."""
        while not self._ended.is_set():
            try:
                await asyncio.to_thread(checkpoints.attend, self._settings)
            except (Unavailable, psycopg.Error, OSError) as error:
                _log.warning("the audit trail could not be signed (%s)", type(error).__name__)
            await self._pause(_SIGN)

    async def _erase(self) -> None:
        """Go on with what was to be erased by a process that ended before it had."""
        while not self._ended.is_set():
            try:
                if number := await asyncio.to_thread(self._go_on_erasing):
                    _log.info("%d erasures that were cut short are complete", number)
            except Conflict:
                _log.debug("another process is erasing")
            except (SenogateError, psycopg.Error, OSError) as error:
                _log.warning("an erasure could not be gone on with (%s)", type(error).__name__)
            await self._pause(_ERASE)

    async def _enqueue_due(self) -> None:
        rows = await self._queue.connector.execute_query_all_async(queries("reading.sql")["due"])
        for row in rows:
            name = row.pop("name")
            await _defer(self._read, name, row)

    async def _enqueue_jobs(self) -> None:
        """One lock for all of them: of all workers of a site one runs a job at a time."""
        rows = await self._queue.connector.execute_query_all_async(queries("jobs.sql")["open"])
        for row in rows if self._jobs else ():
            name = f"job {row['id']}"
            with suppress(AlreadyEnqueued):
                configured = self._run_job.configure(lock="job", queueing_lock=name)
                await configured.defer_async(job_id=row["id"])

    async def _enqueue_cleanings(self) -> None:
        rows = await self._queue.connector.execute_query_all_async(queries("spool.sql")["due"])
        for row in rows:
            await _defer(self._clean, f"clean {row['id']}", {"identifier": row["id"]})

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until the worker is to end."""
        try:
            await asyncio.wait_for(self._ended.wait(), seconds)
        except TimeoutError:
            return


async def _defer(task: procrastinate.tasks.Task[..., Any, Any], name: str, values: Mapping[str, Any]) -> None:
    """Put a job on the queue, unless one of that name waits there."""
    with suppress(AlreadyEnqueued):
        await task.configure(lock=name, queueing_lock=name).defer_async(**values)
