"""What a site could learn from, before a run: told from the index alone, to the site's own steward.

Numbers below `LEAST_CELL` are not told, so that a report can be shown to others; nor is one from which they follow.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, OperationalError

from archive import datasets, examples
from archive.errors import Unavailable
from archive.findings import Task
from archive.pool import autocommitting, connection_string
from archive.settings import Settings
from federation.examples.data import looked_at
from federation.examples.exam import Exam, Why
from federation.examples.split import is_held_out
from federation.site_key import derive
from inference.manufacturers import normalise
from inference.phantom import VIEWS

LEAST_CELL = 5
HIDDEN, OTHERWISE = "<5", "hidden"
UNKNOWN = "not told"

Counts = Mapping[str, int]
Told = Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class Quality:
    """`numbers` of exams and patients; `tables` of exams.

    Why exams are of no use, and which views there are, is told of all exams; everything else, of usable ones.
    """

    dataset: str
    task: str
    numbers: Told
    tables: Mapping[str, Told]

    def to_json(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "task": self.task, **self.numbers, **self.tables}

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{self.dataset}, {self.task}"]
        lines += [f"  {name.replace('_', ' ')}: {count}" for name, count in self.numbers.items()]
        for name, table in self.tables.items():
            told = ", ".join(f"{key} {count}" for key, count in table.items())
            lines.append(f"  {name}: {told or 'none'}")
        return lines


def report(settings: Settings, dataset: str, task: Task) -> Quality:
    """Look at all exams of a dataset. Raises NotFound for a dataset that is none, Unavailable."""
    number = asyncio.run(_number(settings, dataset))
    counted = _Counted()
    key = derive(settings, "split")
    with autocommitting(settings.database_url) as connection:
        candidates = examples.candidates(connection, number)
        people = {one.study_instance_uid: one.person for one in candidates}
        for study, _, exam in looked_at(connection, list(people), task):
            counted.add(exam, people[study], is_held_out(key, people[study]))
    return counted.told(dataset, task)


async def _number(settings: Settings, dataset: str) -> int:
    try:
        async with await AsyncConnection.connect(connection_string(settings.database_url)) as connection:
            return (await datasets.show(connection, dataset)).number
    except OperationalError as error:
        raise Unavailable(f"PostgreSQL does not answer ({type(error).__name__})") from None


class _Counted:
    def __init__(self) -> None:
        self.exams = 0
        self.usable = 0
        self.patients: set[str] = set()
        self.held_out: set[str] = set()
        self.counts: dict[str, Counter[str]] = {
            name: Counter() for name in ("labels", "sources", "manufacturers", "ages", "unusable", "views")
        }

    def add(self, exam: Exam, person: str, is_out: bool) -> None:
        self.exams += 1
        missing = len(VIEWS) - len(exam.views)
        self.counts["views"][f"{missing} missing" if missing else "complete"] += 1
        if exam.why or exam.label is None:
            self.counts["unusable"][str(exam.why or Why.NO_LABEL)] += 1
            return
        self.usable += 1
        (self.held_out if is_out else self.patients).add(person)
        self.counts["labels"].update(_classes(exam))
        self.counts["sources"][exam.label.source] += 1
        self.counts["manufacturers"][normalise(exam.manufacturer) or UNKNOWN] += 1
        self.counts["ages"][_band(exam.age)] += 1

    def told(self, dataset: str, task: str) -> Quality:
        numbers: dict[str, int | str] = {
            "exams": self.exams,
            "usable": self.usable,
            "patients": len(self.patients),
            "held_out": len(self.held_out),
        }
        told = {name: HIDDEN if 0 < int(count) < LEAST_CELL else count for name, count in numbers.items()}
        if 0 < self.exams - self.usable < LEAST_CELL:
            told["exams"] = OTHERWISE
        return Quality(dataset, task, told, {name: hide(counts) for name, counts in self.counts.items()})


def hide(counts: Counts) -> dict[str, int | str]:
    """The counts, in order of their names: small ones hidden, and where that is one alone, the next larger one too.

    So no sum tells what is hidden.
    """
    small = [name for name, count in counts.items() if 0 < count < LEAST_CELL]
    if len(small) == 1 and len(counts) > 1:
        others: Sequence[str] = [name for name in counts if name not in small]
        small.append(min(others, key=lambda name: (counts[name], name)))
    return {
        name: counts[name] if name not in small else HIDDEN if counts[name] < LEAST_CELL else OTHERWISE
        for name in sorted(counts)
    }


def _classes(exam: Exam) -> list[str]:
    assert exam.label
    if exam.label.category:
        return [exam.label.category]
    return sorted({mark.kind for mark in exam.label.marks}) or ["none"]


def _band(age: int | None) -> str:
    if age is None:
        return UNKNOWN
    decade = age // 10 * 10
    return "under 40" if age < 40 else "70 and over" if age >= 70 else f"{decade}-{decade + 9}"
