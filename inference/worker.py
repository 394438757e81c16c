"""The worker: follows Orthanc into the index, and reads studies and cleans pixels on procrastinate's queue.

What is to be read stands in the table `reading`, what is to be cleaned in `spool`; a job is only the nudge to do it,
so a job that is lost, doubled or cut short changes nothing but the time.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import procrastinate
import psycopg
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.jobs import Status
from psycopg.types.json import Json
from pydicom import Dataset, dcmread

from archive import checkpoints, instances, worklist
from archive.audit import WORKER, Event, Outcome, write
from archive.erasure import storing
from archive.errors import BadRequest, Conflict, NotFound, SenogateError, Unavailable
from archive.findings import Findings, NotApplicable, Task, to_json
from archive.follow import Follower
from archive.orthanc import Orthanc
from archive.pool import connect, connection_string, queries, translated_errors
from archive.settings import Settings
from deidentification.deidentify import Deidentifier
from deidentification.pseudonym import Pseudonyms
from inference import installed
from inference.cleaning.spooled import Cleaning
from inference.package import Package
from inference.pipeline import read_study
from inference.results.sr import comprehensive_3d_sr
from inference.session import Session, open_session

MOST_ATTEMPTS = 3  # of one reading; one that ends its process each time is then set aside with its reason
_IDLE = 0.25  # seconds between two looks at Orthanc's log when it had nothing new
_PAUSE = 2.0  # seconds before another try after a part of the site did not answer
_WATCH = 1.0  # seconds between two looks for instances to be cleaned
_TELL = 1.0  # seconds between two looks at what the worklist is to be told
_SIGN = 60.0  # seconds between two looks whether the audit trail is to be signed
_ERASE = 5.0  # seconds between two looks for erasures that were cut short
_NUDGE = 5.0  # seconds between two looks for readings whose job was lost
_HEARTBEAT, _STALLED = 2.0, 10.0  # seconds
_NO_OUTCOME = dict.fromkeys(("model", "reason", "findings", "result_sop_instance_uid"))
_log = logging.getLogger("senogate.worker")


class Reader:
    """Reads one study for one task: instances → model → Findings → report, through the door, into the study."""

    def __init__(self, settings: Settings, deidentifier: Deidentifier, pseudonyms: Pseudonyms) -> None:
        self._settings = settings
        self._deidentifier = deidentifier
        self._pseudonyms = pseudonyms
        self._sql = queries("reading.sql")
        self._sessions: dict[str, Session] = {}
        self._orthanc = Orthanc(settings)

    def is_proven(self, descriptor: int) -> bool:
        """Whether an open file carries a valid proof of this site."""
        return self._deidentifier.is_proven(descriptor)

    def read(self, study_instance_uid: str, task: Task) -> None:
        """Do a reading that is due; one that is not is left alone.

        Raises Unavailable where a part of the site does not answer: it is still due, and that was no attempt.
        """
        key = {"study_instance_uid": study_instance_uid, "task": str(task)}
        with connect(self._settings.database_url, autocommit=True) as connection, translated_errors():
            begun = connection.execute(self._sql["begin"], key).fetchone()
            if begun is None:
                return
            attempts, fingerprint = begun
            try:
                outcome = self._outcome(connection, study_instance_uid, task, attempts)
            except Unavailable:
                connection.execute(self._sql["give_back"], key | {"fingerprint": fingerprint})
                raise
            if outcome is None:
                connection.execute(self._sql["give_back"], key | {"fingerprint": fingerprint})
                return
            with connection.transaction():
                connection.execute(
                    self._sql["finish"], _NO_OUTCOME | outcome | key | {"fingerprint": fingerprint}
                )
                _record(connection, study_instance_uid, task, fingerprint, outcome)
            _log.info("a reading of %s ended: %s", task, outcome["state"])

    def _outcome(
        self, connection: psycopg.Connection, study: str, task: Task, attempts: int
    ) -> dict[str, Any] | None:
        """The columns of the reading's row. A failure of the model or of an instance is an outcome too.

        None where the study came to be withheld meanwhile.
        """
        if attempts > MOST_ATTEMPTS:
            return {
                "state": "failed",
                "reason": f"given up after {MOST_ATTEMPTS} readings that came to no end",
            }
        try:
            package = installed.active(self._settings.home, task)
            paths = self._paths(connection, study)
            answer = read_study(paths, self._session(package))
            if isinstance(answer, NotApplicable):
                return {"state": "not-applicable", "model": package.model.title, "reason": answer.reason}
            with storing(connection, study) as allowed:
                return self._store(answer, paths) if allowed else None
        except Unavailable:
            raise
        except SenogateError as error:
            return {"state": "failed", "reason": str(error)}

    def _paths(self, connection: psycopg.Connection, study: str) -> list[Path]:
        rows = connection.execute(self._sql["images"], {"study_instance_uid": study})
        return [instances.path(self._settings.storage, place) for (place,) in rows]

    def _session(self, package: Package) -> Session:
        """The package's network in memory; the one of a package that was replaced is let go."""
        key = package.passport.network_sha256
        if key not in self._sessions:
            self._sessions.clear()
            self._sessions[key] = open_session(package)
        return self._sessions[key]

    def _store(self, findings: Findings, paths: Sequence[Path]) -> dict[str, Any]:
        """Put the report into the study, by the door that everything enters by."""
        report = comprehensive_3d_sr(findings, _headers(paths, findings), self._pseudonyms.uid)
        identifier = self._orthanc.store(self._deidentifier.prove(report))
        return {
            "state": "done",
            "model": f"{findings.model.title} {findings.model.version}",
            "findings": Json(to_json(findings), dumps=str),
            "result_sop_instance_uid": self._orthanc.sop_instance_uid(identifier),
        }


class Worker:
    """One worker process: the follower, if no other process follows, and readings and cleanings on the queue."""

    def __init__(
        self, settings: Settings, reader: Reader, cleaning: Cleaning, erase: Callable[[], int] = lambda: 0
    ) -> None:
        """`erase` goes on with erasures that were cut short, and gives their number."""
        self._settings = settings
        self._go_on_erasing = erase
        self._reader = reader
        self._cleaning = cleaning
        self._ended = asyncio.Event()
        connector = procrastinate.PsycopgConnector(conninfo=connection_string(settings.database_url))
        self._queue = procrastinate.App(connector=connector)
        again = procrastinate.RetryStrategy(max_attempts=10, linear_wait=2)  # seconds more each time
        self._read = self._queue.task(name="read", retry=again)(self._run)
        self._clean = self._queue.task(name="clean", retry=again)(self._cleaning.clean)

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT; a reading that has begun is finished first."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        async with self._queue.open_async():
            queue = asyncio.create_task(
                self._queue.run_worker_async(
                    install_signal_handlers=False,
                    delete_jobs="successful",
                    update_heartbeat_interval=_HEARTBEAT,
                    stalled_worker_timeout=_STALLED,
                    fetch_job_polling_interval=1.0,
                )
            )
            ended = asyncio.create_task(self._ended.wait())
            loops = (self._follow, self._nudge, self._watch_spool, self._perform, self._sign, self._erase)
            others = [asyncio.create_task(each()) for each in loops]
            await asyncio.wait([queue, ended, *others], return_when=asyncio.FIRST_COMPLETED)
            self._ended.set()
            queue.cancel()
            await asyncio.gather(queue, *others, return_exceptions=True)
            for task in (queue, *others):
                if not task.cancelled() and task.exception():
                    raise task.exception() or Unavailable("the worker ended")

    def _run(self, study_instance_uid: str, task: str) -> None:
        self._reader.read(study_instance_uid, Task(task))

    async def _follow(self) -> None:
        """Follow Orthanc's log as long as this process lives, also across times when a part does not answer."""
        while not self._ended.is_set():
            try:
                await asyncio.to_thread(self._follow_until_unavailable, asyncio.get_running_loop())
            except Unavailable as error:
                _log.warning("indexing pauses: %s", error)
            await self._pause(_PAUSE)

    def _follow_until_unavailable(self, loop: asyncio.AbstractEventLoop) -> None:
        with (
            closing(Orthanc(self._settings)) as orthanc,
            connect(self._settings.database_url, autocommit=True) as connection,
            translated_errors(),
        ):
            follower = Follower(connection, orthanc, self._settings.storage, self._reader.is_proven)
            while not self._ended.is_set() and follower.is_alone():
                followed = follower.step()
                if follower.settle(self._settings.stable_age):
                    asyncio.run_coroutine_threadsafe(self._enqueue_due(), loop).result()
                if followed.done:
                    asyncio.run_coroutine_threadsafe(self._pause(_IDLE), loop).result()

    async def _nudge(self) -> None:
        """Put what is due on the queue again and again, without the jobs of a process that was killed.

        Those are not tried again themselves: another of their name may wait behind them by now.
        """
        while not self._ended.is_set():
            try:
                for job in await self._queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=_STALLED):
                    await self._queue.job_manager.finish_job(job, Status.ABORTED, delete_job=True)
                await self._enqueue_due()
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
                        await worklist.perform(connection)
                        await self._pause(_TELL)
            except psycopg.Error as error:
                _log.warning("the worklist does not answer (%s)", type(error).__name__)
            except (BadRequest, Conflict, NotFound):
                _log.info("a workitem was changed by another meanwhile")
            await self._pause(_PAUSE)

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
            await _defer(self._read, f"{row['task']} {row['study_instance_uid']}", row)

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


def _record(
    connection: psycopg.Connection, study: str, task: Task, fingerprint: str, outcome: Mapping[str, Any]
) -> None:
    """What was read, by which model, and what came of it: what Regulation (EU) 2024/1689 article 12 asks for."""
    named = {name: outcome.get(name) or "" for name in ("state", "model", "result_sop_instance_uid")}
    write(
        connection,
        Event.INFERENCE_DONE,
        subject=WORKER,
        outcome=Outcome.FAILED if outcome["state"] == "failed" else Outcome.SUCCESS,
        study_instance_uid=study,
        detail={"task": str(task), "fingerprint": fingerprint, **named},
    )


async def _defer(task: procrastinate.tasks.Task[..., Any, Any], name: str, values: Mapping[str, str]) -> None:
    """Put a job on the queue, unless one of that name waits there."""
    with suppress(AlreadyEnqueued):
        await task.configure(lock=name, queueing_lock=name).defer_async(**values)


def _headers(paths: Sequence[Path], findings: Findings) -> list[Dataset]:
    """The headers of the instances that were read, in the order in which the findings name them."""
    headers = {
        header.SOPInstanceUID: header for header in (dcmread(path, stop_before_pixels=True) for path in paths)
    }
    return [headers[source.sop_instance_uid] for source in findings.sources]
