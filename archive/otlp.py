"""Spans to an OpenTelemetry collector, by OTLP over HTTP: batched, in a thread of the library's own.

A collector that does not answer costs what it was not told; nothing waits for it.
"""

from archive.errors import ConfigurationError
from archive.settings import Settings
from archive.spans import Span

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
except ImportError as absent:
    raise ConfigurationError(
        "traces_url is set and OpenTelemetry is not installed: pip install 'senogate[traces]'"
    ) from absent

_WAIT = 5  # seconds for the collector to answer
_KINDS = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
}
_SCOPE = InstrumentationScope("senogate")


class Collector:
    """Sends spans to `traces_url`. What OTEL_EXPORTER_OTLP_HEADERS and the like say is heeded by the library."""

    def __init__(self, settings: Settings, part: str) -> None:
        self.share = settings.traces_share
        # Not Resource.create: it would look for what the host and the command line are called.
        self._resource = Resource({"service.name": f"senogate-{part}", "service.namespace": "senogate"})
        address = f"{settings.traces_url.rstrip('/')}/v1/traces"
        self._processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=address, timeout=_WAIT))

    def export(self, span: Span) -> None:
        """Send a span in a moment, with others; beyond 2,048 that wait it is left out."""
        own, below = span.context, span.parent
        self._processor.on_end(
            ReadableSpan(
                span.name,
                context=_context(own.trace_id, own.span_id),
                parent=_context(own.trace_id, below) if below else None,
                resource=self._resource,
                attributes=dict(span.attributes),
                kind=_KINDS[span.kind],
                status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
                start_time=span.began,
                end_time=span.ended,
                instrumentation_scope=_SCOPE,
            )
        )

    def close(self) -> None:
        """Send what was not sent yet."""
        self._processor.shutdown()


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(1))
