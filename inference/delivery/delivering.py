"""All destinations of a site side by side, in threads of the worker: a dead or slow one holds up no other."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from archive.errors import Unavailable
from archive.settings import Settings
from deidentification.deidentify import Deidentifier
from inference.delivery.commitment import listening
from inference.delivery.lane import Lane

GRACE = 3.0  # seconds that what is under way may take to end
_TRY_PORT = 5.0  # seconds between two tries to listen where another worker does
_log = logging.getLogger("senogate.delivery")


@contextmanager
def delivering(settings: Settings, deidentifier: Deidentifier) -> Iterator[None]:
    """Deliver while the block runs; nothing where there is no destination, or research use is not acknowledged.

    An association that is under way at the end has a moment to end, and is aborted then: its row says so, and who
    delivers next asks.
    """
    if not settings.destinations:
        yield
        return
    if not settings.acknowledge:
        _log.warning("nothing is delivered: the settings do not acknowledge research use (docs/delivery.md)")
        yield
        return
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it could quote what is sent
    ended = threading.Event()
    lanes = [Lane(settings, deidentifier, each, ended) for each in settings.destinations]
    threads = [threading.Thread(target=lane.run, name="delivery", daemon=True) for lane in lanes]
    listener = threading.Thread(target=_listen, args=(settings, deidentifier, ended), daemon=True)
    for thread in (*threads, listener):
        thread.start()
    try:
        yield
    finally:
        ended.set()
        until = time.monotonic() + GRACE
        for thread, lane in zip(threads, lanes, strict=True):
            thread.join(max(until - time.monotonic(), 0))
            lane.abort()


def _listen(settings: Settings, deidentifier: Deidentifier, ended: threading.Event) -> None:
    """Take reports of storage commitment, as soon as no other worker on this machine does."""
    while not ended.is_set():
        try:
            with listening(settings, deidentifier.pseudonyms):
                ended.wait()
        except Unavailable as error:
            _log.info("%s", error)
            ended.wait(_TRY_PORT)
