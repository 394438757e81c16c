"""What a job's answer is made of: what came of each exam, told as aggregates beside all that was told before."""

import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from archive import evaluations
from archive.job_questions import LEAST_PATIENTS, JobKind, JobQuestion
from archive.settings import Settings
from federation.evaluation.packages import join, tell
from federation.evaluation.release import Seen
from federation.jobs import tables
from federation.jobs.child import Told
from federation.jobs.cohort import Participant
from federation.jobs.differencing import gives_away
from federation.jobs.models import Model
from federation.site_key import derive

_SITE = "here"


@dataclass(frozen=True, slots=True)
class Read:
    """The hash of a dataset's contents, the people whom a job is about, and what came of the exam of each."""

    contents: str
    people: Sequence[Participant]
    told: Sequence[Told]


@dataclass(frozen=True, slots=True)
class Answers:
    """Makes answers, in the transaction of `connection`, in which it notes of whom they tell."""

    connection: psycopg.Connection
    settings: Settings

    def make(self, question: JobQuestion, model: Model | None, read: Read) -> dict[str, Any]:
        """The answer to a question. Raises BadRequest for too few, Forbidden where it would tell of few."""
        if model is not None:
            return self._evaluated(question, model, read)
        if question.kind is JobKind.COUNTS:
            return tables.counts(read.people, question, self._may_tell)
        return tables.features(read.people, [one or {} for one in read.told], question, self._may_tell)

    def _evaluated(self, question: JobQuestion, model: Model, read: Read) -> dict[str, Any]:
        """The protected counts, as a site tells them in a federation, and the figures that are made of them alone."""
        seen = {
            one.person: Seen(
                {name: {int(cell): count for cell, count in cells.items()} for name, cells in told.items()},
                one.groups | {"density": one.label.category or tables.NOT_TOLD},
            )
            for one, told in zip(read.people, read.told, strict=True)
            if told is not None and one.label is not None
        }
        told = tell(seen, len(read.people) - len(seen), model.task, question.package)
        for stratum, persons in told.patients.items():
            statistic, hashes = f"{question.package} {stratum}", self._hashes(persons)
            evaluations.tell_of(self.connection, statistic, hashes, LEAST_PATIENTS)
        joined = join({_SITE: told.text}, task=model.task, package=question.package)
        named = {"kind": str(JobKind.EVALUATION), "package": question.package, "task": str(model.task)}
        return named | joined

    def _may_tell(self, name: str, cells: Sequence[Collection[str]]) -> bool:
        """Whether a statistic of these cells may be told beside all of which it was told; then that is noted."""
        statistic = f"job {name}"
        told = evaluations.cohorts(self.connection, statistic)
        new = [one for one in map(self._hashes, cells) if one not in told]
        if new and gives_away([*told, *new], LEAST_PATIENTS):
            return False
        for one in new:
            evaluations.keep_cohort(self.connection, statistic, one)
        return True

    def _hashes(self, persons: Collection[str]) -> set[bytes]:
        """By which the site knows of whom it told, and nobody else could."""
        key = derive(self.settings, "evaluated")
        return {hmac.digest(key, one.encode(), "sha256") for one in persons}
