"""The exams that a site holds out, as they are stored: what packages are evaluated on, under the permit of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from archive import examples
from archive.examples import Address
from archive.findings import Task
from archive.pool import autocommitting
from archive.purpose import Purpose
from archive.settings import Settings
from federation.evaluation.packages import Exam
from federation.examples.data import keep_cohort, looked_at, of_side, opt_outs_of
from federation.examples.exam import Why
from federation.examples.grounds import Grounds, check
from federation.examples.retrieval import Retrieval

_LABELS = {Task.DENSITY: "density", Task.LESIONS: "lesions", Task.RISK: "lesions"}
"""Which labels a task's answers are held against."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Exams whose instances are fetched as they are asked for, and what a statement says of them."""

    exams: tuple[Exam, ...]
    dataset_version: str
    cohort: str
    opt_outs: str


@dataclass(frozen=True, slots=True)
class _Images:
    """The mammograms of an exam, of the site's gateway each time that they are asked for."""

    retrieval: Retrieval
    held: tuple[Address, ...]

    def __iter__(self) -> Iterator[bytes]:
        for address in self.held:
            yield self.retrieval.instance(*address)


@contextmanager
def held_out(
    settings: Settings, task: Task, dataset: str, permit_id: str, *, purpose: Purpose, hub: str
) -> Iterator[HeldOut]:
    """The labelled exams of a dataset's patients who are held out; the permit is as for `federation.examples.data`.

    Raises Forbidden where the permit does not allow it, NotFound for a dataset that is none, Unavailable.
    """
    grounds = Grounds(dataset, permit_id, purpose, hub)
    allowed = check(settings, grounds)
    with autocommitting(settings.database_url) as connection:
        chosen = of_side(settings, examples.candidates(connection, allowed.number), held_out=True)
        people = {one.study_instance_uid: one.person for one in chosen}
        with Retrieval(settings, grounds) as retrieval:
            exams = tuple(
                Exam(
                    study,
                    people[study],
                    _Images(retrieval, tuple(images)),
                    one.label,
                    one.manufacturer,
                    one.age,
                )
                for study, images, one in looked_at(connection, list(people), _LABELS[task])
                if one.label is not None and one.why != Why.OUTSIDE
            )
            root = keep_cohort(connection, settings, [one.study_instance_uid for one in exams])
            opt_outs = opt_outs_of(settings, examples.left_out(connection, allowed.number))
            yield HeldOut(exams, allowed.version, root, opt_outs)
