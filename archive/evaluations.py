"""Evaluations as the hub keeps them: which package, on which dataset, what each site told, and the figures joined.

At a site: of whom it told figures, so that it tells none of another few.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, Connection
from psycopg.types.json import Jsonb

from archive.errors import Forbidden
from archive.pool import queries


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What came of a package in a run.

    `package` is the SHA-256 of its passport; `model` as in `add`. `joined` is what `federation.evaluation` made of
    what the sites told.
    """

    run: str
    package: str
    task: str
    dataset: str
    model: Mapping[str, str]
    joined: Mapping[str, Any]
    at: datetime


def add(
    connection: Connection,
    run: str,
    package: str,
    *,
    dataset: str,
    model: Mapping[str, str],
    releases: Mapping[str, bytes],
    joined: Mapping[str, Any],
) -> None:
    """Keep what came of one package in a run; again, where it is done again after a fault.

    `model` has the package's name, version, title, task, and what it was trained on (`trained_on`).
    """
    values = {
        "run": run,
        "package": package,
        "task": model["task"],
        "dataset": dataset,
        "model": Jsonb(dict(model)),
        "releases": Jsonb({site: text.decode() for site, text in releases.items()}),
        "joined": Jsonb(dict(joined)),
    }
    connection.execute(queries("evaluations.sql")["add"], values)


async def of_run(connection: AsyncConnection, run: str) -> list[Evaluated]:
    """What came of each package of a run, the first first."""
    rows = await connection.execute(queries("evaluations.sql")["of_run"], {"run": run})
    return [Evaluated(*row) for row in await rows.fetchall()]


async def boards(connection: AsyncConnection) -> list[tuple[str, str]]:
    """The tasks and datasets that anything was evaluated on."""
    rows = await connection.execute(queries("evaluations.sql")["boards"])
    return [(task, dataset) for task, dataset in await rows.fetchall()]


async def board(connection: AsyncConnection, task: str, dataset: str) -> list[Evaluated]:
    """The newest evaluation of each package on a dataset."""
    rows = await connection.execute(queries("evaluations.sql")["board"], {"task": task, "dataset": dataset})
    return [Evaluated(*row) for row in await rows.fetchall()]


def tell_of(connection: Connection, package: str, patients: Collection[bytes], least: int) -> None:
    """Note at a site that figures of a package are told of these patients, in the caller's transaction.

    `package` is its hash and the stratum that they are of, for each is told by itself; `patients` are keyed hashes.
    Raises Forbidden where figures were told before of others who differ from these in
    fewer than `least` patients: both together would tell of those.
    """
    sql, now = queries("evaluations.sql"), set(patients)
    for (before,) in connection.execute(sql["cohorts"], {"package": package}):
        if 0 < len(now.symmetric_difference(map(bytes, before))) < least:
            raise Forbidden("too few patients have changed since the package was evaluated here")
    connection.execute(sql["keep_cohort"], {"package": package, "patients": sorted(now)})


def cohorts(connection: Connection, statistic: str) -> list[set[bytes]]:
    """Of whom a statistic was told at this site, each time: keyed hashes."""
    rows = connection.execute(queries("evaluations.sql")["cohorts"], {"package": statistic})
    return [set(map(bytes, patients)) for (patients,) in rows]


def keep_cohort(connection: Connection, statistic: str, patients: Collection[bytes]) -> None:
    """Note of whom a statistic is told, in the caller's transaction."""
    values = {"package": statistic, "patients": sorted(patients)}
    connection.execute(queries("evaluations.sql")["keep_cohort"], values)


def figure(joined: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """A figure of those joined, or of one group's, by its name; None where it is not told."""
    found: Sequence[Mapping[str, Any]] = joined["figures"]
    return next((one for one in found if one["name"] == name), None)
