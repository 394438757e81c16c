"""How a model package does on the exams that sites hold out: each site tells protected counts, the hub joins them.

At a site a package runs as it does in the product: its signature is checked by the keys that the site trusts, and
`inference.pipeline` does the rest. What leaves is a release (`federation.evaluation.release`), and nothing else.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from archive.errors import BadRequest, Forbidden, NotFound
from archive.findings import NotApplicable, Task
from federation.evaluation import figures, release, scoring
from federation.evaluation.curves import curves_of
from federation.evaluation.figures import Cells, figures_of
from federation.evaluation.release import Release, Seen, Tables
from federation.evaluation.scoring import STRATA
from federation.training.task import Label
from inference import package
from inference.errors import ReadingFailed
from inference.instance import Part
from inference.passport_reading import parse_passport
from inference.pipeline import read_study
from inference.session import Measured, Session, open_model
from inference.signature import Keys

LEAST_CELL = 5
"""Patients of whom a count may be told."""


@dataclass(frozen=True, slots=True)
class Exam:
    """An exam of a patient who is held out: its instances as they are stored, and what is known of it."""

    study_instance_uid: str
    patient_id: str
    parts: Iterable[Part]
    label: Label
    manufacturer: str = ""
    age: int | None = None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """`text` leaves the site and tells of so many `exams`; `patients`, by stratum, are theirs, and stay here."""

    text: bytes
    exams: int
    patients: Mapping[str, tuple[str, ...]]


def evaluate_package(
    passport: bytes,
    network: bytes,
    exams: Iterable[Exam],
    *,
    trusted: Keys,
    approved: Collection[str],
    least: int = LEAST_CELL,
) -> Evaluated:
    """Run a package on exams, one a patient, and tell what may be told.

    `approved` are the SHA-256 of passports that the run's manifest names. Raises Forbidden for a package that is not
    among them, PackageError for one that must not run here, and BadRequest for one whose answers can't be held against
    labels, or where there are too few patients.
    """
    digest = hashlib.sha256(passport).hexdigest()
    if digest not in approved:
        raise Forbidden("the run that was approved does not name this package")
    told = parse_passport(passport)
    scoring.check(told)
    with TemporaryDirectory(prefix="senogate-package-") as folder:
        package.write(Path(folder) / "package", None if told.method else network, passport)
        model = open_model(package.load(Path(folder) / "package", trusted))
        some = one_of_each_patient(exams, told.identity.task)
        read = [_read(exam, model) for exam in some]
    seen = {exam.patient_id: one for exam, one in zip(some, read, strict=True) if one}
    return tell(seen, len(read) - len(seen), told.identity.task, digest, least)


def tell(
    seen: Mapping[str, Seen], unread: int, task: Task, digest: str, least: int = LEAST_CELL
) -> Evaluated:
    """What may be told of patients by their names, and of so many who were not read. Raises BadRequest."""
    plan = scoring.plan_of(task)
    protected = release.protect(list(seen.values()), unread, plan, least)
    text = release.to_text(protected, task=task, package=digest)
    return Evaluated(text, exams_of(protected.tables), release.large_strata(seen, plan.strata, least))


def exams_of(tables: Tables) -> int:
    """How many exams, each of another patient, tables tell of."""
    return sum(tables[name].total for name in STRATA if name in tables)


def one_of_each_patient(exams: Iterable[Exam], task: Task) -> list[Exam]:
    """The labelled exam of each patient whose UID has the smallest hash, so that a count is one of patients."""
    chosen: dict[str, Exam] = {}
    for exam in exams:
        other = chosen.get(exam.patient_id)
        if (task is not Task.DENSITY or exam.label.category) and (not other or _order(exam) < _order(other)):
            chosen[exam.patient_id] = exam
    return list(chosen.values())


def _order(exam: Exam) -> bytes:
    return hashlib.sha256(exam.study_instance_uid.encode()).digest()


def _read(exam: Exam, model: Session | Measured) -> Seen | None:
    """None where the model was not made for the exam, or could not read it, or it went meanwhile."""
    try:
        findings = read_study(exam.parts, model)
    except (ReadingFailed, NotFound):
        return None
    if isinstance(findings, NotApplicable):
        return None
    groups = scoring.groups_of(exam.label, exam.manufacturer, exam.age)
    return Seen(scoring.counts_of(findings, exam.label), groups)


def check_release(text: bytes, *, task: str, package: str) -> None:
    """Raises BadRequest for what can't be joined with what others tell."""
    release.read_text(text, scoring.plan_of(task), task=task, package=package)


def join(releases: Mapping[str, bytes], *, task: str, package: str) -> dict[str, Any]:
    """What the releases of sites, by their names, tell together. Raises BadRequest for what is no release of these.

    `figures` are those of all together, `groups` those of each site and of each group of each dimension; `curves` are
    points of what the figures sum up.
    """
    plan = scoring.plan_of(task)
    read = {
        site: release.read_text(text, plan, task=task, package=package) for site, text in releases.items()
    }
    if not read:
        raise BadRequest("no site has told anything of the package")
    tables = [one.tables for one in read.values()]
    cells = figures.combine(tables, plan.cells)
    return {
        "exams": sum(map(exams_of, tables)),
        "unread": {site: one.unread for site, one in read.items()},
        "figures": figures.plain(figures_of(task, tables)),
        "groups": {
            "site": {site: _group(task, [one.tables], cells) for site, one in read.items()},
            **_groups(task, read, cells),
        },
        "curves": curves_of(cells),
    }


def _groups(task: str, read: Mapping[str, Release], cells: Mapping[str, Cells]) -> dict[str, dict[str, Any]]:
    """Figures of the groups that are called the same, at whichever sites."""
    found: dict[str, dict[str, list[Tables]]] = {name: {} for name in scoring.plan_of(task).dimensions}
    for one in read.values():
        for dimension in found:
            for label, tables in one.groups.get(dimension, {}).items():
                found[dimension].setdefault(label, []).append(tables)
    return {
        dimension: {label: _group(task, tables, cells) for label, tables in sorted(groups.items())}
        for dimension, groups in found.items()
    }


def _group(task: str, tables: Sequence[Tables], cells: Mapping[str, Cells]) -> dict[str, Any]:
    return {"exams": sum(map(exams_of, tables)), "figures": figures.plain(figures_of(task, tables, cells))}
