"""Labels that a steward imported, in PostgreSQL: a study's density, assessment, lesions, and cancer.

They go with their study: withheld with it, and erased with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from archive import audit
from archive.audit import Event
from archive.errors import NotFound
from archive.label_file import Known, Lesion
from archive.pool import queries


@dataclass(frozen=True, slots=True)
class Sought:
    """How a study is looked for, by pseudonyms; `patients` are (patient, date) pairs, the date as it was shifted."""

    study_instance_uid: str = ""
    patients: tuple[tuple[str, str], ...] | None = None
    study_date: str = ""
    accession_number: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A study with a label. `lesions` is their number, None where they are not told."""

    study_instance_uid: str
    density: str | None
    lesions: int | None
    assessment: str | None
    cancer: bool | None
    number: int
    imported_at: datetime
    imported_by: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"imported_at": self.imported_at.isoformat()}


def find_study(connection: psycopg.Connection, sought: Sought) -> str:
    """The only study that is meant. Raises NotFound where there is none, or more than one; a withheld one is none."""
    pairs = sought.patients
    values = {
        "study": sought.study_instance_uid,
        "patients": None if pairs is None else [patient for patient, _ in pairs],
        "dates": None if pairs is None else [date for _, date in pairs],
        "date": sought.study_date,
        "accession": sought.accession_number,
    }
    found = connection.execute(queries("labels.sql")["study"], values).fetchall()
    if len(found) != 1:
        raise NotFound("names several studies: say more" if found else "names no study that is here")
    return str(found[0][0])


def store(connection: psycopg.Connection, labels: Mapping[str, Known], *, sha256: str, by: str) -> int:
    """Keep the labels of studies, all or none, and put that on record; the number of the import.

    What is told of a study takes the place of what an earlier import told of it.
    """
    sql = queries("labels.sql")
    with connection.transaction():
        connection.execute("set local synchronous_commit = on")
        ((number,),) = connection.execute(sql["begin"], {"sha256": sha256, "by": by}).fetchall()
        rows = [
            {"study": study, "what": what, "value": Jsonb(value), "import": number}
            for study, known in sorted(labels.items())
            for what, value in _values(known)
        ]
        with connection.cursor() as cursor:
            cursor.executemany(sql["add"], rows)
        detail = {"change": "imported", "import": number, "studies": len(labels), "sha256": sha256}
        audit.write(connection, Event.LABELS_CHANGED, subject=by, detail=detail)
    return int(number)


def list_labels(connection: psycopg.Connection) -> list[Listed]:
    """Every study with a label, the first imported first; withheld ones are not told."""
    return [Listed(*row) for row in connection.execute(queries("labels.sql")["list"])]


def remove(
    connection: psycopg.Connection, studies: Sequence[str] | None, number: int | None, *, by: str
) -> int:
    """Forget the labels of these studies, of all for None; or of one import. How many studies' parts went.

    Raises NotFound where there are none.
    """
    with connection.transaction():
        values = {"studies": None if studies is None else list(studies), "import": number}
        gone = connection.execute(queries("labels.sql")["remove"], values).rowcount
        if not gone:
            raise NotFound("there is no such label")
        audit.write(
            connection, Event.LABELS_CHANGED, subject=by, detail={"change": "removed", "labels": gone}
        )
    return gone


def of_studies(connection: psycopg.Connection, studies: Sequence[str]) -> dict[str, Known]:
    """The labels of those of the studies that have any."""
    told: dict[str, dict[str, Any]] = {}
    rows = connection.execute(queries("labels.sql")["of_studies"], {"studies": list(studies)})
    for study, what, value in rows:
        told.setdefault(study, {})[what] = value
    return {study: _known(parts) for study, parts in told.items()}


def _values(known: Known) -> list[tuple[str, Any]]:
    parts: list[tuple[str, Any]] = []
    if known.density is not None:
        parts.append(("density", known.density))
    if known.assessment is not None:
        parts.append(("assessment", known.assessment))
    if known.cancer is not None:
        parts.append(("cancer", known.cancer))
    if known.lesions is not None:
        parts.append(("lesions", [asdict(one) for one in known.lesions]))
    return parts


def _known(parts: Mapping[str, Any]) -> Known:
    lesions = parts.get("lesions")
    told = None if lesions is None else tuple(map(_lesion, lesions))
    return Known(parts.get("density"), told, parts.get("assessment"), parts.get("cancer"))


def _lesion(value: Mapping[str, Any]) -> Lesion:
    side, projection = value["view"]
    left, top, right, bottom = value["box"]
    return Lesion((side, projection), value["kind"], (left, top, right, bottom))
