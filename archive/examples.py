"""What the index tells of the studies that a site may learn from: whose they are, what they hold, who is left out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

from archive.dicom_json import BASE
from archive.pool import queries

Address = tuple[str, str, str]
"""Study, Series and SOP Instance UID."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A study and its patient. `person` is the same for her Patient ID with an issuer and without.

    `fingerprint` changes where an instance comes, goes or is replaced.
    """

    study_instance_uid: str
    patient_id: str
    person: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Held:
    """An instance as the index has it; `header` is its DICOM JSON (PS3.18 annex F)."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    is_image: bool
    header: dict[str, Any]

    @property
    def address(self) -> Address:
        return self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid


def candidates(connection: psycopg.Connection, number: int) -> list[Candidate]:
    """The studies of a dataset or version by its number, of all for 0, in the order of their UIDs; none withheld."""
    rows = connection.execute(_of("candidates", number), {"number": number})
    return [Candidate(*row) for row in rows]


def left_out(connection: psycopg.Connection, number: int) -> list[str]:
    """Whose studies in the dataset are withheld."""
    return [person for (person,) in connection.execute(_of("left_out", number), {"number": number})]


def instances(
    connection: psycopg.Connection, studies: Sequence[str], reports: Sequence[str]
) -> dict[str, list[Held]]:
    """The mammograms of these studies, and their instances of the SOP classes `reports`."""
    values = {"studies": list(studies), "reports": list(reports)}
    found: dict[str, list[Held]] = {study: [] for study in studies}
    for study, series, uid, is_image, metadata in connection.execute(
        queries("examples.sql")["instances"], values
    ):
        header = json.loads(bytes(metadata).replace(BASE.encode(), b""))
        found[study].append(Held(study, series, uid, is_image, header))
    return found


def _of(name: str, number: int) -> LiteralString:
    sql = queries("examples.sql")
    return sql[name].format(person=sql["person"], dataset=sql["of_dataset" if number else "of_everything"])
