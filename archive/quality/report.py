"""The report of a dataset: what share of its exams passes in each dimension, which checks fail, who is exposed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from archive.pool import queries
from archive.quality import anonymity, exams
from archive.quality.anonymity import Anonymity, read_anonymity
from archive.quality.checks import Check, Dimension
from archive.quality.exams import Exam

MOST = 200
"""Exams that a report names."""


@dataclass(frozen=True, slots=True)
class Report:
    """`checked` of all `studies` were looked at; `passed` are those of them in which nothing of a dimension was found.

    `failed` are studies by check, `attributes` those that findings name, by check and number of studies. `worst` are
    exams with findings, those with most first.
    """

    studies: int
    checked: int
    passed: Mapping[Dimension, int]
    failed: Mapping[Check, int]
    attributes: Mapping[Check, Mapping[str, int]]
    worst: tuple[Exam, ...]
    anonymity: Anonymity

    def to_json(self) -> dict[str, Any]:
        return {
            "studies": self.studies,
            "checked": self.checked,
            "dimensions": {
                dimension: {
                    "passed": self.passed[dimension],
                    "checks": {
                        check: {"studies": number, "attributes": dict(self.attributes[check])}
                        for check, number in self.failed.items()
                        if check.dimension == dimension
                    },
                }
                for dimension in Dimension
            },
            "anonymity": self.anonymity.to_json(),
            "exams": [one.to_json() for one in self.worst],
        }


def read_report(content: Mapping[str, Any], worst: Sequence[Exam]) -> Report:
    """As `to_json` writes it; the exams that it names are `worst`."""
    told = content["dimensions"]
    checks = {Check(name): held for each in told.values() for name, held in each["checks"].items()}
    return Report(
        content["studies"],
        content["checked"],
        {one: told[one]["passed"] for one in Dimension},
        _ordered({check: held["studies"] for check, held in checks.items()}),
        {check: held["attributes"] for check, held in checks.items()},
        tuple(worst),
        read_anonymity(content["anonymity"]),
    )


def report(connection: psycopg.Connection, number: int) -> Report:
    """On a dataset by its number, on everything for 0; of exams that were looked at so far."""
    failed: Counter[Check] = Counter()
    attributes: dict[Check, Counter[str]] = {}
    studies, checked, failing = 0, 0, Counter[Dimension]()
    worst: list[Exam] = []
    for exam in exams.of_dataset(connection, number):
        studies, checked = studies + 1, checked + (exam.checked_at is not None)
        if exam.checked_at is None or not exam.findings:
            continue
        failing.update(exam.failed)
        for one in exam.findings:
            failed[one.check] += 1
            attributes.setdefault(one.check, Counter()).update(one.attributes)
        worst.append(exam)
        if len(worst) > 2 * MOST:
            worst = _worst(worst)
    people = connection.execute(queries("quality.sql")["people"], {"number": number})
    return Report(
        studies,
        checked,
        {one: checked - failing[one] for one in Dimension},
        _ordered(failed),
        {check: dict(counted.most_common()) for check, counted in attributes.items()},
        tuple(_worst(worst)),
        anonymity.judge({tuple(values): count for count, *values in people}),
    )


def _worst(found: Sequence[Exam]) -> list[Exam]:
    """Those with most findings, the first of those that have as many."""
    return sorted(found, key=lambda one: (-len(one.failed), -len(one.findings)))[:MOST]


def _ordered(failed: Mapping[Check, int]) -> dict[Check, int]:
    return dict(sorted(failed.items(), key=lambda row: (-row[1], row[0])))
