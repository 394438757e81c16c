"""Of each instance that came in which trace it is a part of, until the worker fetches it.

Orthanc's interpreter exports no spans: it remembers a few numbers, and the worker makes spans of them with those of its
own (inference/arrivals.py). What is not fetched is forgotten; nothing of it is stored.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from archive.trace_context import HEADER, TraceContext, begin, parse

_MOST = 10_000  # instances that are remembered


@dataclass(frozen=True, slots=True)
class Passage:
    """One instance at the door. Times are nanoseconds since 1970; `parent` is the span that sent it, or empty."""

    context: TraceContext
    parent: str
    began: int
    decided: int
    verdict: str


class Arrivals:
    """Remembers nothing where no trace is exported (`share` is 0). Safe for use from several threads.

    Orthanc calls for one instance in one thread: to decide on it, and then to store it. `threading.local` would not do:
    of a thread that Python did not begin it forgets all between two calls.
    """

    def __init__(self, share: int) -> None:
        self._share = share
        self._senders: dict[int, TraceContext] = {}  # by thread
        self._passages: dict[int, Passage] = {}  # by thread
        self._seen: deque[dict[str, object]] = deque(maxlen=_MOST)

    def hear(self, headers: Mapping[str, str]) -> None:
        """A request begins in this thread."""
        if not self._share:
            return
        thread, sender = threading.get_ident(), parse(headers.get(HEADER, ""))
        self._passages.pop(thread, None)
        if sender and len(self._senders) < _MOST:
            self._senders[thread] = sender
        else:
            self._senders.pop(thread, None)

    def decided(self, began: int, verdict: str) -> None:
        """This thread decided on an instance."""
        if not self._share:
            return
        thread = threading.get_ident()
        sender = self._senders.get(thread)
        context = sender.child() if sender else begin(self._share)
        parent = sender.span_id if sender else ""
        if len(self._passages) >= _MOST:  # of threads that ended before they stored anything
            self._passages.clear()
        self._passages[thread] = Passage(context, parent, began, time.time_ns(), verdict)
        if verdict not in ("keep", "modify"):
            self.stored("")

    def handed(self) -> Passage | None:
        """What this thread decided on last, for another one that has it stored."""
        return self._passages.pop(threading.get_ident(), None)

    @contextmanager
    def instead(self, passage: Passage | None) -> Iterator[None]:
        """What this thread has stored is what another one decided on."""
        thread = threading.get_ident()
        if passage:
            self._passages[thread] = passage
        try:
            yield
        finally:
            self._passages.pop(thread, None)

    def stored(self, place: str) -> None:
        """The instance lies at a place of the storage folder; at none where it is not to be stored."""
        passage = self._passages.pop(threading.get_ident(), None)
        if passage and passage.context.is_sampled:
            self._seen.append(_told(passage, place))

    def fetch(self) -> list[dict[str, object]]:
        """What came since this was asked last."""
        seen = []
        while self._seen:
            seen.append(self._seen.popleft())
        return seen


def _told(passage: Passage, place: str) -> dict[str, object]:
    return {
        "place": place,
        "trace": replace(passage.context, is_sampled=True).header,
        "parent": passage.parent,
        "began": passage.began,
        "decided": passage.decided,
        "ended": time.time_ns(),
        "verdict": passage.verdict,
    }
