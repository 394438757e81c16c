"""Which readings are wanted of a study: the rows of the table `reading`, from which the worker takes what is due."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import psycopg

from archive.findings import Task
from archive.pool import queries

CHANNEL = "senogate_readings"
"""Where PostgreSQL tells workers of readings: `DUE` where one became due, `CHANGED` where one began or ended; and `JOB`
where something of a job over a dataset is to be done.

At the end of a reading `DUE` is told where another of its study is due, which may have waited for it.
"""
DUE, CHANGED, JOB = "due", "changed", "job"


class Wanted(NamedTuple):
    """What a model is enabled for: a task on a modality, to answer or in the shadow of one that does."""

    task: Task
    modality: str
    shadow: bool = False


def want(
    connection: psycopg.Connection,
    wanted: Iterable[Wanted],
    studies: Sequence[str] | None,
    *,
    again: bool = False,
) -> int:
    """Make readings of these studies due, of all studies for None; the number that became due.

    A study is read for the modalities that it has images of. One that was read already is read only where its images
    changed, unless `again`.
    """
    rows = [
        {**one._asdict(), "task": str(one.task), "studies": studies and list(studies), "again": again}
        for one in wanted
    ]
    count = sum(connection.execute(queries("reading.sql")["want"], row).rowcount for row in rows)
    if count:
        announce(connection, DUE)
    return count


def announce(connection: psycopg.Connection, change: str) -> None:
    """Tell workers, when the transaction ends, so that none waits until it looks again."""
    connection.execute(queries("reading.sql")["announce"], {"change": change})
