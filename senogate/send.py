"""`senogate send`: what is sent, what was refused and why, and what the site made of it."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import psycopg

from archive.errors import ConfigurationError, Unavailable
from archive.orthanc import Orthanc
from archive.pool import autocommitting, connect, queries
from archive.settings import Settings
from archive.spool import OPEN, State
from deidentification.deidentify import Deidentifier, Refused
from deidentification.profile import Profile
from senogate import scu
from senogate.site_keys import keys_of


@dataclass(frozen=True)
class Reading:
    """The state of a study's reading for one task."""

    task: str
    state: str
    model: str = ""
    reason: str = ""
    findings: str | None = None
    result_sop_instance_uid: str = ""


@dataclass(frozen=True)
class Held:
    """An instance that the site took and holds sealed, until its pixels are cleaned or a person decides."""

    path: Path
    sop_instance_uid: str
    id: str
    state: State
    reason: str

    def to_json(self) -> dict[str, str]:
        return {field.name: str(getattr(self, field.name)) for field in fields(self)}


@dataclass(frozen=True)
class Result:
    """The outcome of a sending. `studies` maps the pseudonymous Study Instance UIDs to what is known of each.

    What is `held` was accepted, and so counts as sent. What is `skipped` plainly is no DICOM.
    """

    outcomes: list[scu.Outcome]
    held: list[Held] = field(default_factory=list)
    studies: dict[str, Reading | None] = field(default_factory=dict)

    @property
    def refused(self) -> list[scu.Outcome]:
        return [each for each in self.outcomes if not each.is_stored and not each.item.is_other]

    @property
    def skipped(self) -> list[scu.Outcome]:
        return [each for each in self.outcomes if each.item.is_other]

    @property
    def sent(self) -> int:
        return sum(outcome.is_stored for outcome in self.outcomes)

    @property
    def is_complete(self) -> bool:
        return not self.refused and (self.sent > 0 or not self.skipped)

    def to_json(self) -> dict[str, object]:
        return {
            "sent": self.sent,
            "refused": [
                {"path": str(each.item.path), "status": each.status, "reason": each.reason}
                for each in self.refused
            ],
            "skipped": [str(each.item.path) for each in self.skipped],
            "held": [each.to_json() for each in self.held],
            "studies": [
                {"study_instance_uid": uid, "reading": _to_json(reading)}
                for uid, reading in self.studies.items()
            ],
        }

    def to_text(self) -> str:
        lines = [f"{self.sent} instances sent, {len(self.refused)} refused"]
        lines += [f"  refused {each.item.path}: {each.reason}" for each in self.refused]
        lines += [f"  skipped {each.item.path}: {each.reason}" for each in self.skipped]
        lines += [f"  held {each.path}: {each.state} ({each.reason}), {each.id}" for each in self.held]
        lines += [f"  study {uid}{_say(reading)}" for uid, reading in self.studies.items()]
        return "\n".join(lines)


class Sending:
    """One call of `senogate send`."""

    def __init__(self, settings: Settings, paths: list[Path], associations: int = 4) -> None:
        self._settings = settings
        self._associations = associations
        self.items = scu.find_items(paths)

    def run(self, advance: Callable[[], object] = lambda: None) -> Result:
        """Send every item; `advance` is called after each."""
        outcomes: list[scu.Outcome] = []
        lock = threading.Lock()

        def note(outcome: scu.Outcome) -> None:
            with lock:
                outcomes.append(outcome)
                advance()

        receiver = scu.Receiver(
            self._settings.dicom_host, self._settings.dicom_port, self._settings.dicom_aet
        )
        scu.send(self.items, receiver, self._associations, note)
        deidentifier = self._deidentifier()
        explained = [replace(each, reason=_explain(each, deidentifier)) for each in outcomes]
        explained.sort(key=lambda each: each.item.path)
        stored = [each.item for each in explained if each.is_stored]
        return Result(
            explained,
            self._held_now(explained, deidentifier),
            dict.fromkeys(_pseudonymous(stored, deidentifier)),
        )

    def wait(self, result: Result, timeout: float) -> Result:
        """Wait until what was accepted is cleaned, indexed and read, or left to a person.

        What was sent before is indexed again, so the index has to reach the end that Orthanc's log has by then. Raises
        ConfigurationError without the site's keys, and Unavailable when that takes longer than `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        pause = threading.Event()
        deidentifier = self._deidentifier()
        if deidentifier is None:
            raise ConfigurationError("--wait needs the site's own keys: run it where the site's home is")
        wanted = {uid: sorted(uids) for uid, uids in self._wanted(result, deidentifier).items()}
        log_end: int | None = None
        with autocommitting(self._settings.database_url) as connection:
            while True:
                held = _held(connection, result.outcomes, deidentifier)
                if log_end is None and all(each.state == State.QUARANTINED for each in held):
                    log_end = self._log_end()
                is_followed = log_end is not None and _position(connection) >= log_end
                kept = {each.sop_instance_uid for each in held}
                states = {
                    uid: _state(connection, uid, [each for each in instances if each not in kept])
                    for uid, instances in wanted.items()
                }
                if is_followed and all(done for done, _ in states.values()):
                    readings = {uid: reading for uid, (_, reading) in states.items()}
                    return replace(result, held=held, studies=readings)
                if time.monotonic() > deadline:
                    raise Unavailable(
                        f"not everything is cleaned and read after {timeout:.0f} s; `senogate status` tells more"
                    )
                pause.wait(0.2)

    def _log_end(self) -> int | None:
        """The end of Orthanc's log now; None while Orthanc does not answer."""
        with closing(Orthanc(self._settings)) as orthanc, suppress(Unavailable):
            return orthanc.last_change()
        return None

    def _held_now(self, outcomes: list[scu.Outcome], deidentifier: Deidentifier | None) -> list[Held]:
        """What the site's database says is held; nothing where this process can't ask it."""
        if deidentifier is None:
            return []
        try:
            with connect(self._settings.database_url, autocommit=True) as connection:
                return _held(connection, outcomes, deidentifier)
        except Unavailable:
            return []

    def _wanted(self, result: Result, deidentifier: Deidentifier) -> dict[str, set[str]]:
        """The pseudonymous instances that must be in the index, by study."""
        wanted: dict[str, set[str]] = {uid: set() for uid in result.studies}
        for outcome in result.outcomes:
            if outcome.is_stored:
                study = deidentifier.uid(outcome.item.study_instance_uid)
                wanted[study].add(deidentifier.uid(outcome.item.sop_instance_uid))
        return wanted

    def _deidentifier(self) -> Deidentifier | None:
        """What the site's door works with, where this process may read its keys."""
        try:
            keys = keys_of(self._settings)
        except ConfigurationError:
            return None
        return Deidentifier(keys, Profile.load(self._settings.profile))


def _pseudonymous(items: list[scu.Item], deidentifier: Deidentifier | None) -> list[str]:
    if deidentifier is None:
        return []
    return list(dict.fromkeys(deidentifier.uid(item.study_instance_uid) for item in items))


def _held(
    connection: psycopg.Connection, outcomes: list[scu.Outcome], deidentifier: Deidentifier
) -> list[Held]:
    """Of what was accepted, what lies in the spool."""
    paths = {
        deidentifier.uid(each.item.sop_instance_uid): each.item.path for each in outcomes if each.is_stored
    }
    rows = connection.execute(queries("spool.sql")["of_instances"], {"instances": list(paths)})
    found = [Held(paths[row[0]], row[0], row[1], State(row[2]), row[3]) for row in rows]
    return [each for each in found if each.state in OPEN]


def _explain(outcome: scu.Outcome, deidentifier: Deidentifier | None) -> str:
    """The door's own reason for a refusal, found by asking the same code, else the status in words."""
    if deidentifier is None or outcome.status is None or outcome.is_stored:
        return outcome.reason
    try:
        deidentifier.deidentify(outcome.item.path.read_bytes())
    except Refused as refused:
        return str(refused)
    return outcome.reason


def _position(connection: psycopg.Connection) -> int:
    """How far the index has followed Orthanc's log."""
    (position,) = connection.execute(queries("index.sql")["position"]).fetchone() or (0,)
    return position


def _state(connection, study: str, instances: list[str]) -> tuple[bool, Reading | None]:
    """Whether the study is indexed and read, and its density reading if it has one."""
    sql = queries("reading.sql")
    missing, unread = connection.execute(sql["progress"], {"study": study, "instances": instances}).fetchone()
    if missing or unread:
        return False, None
    row = connection.execute(sql["of_study"], {"study_instance_uid": study, "task": "density"}).fetchone()
    if row is None:
        return True, None
    state, model, reason, findings, result = row
    return True, Reading("density", state, model or "", reason or "", findings, result or "")


def _to_json(reading: Reading | None) -> dict[str, object] | None:
    return vars(reading) | {"findings": json.loads(reading.findings or "null")} if reading else None


def _say(reading: Reading | None) -> str:
    if reading is None:
        return ""
    return f": {reading.task} {reading.state}{f' ({reading.reason})' if reading.reason else ''}"
