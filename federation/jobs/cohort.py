"""Whom a job is about: one exam of each patient of a dataset, with what the index tells of it; no image is opened."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from archive import examples
from archive.attributes import tag
from archive.examples import Candidate, Held
from archive.findings import Task
from archive.job_questions import DENSITIES, JobQuestion
from archive.pool import queries
from archive.settings import Settings
from archive.tiers import Tiers
from federation.evaluation.scoring import groups_of
from federation.examples.data import sources_of
from federation.examples.exam import Exam, Why, look
from federation.examples.reports import REPORTS
from federation.training.task import Label
from inference.instance import Instance

NOT_TOLD = "not told"
TASK_LABELS = {Task.DENSITY: Task.DENSITY, Task.LESIONS: Task.LESIONS, Task.RISK: Task.LESIONS}
"""Which labels a task's answers are held against."""
_ABSURD = 10.0**12  # no number of an exam
_TOGETHER = 64  # exams whose headers are in memory at once
_HEADERS = {
    "compression_thickness": ("BodyPartThickness", 1.0),
    "compression_force": ("CompressionForce", 1.0),
    "organ_dose": ("OrganDose", 100.0),  # dGy
}


@dataclass(frozen=True, slots=True)
class Participant:
    """A patient by the exam that stands for her. `person` is a pseudonym that stays here.

    `groups` is her group in each dimension of `archive.job_questions`; `numbers` are the features that headers tell,
    `labels` what features are held against. `views` are the SOP Instance UIDs of the standard views, `label` is the
    one that answers of a package are held against.
    """

    study_instance_uid: str
    person: str
    groups: dict[str, str]
    numbers: dict[str, float]
    labels: dict[str, float]
    views: tuple[str, ...] = ()
    label: Label | None = None


def participants(
    connection: psycopg.Connection, number: int, question: JobQuestion, task: Task | None
) -> list[Participant]:
    """Those of a dataset by its number whom a question is about; with a package's `task`, those with a label for it."""
    chosen: dict[str, Participant] = {}
    for one in _all(connection, examples.candidates(connection, number), task):
        other = chosen.get(one.person)
        if (task is None or one.label is not None) and (other is None or _order(one) < _order(other)):
            chosen[one.person] = one
    kept = [one for one in chosen.values() if _passes(one, question)]
    return sorted(kept, key=lambda one: one.study_instance_uid)


def places(connection: psycopg.Connection, settings: Settings, study: str) -> dict[str, Path]:
    """The files of a study's mammograms, by their SOP Instance UIDs."""
    rows = connection.execute(queries("jobs.sql")["places"], {"study": study})
    tiers = Tiers.of(settings)
    return {uid: tiers.path(place) for uid, place in rows}


def _passes(one: Participant, question: JobQuestion) -> bool:
    return all(one.groups[name] in values for name, values in question.filters.items())


def _order(one: Participant) -> tuple[bool, bytes]:
    """Exams of which something is known come first; then chance decides, the same way each time."""
    is_unknown = NOT_TOLD in (one.groups["density"], one.groups["lesions"])
    return is_unknown, hashlib.sha256(one.study_instance_uid.encode()).digest()


def _all(
    connection: psycopg.Connection, candidates: Sequence[Candidate], task: Task | None
) -> Iterator[Participant]:
    for start in range(0, len(candidates), _TOGETHER):
        people = {one.study_instance_uid: one.person for one in candidates[start : start + _TOGETHER]}
        held = examples.instances(connection, list(people), REPORTS)
        exams = {each: _exams(connection, held, each) for each in (Task.DENSITY, Task.LESIONS)}
        for study, some in held.items():
            density, lesions = exams[Task.DENSITY][study], exams[Task.LESIONS][study]
            label = _label({Task.DENSITY: density, Task.LESIONS: lesions}, task)
            if density.views or label:
                yield _participant(study, people[study], some, density, lesions, label)


def _exams(connection: psycopg.Connection, held: Mapping[str, Sequence[Held]], task: Task) -> dict[str, Exam]:
    sources = sources_of(connection, list(held), task)
    return {study: look(some, sources[study], task) for study, some in held.items()}


def _label(exams: Mapping[Task, Exam], task: Task | None) -> Label | None:
    if task is None:
        return None
    exam = exams[TASK_LABELS[task]]
    return None if exam.why == Why.OUTSIDE else exam.label


def _participant(
    study: str, person: str, held: Sequence[Held], density: Exam, lesions: Exam, label: Label | None
) -> Participant:
    category = density.label.category if density.label else ""
    told: dict[str, str] = groups_of(Label("", category), density.manufacturer, density.age)
    marks = None if lesions.label is None else bool(lesions.label.marks)
    told["lesions"] = NOT_TOLD if marks is None else "marked" if marks else "none"
    labels: dict[str, float] = {} if marks is None else {"lesions": float(marks)}
    if category:
        labels["density"] = DENSITIES.index(category) + 1.0
    if density.age is not None:
        labels["age"] = float(density.age)
    views = {one.sop_instance_uid: one for one in density.views.values()}
    headers = [one.header for one in held if one.sop_instance_uid in views]
    return Participant(
        *(study, person, told, _numbers(list(views.values()), headers, density.age), labels),
        tuple(sorted(views)),
        label,
    )


def _numbers(
    views: Sequence[Instance], headers: Sequence[Mapping[str, Any]], age: int | None
) -> dict[str, float]:
    """Means over the views of what headers tell; what none of them tells is left out."""
    found = {"views": [float(len(views))], "age": [] if age is None else [float(age)]}
    found["pixel_spacing"] = [one.spacing[0] for one in views if one.spacing]
    for name, (keyword, factor) in _HEADERS.items():
        found[name] = [number * factor for one in headers if (number := _number(one, keyword)) is not None]
    means = {name: sum(values) / len(values) for name, values in found.items() if values}
    return {name: mean for name, mean in means.items() if abs(mean) < _ABSURD}


def _number(header: Mapping[str, Any], keyword: str) -> float | None:
    """A number of DICOM JSON (PS3.18 annex F), which may be written as text."""
    value = (header.get(tag(keyword), {}).get("Value") or [None])[0]
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
