"""Reports as the keeper keeps them: pages read in a moment what takes a while to put together."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.errors import QueryCanceled
from psycopg.types.json import Jsonb

from archive.pool import queries
from archive.quality.exams import read_exam
from archive.quality.report import Report, read_report, report

LONGEST = 600.0
"""Seconds that each of a report's questions may take."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A report, and when it was made."""

    report: Report
    made_at: datetime

    def to_json(self) -> dict[str, Any]:
        return {"made_at": self.made_at.isoformat(timespec="seconds")} | self.report.to_json()


def make_due(connection: psycopg.Connection, *, longest: float = LONGEST) -> bool:
    """Make that report anew that is the oldest of those that something changed of; whether there was one.

    `connection` commits by itself. Raises QueryCanceled for one that takes too long, whose turn comes again when all
    others had theirs.
    """
    ((changes,),) = connection.execute(_sql("changes")).fetchall()
    row = connection.execute(_sql("unreported"), {"changes": changes}).fetchone()
    if row is None:
        return False
    try:
        with connection.transaction():
            connection.execute(_sql("bound"), {"longest": f"{round(1000 * longest)}ms"})
            _keep(connection, row[0], changes, report(connection, row[0]))
    except QueryCanceled:
        connection.execute(_sql("late_report"), {"number": row[0], "changes": changes})
        raise
    return True


def _keep(connection: psycopg.Connection, number: int, changes: int, made: Report) -> None:
    content = made.to_json()
    del content["exams"]
    row = {"number": number, "content": Jsonb(content), "changes": changes}
    connection.execute(_sql("keep_report"), row)
    connection.execute(_sql("forget_worst"), {"number": number})
    worst = {
        "studies": [one.study_instance_uid for one in made.worst],
        "findings": [json.dumps([each.to_json() for each in one.findings]) for one in made.worst],
        "checked": [one.checked_at for one in made.worst],
    }
    connection.execute(_sql("keep_worst"), {"number": number} | worst)


def read(connection: psycopg.Connection, number: int) -> Kept | None:
    """The report on a dataset by its number, on everything for 0; None before there is one.

    Exams that have gone or opted out since it was made are not named in it.
    """
    row = connection.execute(_sql("report"), {"number": number}).fetchone()
    if row is None:
        return None
    content, made_at = row
    worst = connection.execute(_sql("worst"), {"number": number}).fetchall()
    return Kept(read_report(content, [read_exam(*found) for found in worst]), made_at)


def _sql(name: str) -> Any:
    return queries("quality.sql")[name]
