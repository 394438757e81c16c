"""Each exam is looked at once as it is: its headers, and what its files decode to. What was found is kept.

Whether a picture is here twice is asked of what was kept when a report is made, for it hangs on all other exams.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from archive.dicom_json import BASE
from archive.errors import NotFound, Unavailable
from archive.pixels.layout import DAMAGED
from archive.pool import queries
from archive.quality.checks import Check, Dimension, Finding, examine, read_finding
from archive.quality.pixels import MISSING, Looked, look_at
from archive.tiers import Tiers

TRIES = 3
"""How often an exam is begun that nobody comes to the end of."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exam:
    """What was found in a study; `checked_at` is None for one that was not looked at yet."""

    study_instance_uid: str
    findings: tuple[Finding, ...]
    checked_at: datetime | None

    @property
    def failed(self) -> frozenset[Dimension]:
        """The dimensions in which something was found."""
        return frozenset(one.check.dimension for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        return {
            "study_instance_uid": self.study_instance_uid,
            "checked_at": self.checked_at.isoformat(timespec="seconds") if self.checked_at else None,
            "findings": [one.to_json() | {"dimension": one.check.dimension} for one in self.findings],
        }


def look(connection: psycopg.Connection, tiers: Tiers, limit: int = 20) -> int:
    """Look at studies that are due, so many at most; their number. The connection commits each statement.

    Each is marked before, so that one whose files end the process is not the first again: after `TRIES` it is given up,
    and that is what was found in it. Its turn comes again when its images change. Raises Unavailable.
    """
    due = [study for (study,) in connection.execute(_sql("due"), {"limit": limit})]
    for study in due:
        ((tries,),) = connection.execute(_sql("begin"), {"study": study}).fetchall() or [(0,)]
        if tries > TRIES:
            _give_up(connection, study)
            continue
        try:
            check(connection, tiers, study)
        except (MemoryError, OSError) as error:
            connection.execute(_sql("end_try"))
            _log.warning("an exam can't be looked at now (%s)", type(error).__name__)
        except DAMAGED:
            _give_up(connection, study)
        except Unavailable:
            if not tiers.bucket:
                forgive(connection)
                raise
            connection.execute(_sql("put_off"))  # where the database answers: others may lie elsewhere
            _log.warning("an exam can't be looked at while the bucket does not answer")
    return len(due)


def _give_up(connection: psycopg.Connection, study: str) -> None:
    with connection.transaction():
        connection.execute(_sql("take"), {"study": study})
        found = Jsonb([Finding(Check.UNREADABLE, 1).to_json()])
        connection.execute(_sql("found"), {"study": study, "findings": found})
    _log.warning("an exam can't be looked at: its report says so")


def forgive(connection: psycopg.Connection) -> None:
    """Let a try that ends with the process, because that was asked to end, count for nothing."""
    connection.execute(_sql("forgive"))


def begin_anew(connection: psycopg.Connection) -> None:
    """Let tries that nobody ended count: the process that began them was killed."""
    connection.execute(_sql("end_try"))


def look_through(connection: psycopg.Connection, tiers: Tiers, studies: Sequence[str]) -> None:
    """Look at those of the studies that were never looked at."""
    connection.execute(_sql("all_due"), {"studies": list(studies)})
    while look(connection, tiers):
        pass


def check(connection: psycopg.Connection, tiers: Tiers, study: str) -> None:
    """Look at a study as it is now. Nothing is found in one that has gone. Raises Unavailable.

    Nothing is locked while files are decoded, which takes its time; what comes meanwhile makes the study due again.
    """
    for instance, place in connection.execute(_sql("files"), {"study": study}).fetchall():
        looked = _look_at(tiers, place)
        if looked.problem == MISSING and not _holds_any(tiers.storage):
            raise Unavailable("the folder of the images is empty or not there")
        row = {
            "instance": instance,
            "place": place,
            "pixels": looked.pixels,
            "problem": looked.problem or None,
        }
        connection.execute(_sql("looked"), row)
    with connection.transaction():
        connection.execute(_sql("take"), {"study": study})
        images = connection.execute(_sql("images"), {"study": study}).fetchall()
        headers = [json.loads(bytes(metadata).replace(BASE.encode(), b"")) for metadata, _ in images]
        found = [one.to_json() for one in examine(headers, datetime.now(UTC).date())]
        connection.execute(_sql("found"), {"study": study, "findings": Jsonb(found)})
        if not all(is_known for _, is_known in images):
            connection.execute(_sql("again"), {"study": study})


def _look_at(tiers: Tiers, place: str) -> Looked:
    try:
        looked = look_at(tiers.path(place))
        if looked.problem == MISSING and tiers.bucket:  # it may have moved there meanwhile
            looked = look_at(tiers.path(place))
        return looked
    except FileNotFoundError:
        return Looked(problem=MISSING)


def _holds_any(storage: str) -> bool:
    """Whether anything is stored there: a disk that is away leaves an empty folder, and no file of it is gone."""
    try:
        with os.scandir(storage) as found:
            return any(True for _ in found)
    except OSError:
        return False


def of_study(connection: psycopg.Connection, study: str) -> Exam:
    """What was found in a study. Raises NotFound for one that is not here, or is withheld."""
    for found in connection.execute(_sql("studies"), {"number": 0, "study": study}):
        return read_exam(*found)
    raise NotFound("no such study is here")


def of_dataset(connection: psycopg.Connection, number: int) -> Iterator[Exam]:
    """What was found in the studies of a dataset by its number, in all for 0; some at a time, for they may be many."""
    with connection.transaction(), connection.cursor("exams") as cursor:
        cursor.itersize = 2000
        cursor.execute(_sql("studies"), {"number": number, "study": None})
        for found in cursor:
            yield read_exam(*found)


def read_exam(uid: str, findings: Sequence[Mapping[str, Any]] | None, checked_at: datetime | None) -> Exam:
    """An exam as it is kept."""
    return Exam(uid, tuple(map(read_finding, findings or ())), checked_at)


def _sql(name: str) -> Any:
    return queries("quality.sql")[name]
