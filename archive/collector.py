"""Where the spans of a part of the site go: to the collector that it names, or nowhere."""

from archive.settings import Settings
from archive.spans import Nowhere, Spans


def open_spans(settings: Settings, part: str) -> Spans:
    """Where the spans of a part of the site go. Raises ConfigurationError where OpenTelemetry is not installed."""
    if not settings.traces_url:
        return Nowhere()
    from archive.otlp import Collector

    return Collector(settings, part)
