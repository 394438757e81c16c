"""One reading: what is due → the model process → findings → report, through the door, into the study, and the log."""

import hashlib
import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Json, Jsonb
from pydicom import Dataset

from archive import deliveries, measures, notices
from archive.audit import WORKER, Event, Outcome, write
from archive.erasure import storing
from archive.errors import SenogateError, Unavailable
from archive.findings import Findings, NotApplicable, Task, from_json, to_json
from archive.orthanc import Orthanc
from archive.pool import autocommitting, queries
from archive.readings import CHANGED, Wanted, announce
from archive.settings import Settings
from archive.spans import Nowhere, Spans, spanning
from archive.tiers import Tiers
from archive.trace_context import parse
from deidentification.deidentify import Deidentifier
from deidentification.pseudonym import Pseudonyms
from inference import installed
from inference.delivery.described import describe
from inference.errors import KeyFileError, ModelProcessEnded, PackageError, ReadingFailed
from inference.execution.host import Host
from inference.execution.messages import Reply
from inference.instance import read_dataset
from inference.package import Package
from inference.results.document import series_uids
from inference.results.writers import needs_pixels
from inference.results.writers import write as write_results

MOST_ATTEMPTS = 3  # of one reading; one that ends its process each time is then set aside with its reason
_NO_OUTCOME = dict.fromkeys(("model", "reason", "findings", "result_sop_instance_uid"))
_log = logging.getLogger("senogate.reader")


@dataclass(frozen=True, slots=True)
class Due:
    """A reading as its row names it: what of which study is read, and whether in the shadow of another."""

    study_instance_uid: str
    task: Task
    modality: str = "MG"
    shadow: bool = False

    @property
    def key(self) -> dict[str, Any]:
        return asdict(self) | {"task": str(self.task)}


@dataclass(frozen=True, slots=True)
class _Read:
    """What came of a reading, for its row, and of what the log tells: the package, the reply, when it began."""

    outcome: dict[str, Any]
    began_at: datetime
    seconds: float
    package: Package | None = None
    reply: Reply = Reply(0)  # noqa: RUF009 - frozen
    made: "_Made | None" = None


@dataclass(frozen=True, slots=True)
class _Made:
    """The instances that report a reading, the report first, and the series that all of its model lie in."""

    results: Sequence[deliveries.Result]
    series: Sequence[str]


class Reader:
    """Does readings, any number at once, all in one model process (`host`)."""

    def __init__(
        self,
        settings: Settings,
        deidentifier: Deidentifier,
        pseudonyms: Pseudonyms,
        host: Host,
        spans: Spans | None = None,
    ) -> None:
        self._spans = spans or Nowhere()
        self._settings, self._tiers = settings, Tiers.of(settings)
        self._deidentifier = deidentifier
        self._pseudonyms = pseudonyms
        self._host = host
        self._sql = queries("reading.sql")

    def is_proven(self, descriptor: int) -> bool:
        """Whether an open file carries a valid proof of this site."""
        return self._deidentifier.is_proven(descriptor)

    def wanted(self) -> list[Wanted]:
        """What the site has models enabled for. Raises Unavailable where that can't be told."""
        try:
            return [slot.reading for slot in installed.wanted(self._settings.home)]
        except (PackageError, KeyFileError) as error:
            raise Unavailable(str(error)) from error

    def prepare(self) -> None:
        """Have models ready to run, where one is enabled: a reading is likely soon. Raises Unavailable."""
        if self.wanted():
            self._host.prepare()

    def read(self, due: Due) -> None:
        """Do a reading that is due; one that is not is left alone.

        Raises Unavailable where a part of the site does not answer: it is still due, and that was no attempt; and
        ModelProcessEnded where it came to no end: it is still due, unless that was its last attempt.
        """
        with autocommitting(self._settings.database_url) as connection:
            begun = connection.execute(self._sql["begin"], due.key).fetchone()
            if begun is None:
                return
            announce(connection, CHANGED)
            attempts, fingerprint, reason, trace = begun
            key = due.key | {"fingerprint": fingerprint}
            traced = spanning(
                self._spans, "read", parse(trace or ""), task=str(due.task), modality=due.modality
            )
            try:
                with traced:
                    read = self._read(connection, due, attempts, reason)
            except Unavailable:
                connection.execute(self._sql["give_back"], key)
                raise
            except ModelProcessEnded as error:
                connection.execute(self._sql["note_end"], key | {"reason": str(error)})
                raise
            if read is None:
                connection.execute(self._sql["give_back"], key)
                return
            with connection.transaction():
                connection.execute(self._sql["finish"], _NO_OUTCOME | read.outcome | key)
                _record(connection, self._sql["log"], due, fingerprint, read)
                if read.made:
                    self._want_delivery(connection, due, read.made)
                notices.want(connection, key, read.outcome["state"])
                connection.execute(self._sql["announce_end"], key)
            _count(due, read)
            _log.info("a reading of %s on %s ended: %s", due.task, due.modality, read.outcome["state"])

    def _want_delivery(self, connection: psycopg.Connection, due: Due, made: _Made) -> None:
        deliveries.want(
            connection,
            self._settings.destinations,
            due.study_instance_uid,
            made.results,
            series=made.series,
        )

    def _read(
        self, connection: psycopg.Connection, due: Due, attempts: int, last: str | None
    ) -> _Read | None:
        """A failure of the model or of an instance is an outcome too.

        None where it can't be done now: the study is withheld meanwhile, or what the model reads is still to be read.
        """
        began_at, begun = datetime.now(UTC), time.monotonic()
        package, reply = None, Reply(0)
        outcome: dict[str, Any] | None
        made = None
        try:
            if attempts > MOST_ATTEMPTS:
                raise ReadingFailed(_given_up(last))
            package = _package(self._settings.home, due)
            if package is None:
                return _Read(_not_enabled(due), began_at, 0.0)
            density = self._density(connection, due, package)
            if density is None:
                return None
            paths = self._paths(connection, due)
            reply = self._host.read(
                str(package.folder), list(map(str, paths)), density=density, alone=attempts > 1
            )
            outcome, made = self._keep(connection, due, package, _answer(reply), paths)
        except (Unavailable, ModelProcessEnded):
            raise
        except SenogateError as error:
            outcome = {"state": "failed", "reason": str(error)}
        seconds = time.monotonic() - begun
        return None if outcome is None else _Read(outcome, began_at, seconds, package, reply, made)

    def _paths(self, connection: psycopg.Connection, due: Due) -> list[Path]:
        rows = connection.execute(self._sql["images"], due.key)
        return [self._tiers.path(place) for (place,) in rows]

    def _density(self, connection: psycopg.Connection, due: Due, package: Package) -> str | None:
        """What a model is told of the study's density, where it reads that; None while that is still to be read."""
        if "density" not in package.passport.inputs.features:
            return ""
        key = {"study_instance_uid": due.study_instance_uid, "task": str(Task.DENSITY)}
        state, _, _, findings, _ = connection.execute(self._sql["of_study"], key).fetchone() or [""] * 5
        return None if state == "due" else (findings or "") if state == "done" else ""

    def _keep(
        self,
        connection: psycopg.Connection,
        due: Due,
        package: Package,
        answer: Findings | NotApplicable,
        paths: Sequence[Path],
    ) -> tuple[dict[str, Any] | None, _Made | None]:
        """The columns of the reading's row; findings are reported in the study, unless they are a shadow's."""
        model = f"{package.model.title} {package.model.version}"
        if isinstance(answer, NotApplicable):
            return {"state": "not-applicable", "model": model, "reason": answer.reason}, None
        outcome = {"state": "done", "model": model, "findings": Json(to_json(answer), dumps=str)}
        if due.shadow:
            return outcome, None
        with storing(connection, due.study_instance_uid) as allowed:
            if not allowed:
                return None, None
            uid, made = self._report(connection, answer, paths)
            return outcome | {"result_sop_instance_uid": uid}, made

    def _report(
        self, connection: psycopg.Connection, findings: Findings, paths: Sequence[Path]
    ) -> tuple[str, _Made]:
        """Put the results into the study, by the door that everything enters by; the report first.

        What an earlier reading by the same model gave and this one does not is removed.
        """
        kinds = self._settings.results
        sources = _sources(paths, findings, pixels=needs_pixels(kinds))
        results = write_results(findings, sources, kinds, self._pseudonyms.uid)
        with closing(Orthanc(self._settings)) as orthanc:
            stored = [orthanc.store(self._deidentifier.prove(one)) for one in results]
            series = series_uids(findings, self._pseudonyms.uid)
            values = {"series": series, "stored": stored}
            for (superseded,) in connection.execute(self._sql["superseded"], values).fetchall():
                orthanc.delete(superseded)
            identifier, *_ = stored
            made = _Made([describe(one) for one in results], series)
            return orthanc.sop_instance_uid(identifier), made


def _package(home: Path, due: Due) -> Package | None:
    """The package that is enabled for it; None where none is. Raises PackageError where it must not run."""
    for slot in installed.wanted(home):
        if (slot.task, slot.modality, slot.shadow) == (due.task, due.modality, due.shadow):
            if slot.package is None:
                raise PackageError(slot.problem)
            return slot.package
    return None


def _not_enabled(due: Due) -> dict[str, Any]:
    return {"state": "not-applicable", "reason": f"no model is enabled for {due.task} on {due.modality}"}


def _answer(reply: Reply) -> Findings | NotApplicable:
    if reply.failure:
        raise ReadingFailed(reply.failure)
    return from_json(reply.answer)


def _given_up(last: str | None) -> str:
    return f"given up after {MOST_ATTEMPTS} readings that came to no end{f': {last}' if last else ''}"


def _count(due: Due, read: _Read) -> None:
    """For Prometheus."""
    task = str(due.task)
    measures.READINGS.labels(task, due.modality, str(read.outcome["state"])).inc()
    if read.package:
        measures.READING_SECONDS.labels(task, read.package.passport.identity.name).observe(read.seconds)


def _record(connection: psycopg.Connection, log: Any, due: Due, fingerprint: str, read: _Read) -> None:
    """What was read, by which model, and what came of it: what Regulation (EU) 2024/1689 article 12 asks for."""
    model = read.package.model if read.package else None
    row = {
        "state": read.outcome["state"],
        "reason": read.outcome.get("reason"),
        "model_name": model and model.name,
        "model_version": model and model.version,
        "model_sha256": model and model.sha256,
        "output_sha256": _sha256(read.reply.answer) if read.reply.answer else None,
        "device": read.reply.device or None,
    }
    whole = {"inputs": Jsonb(read.reply.inputs), "parts": Jsonb(read.reply.parts), "began_at": read.began_at}
    connection.execute(log, row | whole | due.key | {"fingerprint": fingerprint, "seconds": read.seconds})
    told = {name: value for name, value in row.items() if value and name != "reason"}
    write(
        connection,
        Event.INFERENCE_DONE,
        subject=WORKER,
        outcome=Outcome.FAILED if row["state"] == "failed" else Outcome.SUCCESS,
        study_instance_uid=due.study_instance_uid,
        detail=told
        | {
            "task": str(due.task),
            "modality": due.modality,
            "shadow": str(due.shadow).lower(),
            "fingerprint": fingerprint,
            "model": read.outcome.get("model") or "",
            "inputs_sha256": _sha256(
                "\n".join(f"{uid} {digest}" for uid, digest in sorted(read.reply.inputs.items()))
            ),
            "began_at": read.began_at.isoformat(),
            "milliseconds": round(read.seconds * 1000),
            "result_sop_instance_uid": read.outcome.get("result_sop_instance_uid") or "",
        },
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sources(paths: Sequence[Path], findings: Findings, *, pixels: bool) -> list[Dataset]:
    """The instances that were read, in the order in which the findings name them, with or without their pixels."""
    headers = [(path, read_dataset(path, pixels=False)) for path in paths]
    found = {header.SOPInstanceUID: (path, header) for path, header in headers}
    wanted = [found[source.sop_instance_uid] for source in findings.sources]
    return [read_dataset(path, pixels=True) if pixels else header for path, header in wanted]
