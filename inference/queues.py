"""What a worker takes from procrastinate's queues, and what it puts there.

What is to be read stands in the table `reading`, what is to be cleaned in `spool`; a job is only the nudge to do it,
so a job that is lost, doubled or cut short changes nothing but the time. No job is tried again: what is still due is
put on the queue anew. (A job that procrastinate tries again while another of its name waits would keep its lock for
good.)
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Any, Protocol

import procrastinate
import psycopg
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.jobs import Status

from archive.errors import Unavailable
from archive.findings import Task
from archive.pool import connection_string, queries
from archive.readings import CHANNEL, DUE, JOB
from archive.settings import Settings
from inference.cleaning.spooled import Cleaning
from inference.cues import Cues
from inference.errors import ModelProcessEnded
from inference.reader import Due, Reader

READINGS, OTHERS, JOBS = "readings", "default", "jobs"
"""Queues: cleanings and jobs over datasets are done beside readings, so that none waits for another."""
_PAUSE = 2.0  # seconds at most before another try after a part of the site did not answer
_WATCH = 1.0  # seconds between two looks for instances to be cleaned
_NUDGE = 5.0  # seconds between two looks for readings whose job was lost
_HEARTBEAT, _STALLED = 2.0, 10.0  # seconds
_log = logging.getLogger("senogate.worker")
Loops = tuple[Callable[[], Coroutine[None, None, None]], ...]


class Runner(Protocol):
    """What runs jobs over datasets, one at a time."""

    def run(self, job_id: str) -> None:
        """Do what is due of a job. Raises Unavailable where it is to be done again."""

    def end(self) -> None:
        """End the job under way: it is begun anew by whoever works next."""


class Queues:
    """Readings, `readings` of them at once; cleanings one at a time; jobs over datasets one at a time of the site."""

    def __init__(
        self, settings: Settings, cues: Cues, reader: Reader, cleaning: Cleaning, jobs: Runner, readings: int
    ) -> None:
        self._settings, self._cues = settings, cues
        self._reader, self._cleaning, self._jobs, self._readings = reader, cleaning, jobs, readings
        connector = procrastinate.PsycopgConnector(conninfo=connection_string(settings.database_url))
        self._queue = procrastinate.App(connector=connector)
        self._read = self._queue.task(name="read", queue=READINGS)(self._read_due)
        self._clean = self._queue.task(name="clean")(self._clean_due)
        self._run_job = self._queue.task(name="job", queue=JOBS)(self._job_due)

    def open(self) -> AbstractAsyncContextManager[object]:
        """The loops run within it."""
        return self._queue.open_async()

    def end(self) -> None:
        """Let the job under way in a thread end soon."""
        self._jobs.end()

    @property
    def taking(self) -> Loops:
        """What takes and what listens, until it is cancelled; a reading that has begun is finished first."""
        return (
            partial(self._work, [OTHERS], 1),
            partial(self._work, [READINGS], self._readings),
            partial(self._work, [JOBS], 1),
            self._listen,
        )

    @property
    def putting(self) -> Loops:
        """What puts there what is due, until the worker is to end."""
        return self._nudge, self._watch_spool

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
        await self._do(self._jobs.run, job_id)

    async def _do(self, work: Callable[[Any], None], due: Any) -> None:
        """Do what is due, in a thread; where a part of the site does not answer it stays due, and a moment passes."""
        try:
            await asyncio.to_thread(work, due)
        except ModelProcessEnded as error:
            _log.warning("a reading came to no end: %s", error)
        except Unavailable as error:
            _log.warning("what is due waits: %s", error)
            await self._cues.pause(_PAUSE)

    async def _listen(self) -> None:
        """Have what is announced of readings attended to at once; what is missed is found at the next look.

        To be cancelled is not end enough: of a connect that is cancelled psycopg makes an error of its own.
        """
        address = connection_string(self._settings.database_url)
        while not self._cues.ended.is_set():
            try:
                async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
                    await connection.execute(f"listen {CHANNEL}")
                    async for announced in connection.notifies():
                        self._cues.changed.set()
                        if announced.payload == DUE:
                            await self._enqueue_due()
                        elif announced.payload == JOB:
                            await self._enqueue_jobs()
            except (procrastinate.exceptions.ConnectorException, psycopg.Error) as error:
                _log.warning("announcements are not heard (%s)", type(error).__name__)
            await self._cues.pause(_PAUSE)

    async def _nudge(self) -> None:
        """Put what is due on the queue again and again, without the jobs of a process that was killed.

        Those are not tried again themselves: another of their name may wait behind them by now.
        """
        while not self._cues.ended.is_set():
            try:
                await self._queue.connector.execute_query_async(queries("reading.sql")["right_heartbeats"])
                for job in await self._queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=_STALLED):
                    await self._queue.job_manager.finish_job(job, Status.ABORTED, delete_job=True)
                await self._enqueue_due()
                await self._enqueue_jobs()
                await asyncio.to_thread(self._cleaning.sweep)
            except (procrastinate.exceptions.ConnectorException, Unavailable) as error:
                _log.warning("the queue does not answer (%s)", type(error).__name__)
            await self._cues.pause(_NUDGE)

    async def _watch_spool(self) -> None:
        """Put what is to be cleaned on the queue, while the key that opens it is there."""
        while not self._cues.ended.is_set():
            try:
                if self._cleaning.is_possible():
                    await self._enqueue_cleanings()
            except procrastinate.exceptions.ConnectorException as error:
                _log.warning("the queue does not answer (%s)", type(error).__name__)
            await self._cues.pause(_WATCH)

    async def _enqueue_due(self) -> None:
        rows = await self._queue.connector.execute_query_all_async(queries("reading.sql")["due"])
        for row in rows:
            name = row.pop("name")
            await _defer(self._read, name, row)

    async def _enqueue_jobs(self) -> None:
        """One lock for all of them: of all workers of a site one runs a job at a time."""
        rows = await self._queue.connector.execute_query_all_async(queries("jobs.sql")["open"])
        for row in rows:
            name = f"job {row['id']}"
            with suppress(AlreadyEnqueued):
                configured = self._run_job.configure(lock="job", queueing_lock=name)
                await configured.defer_async(job_id=row["id"])

    async def _enqueue_cleanings(self) -> None:
        rows = await self._queue.connector.execute_query_all_async(queries("spool.sql")["due"])
        for row in rows:
            await _defer(self._clean, f"clean {row['id']}", {"identifier": row["id"]})


async def _defer(task: procrastinate.tasks.Task[..., Any, Any], name: str, values: Mapping[str, Any]) -> None:
    """Put a job on the queue, unless one of that name waits there."""
    with suppress(AlreadyEnqueued):
        await task.configure(lock=name, queueing_lock=name).defer_async(**values)
