"""Traces of what arrives: the plugin's spans and the index's, and which readings they go on in.

The worker fetches from the plugin what it remembers of instances that came in, makes spans of it, and keeps with the
readings that a study becomes due for the trace of the study's last instance.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import psycopg

from archive.errors import Unavailable
from archive.index import Found
from archive.orthanc import Orthanc
from archive.pool import queries
from archive.spans import Span, Spans
from archive.trace_context import TraceContext, parse

_MOST = 4096  # studies whose readings are not due yet, and instances that are not indexed yet


class ArrivalSpans:
    """For one follower, in one thread."""

    def __init__(self, spans: Spans, orthanc: Orthanc) -> None:
        self._spans = spans
        self._orthanc = orthanc
        self._places: OrderedDict[str, TraceContext] = OrderedDict()
        self._studies: OrderedDict[str, TraceContext] = OrderedDict()

    def note(self, written: Sequence[Found], began: int) -> None:
        """Instances were taken into the index, from `began`, in nanoseconds since 1970, until now."""
        if not self._spans.share:
            return
        try:
            arrived = self._orthanc.arrivals()
        except Unavailable:
            arrived = []
        for one in arrived:
            self._receive(one)
        for found in written:
            if context := self._places.pop(found.place, None):
                self._index(found, context, began)

    def settle(self, connection: psycopg.Connection, studies: Sequence[str]) -> None:
        """Readings of these studies have become due: they are a part of the trace that their study came in."""
        traced = [(uid, context) for uid in studies if (context := self._studies.pop(uid, None))]
        if traced:
            uids, traces = [uid for uid, _ in traced], [context.header for _, context in traced]
            connection.execute(queries("watch.sql")["trace_readings"], {"studies": uids, "traces": traces})

    def _receive(self, arrival: Mapping[str, object]) -> None:
        context = parse(str(arrival.get("trace", "")))
        moments = [arrival.get(name) for name in ("began", "decided", "ended")]
        if not context or not all(isinstance(moment, int) for moment in moments):
            return
        began, decided, ended = (int(str(moment)) for moment in moments)
        told = {"senogate.verdict": str(arrival.get("verdict", ""))}
        whole = Span("receive", context, began, ended, str(arrival.get("parent", "")), "consumer", told)
        self._spans.export(whole)
        self._spans.export(Span("de-identify", context.child(), began, decided, context.span_id))
        if place := str(arrival.get("place", "")):
            _remember(self._places, place, context)

    def _index(self, found: Found, received: TraceContext, began: int) -> None:
        context = received.child()
        self._spans.export(Span("index", context, began, time.time_ns(), received.span_id))
        _remember(self._studies, found.record.study_instance_uid, context)


def _remember(kept: OrderedDict[str, TraceContext], key: str, context: TraceContext) -> None:
    kept[key] = context
    kept.move_to_end(key)
    while len(kept) > _MOST:
        kept.popitem(last=False)
