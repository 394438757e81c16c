"""A site hears its hub, again and again, beside what it works on."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from psycopg import AsyncConnection, OperationalError

from archive.errors import SenogateError, Unavailable
from archive.pool import connection_string
from archive.settings import Settings
from federation.site.offers import Offers

HELD = "task.json"  # in the federation's folder while a round is worked on
_FOLLOW = 3.0  # seconds between two questions to the hub
_FOLLOW_AT_WORK = 60.0  # each costs a handshake, and at work the way is for weights
_LONGEST_FOLLOW = 30.0  # where it does not answer
_LOG = logging.getLogger("senogate.federation")
_T = TypeVar("_T")


def connected(settings: Settings, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
    """Do the work on a connection that commits each statement, or each transaction. Raises Unavailable."""

    async def done() -> _T:
        address = connection_string(settings.database_url)
        async with await AsyncConnection.connect(address, autocommit=True) as connection:
            return await work(connection)

    try:
        return asyncio.run(done())
    except OperationalError as error:
        raise Unavailable(f"PostgreSQL does not answer ({type(error).__name__})") from None


class Following:
    """Asks the hub for its runs again and again, beside the trainer's work."""

    def __init__(self, settings: Settings, offers: Offers, stop: threading.Event) -> None:
        self._settings, self._offers, self._stop = settings, offers, stop
        self._alone = threading.Lock()

    def follow(self) -> None:
        """Ask once. Raises SenogateError."""
        with self._alone:
            connected(self._settings, self._offers.follow)

    def run(self) -> None:
        """Until the end; what goes wrong is said when it changes."""
        pause, said = _FOLLOW, ""
        while not self._stop.wait(pause):
            try:
                self.follow()
                is_at_work = (self._settings.federation / HELD).exists()
                pause, problem = _FOLLOW_AT_WORK if is_at_work else _FOLLOW, ""
            except SenogateError as error:
                pause, problem = min(pause * 2, _LONGEST_FOLLOW), str(error)
            if problem != said:
                _LOG.warning("%s", problem or "the hub is heard again")
            said = problem
