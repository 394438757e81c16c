"""Versions of records: what everybody could see of a dataset, each as it was issued.

A version is issued when a steward publishes what differs from the last one, and when a published dataset is frozen.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from archive.catalogue_fields import Node, Written, parse_fields
from archive.errors import NotFound
from archive.holdings import Counts, Holdings, read_holdings
from archive.pool import queries


@dataclass(frozen=True, slots=True)
class RecordVersion:
    """A record as it was issued: what was written, by which node, and the numbers that everybody could know.

    `frozen` is the newest frozen version of the dataset then, 0 where there was none, and `sha256` its content's.
    """

    number: int
    written: Written
    node: Node
    numbers: Holdings
    frozen: int
    sha256: str
    notes: str
    issued_at: datetime

    @property
    def version(self) -> str:
        """As a record tells it (semantic versioning)."""
        return version_text(self.number)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What stands where a record was."""

    title: str
    version: str
    withdrawn_at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """A field or a number that a version has otherwise than the one before; counts as texts."""

    name: str
    before: str
    after: str


def version_text(number: int) -> str:
    """The number of a version as records tell it."""
    return f"{number}.0.0"


async def hold(connection: AsyncConnection, name: str) -> None:
    """Let nobody else issue a version of a record until the transaction ends."""
    await connection.execute(queries("catalogue.sql")["hold"], {"name": name})


async def issue(
    connection: AsyncConnection, name: str, dataset: int, version: RecordVersion, *, by: str
) -> int:
    """Keep a new version of a record, and return its number; that of `version` is not looked at."""
    row = {
        "name": name,
        "dataset": dataset,
        "fields": Jsonb(asdict(version.written)),
        "node": Jsonb(asdict(version.node)),
        "numbers": Jsonb(asdict(version.numbers)),
        "frozen": version.frozen,
        "sha256": version.sha256,
        "notes": version.notes,
        "by": by,
    }
    made = await (await connection.execute(queries("catalogue.sql")["issue"], row)).fetchone()
    return int(made[0]) if made else 0


async def reissue(connection: AsyncConnection, name: str, frozen: int, sha256: str, *, by: str) -> None:
    """Issue what everybody sees of a dataset anew, as it was frozen; nothing where nobody sees it.

    Belongs to the transaction that freezes it.
    """
    await hold(connection, name)
    notes = f"The dataset was frozen as {name}@{frozen}."
    row = {"name": name, "frozen": frozen, "sha256": sha256, "notes": notes, "by": by}
    await connection.execute(queries("catalogue.sql")["reissue"], row)


async def list_versions(connection: AsyncConnection, name: str) -> list[RecordVersion]:
    """All versions of a record that everybody sees, newest first; none of any other."""
    rows = await connection.execute(queries("catalogue.sql")["versions"], {"name": name})
    return [_version(*row) for row in await rows.fetchall()]


async def show_tombstone(connection: AsyncConnection, name: str) -> Tombstone:
    """What is told of a record that everybody saw once. Raises NotFound where nobody did."""
    row = await (await connection.execute(queries("catalogue.sql")["tombstone"], {"name": name})).fetchone()
    if row is None:
        raise NotFound("no such dataset is in the catalogue")
    title, version, withdrawn_at = row
    return Tombstone(title, version_text(version), withdrawn_at)


def compare(before: RecordVersion, after: RecordVersion) -> list[Change]:
    """What a version has otherwise than one before it."""
    parts = {"": ("written", Written), "node: ": ("node", Node), "number: ": ("numbers", Holdings)}
    found = []
    for called, (part, kind) in parts.items():
        for one in fields(kind):
            old, new = (_text(getattr(getattr(each, part), one.name)) for each in (before, after))
            if old != new:
                found.append(Change(called + one.name, old, new))
    return found


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        counts: Counts = value
        return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _version(
    number: int,
    written: Mapping[str, Any],
    node: Mapping[str, Any],
    numbers: Mapping[str, Any],
    frozen: int,
    sha256: str,
    notes: str,
    issued_at: datetime,
) -> RecordVersion:
    return RecordVersion(
        number,
        parse_fields(Written, written),
        parse_fields(Node, node),
        read_holdings(numbers),
        frozen,
        sha256,
        notes,
        issued_at,
    )
