"""The hub's conductor: it lets members' nodes in and others out, and sees to it that every run comes to its end.

A run waits until enough sites approved it, and is then given to Flower. Where its server or Flower's run of it is gone
before the run has an end, whatever killed it, it is given to Flower again and goes on from its checkpoint. There is one
conductor at a time; what it needs to know lies in PostgreSQL, so that any other can take its place.
"""

import logging
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from psycopg import Connection, Error

from archive import measures, members, runs
from archive.errors import BadRequest, Conflict, SenogateError, Unavailable
from archive.pool import connect
from archive.runs import Run, State
from archive.settings import Settings
from federation import fab
from federation.hub import ledger
from federation.hub.asked import answer_requests
from federation.hub.control import Control, Status
from federation.hub.presence import Presence, look
from federation.hub.proposal import folder_of, forget_ended
from federation.manifest import parse_manifest

log = logging.getLogger("senogate.federation")
LOCK = 0x5E0A_0021  # key of the advisory lock that lets one conduct
TURN = 1.0  # seconds between two looks at who works
START_PATIENCE = 120.0  # seconds in which a run's server has to come after it was submitted
END_PATIENCE = 15.0  # seconds in which a server has to end after its run has
MOST_FAILURES = 10
"""Times that a run's server may end in the same round before the run is given up."""
_PAUSES = (0.0, 2.0, 10.0, 30.0)  # seconds before a run is submitted again


class Step(StrEnum):
    """What is to be done with a run that has been submitted."""

    LEAVE = "leave"
    SUBMIT = "submit"
    STOP = "stop"  # what Flower has of it, and submit it


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen of a run: who works on it, Flower's word (None where it knows nothing), its age in seconds."""

    presence: Presence
    status: Status | None
    age: float


def step(run: Run, seen: Seen) -> Step:
    """What to do with a run that was submitted and has no end."""
    if seen.presence.is_there:
        return Step.LEAVE
    if seen.status in (None, Status.FINISHED):
        return Step.SUBMIT
    came = seen.presence.number == run.flower_run
    return Step.STOP if came or seen.age > START_PATIENCE else Step.LEAVE


@dataclass(slots=True)
class _Tried:
    """How often a run was submitted in one round, and when it may be again."""

    round: int
    submitted: float
    failures: int = 0
    not_before: float = 0.0


@dataclass(slots=True)
class Conductor:
    """Conducts while `connection` has the lock. Raises psycopg's errors, and Unavailable for the SuperLink."""

    settings: Settings
    connection: Connection
    control: Control
    _tried: dict[str, _Tried] = field(default_factory=dict)
    _unwanted: dict[int, float] = field(default_factory=dict)

    def turn(self) -> None:
        """Look at everything once, and do what is due."""
        self._sync_nodes()
        answer_requests(self.settings, self.connection)
        known = self.control.runs()
        open_runs = runs.open_runs(self.connection)
        for run in open_runs:
            if run.state == State.WAITING:
                self._begin(run)
            else:
                self._keep(run, known)
        self._stop_others(known, {run.flower_run for run in runs.open_runs(self.connection)})
        forget_ended(self.settings, self.connection)
        measures.FEDERATION_CONTACT.labels("superlink").set_to_current_time()

    def is_due(self) -> bool:
        """Whether a run's server is gone: what can be seen without asking anybody."""
        return any(
            not look(folder_of(self.settings, run.run)).is_there
            for run in runs.open_runs(self.connection)
            if run.state == State.RUNNING
        )

    def _sync_nodes(self) -> None:
        nodes = self.control.nodes()
        wanted = {member.node_key for member in members.active_members(self.connection)}
        try:
            for key in nodes.keys() - wanted:
                self.control.unregister(nodes[key].node)
            for key in wanted - nodes.keys():
                self.control.register(key)
        except Conflict as error:  # one that it can't take is no reason to leave the others alone
            log.error("a member's node is not let in: %s", error)

    def _begin(self, run: Run) -> None:
        """Submit a run that enough sites have approved."""
        try:
            needed = parse_manifest(run.manifest).min_sites
        except BadRequest as error:  # of another version of this program: no site could read it, either
            self._give_up(run, str(error))
            return
        ready = [member.name for member in ledger.approved(self.connection, run)]
        if len(ready) >= needed:
            self._submit(run)
        else:
            told = f"{len(ready)} of {needed} sites have approved it"
            runs.say(self.connection, run.run, f"{told}: {', '.join(ready)}" if ready else told)

    def _keep(self, run: Run, known: dict[int, Status]) -> None:
        """See that somebody works on a run."""
        now = time.monotonic()
        tried = self._tried.setdefault(run.run, _Tried(run.round, now))
        status = known.get(run.flower_run) if run.flower_run is not None else None
        seen = Seen(look(folder_of(self.settings, run.run)), status, now - tried.submitted)
        next_step = step(run, seen)
        if next_step == Step.LEAVE or now < tried.not_before:
            return
        if next_step == Step.STOP and run.flower_run is not None:
            self.control.stop(run.flower_run)
        self._submit_again(run, tried, now)

    def _submit_again(self, run: Run, tried: _Tried, now: float) -> None:
        tried.failures = tried.failures + 1 if run.round == tried.round else 1
        tried.round = run.round
        if tried.failures > MOST_FAILURES:
            self._give_up(run, f"its server ended {MOST_FAILURES} times in round {run.round + 1}")
            return
        tried.not_before = now + _PAUSES[min(tried.failures, len(_PAUSES) - 1)]
        log.warning("run %s is submitted again, from round %d on", run.run, run.round + 1)
        self._submit(run)

    def _give_up(self, run: Run, message: str) -> None:
        with self.connection.transaction():
            runs.end(self.connection, run.run, State.FAILED, message, by=ledger.SUBJECT)

    def _submit(self, run: Run) -> None:
        number = self.control.start(fab.build(), fab.configuration(run.run))
        tried = self._tried.setdefault(run.run, _Tried(run.round, 0.0))
        tried.submitted = time.monotonic()
        try:
            runs.submitted(self.connection, run.run, number)
        except Conflict:  # it was stopped meanwhile
            self.control.stop(number)

    def _stop_others(self, known: dict[int, Status], wanted: set[int | None]) -> None:
        """Stop what Flower has and we have not: a server that does not end although its run has, or is another's."""
        now = time.monotonic()
        others = {number for number, status in known.items() if status != Status.FINISHED} - wanted
        self._unwanted = {number: self._unwanted.get(number, now) for number in others}
        for number, since in self._unwanted.items():
            if now - since > END_PATIENCE:
                self.control.stop(number)


def main(settings: Settings) -> None:
    """Conduct until SIGTERM. Raises ConfigurationError."""
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"  # what is asked is on this host
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    said = ""
    measures.FEDERATION_CONTACT.labels("superlink").set_to_current_time()
    while not stopping.is_set():
        try:
            _conduct(settings, stopping)
        except (Unavailable, Conflict, Error) as error:
            problem = str(error) if isinstance(error, SenogateError) else type(error).__name__
            if problem != said:  # it is tried again each second, and told once
                log.warning("the conductor begins anew: %s", problem)
            said = problem
            stopping.wait(TURN)


def _conduct(settings: Settings, stopping: threading.Event) -> None:
    """Conduct with one connection to PostgreSQL and one to the SuperLink, until one of them fails."""
    with connect(settings.database_url, autocommit=True) as connection:
        while not _has_lock(connection):
            if stopping.wait(TURN):
                return
        for channel in (runs.CHANNEL, members.CHANNEL):
            connection.execute(f"listen {channel}".encode())
        control = Control(settings)
        try:
            conductor = Conductor(settings, connection, control)
            while not stopping.is_set():
                conductor.turn()
                _wait(conductor, stopping)
        finally:
            control.close()


def _wait(conductor: Conductor, stopping: threading.Event, turns: int = 5) -> None:
    """Until something was told, a run's server is gone, or a few turns have passed."""
    for _ in range(turns):
        if stopping.is_set() or list(_told(conductor.connection)) or conductor.is_due():
            return


def _told(connection: Connection) -> Any:
    return connection.notifies(timeout=TURN, stop_after=1)


def _has_lock(connection: Connection) -> bool:
    row = connection.execute("select pg_try_advisory_lock(%s)", [LOCK]).fetchone()
    return bool(row and row[0])
