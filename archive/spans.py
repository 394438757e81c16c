"""Spans of traces: how long each part of a site took for one thing, for whoever collects OpenTelemetry.

Off unless `traces_url` names a collector. An attribute is one of `ATTRIBUTES`, and its value a number or a word of this
program's own: nothing of an instance, a query or an address ever is.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from archive.trace_context import TraceContext, within

ATTRIBUTES = frozenset(
    [
        *("http.request.method", "http.route", "http.response.status_code"),
        *("senogate.instances", "senogate.verdict", "senogate.task", "senogate.modality", "senogate.state"),
    ]
)
Kind = Literal["server", "client", "consumer", "internal"]


@dataclass(frozen=True, slots=True)
class Span:
    """One span, which has ended. Times are nanoseconds since 1970; `parent` is a span's identifier, or empty.

    `error` is the kind of what went wrong, and never its text.
    """

    name: str
    context: TraceContext
    began: int
    ended: int
    parent: str = ""
    kind: Kind = "internal"
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    error: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for an attribute that is not one of `ATTRIBUTES`."""
        if not self.attributes.keys() <= ATTRIBUTES:
            raise ValueError("a span has an attribute that is not on the list")


class Spans(Protocol):
    """Where spans go. Safe for use from several threads; neither waits nor raises."""

    @property
    def share(self) -> int:
        """How many of a hundred new traces are exported."""

    def export(self, span: Span) -> None:
        """Send a span in a moment, with others."""

    def close(self) -> None:
        """Send what was not sent yet."""


class Nowhere:
    """Exports nothing."""

    share = 0

    def export(self, span: Span) -> None:
        return

    def close(self) -> None:
        return


@contextmanager
def spanning(spans: Spans, name: str, parent: TraceContext | None, **attributes: str | int) -> Iterator[None]:
    """Do what follows as a span below `parent`, in whose trace it is; as none where that is not exported.

    Underscores in the names of attributes stand for the dots after `senogate`.
    """
    if parent is None or not parent.is_sampled:
        yield
        return
    context, began, error = parent.child(), time.time_ns(), ""
    try:
        with within(context):
            yield
    except BaseException as raised:  # to be cancelled is an end like another, and the span says so
        error = type(raised).__name__
        raise
    finally:
        named = {f"senogate.{key}": value for key, value in attributes.items()}
        ended = time.time_ns()
        spans.export(Span(name, context, began, ended, parent.span_id, attributes=named, error=error))
