"""The way to one destination: what is due is sent in order, by one process of the site at a time.

What a process had begun when it ended is known by its row: its outcome is uncertain, and the destination is asked
whether it holds the instance before it is sent again under the same UID.
"""

import logging
import random
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import class_row
from pydicom.uid import UID

from archive import deliveries, measures
from archive.audit import WORKER, Outcome
from archive.deliveries import State, note_acknowledgement
from archive.destinations import Destination
from archive.errors import SenogateError, Unavailable
from archive.pool import autocommitting, queries
from archive.settings import Settings
from archive.tiers import Tiers
from deidentification.deidentify import Deidentifier, Refused
from inference.delivery.association import Answer, Association, Meaning
from inference.delivery.commitment import answering
from inference.delivery.described import content_of
from inference.delivery.errors import Undeliverable, Unreachable
from inference.delivery.opening import Crosswalk
from inference.delivery.reidentified import Edition, Reidentified, Study, own_uids
from inference.errors import ReadingFailed

FIRST_WAIT, LONGEST_WAIT = 2.0, 900.0  # seconds from an attempt that failed to the next, doubled each time
COMMITMENT_WAIT, LONGEST_COMMITMENT_WAIT = 60.0, 3600.0  # seconds until storage commitment is asked for again
_BATCH = 64  # results an association
_LOOK = 0.5  # seconds between two looks for what is due
_PAUSE = 5.0  # seconds after a part of the site did not answer
_UNUSABLE = (Undeliverable, ReadingFailed, Refused)
_log = logging.getLogger("senogate.delivery")


@dataclass(frozen=True, slots=True)
class Due:
    """A row of `delivery` that can be sent, and where its instance lies."""

    id: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    kind: str
    content: str
    version: str
    stored_version: str
    is_uncertain: bool
    wanted_at: datetime
    place: str
    of_several: bool


class _Read(NamedTuple):
    due: Due
    instance: bytes
    uids: set[str]


def wait_after(attempts: int, first: float = FIRST_WAIT, most: float = LONGEST_WAIT) -> float:
    """Seconds until the next try: doubled with each attempt up to a bound, drawn from the upper half of that."""
    return min(first * 2.0 ** min(attempts, 30), most) * random.uniform(0.5, 1)  # noqa: S311 - no secret


class Lane:
    """Delivers to one destination until `ended` is set. Run it in a thread of its own."""

    def __init__(
        self,
        settings: Settings,
        deidentifier: Deidentifier,
        destination: Destination,
        ended: threading.Event,
    ) -> None:
        self._settings, self._tiers = settings, Tiers.of(settings)
        self._deidentifier = deidentifier
        self._crosswalk = Crosswalk(settings)
        self._destination = destination
        self._ended = ended
        self._reports = answering(settings, deidentifier.pseudonyms)
        self._sql = queries("delivery.sql")
        self._association: Association | None = None

    def abort(self) -> None:
        """End the association that is under way, from another thread."""
        if self._association:
            self._association.abort()

    def run(self) -> None:
        """Deliver what is due, and wait for more."""
        while not self._ended.is_set():
            try:
                self._run_connected()
            except (SenogateError, psycopg.Error, OSError) as error:
                _log.warning("deliveries to %s pause (%s)", self._destination.name, type(error).__name__)
            except Exception as error:  # noqa: BLE001 - its text, or a traceback, could quote an identity
                _log.error("deliveries to %s pause (%s)", self._destination.name, type(error).__name__)
            self._ended.wait(_PAUSE)

    def _run_connected(self) -> None:
        with autocommitting(self._settings.database_url) as connection:
            name = {"destination": self._destination.name}
            while not self._ended.is_set():
                ((alone,),) = connection.execute(self._sql["deliver_alone"], name).fetchall()
                if alone:
                    break
                self._ended.wait(_LOOK)
            note_acknowledgement(connection, self._settings, by=WORKER)
            connection.execute(self._sql["note_interrupted"], name)
            while not self._ended.is_set():
                if not self._step(connection):
                    self._ended.wait(_LOOK)

    def _step(self, connection: psycopg.Connection) -> bool:
        """Deliver a batch of what is due; whether there was anything."""
        if not self._crosswalk.can_open():
            return False
        due, uncommitted = self._due(connection), self._due_commitments(connection)
        if not due and not uncommitted:
            return False
        classes = {each.sop_class_uid for each in due}
        try:
            with Association(self._destination, classes, self._reports) as association:
                self._association = association
                self._send(connection, association, due)
                self._ask_commitment(connection, association)
        except Unreachable as error:
            self._put_off(connection, str(error))
        return True

    def _due(self, connection: psycopg.Connection) -> list[Due]:
        with connection.cursor(row_factory=class_row(Due)) as cursor:
            values = {"destination": self._destination.name, "limit": _BATCH}
            return cursor.execute(self._sql["due"], values).fetchall()

    def _due_commitments(self, connection: psycopg.Connection) -> list[Any]:
        if not self._destination.commitment:
            return []
        values = {"destination": self._destination.name, "limit": _BATCH}
        return connection.execute(self._sql["due_commitments"], values).fetchall()

    def _put_off(self, connection: psycopg.Connection, reason: str, ids: Sequence[int] | None = None) -> None:
        """Nothing of what is due could be sent, or nothing of `ids`."""
        values = {"destination": self._destination.name, "reason": reason, "ids": ids and list(ids)}
        waits = {"waits": wait_after(0), "most": LONGEST_WAIT * random.uniform(0.5, 1)}  # noqa: S311
        connection.execute(self._sql["put_off"], values | waits)
        if not ids:
            rows = self._due_commitments(connection)
            wait = wait_after(
                min((row[5] for row in rows), default=0), COMMITMENT_WAIT, LONGEST_COMMITMENT_WAIT
            )
            again = {"ids": [row[0] for row in rows], "reason": reason, "wait": wait}
            connection.execute(self._sql["put_off_commitments"], again)
        _log.info("deliveries to %s wait: %s", self._destination.name, reason)

    def _send(self, connection: psycopg.Connection, association: Association, due: Sequence[Due]) -> None:
        """Send results study by study; the crosswalk is opened once for those of one study."""
        by_study: dict[str, list[Due]] = {}
        for each in due:
            by_study.setdefault(each.study_instance_uid, []).append(each)
        for study, of_study in by_study.items():
            read = [each for each in (self._read(connection, one) for one in of_study) if each]
            if read and self._may_go_on(association):
                self._send_study(connection, association, study, read)

    def _may_go_on(self, association: Association) -> bool:
        return association.is_established and not self._ended.is_set()

    def _send_study(
        self, connection: psycopg.Connection, association: Association, study: str, read: Sequence[_Read]
    ) -> None:
        uids = set().union(*(each.uids for each in read))
        try:
            whose = self._crosswalk.open(connection, study, uids, self._destination.name)
        except Undeliverable as error:
            for each in read:
                self._refuse(connection, each.due, error)
            return
        versions = self._versions(connection, uids - whose.originals.keys())
        for each in read:
            if self._may_go_on(association):
                try:
                    self._deliver(connection, association, each, whose, versions)
                except _UNUSABLE as error:
                    self._refuse(connection, each.due, error)

    def _read(self, connection: psycopg.Connection, due: Due) -> _Read | None:
        """The instance as it is stored here, if it is proven and the very one that is wanted."""
        try:
            instance = self._tiers.read(due.place)
            if due.of_several:
                raise Undeliverable("its study is of several patients")
            if not self._deidentifier.carries_whole_proof(instance):
                raise Undeliverable("the stored instance carries no valid proof that it was made here")
            if content_of(instance) == due.content:
                return _Read(due, instance, own_uids(instance, self._deidentifier.pseudonyms))
            self._put_off(connection, "another reading is taking its place", [due.id])
        except FileNotFoundError:
            self._put_off(connection, "its file is not there", [due.id])
        except Unavailable as error:
            self._put_off(connection, str(error), [due.id])
        except _UNUSABLE as error:
            self._refuse(connection, due, error)
        return None

    def _versions(self, connection: psycopg.Connection, uids: set[str]) -> dict[str, str]:
        """Of other results that a result names, those that the destination has or will have."""
        values = {"destination": self._destination.name, "uids": sorted(uids)}
        return dict(connection.execute(self._sql["versions"], values).fetchall())

    def _deliver(
        self,
        connection: psycopg.Connection,
        association: Association,
        read: _Read,
        whose: Study,
        versions: Mapping[str, str],
    ) -> None:
        """Begin, which is committed, then send; what ends this process in between leaves an uncertain row."""
        due = read.due
        row = connection.execute(self._sql["begin"], {"id": due.id, "content": due.content}).fetchone()
        if row is None:
            return
        edition = Edition(due.version, due.wanted_at, due.stored_version)
        result = Reidentified(read.instance, whose, edition, versions, self._deidentifier.pseudonyms)
        try:
            held = due.is_uncertain and association.holds(result)
            answer = _HELD if held else association.store(result)
        except Unreachable as error:
            answer = Answer(Meaning.UNKNOWN, None, str(error))
        self._finish(connection, due, int(row[0]), answer)

    def _finish(self, connection: psycopg.Connection, due: Due, attempts: int, answer: Answer) -> None:
        is_stored = answer.meaning is Meaning.STORED
        values: dict[str, Any] = {
            "id": due.id,
            "version": due.version,
            "state": _STATES[answer.meaning],
            "wait": self._wait(answer, attempts),
            "is_uncertain": answer.meaning is Meaning.UNKNOWN,
            "status": answer.status,
            "reason": answer.reason,
            "is_stored": is_stored,
        }
        detail: dict[str, str | int] = {
            "destination": self._destination.name,
            "sop_instance_uid": due.sop_instance_uid,
            "kind": due.kind,
            "attempt": attempts,
            "state": answer.meaning.value,
            "status": "" if answer.status is None else f"0x{answer.status:04X}",
        }
        with connection.transaction():
            connection.execute(self._sql["finish"], values)
            outcome = _OUTCOMES[answer.meaning]
            deliveries.record(connection, outcome, due.study_instance_uid, detail, by=WORKER)
        measures.DELIVERIES.labels(self._destination.name, answer.meaning.value).inc()
        _log.info("a result (%s) for %s: %s", due.kind, self._destination.name, answer.meaning.value)

    def _wait(self, answer: Answer, attempts: int) -> float | None:
        if answer.meaning in (Meaning.LATER, Meaning.UNKNOWN):
            return wait_after(attempts - 1)
        return 0.0 if answer.meaning is Meaning.STORED and self._destination.commitment else None

    def _refuse(self, connection: psycopg.Connection, due: Due, error: Exception) -> None:
        """It will not be sent as it is: a person has to look."""
        values = {"id": due.id, "content": due.content, "reason": str(error)}
        with connection.transaction():
            if connection.execute(self._sql["refuse"], values).rowcount:
                detail = {
                    "destination": self._destination.name,
                    "sop_instance_uid": due.sop_instance_uid,
                    "kind": due.kind,
                    "state": State.REFUSED.value,
                }
                deliveries.record(connection, Outcome.REFUSED, due.study_instance_uid, detail, by=WORKER)
        measures.DELIVERIES.labels(self._destination.name, Meaning.REFUSED.value).inc()
        _log.warning("a result (%s) for %s is refused: %s", due.kind, self._destination.name, error)

    def _ask_commitment(self, connection: psycopg.Connection, association: Association) -> None:
        """Ask for storage commitment of what is stored."""
        rows = self._due_commitments(connection)
        if not rows or not association.is_established:
            return
        ids = [row[0] for row in rows]
        if not association.offers_commitment:
            connection.execute(self._sql["without_commitment"], {"ids": ids})
            return
        transaction = str(UID(f"2.25.{uuid.uuid4().int}"))
        wait = wait_after(min(row[5] for row in rows), COMMITMENT_WAIT, LONGEST_COMMITMENT_WAIT)
        values = {"ids": ids, "transaction_uid": transaction, "wait": wait}
        connection.execute(self._sql["ask_commitment"], values)
        uid = self._deidentifier.pseudonyms.outward_uid
        asked = [(row[3], uid(row[2], row[4])) for row in rows]
        if not association.ask_commitment(transaction, asked):
            again = {"ids": ids, "reason": "the destination did not take the request to commit", "wait": wait}
            connection.execute(self._sql["put_off_commitments"], again)
        elif not self._settings.commitment_port:
            self._await_answer(connection, association, transaction)

    def _await_answer(
        self, connection: psycopg.Connection, association: Association, transaction: str
    ) -> None:
        """Keep the association for the answer, which has no other way to come."""
        for _ in range(int(self._destination.timeout / _LOOK)):
            values = {"transaction_uid": transaction}
            waiting = connection.execute(self._sql["of_transaction"], values).fetchall()
            if not waiting or not association.is_established or self._ended.wait(_LOOK):
                return


_HELD = Answer(Meaning.STORED, None, "the destination held it already")
_STATES: Mapping[Meaning, State] = {
    Meaning.STORED: State.STORED,
    Meaning.LATER: State.WAITING,
    Meaning.UNKNOWN: State.WAITING,
    Meaning.REFUSED: State.REFUSED,
}
_OUTCOMES: Mapping[Meaning, Outcome] = {
    Meaning.STORED: Outcome.SUCCESS,
    Meaning.LATER: Outcome.FAILED,
    Meaning.UNKNOWN: Outcome.UNAVAILABLE,
    Meaning.REFUSED: Outcome.REFUSED,
}
