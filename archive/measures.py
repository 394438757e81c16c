"""What each process of a site counts of itself, for Prometheus.

Every label has few values that are known beforehand: a route's template, a state, a task. None is ever a UID, a name or
another value of an attribute. What is true of the site as a whole is not counted here but asked of PostgreSQL
(gateway/site_measures.py), so that it is right whichever process answers.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

disable_created_metrics()
REGISTRY = CollectorRegistry()
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_SLOW = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

HTTP_REQUESTS = Counter(
    "senogate_http_requests",
    "Requests that were answered, by route template.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
HTTP_SECONDS = Histogram(
    "senogate_http_request_seconds",
    "From a request's head to the last byte of its answer.",
    ["route"],
    buckets=_FAST,
    registry=REGISTRY,
)
HTTP_OPEN = Gauge("senogate_http_requests_open", "Requests under way.", registry=REGISTRY)
POOL = Gauge(
    "senogate_database_connections",
    "Connections to PostgreSQL: in use, idle, and requests that wait for one.",
    ["state"],
    registry=REGISTRY,
)
INDEXED = Counter("senogate_indexed_instances", "Instances taken into the index.", registry=REGISTRY)
READINGS = Counter(
    "senogate_readings_ended",
    "Readings that ended, by their outcome.",
    ["task", "modality", "state"],
    registry=REGISTRY,
)
READING_SECONDS = Histogram(
    "senogate_reading_seconds",
    "How long readings took, by the model's name.",
    ["task", "model"],
    buckets=_SLOW,
    registry=REGISTRY,
)
CLEANINGS = Counter(
    "senogate_cleanings_ended",
    "Held instances whose pixels were looked at, by their state afterwards.",
    ["state"],
    registry=REGISTRY,
)
DELIVERIES = Counter(
    "senogate_deliveries_ended",
    "Attempts to deliver a result to a clinical PACS, by what it answered.",
    ["destination", "outcome"],
    registry=REGISTRY,
)
NOTICES = Counter(
    "senogate_notices_sent", "Attempts to tell a webhook, by outcome.", ["outcome"], registry=REGISTRY
)
BUCKET = Counter(
    "senogate_bucket_instances",
    "Instances that were moved to the bucket, that it did not take, or for which it was not available.",
    ["outcome"],
    registry=REGISTRY,
)
MODEL_STARTS = Counter("senogate_model_process_starts", "Starts of the model process.", registry=REGISTRY)
FEDERATION_ROUNDS = Counter(
    "senogate_federation_rounds_ended",
    "Rounds that ended at the site's trainer, by outcome.",
    ["outcome"],
    registry=REGISTRY,
)
FEDERATION_BYTES = Counter(
    "senogate_federation_bytes",
    "Bytes of fleet calls that were carried, by direction.",
    ["direction"],
    registry=REGISTRY,
)
FEDERATION_CONTACT = Gauge(
    "senogate_federation_contact_timestamp_seconds",
    "When a part of a federation had its last answer from what it works with, or began.",
    ["with"],
    registry=REGISTRY,
)
ProcessCollector(registry=REGISTRY)


@dataclass(slots=True)
class Identity:
    """By what name this process is told from others of its site; the socket that it answers at."""

    name: str = "gateway-1"
    socket: str = ""


IDENTITY = Identity()


class _Named(Collector):
    """All that the registry has, with the label `process` on each sample."""

    def collect(self) -> Iterator[Metric]:
        for family in REGISTRY.collect():
            own = [
                one._replace(labels={**one.labels, "process": IDENTITY.name})
                for one in family.samples
                if not one.name.endswith("_created")
            ]
            named = Metric(family.name, family.documentation, family.type)
            named.samples = own
            yield named


def text() -> str:
    """What this process counted, in Prometheus' text format."""
    return generate_latest(_Named()).decode()


def render(families: Iterable[Metric]) -> str:
    """Families in Prometheus' text format."""

    class Given(Collector):
        def collect(self) -> Iterable[Metric]:
            return families

    return generate_latest(Given()).decode()


def join(texts: Sequence[str]) -> str:
    """What several processes told, each family once: the format lets it have one head and one group of lines."""
    families: dict[str, list[str]] = {}
    for each in texts:
        for family in re.split(r"^(?=# HELP )", each, flags=re.MULTILINE)[1:]:
            help_line, type_line, lines = _parted(family)
            families.setdefault(help_line.split(" ", 3)[2], [help_line + type_line]).append(lines)
    return "".join(part for parts in families.values() for part in parts)


def _parted(family: str) -> tuple[str, str, str]:
    """The line of help, that of the type, and the samples."""
    help_line, type_line, *lines = family.splitlines(keepends=True)
    return help_line, type_line, "".join(lines)
