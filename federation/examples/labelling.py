"""What is known of an exam for a task, of all who may say it: the steward's file, readers' reports, accepted findings.

The steward's file comes first: who imports it decides for the site, and can correct by it what else is wrong. Then the
reader's own report, then what a reader accepted of a model's findings, since who sees an answer first tends to agree
with it. Of one source nothing is mixed with another's: density and lesions may be of different ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydicom.sr.coding import Code

from archive.accepted import Accepted, Said, accepted
from archive.findings import Lesion, Task
from archive.label_file import Known
from federation.examples.reports import CALCIFICATIONS, MASS, OTHER, Area, Report, kind_of, newest
from federation.training.task import Label, Mark
from inference.density import BREAST_COMPOSITION, CATEGORIES
from inference.instance import Instance
from inference.picture import View

CSV, READER, ACCEPTED = "csv", "reader-sr", "accepted-finding"
Views = Mapping[View, Instance]


@dataclass(frozen=True, slots=True)
class Sources:
    """All that says anything of one exam; `said` are decisions on findings of the task at hand."""

    imported: Known = field(default_factory=Known)
    reports: Sequence[Report] = ()
    said: Sequence[Said] = ()


def label_of(task: str, sources: Sources, views: Views) -> Label | None:
    """The label for a task; None where nobody says it.

    `views` are the instances that stand for the exam's views: a lesion in any other image is in none of them, and
    whose lesions are not all in them says nothing of lesions. Density is told beside lesions where it is known.
    """
    if task == Task.DENSITY:
        return next((Label(source, category) for source, category in _categories(sources)), None)
    category = next((category for _, category in _categories(sources)), "")
    return next((Label(source, category, marks) for source, marks in _lesions(sources, views)), None)


def _categories(sources: Sources) -> Iterable[tuple[str, str]]:
    if sources.imported.density:
        yield CSV, sources.imported.density
    for report in newest(sources.reports):
        if report.density:
            yield READER, report.density
    if category := _category(accepted(sources.said)):
        yield ACCEPTED, category


def _category(found: Accepted) -> str:
    """The category that a model told of the exam, and a reader accepted."""
    for concept, value in found.values:
        if concept == BREAST_COMPOSITION:
            return next((name for name, code in CATEGORIES.items() if code == value), "")
    return ""


def _lesions(sources: Sources, views: Views) -> Iterable[tuple[str, tuple[Mark, ...]]]:
    if sources.imported.lesions is not None:
        yield CSV, tuple(Mark(one.view, one.kind, one.box) for one in sources.imported.lesions)
        return
    for report in newest(sources.reports):
        if report.areas is not None and (marks := _placed(report.areas, views)) is not None:
            yield READER, marks
    lesions = accepted(sources.said).lesions
    if lesions is not None:
        areas = [area for one in lesions for area in _areas(one)]
        if (marks := _placed(areas, views)) is not None:
            yield ACCEPTED, marks


def _areas(lesion: Lesion) -> list[Area]:
    kind = kind_of(Code(lesion.kind.value, lesion.kind.scheme, lesion.kind.meaning))
    return [Area(one.sop_instance_uid, kind, one.box, False) for one in lesion.regions]


def _placed(areas: Sequence[Area], views: Views) -> tuple[Mark, ...] | None:
    """The areas in the views that they lie in; None where one of them can't be learnt from, or is in no view."""
    view_of = {instance.sop_instance_uid: view for view, instance in views.items()}
    marks: list[Mark] = []
    for area in areas:
        if area.kind == OTHER:
            continue
        if area.kind not in (MASS, CALCIFICATIONS) or area.is_flat or area.sop_instance_uid not in view_of:
            return None
        marks.append(Mark(view_of[area.sop_instance_uid], area.kind, area.box))
    return tuple(marks)
