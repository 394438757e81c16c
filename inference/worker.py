"""The worker: follows Orthanc into the index, and reads the studies that are due on procrastinate's queue.

What is to be read stands in the table `reading`; a job is only the nudge to do it, so a job that is lost, doubled or
cut short changes nothing but the time.
"""

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import procrastinate
import psycopg
from psycopg.types.json import Jsonb

from archive import instances
from archive.errors import SenogateError, Unavailable
from archive.findings import Findings, NotApplicable, Task, to_json
from archive.follow import Follower
from archive.orthanc import Orthanc
from archive.pool import connect, connection_string, queries
from archive.settings import Settings
from deidentification.deidentify import Deidentifier
from deidentification.pseudonym import Pseudonyms
from inference import installed, pipeline
from inference.errors import ReadingFailed
from inference.results.sr import comprehensive_3d_sr

MOST_ATTEMPTS = 3  # of one reading; a study that ends its process is then set aside with its reason
_IDLE = 0.25  # seconds between two looks at Orthanc's log when it has nothing new
_RENUDGE = 20.0  # seconds between two looks for readings whose job was lost
_HEARTBEAT, _STALLED = 2.0, 10.0  # seconds
_log = logging.getLogger("senogate.worker")


class Reader:
    """Reads one study for one task: instances → model → Findings → report, through the door, into the study."""

    def __init__(self, settings: Settings, deidentifier: Deidentifier, pseudonyms: Pseudonyms) -> None:
        self._settings = settings
        self._deidentifier = deidentifier
        self._pseudonyms = pseudonyms
        self._sql = queries("reading.sql")
        self._sessions: dict[str, pipeline.Reading] = {}

    def read(self, study_instance_uid: str, task: Task) -> None:
        """Do a reading that is due; one that is not is left alone. Raises Unavailable, after which it is still due."""
        key = {"study_instance_uid": study_instance_uid, "task": str(task)}
        with connect(self._settings.database_url, autocommit=True) as connection:
            begun = connection.execute(self._sql["begin"], key).fetchone()
            if begun is None:
                return
            attempts, fingerprint = begun
            outcome = self._outcome(connection, study_instance_uid, task, attempts)
            connection.execute(self._sql["finish"], _NO_OUTCOME | outcome | key | {"fingerprint": fingerprint})
            _log.info("reading of a study for %s: %s", task, outcome["state"])

    def _outcome(self, connection: psycopg.Connection, study: str, task: Task, attempts: int) -> dict[str, Any]:
        if attempts > MOST_ATTEMPTS:
            return {"state": "failed", "reason": f"given up: {MOST_ATTEMPTS} readings were begun and none came to an end"}
        try:
            package = installed.active(self._settings.home, task)
            answer = pipeline.read_study(self._paths(connection, study), self._session(package))
            if isinstance(answer, NotApplicable):
                return {"state": "not-applicable", "model": package.model.title, "reason": answer.reason}
            return self._store(answer)
        except Unavailable:
            raise
        except SenogateError as error:
            return {"state": "failed", "reason": str(error)}

    def _paths(self, connection: psycopg.Connection, study: str) -> list[Path]:
        rows = connection.execute(self._sql["study_instances"], {"study_instance_uid": study})
        return [instances.path(self._settings.storage, place) for place, _ in rows]
