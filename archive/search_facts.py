"""Facts about studies that questions are answered from: small numbers in PostgreSQL, kept as studies change.

Triggers (`archive/schema/0030_search_facts.sql`) name the studies that something changed of; whoever is about to count
computes those anew first. So what changes a study waits for nothing, and no answer is of older facts than the question.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from archive.accepted import accepted, said_of
from archive.findings import Task
from archive.pool import queries
from archive.reported import REPORTS, Reported, newest

BATCH = 500  # studies whose facts are computed in one transaction
MANY = 20_000  # studies after whose facts PostgreSQL looks anew at how many rows there are of what
OLDEST = 149  # years; who is said to be older is of unknown age
# What the numbers of a column mean, by their place.
SEXES = ("unknown", "F", "M", "O")
VIEWS = ("", "incomplete", "complete")  # of mammograms, of which some studies have none
LATERALITIES = ("unknown", "L", "R", "B")
DENSITIES = ("unknown", "a", "b", "c", "d")
DIAGNOSES = ("unknown", "breast-cancer", "no-cancer")
# Findings are bits, those of each source behind those of the one before.
MASS, CALCIFICATIONS, OTHER, NONE = 1, 2, 4, 8
SOURCES = {"label": 0, "accepted": 4, "reading": 8}
_KINDS = {"mass": MASS, "calcifications": CALCIFICATIONS}
_MASSES, _CALCIFICATIONS = ("129788004", "4147007"), ("129769006", "309587003", "44771000")
_COLUMNS = {
    "study_instance_uid": "text",
    "patient": "bigint",
    "day": "integer",
    "age": "smallint",
    "sex": "smallint",
    "kinds": "text",
    "views": "smallint",
    "laterality": "smallint",
    "density": "smallint",
    "assessment": "smallint",
    "diagnosis": "smallint",
    "findings": "smallint",
}
_NAMES = ", ".join(_COLUMNS)
_ARRAYS = ", ".join(f"%({name})s::{kind}[]" for name, kind in _COLUMNS.items())


@dataclass(frozen=True, slots=True)
class _Told:
    """What is said of a study outside its index: by readers' reports, and by what readers accepted, as bits."""

    report: Reported
    accepted: int


def bring_up_to_date(connection: psycopg.Connection, *, most: int = 1_000_000) -> bool:
    """Compute the facts of what has changed before the call, about `most` studies at the most; whether none is left.

    What changes meanwhile is for the next call, so that it ends while studies come in. `connection` commits by itself.
    """
    sql = queries("search_facts.sql")
    for done in range(max(1, most // BATCH)):
        if done == MANY // BATCH:
            connection.execute(sql["gather_statistics"])
        if not _is_stale(connection):
            return True
        with connection.transaction():
            ((revision,),) = connection.execute(sql["next_revision"]).fetchall()
            taken = connection.execute(sql["take"], {"limit": BATCH}).fetchall()
            if taken:
                _compute(connection, revision, {study: is_member for study, is_member, _ in taken})
        if sum(number for *_, number in taken) < BATCH:
            return True
    return not _is_stale(connection)


def bring_studies_up_to_date(connection: psycopg.Connection, studies: Sequence[str]) -> None:
    """Compute the facts of these studies now: of those that have gone nothing is left. As `bring_up_to_date`."""
    sql = queries("search_facts.sql")
    with connection.transaction():
        ((revision,),) = connection.execute(sql["next_revision"]).fetchall()
        connection.execute(sql["take_studies"], {"studies": list(studies)})
        _compute(connection, revision, dict.fromkeys(studies, True))


def begin_anew(connection: psycopg.Connection) -> None:
    """Have all facts computed again."""
    connection.execute(queries("search_facts.sql")["all_stale"])


def _is_stale(connection: psycopg.Connection) -> bool:
    ((is_stale,),) = connection.execute(queries("search_facts.sql")["is_stale"]).fetchall()
    return bool(is_stale)


def _compute(connection: psycopg.Connection, revision: int, changed: Mapping[str, bool]) -> None:
    """Compute the facts of these studies, and the rounds of their patients; of members, tell that they changed."""
    sql = queries("search_facts.sql")
    studies = {"studies": list(changed)}
    before = connection.execute(sql["patients"], studies).fetchall()
    told = _outside(connection, list(changed))
    rows = [_row(values, told) for values in connection.execute(sql["compute"], studies).fetchall()]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in _COLUMNS}
    columns |= {"revision": revision, "members": [study for study, is_member in changed.items() if is_member]}
    connection.execute(sql["keep_kinds"], columns)
    for name in ("update", "insert"):
        connection.execute(sql[name].format(columns=_ARRAYS, names=_NAMES).encode(), columns)
    gone = {"gone": sorted(changed.keys() - set(columns["study_instance_uid"])), "revision": revision}
    connection.execute(sql["empty"], gone)
    patients = {patient for (patient,) in before} | set(columns["patient"])
    connection.execute(sql["count_rounds"], {"patients": sorted(patients), "revision": revision})


def _outside(connection: psycopg.Connection, studies: Sequence[str]) -> dict[str, _Told]:
    values = {"studies": studies, "classes": list(REPORTS)}
    reports: dict[str, list[bytes]] = {}
    for study, metadata in connection.execute(queries("search_facts.sql")["reports"], values):
        reports.setdefault(study, []).append(metadata)
    said = said_of(connection, studies, Task.LESIONS)
    found = {study: accepted(decisions).lesions for study, decisions in said.items()}
    bits = {
        study: _bits(lesion.kind.value for lesion in lesions)
        for study, lesions in found.items()
        if lesions is not None
    }
    named = reports.keys() | bits.keys()
    return {study: _Told(newest(reports.get(study, ())), bits.get(study, 0)) for study in named}


def _row(values: tuple[Any, ...], told: Mapping[str, _Told]) -> dict[str, Any]:
    (
        study,
        patient,
        date,
        age,
        birth,
        sex,
        kinds,
        has_views,
        is_complete,
        left,
        right,
        labels,
        read,
        density,
    ) = values
    outside = told.get(study, _Told(Reported(), 0))
    assessment = outside.report.assessment
    if "assessment" in labels:
        assessment = int(labels["assessment"])
    return {
        "study_instance_uid": study,
        "patient": patient,
        "day": _day(date),
        "age": _age(age, date, birth),
        "sex": SEXES.index(sex) if sex in SEXES[1:] else 0,
        "kinds": kinds,
        "views": (2 if is_complete else 1) if has_views else 0,
        "laterality": left + 2 * right,
        "density": DENSITIES.index(labels.get("density") or outside.report.density or density or "unknown"),
        "assessment": -1 if assessment is None else assessment,
        "diagnosis": _diagnosis(labels.get("cancer"), assessment),
        "findings": _findings(labels.get("lesions"), outside.accepted, read),
    }


def _day(text: str) -> int:
    """The number that the eight digits of a date are; 0 for what is none."""
    try:
        return int(datetime.strptime(text, "%Y%m%d").strftime("%Y%m%d")) if len(text) == 8 else 0
    except ValueError:
        return 0


def _age(age: str | None, date: str, birth: str) -> int:
    """Completed years at the exam: Patient's Age (PS3.5 section 6.2, AS), else by the dates; -1 where unknown."""
    told = re.fullmatch("0*([0-9]{1,3})([YMWD])", age or "", re.ASCII)
    if told:
        years = int(told[1]) // {"Y": 1, "M": 12, "W": 52, "D": 365}[told[2]]
    else:
        years = (_day(date) - _day(birth)) // 10_000 if _day(date) and _day(birth) else -1
    return years if 0 <= years <= OLDEST else -1


def _diagnosis(cancer: bool | None, assessment: int | None) -> int:
    if cancer is not None:
        return DIAGNOSES.index("breast-cancer" if cancer else "no-cancer")
    return DIAGNOSES.index("breast-cancer" if assessment == 6 else "unknown")


def _findings(
    label: Sequence[Mapping[str, Any]] | None, agreed: int, read: Sequence[Sequence[str]] | None
) -> int:
    labelled = 0
    if label is not None:
        labelled = sum({_KINDS.get(lesion["kind"], OTHER) for lesion in label}) or NONE
    found = 0 if read is None else _bits(code for codes in read for code in codes)
    return labelled | agreed << SOURCES["accepted"] | found << SOURCES["reading"]


def _bits(codes: Any) -> int:
    return (
        sum(
            {
                MASS if code in _MASSES else CALCIFICATIONS if code in _CALCIFICATIONS else OTHER
                for code in codes
            }
        )
        or NONE
    )


def read_kinds(text: str) -> tuple[tuple[str, str, str], ...]:
    """The distinct series of a study: modality, manufacturer, body part."""
    return tuple((modality, maker, part) for modality, maker, part in json.loads(text))
