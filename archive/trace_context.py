"""Which trace something belongs to, as the W3C Trace Context recommendation writes it: light enough for Orthanc.

A trace's identifier is random and says nothing of whom or what it is about. It is what lines of logs, spans and the
header X-Request-ID have in common.
"""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

HEADER = "traceparent"
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1
_WHOLE = 2**56
_random = random.Random()  # what is drawn is no secret: it has to be another one each time


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace and one span of it, as hexadecimal digits; whether the trace is exported."""

    trace_id: str
    span_id: str
    is_sampled: bool = False

    @property
    def header(self) -> str:
        """The value of `traceparent` (section 3.2)."""
        return f"00-{self.trace_id}-{self.span_id}-0{int(self.is_sampled)}"

    def child(self) -> "TraceContext":
        """Another span of the same trace."""
        return TraceContext(self.trace_id, f"{_random.getrandbits(64):016x}", self.is_sampled)


current: ContextVar[TraceContext | None] = ContextVar("trace", default=None)
"""What is being done now is a part of this span."""


def begin(share: int = 0) -> TraceContext:
    """A new trace, which is exported as one of `share` in a hundred."""
    digits = f"{_random.getrandbits(192):048x}"
    trace_id = digits[:32]
    return TraceContext(trace_id, digits[32:], share > 0 and is_drawn(trace_id, share))


def parse(header: str) -> TraceContext | None:
    """What a `traceparent` says; None for one that is malformed (section 3.2.2), which counts as none."""
    found = _FORM.fullmatch(header)
    if not found:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def is_drawn(trace_id: str, share: int) -> bool:
    """Whether a trace is among the `share` in a hundred: by its random part, so that all parts of a site agree."""
    return int(trace_id[-14:], 16) * 100 < share * _WHOLE


@contextmanager
def within(context: TraceContext | None) -> Iterator[None]:
    """Do what follows as a part of a span."""
    token = current.set(context)
    try:
        yield
    finally:
        current.reset(token)
