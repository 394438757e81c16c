"""What is true of the site as a whole, as families of metrics: from its state (archive/state.py), of which nothing is
asked twice, and from a few figures beside it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from archive.state_item import Item, Level

LEVELS = {Level.UNKNOWN: -1, Level.FINE: 0, Level.LOOK: 1, Level.ACT: 2}
_DISK = "disk-"
_CERTIFICATES = {"certificate": "gateway", "certificate-federation": "federation"}


@dataclass(frozen=True, slots=True)
class Told:
    """The metric that a value of an item becomes, and the labels that it has there."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


def _state(name: str, state: str) -> Told:
    return Told(name, {"state": state})


TOLD: dict[tuple[str, str], Told] = {
    ("exams", "today"): Told("senogate_exams_arrived_today"),
    ("exams", "week"): Told("senogate_exams_arrived_week"),
    ("held", "waiting"): _state("senogate_spool_instances", "waiting"),
    ("held", "quarantined"): _state("senogate_spool_instances", "quarantined"),
    ("index", "unindexed"): Told("senogate_index_unreadable_instances"),
    ("readings", "due"): _state("senogate_readings", "due"),
    ("readings", "failed"): _state("senogate_readings", "failed"),
    ("deliveries", "waiting"): _state("senogate_deliveries", "waiting"),
    ("deliveries", "refused"): _state("senogate_deliveries", "refused"),
    ("webhooks", "number"): Told("senogate_webhooks"),
    ("requests", "asked"): Told("senogate_access_requests_open"),
    ("requests", "erasures"): Told("senogate_erasures_open"),
    ("jobs", "waiting"): _state("senogate_jobs", "waiting"),
    ("jobs", "checked"): _state("senogate_jobs", "checked"),
    ("jobs", "running"): _state("senogate_jobs", "running"),
    ("catalogue", "number"): Told("senogate_catalogue_records"),
    ("catalogue", "faulty"): Told("senogate_catalogue_records_faulty"),
    ("members", "active"): _state("senogate_federation_members", "active"),
    ("members", "asking"): _state("senogate_federation_members", "asking"),
    ("offered", "number"): _state("senogate_federation_runs", "open"),
    ("offered", "undecided"): _state("senogate_federation_runs", "undecided"),
    ("audit", "number"): Told("senogate_audit_records"),
    ("audit", "signed"): Told("senogate_audit_signed_timestamp_seconds"),
    ("audit", "verified"): Told("senogate_audit_verified_timestamp_seconds"),
    ("database", "bytes"): Told("senogate_database_bytes"),
    ("keys", "made"): Told("senogate_signing_key_made_timestamp_seconds"),
    ("backup", "at"): Told("senogate_backup_timestamp_seconds"),
}
HELP = {
    "senogate_exams_arrived_today": "Exams that arrived since midnight.",
    "senogate_exams_arrived_week": "Exams that arrived in the last seven days.",
    "senogate_spool_instances": "Instances held sealed: waiting to be cleaned, or quarantined for a person.",
    "senogate_index_unreadable_instances": "Stored instances that can't be read into the index.",
    "senogate_readings": "Readings that are due, and that failed.",
    "senogate_deliveries": "Results on their way to clinical PACS: waiting, and refused by them.",
    "senogate_webhooks": "Webhooks that are registered.",
    "senogate_access_requests_open": "Requests for access that nobody decided on.",
    "senogate_erasures_open": "Erasures that are not complete.",
    "senogate_jobs": "Jobs over datasets: waiting for approval, checked and to be let out, running or due.",
    "senogate_catalogue_records": "Published records of the catalogue.",
    "senogate_catalogue_records_faulty": "Published records at which something is wrong.",
    "senogate_federation_members": "Sites of the federation, at its hub: active, and asking to take part.",
    "senogate_federation_runs": "Runs that the hub offers: open, and not decided on.",
    "senogate_federation_rounds_complete_total": "Rounds of all runs that are complete, at a hub.",
    "senogate_federation_run_restarts_total": "Times that a run's server was started again, at a hub.",
    "senogate_federation_member_seen_timestamp_seconds": "When a member was heard of last, at its hub, by its number.",
    "senogate_audit_records": "Records of the audit trail.",
    "senogate_audit_signed_timestamp_seconds": "When the audit trail was signed last.",
    "senogate_audit_verified_timestamp_seconds": "When the audit trail was verified last.",
    "senogate_database_bytes": "Bytes of the database on disk.",
    "senogate_signing_key_made_timestamp_seconds": "When the older of the signing keys was made.",
    "senogate_backup_timestamp_seconds": "When the last backup was made.",
    "senogate_disk_free_bytes": "Bytes that are free where the site keeps things.",
    "senogate_disk_size_bytes": "Bytes in all where the site keeps things.",
    "senogate_certificate_expiry_timestamp_seconds": "Until when a certificate is valid.",
    "senogate_state": "What a thing calls for: 0 nothing, 1 a look, 2 to act now, -1 it could not be asked.",
    "senogate_up": "Whether a part of the site answers.",
    "senogate_orthanc_info": "Which Orthanc runs.",
    "senogate_process_answers": "Whether a process of the site tells what it counted.",
    "senogate_index_lag_changes": "Changes of Orthanc's log that the index does not hold yet.",
    "senogate_index_followed_timestamp_seconds": "When the worker last looked at Orthanc's log.",
    "senogate_waiting_since_timestamp_seconds": "When the oldest came that waits in the spool, for a model or a PACS.",
    "senogate_database_sessions": "Sessions of PostgreSQL in this database.",
    "senogate_database_sessions_most": "Sessions that PostgreSQL allows.",
    "senogate_indexed": "How many the index holds, as PostgreSQL estimates it.",
    "senogate_door_instances_total": "Instances that came to Orthanc's door since it started, by what became of them.",
    "senogate_door_refusals_total": "Instances that the door refused or held, by reason.",
    "senogate_door_bytes_total": "Bytes of the instances that came to the door.",
    "senogate_door_seconds_total": "Seconds that the door took over them.",
    "senogate_scrape_site_seconds": "How long the site took to say what is told here.",
}
"""Every metric of the site as a whole, and what it says."""


def _gauge(name: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, HELP[name], labels=labels)


def parts(problems: Mapping[str, str], orthanc_version: str) -> Iterator[Metric]:
    """Whether each part answers."""
    up = _gauge("senogate_up", "part")
    for part, problem in problems.items():
        up.add_metric(["worker" if part == "index" else part], 0 if problem else 1)
    yield up
    if orthanc_version:
        info = _gauge("senogate_orthanc_info", "version")
        info.add_metric([orthanc_version], 1)
        yield info


def items(found: list[Item]) -> Iterator[Metric]:
    """The level of each thing that is looked after, and its figures."""
    levels = _gauge("senogate_state", "item")
    families: dict[str, GaugeMetricFamily] = {}
    for item in found:
        levels.add_metric([item.name], LEVELS[item.level])
        for told, value in _figures(item):
            labels = tuple(told.labels)
            family = families.setdefault(told.name, _gauge(told.name, *labels))
            family.add_metric([told.labels[label] for label in labels], value)
    yield levels
    yield from families.values()


def _figures(item: Item) -> Iterator[tuple[Told, float]]:
    for name, value in item.values.items():
        told = _told(item.name, name)
        if told and (number := _number(value)) is not None:
            yield told, number


def _told(item: str, value: str) -> Told | None:
    if item.startswith(_DISK):
        names = {"free_bytes": "senogate_disk_free_bytes", "total_bytes": "senogate_disk_size_bytes"}
        return Told(names[value], {"place": item.removeprefix(_DISK)}) if value in names else None
    if item in _CERTIFICATES and value == "until":
        labels = {"certificate": _CERTIFICATES[item]}
        return Told("senogate_certificate_expiry_timestamp_seconds", labels)
    return TOLD.get((item, value))


def _number(value: object) -> float | None:
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, int | float) else None


_WAITING = {"spool_since": "spool", "readings_since": "readings", "deliveries_since": "deliveries"}
_PLAIN = {
    "followed_at": "senogate_index_followed_timestamp_seconds",
    "database_sessions": "senogate_database_sessions",
    "database_sessions_most": "senogate_database_sessions_most",
}


def rows(row: Mapping[str, object]) -> Iterator[Metric]:
    """The figures of archive/sql/watch.sql, and `last_change`, the last number of Orthanc's log."""
    told = {name: float(str(value)) for name, value in row.items() if value is not None}
    found = {name: value for name, value in told.items() if isfinite(value)}  # -infinity: it never was
    waiting, indexed = (
        _gauge("senogate_waiting_since_timestamp_seconds", "queue"),
        _gauge("senogate_indexed", "level"),
    )
    for name, value in found.items():
        if name in _WAITING:
            waiting.add_metric([_WAITING[name]], value)
        elif name in ("studies", "series", "instances"):
            indexed.add_metric([name], value)
        elif name in _PLAIN:
            yield _one(_PLAIN[name], value)
    yield from (waiting, indexed)
    if {"last_change", "followed"} <= found.keys():
        yield _one("senogate_index_lag_changes", max(found["last_change"] - found["followed"], 0))


def _one(name: str, value: float) -> Metric:
    family = _gauge(name)
    family.add_metric([], value)
    return family


def _counted(name: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, HELP[name], labels=labels)


def door(counted: Mapping[str, object]) -> Iterator[Metric]:
    """What the plugin counted since Orthanc started (orthanc_plugin/tally.py); nothing where it did not say."""
    for key, label in (("instances", "verdict"), ("refusals", "reason")):
        by = counted.get(key)
        family = _counted(f"senogate_door_{key}_total", label)
        for name, number in by.items() if isinstance(by, dict) else ():
            family.add_metric([str(name)], float(number))
        yield family
    for key in ("bytes", "seconds"):
        number = counted.get(key)
        if isinstance(number, int | float):
            family = _counted(f"senogate_door_{key}_total")
            family.add_metric([], float(number))
            yield family


def federation(row: Mapping[str, object]) -> Iterator[Metric]:
    """What the hub's tables say of its runs and members; nothing at a node that is no hub."""
    members = row.get("members")
    if not isinstance(members, dict):
        return
    for name in ("rounds_complete", "run_restarts"):
        family = _counted(f"senogate_federation_{name}_total")
        family.add_metric([], float(str(row[name])))
        yield family
    seen = _gauge("senogate_federation_member_seen_timestamp_seconds", "member")
    for number, at in members.items():
        seen.add_metric([str(number)], float(at))
    yield seen


def answering(told: Mapping[str, str]) -> Metric:
    """Of each process whether it said anything."""
    family = _gauge("senogate_process_answers", "process")
    for name, said in told.items():
        family.add_metric([name], 1 if said else 0)
    return family


def asking(seconds: float) -> Metric:
    """How long the site took to answer."""
    return _one("senogate_scrape_site_seconds", seconds)
