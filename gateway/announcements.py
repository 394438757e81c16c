"""What PostgreSQL announces, over one connection of each gateway process: events of subscribers, changes of studies
and of a federation's runs and members, its questions and what is said to them.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
from psycopg import AsyncConnection, sql

from archive import members, questions, runs
from archive.errors import TooManyRequests
from archive.pool import connection_string
from archive.worklist import EVENTS

STUDIES, SESSIONS = "senogate_studies", "senogate_sessions"
FEDERATION = (runs.CHANNEL, members.CHANNEL)
PAUSE = 1.0  # seconds between two tries to reach PostgreSQL
MOST_WATCHES = 8  # of one principal in one process
MOST_STUDIES = 200  # that a watch is told one by one
AGAIN = 10.0  # seconds after which who has too many watches may ask for another


@dataclass(eq=False, slots=True)
class Watch:
    """What somebody who looks at studies, or at a federation (`of_runs`), is still to be told.

    `studies` have changed, or, where `is_all` is set, more than can be named. `is_over`: the session was ended.
    """

    subject: str
    session: str
    of_runs: bool = False
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    studies: set[str] = field(default_factory=set)
    is_all: bool = False
    is_over: bool = False

    def take(self) -> set[str] | None:
        """The studies that changed since this was called; None for more than can be named."""
        taken = None if self.is_all else self.studies
        self.studies, self.is_all = set(), False
        self.woken.clear()
        return taken

    def add(self, study_instance_uid: str = "") -> None:
        """A study changed; without a name, whichever."""
        self.studies.add(study_instance_uid)
        self.is_all = self.is_all or not study_instance_uid or len(self.studies) > MOST_STUDIES
        if self.is_all:
            self.studies.clear()
        self.woken.set()

    def end(self) -> None:
        """Nothing is told any more."""
        self.is_over = True
        self.woken.set()


class Announcements:
    """Wakes who waits for something to be told. It listens as long as anybody waits."""

    def __init__(self, database_url: str) -> None:
        self._address = connection_string(database_url)
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._watches: set[Watch] = set()
        self._listening: asyncio.Task[None] | None = None
        self._hears = False
        self.is_ending = False

    @contextlib.contextmanager
    def to(self, subscriber: str) -> Iterator[asyncio.Event]:
        """An event that is set when something may have come for the subscriber since it was cleared."""
        event = asyncio.Event()
        self._waiting[subscriber].add(event)
        self._begin()
        try:
            yield event
        finally:
            self._waiting[subscriber].discard(event)
            if not self._waiting[subscriber]:
                del self._waiting[subscriber]
            self._end_if_idle()

    @contextlib.contextmanager
    def watch(self, subject: str, session: str = "", *, of_runs: bool = False) -> Iterator[Watch]:
        """Changes of studies, or of runs and members, until the session is ended. Raises TooManyRequests.

        From the first that is told on, which is that all may have changed, none is missed.
        """
        if sum(each.subject == subject for each in self._watches) >= MOST_WATCHES:
            raise TooManyRequests(AGAIN)
        watch = Watch(subject, session, of_runs)
        self._watches.add(watch)
        self._begin()
        if self._hears:
            watch.add()
        try:
            yield watch
        finally:
            self._watches.discard(watch)
            self._end_if_idle()

    def end(self) -> None:
        """Let go of all who watch or wait, for the process is to end."""
        self.is_ending = True
        for watch in self._watches:
            watch.woken.set()
        self._wake(*self._waiting)

    def _begin(self) -> None:
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())

    def _end_if_idle(self) -> None:
        if not self._waiting and not self._watches and self._listening:
            self._listening.cancel()
            self._listening, self._hears = None, False

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(psycopg.OperationalError, psycopg.InterfaceError):
                async with await AsyncConnection.connect(self._address, autocommit=True) as connection:
                    for channel in (EVENTS, questions.CHANNEL, STUDIES, SESSIONS, *FEDERATION):
                        await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                    self._hears = True
                    self._wake_all()  # what came while nobody listened was not announced
                    async for notice in connection.notifies():
                        self._hear(notice.channel, notice.payload)
            self._hears = False
            await asyncio.sleep(PAUSE)

    def _hear(self, channel: str, payload: str) -> None:
        if channel in (EVENTS, questions.CHANNEL):
            self._wake(payload)
            return
        study, _, subject = payload.partition(" ")
        for watch in self._watches:
            if channel == SESSIONS and watch.session == payload:
                watch.end()
            elif channel == STUDIES and not watch.of_runs and subject in ("", watch.subject):
                watch.add(study)
            elif channel in FEDERATION and watch.of_runs:
                watch.add()

    def _wake_all(self) -> None:
        self._wake(*self._waiting)
        for watch in self._watches:
            watch.add()

    def _wake(self, *subscribers: str) -> None:
        for subscriber in subscribers:
            for event in self._waiting.get(subscriber, ()):
                event.set()
