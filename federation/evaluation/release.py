"""What a site may tell of its patients: counts, none of fewer patients than a bound, nor any that gives such away.

Each patient adds to cells of tables, and the cells of a table stand in an order. Cells are joined with their neighbours
to runs until no run counts some patients and yet fewer than the bound; what is told is the runs. So nothing is hidden
that a total would give away: a cell and what complements it are told as one sum (global recoding; Hundepool et al.,
Statistical Disclosure Control, Wiley 2012, chapter 5). That a cell counts nobody may be told, as those who give data
away have it (CMS cell size suppression policy, 2024; DataSHIELD's `nfilter.tab`).

Tables of groups, such as those of one vendor, are told on runs that all groups of the dimension share and that are made
of whole runs of the table of all. A group's count in a finer run is then an inner cell of a table of which only margins
are known, none of them small: by Fréchet's bounds it lies in an interval as wide as the bound at least, unless it is a
margin or nothing itself. Groups that are too small are joined with their neighbours in the same way.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from archive.errors import BadRequest

FORMAT = 1
LEAST_BOUND = 3
"""Below this bound the smallest count that is joined would be 1, and so told."""

LONGEST, MOST_GROUPS, LARGEST_COUNT = 200, 40, 10**9
"""Characters of a group's name, groups of a dimension and what a cell may count, of what a site tells."""

Patients = frozenset[int]
Run = tuple[int, int]
"""The first and the last of neighbouring cells."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one patient: how much she adds to which cell of which table, and her group in each dimension."""

    counts: Mapping[str, Mapping[int, int]]
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which tables there are: how many cells each has, and the `strata`, of which each patient is in one.

    `dimensions` are the groups of each in their order; what is in no list comes behind, in its own order.
    """

    cells: Mapping[str, int]
    strata: tuple[str, ...]
    dimensions: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """Runs with what they count, those of nothing left out; `squares` is the sum of the patients' squared totals."""

    runs: tuple[tuple[int, int, int], ...]
    squares: int

    @property
    def total(self) -> int:
        return sum(count for _, _, count in self.runs)


Tables = dict[str, Table]


@dataclass(frozen=True, slots=True)
class Release:
    """What is told: the tables of all patients, and of each group of each dimension.

    A table that is missing counts some patients and yet too few. `unread` are those whom the model did not read, None
    where they are too few to be told.
    """

    tables: Tables
    groups: Mapping[str, Mapping[str, Tables]]
    unread: int | None
    least: int


def protect(seen: Sequence[Seen], unread: int, plan: Plan, least: int) -> Release:
    """What may be told of patients. Raises BadRequest where that is nothing."""
    if least < LEAST_BOUND:
        raise BadRequest(f"a bound on counts is {LEAST_BOUND} at least")
    kept = _of_large_strata(seen, plan.strata, least)
    if not kept:
        raise BadRequest("there are too few patients to tell anything of")
    fine = {
        name: runs for name in plan.cells if (runs := _runs(kept, name, plan.cells[name], least)) is not None
    }
    tables = {name: _table(kept, name, runs) for name, runs in fine.items()}
    groups = {
        dimension: _of_groups(kept, dimension, order, plan.strata, fine, least)
        for dimension, order in plan.dimensions.items()
    }
    return Release(tables, groups, None if 0 < unread < least else unread, least)


def large_strata(seen: Mapping[str, Seen], strata: Sequence[str], least: int) -> dict[str, tuple[str, ...]]:
    """Of the patients by their names, those of each stratum that may be told of."""
    by_stratum = {
        name: tuple(sorted(who for who, one in seen.items() if one.counts.get(name))) for name in strata
    }
    return {name: some for name, some in by_stratum.items() if len(some) >= least}


def partition(cells: Sequence[Sequence[Patients]], least: int) -> list[Run] | None:
    """Runs of cells in each of which every group counts nobody, or `least` patients at least; None where none can be.

    `cells[i][g]` are the patients of group g in cell i. A cell of nobody between runs is in none of them.
    """
    runs: list[Run] = []
    start, held = 0, _of_run(cells, (0, -1))
    for number, groups in enumerate(cells):
        start = start if any(held) else number
        held = [one | other for one, other in zip(held, groups, strict=True)]
        if any(held) and _is_told(held, least):
            runs.append((start, number))
            held = _of_run(cells, (0, -1))
    return _closed(cells, runs, least) if any(held) else runs


def _closed(cells: Sequence[Sequence[Patients]], runs: list[Run], least: int) -> list[Run] | None:
    """What is left behind the last run joined with it, and with as many before it as that takes."""
    last = max(number for number, groups in enumerate(cells) if any(groups))
    while runs:
        start, _ = runs.pop()
        if _is_told(_of_run(cells, (start, last)), least):
            return [*runs, (start, last)]
    return None


def _is_told(groups: Iterable[Patients], least: int) -> bool:
    return all(not patients or len(patients) >= least for patients in groups)


def _of_run(cells: Sequence[Sequence[Patients]], run: Run) -> list[Patients]:
    """The patients of each group in all cells of a run; the run (0, -1) is empty."""
    first, last = run
    columns = len(cells[0]) if cells else 0
    return [
        frozenset().union(*(cells[cell][group] for cell in range(first, last + 1)))
        for group in range(columns)
    ]


def _of_large_strata(seen: Sequence[Seen], strata: Sequence[str], least: int) -> list[Seen]:
    """Those whose stratum may be told of; of the others nothing is told, for a total would tell how many they are."""
    by_stratum = [[one for one in seen if one.counts.get(name)] for name in strata]
    return [one for some in by_stratum if len(some) >= least for one in some]


def _patients(seen: Sequence[Seen], name: str, cells: Iterable[int]) -> Patients:
    wanted = set(cells)
    return frozenset(
        number for number, one in enumerate(seen) if not wanted.isdisjoint(one.counts.get(name, {}))
    )


def _runs(seen: Sequence[Seen], name: str, cells: int, least: int) -> list[Run] | None:
    return partition([[_patients(seen, name, [cell])] for cell in range(cells)], least)


def _table(seen: Iterable[Seen], name: str, runs: Sequence[Run]) -> Table:
    counts = [one.counts.get(name, {}) for one in seen]
    sums = [
        (first, last, sum(n for one in counts for cell, n in one.items() if first <= cell <= last))
        for first, last in runs
    ]
    return Table(tuple(run for run in sums if run[2]), sum(sum(one.values()) ** 2 for one in counts))


def _of_groups(
    seen: Sequence[Seen],
    dimension: str,
    order: Sequence[str],
    strata: Sequence[str],
    fine: Mapping[str, Sequence[Run]],
    least: int,
) -> dict[str, Tables]:
    """The tables of each group, or of neighbouring groups that are told as one; empty where none may be told."""
    groups = _joined_groups(seen, dimension, order, strata, least)
    shared = {name: _shared(list(groups.values()), name, runs, least) for name, runs in fine.items()}
    return {
        label: {name: _table(some, name, runs) for name, runs in shared.items() if runs is not None}
        for label, some in groups.items()
    }


def _joined_groups(
    seen: Sequence[Seen], dimension: str, order: Sequence[str], strata: Sequence[str], least: int
) -> dict[str, list[Seen]]:
    """The patients by group; what is told as one is called by all its groups that have patients."""
    found = {one.groups[dimension] for one in seen}
    values = [*(one for one in order if one in found), *sorted(found - set(order))]
    numbers = [[at for at, one in enumerate(seen) if one.groups[dimension] == value] for value in values]
    cells = [
        [frozenset(at for at in some if seen[at].counts.get(name)) for name in strata] for some in numbers
    ]
    return {
        " or ".join(values[first : last + 1]): [seen[at] for some in numbers[first : last + 1] for at in some]
        for first, last in partition(cells, least) or []
    }


def _shared(groups: Sequence[Sequence[Seen]], name: str, fine: Sequence[Run], least: int) -> list[Run] | None:
    """Runs of one table that may be told of each of the groups, made of whole runs of the table of all."""
    cells = [[_patients(some, name, range(first, last + 1)) for some in groups] for first, last in fine]
    runs = partition(cells, least) if groups else None
    return None if runs is None else [(fine[first][0], fine[last][1]) for first, last in runs]


def to_text(release: Release, *, task: str, package: str) -> bytes:
    """What leaves the site: JSON, names in order, no white space. `package` is the SHA-256 of the passport."""
    content = {
        "format": FORMAT,
        "task": task,
        "package": package,
        "least": release.least,
        "unread": release.unread,
        "tables": _plain(release.tables),
        "groups": {
            dimension: {label: _plain(tables) for label, tables in groups.items()}
            for dimension, groups in release.groups.items()
        },
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _plain(tables: Tables) -> dict[str, Any]:
    return {
        name: {"runs": [list(run) for run in table.runs], "squares": table.squares}
        for name, table in tables.items()
    }


def read_text(text: bytes, plan: Plan, *, task: str, package: str) -> Release:
    """What a site tells of a package, for a task's tables. Raises BadRequest for anything else."""
    try:
        content = json.loads(text.decode())
        if [content["format"], content["task"], content["package"]] != [FORMAT, task, package]:
            raise BadRequest("a site tells of something else than it was asked")
        unread = content["unread"]
        groups = {
            _name(dimension): {_name(label): _read(tables, plan) for label, tables in told.items()}
            for dimension, told in content["groups"].items()
        }
        if max([len(groups), *map(len, groups.values())]) > MOST_GROUPS:
            raise BadRequest("a site tells of too many groups")
        return Release(
            _read(content["tables"], plan),
            groups,
            None if unread is None else _count(unread),
            _count(content["least"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BadRequest("this is nothing that a site tells of a package") from error


def _read(content: Mapping[str, Any], plan: Plan) -> Tables:
    return {name: _read_table(content[name], plan.cells[name]) for name in content}


def _read_table(content: Mapping[str, Any], cells: int) -> Table:
    runs = tuple((_count(first), _count(last), _count(count)) for first, last, count in content["runs"])
    ends = [end for first, last, _ in runs for end in (first, last)]
    if (
        ends != sorted(ends)
        or any(one[1] >= other[0] for one, other in pairwise(runs))
        or max(ends, default=0) >= cells
    ):
        raise BadRequest("a site tells of cells that are none")
    table = Table(runs, _count(content["squares"]))
    if not table.total <= table.squares <= table.total**2:
        raise BadRequest("a site tells of squares that no patients have")
    return table


def _name(text: str) -> str:
    """A dimension's name or a group's, which is kept and shown: no control character, no half of a pair."""
    if not text.isprintable():
        raise BadRequest("a group's name is printable")
    return text[:LONGEST]


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_COUNT:
        raise BadRequest("counts are whole numbers")
    return value
