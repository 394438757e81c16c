"""What a dataset holds: numbers counted from the index, kept for pages, and made fit to be told to everybody.

Counts are of studies but for `individuals` and `sexes`, which are of patients. What is published is rounded and has no
small count in it (`published`): a catalogue is read by anybody, day after day, so what is published changes once a day
at most, and only when as many patients came or went as hide each other (`is_due`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from archive.pool import queries

FEWEST = 5
"""A count under it is hidden: 0 is told only where a total says so too."""
STEP = 5
"""Published counts are multiples of it, so that few changes of one patient show."""
DAY = 86_400.0
"""Seconds after which published numbers may change, and after which a dataset is counted again in any case."""
LONGEST = 120.0  # seconds that a count may take
Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a dataset holds. `ages` are by the youngest age of five years, `lesions` are `read` and `marked` exams.

    `patients` are those whose studies are counted: by the names of these fields, and of each by its values; of lesions
    those with `unmarked` exams, too.
    """

    individuals: int = 0
    studies: int = 0
    series: int = 0
    images: int = 0
    bytes: int = 0
    tomosynthesis: int = 0
    modalities: Counts = field(default_factory=dict)
    manufacturers: Counts = field(default_factory=dict)
    sexes: Counts = field(default_factory=dict)
    ages: Counts = field(default_factory=dict)
    years: Counts = field(default_factory=dict)
    densities: Counts = field(default_factory=dict)
    lesions: Counts = field(default_factory=dict)
    patients: Mapping[str, Counts] = field(default_factory=dict)


def read_holdings(content: Mapping[str, Any]) -> Holdings:
    """As `count` keeps it."""
    return Holdings(**{one.name: content[one.name] for one in fields(Holdings) if one.name in content})


def published(holdings: Holdings) -> Holdings:
    """What anybody may know: counts rounded to `STEP`, none under `FEWEST`, nor any of studies of fewer patients.

    A total is that of all, not of what is shown, so what is hidden can't be found by taking away; where one count alone
    is hidden the next smallest is hidden with it.
    """
    if holdings.individuals < FEWEST:
        return Holdings()
    told: dict[str, Any] = {}
    for one in fields(Holdings):
        value, patients = getattr(holdings, one.name), holdings.patients.get(one.name, {})
        if one.name == "patients":
            continue
        told[one.name] = (
            _disclosed(value, patients) if isinstance(value, Mapping) else _total(value, patients)
        )
    told["lesions"] = _lesions(holdings.lesions, holdings.patients.get("lesions", {}))
    return Holdings(**told)


def _lesions(counts: Counts, patients: Counts) -> Counts:
    """How many exams were read, and how many of these have a lesion, unless these or the others are of few patients."""
    read, marked = (counts.get(name, 0) for name in ("read", "marked"))
    if min(read, patients.get("read", read)) < FEWEST:
        return {}
    parts = _disclosed({"marked": marked, "unmarked": read - marked}, patients)
    return {"read": _rounded(read)} | {name: parts[name] for name in ("marked",) if name in parts}


def _total(count: int, patients: Counts) -> int:
    return 0 if min(patients.values(), default=FEWEST) < FEWEST else _rounded(count)


def _disclosed(counts: Counts, patients: Counts) -> Counts:
    few = {name for name, count in counts.items() if min(count, patients.get(name, count)) < FEWEST}
    hidden = [name for name in counts if name in few and counts[name]]
    shown = sorted((count, name) for name, count in counts.items() if name not in few)
    if len(hidden) == 1 and shown:
        hidden.append(shown[0][1])
    return {name: _rounded(count) for name, count in counts.items() if name not in hidden and count}


def _rounded(count: int) -> int:
    return 0 if count < FEWEST else round(count / STEP) * STEP


def is_due(basis: Holdings, counted: Holdings) -> bool:
    """Whether numbers that were published of `basis` are to be published anew.

    Who compares what was published on two days is to find no single patient in the difference, so `FEWEST` of them at
    least came to, or left, one and the same count. Numbers that shrink to what is not told go as soon as they may.
    """
    return counted.individuals < FEWEST <= basis.individuals or moved(basis, counted) >= FEWEST


def moved(before: Holdings, after: Holdings) -> int:
    """How many patients came or went at the least: as many as the count that changed most of counts of patients.

    Patients with lesions are compared where both were counted with them.
    """
    counts = [_patients(before), _patients(after)]
    cells = {
        cell
        for cell in counts[0] | counts[1]
        if cell[0] != "lesions" or all("lesions" in one.patients for one in (before, after))
    }
    return max(abs(counts[1].get(cell, 0) - counts[0].get(cell, 0)) for cell in cells)


def _patients(holdings: Holdings) -> dict[tuple[str, str], int]:
    facets = {**holdings.patients, "sexes": holdings.sexes, "": {"": holdings.individuals}}
    return {(facet, value): count for facet, counts in facets.items() for value, count in counts.items()}


@dataclass(frozen=True, slots=True)
class Kept:
    """What was counted last, `basis` of it what the published numbers were made of `age` seconds ago."""

    content: Holdings
    basis: Holdings
    age: float
    mark: str


async def count(connection: AsyncConnection, number: int, *, longest: float = LONGEST) -> Holdings:
    """Count what a dataset holds now, keep it, and publish the numbers where that is due.

    `number` is the dataset's, 0 for everything. Takes no lock that indexing waits for. Raises
    psycopg.errors.QueryCanceled after `longest` seconds, and keeps what was there.
    """
    async with connection.transaction():
        await connection.execute(queries("holdings.sql")["bound"], {"longest": f"{round(1000 * longest)}ms"})
        mark = await mark_of(connection, number)
        row = await (
            await connection.execute(queries("holdings.sql")["count"], {"number": number})
        ).fetchone()
        found, before = read_holdings(row[0] if row else {}), await kept(connection, number)
        values = {
            "number": number,
            "content": Jsonb(asdict(found)),
            "published": Jsonb(asdict(published(found))),
            "mark": mark,
            "is_told": before is None or (before.age >= DAY and is_due(before.basis, found)),
        }
        await connection.execute(queries("holdings.sql")["keep"], values)
    return found


async def kept(connection: AsyncConnection, number: int) -> Kept | None:
    """What was counted of a dataset; None before the first time."""
    row = await (await connection.execute(queries("holdings.sql")["kept"], {"number": number})).fetchone()
    if row is None:
        return None
    content, basis, age, mark = row
    return Kept(read_holdings(content), read_holdings(basis or content), age, mark)


async def mark_of(connection: AsyncConnection, number: int) -> str:
    """A text that is another one as soon as other studies are in a dataset."""
    row = await (await connection.execute(queries("holdings.sql")["mark"], {"number": number})).fetchone()
    return str(row[0]) if row else ""


async def is_stale(connection: AsyncConnection, number: int) -> bool:
    """Whether a dataset is to be counted again: other studies are in it, or its count is a day old."""
    row = await (
        await connection.execute(queries("holdings.sql")["counted"], {"number": number, "day": DAY})
    ).fetchone()
    return row is None or row[1] or row[0] != await mark_of(connection, number)


async def changes(connection: AsyncConnection) -> int:
    """A number that grows when studies come to datasets or leave them: while it stays, none has to be looked at."""
    row = await (await connection.execute(queries("holdings.sql")["changes"])).fetchone()
    return int(row[0]) if row else 0
