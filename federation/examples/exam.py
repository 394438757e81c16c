"""An exam as the index tells of it: which images stand for its views, and what is known of it; none is fetched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydicom.dataset import Dataset

from archive.examples import Held
from archive.findings import Task
from federation.examples.labelling import Sources, label_of
from federation.examples.reports import Report, read_report
from federation.training.task import Label
from inference.errors import ReadingFailed
from inference.instance import Instance, describe, readable
from inference.picture import View
from inference.views import STANDARD_VIEWS, standard_views


class Why(StrEnum):
    """Why an exam can't be learnt from."""

    NO_LABEL = "no label"
    NO_VIEWS = "views are missing"
    OUTSIDE = "a lesion lies outside of its image, or in a view that is missing"
    DAMAGED = "an image can't be read"


@dataclass(frozen=True, slots=True)
class Exam:
    """A mammography exam: its standard views, and its label for a task. `why` is empty where it has both."""

    views: Mapping[View, Instance]
    label: Label | None
    why: Why | None

    @property
    def manufacturer(self) -> str:
        return next((one.manufacturer for one in self.views.values() if one.manufacturer), "")

    @property
    def age(self) -> int | None:
        return next((one.age for one in self.views.values() if one.age is not None), None)


def look(held: Sequence[Held], sources: Sources, task: str) -> Exam:
    """The exam that these instances are; `sources` lack the readers' reports, which are among them."""
    instances: list[Instance] = []
    reports: list[Report] = []
    sizes: dict[str, tuple[int, int]] = {}
    for one in held:
        try:
            with readable():
                header = Dataset.from_json(one.header, lambda *_: None)
                if one.is_image:
                    sizes[one.sop_instance_uid] = int(header.Columns), int(header.Rows)
                    instances.append(describe(header))
                elif report := read_report(header):
                    reports.append(report)
        except ReadingFailed:
            continue
    views = standard_views(instances)
    label = label_of(task, Sources(sources.imported, reports, sources.said), views)
    least = len(STANDARD_VIEWS) if task == Task.DENSITY else 1
    return Exam(views, label, _why(views, label, sizes, least))


def _why(
    views: Mapping[View, Instance], label: Label | None, sizes: Mapping[str, tuple[int, int]], least: int
) -> Why | None:
    """`least`: how many views there must be. Density is a whole exam's, lesions are any view's."""
    if label is None:
        return Why.NO_LABEL
    if len(views) < least:
        return Why.NO_VIEWS
    for mark in label.marks:
        instance = views.get(mark.view)
        if instance is None:
            return Why.OUTSIDE
        columns, rows = sizes[instance.sop_instance_uid]
        left, top, right, bottom = mark.box
        if left >= columns or top >= rows or right <= 0 or bottom <= 0:
            return Why.OUTSIDE
    return None
