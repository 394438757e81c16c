"""All checks side by side, with one deadline: what does not answer in time is told so, and hinders nothing else."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping

import httpx
import psycopg

from archive.errors import SenogateError
from senogate.doctor.finding import Finding, unknown
from senogate.doctor.place import Place

Check = Callable[[Place], Iterator[Finding]]
_EXPECTED = (SenogateError, OSError, httpx.HTTPError, httpx.InvalidURL, psycopg.Error, ValueError)


class _Running(threading.Thread):
    """One check. It is left alone when its time is over: what hangs, such as a file server's folder, can't be ended."""

    def __init__(self, name: str, check: Check, place: Place) -> None:
        super().__init__(name=name, daemon=True)
        self.found: list[Finding] = []
        self.is_done = False
        self._check, self._place = check, place

    def run(self) -> None:
        try:
            for finding in self._check(self._place):
                self.found.append(finding)
        except _EXPECTED as error:
            said = str(error) if isinstance(error, SenogateError) else type(error).__name__
            self.found.append(unknown(self.name, f"it could not be found out ({said})"))
        self.is_done = True


def examine(place: Place, checks: Mapping[str, Check], seconds: float) -> list[Finding]:
    """What all checks find, in their order, after `seconds` at the latest."""
    deadline = time.monotonic() + seconds
    running = [_Running(name, check, place) for name, check in checks.items()]
    for each in running:
        each.start()
    for each in running:
        each.join(max(0.0, deadline - time.monotonic()))
    return [finding for each in running for finding in _told(each, seconds)]


def _told(each: _Running, seconds: float) -> Iterator[Finding]:
    yield from list(each.found)
    if each.is_alive():
        yield unknown(
            each.name, f"no answer within {seconds:g} s", "See whether what it asks hangs, and ask again."
        )
    elif not each.is_done:
        yield unknown(
            each.name, "the check itself failed, as said above", "Report it as a fault of Senogate."
        )
