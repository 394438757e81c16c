"""Rows of Orthanc's own database (SQLite), many times over."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.moulds import INSTANCES, Copies, Values

_OF_RESOURCE = {"MainDicomTags": "id", "DicomIdentifiers": "id", "Metadata": "id", "AttachedFiles": "id"}
_HEADER = 3  # the type of an attachment: a copy of an instance's header
_LEVELS = ("patient", "study", "series", "instance")
_BATCH = 2_000  # studies whose rows are written by one statement


def fill_orthanc(
    file: Path, forms: Sequence[Values], form_of: Callable[[int], int], copies: Copies, studies: int
) -> None:
    """The rows of each study, as those of the one of its form are; these are forgotten then.

    `file` is the database of an Orthanc that does not run. The copies of headers, which Orthanc keeps as attachments
    of their own, are left out.
    """
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in (
            "journal_mode = off",
            "synchronous = off",
            "cache_size = -200000",
            "locking_mode = exclusive",
        ):
            connection.execute(f"pragma {pragma}")
        made = _drop_triggers_and_indexes(connection)
        tables = [_orthanc_rows(connection, names) for names in forms]
        (first,) = connection.execute("select max(internalId) + 1 from Resources").fetchone()
        connection.execute("begin")
        for start in range(0, studies, _BATCH):
            numbers = range(start, min(start + _BATCH, studies))
            values = [(copies(number), number) for number in numbers]
            for table in tables[0]:
                rows = (
                    row
                    for names, number in values
                    for row in tables[form_of(number)][table](names, first, number)
                )
                _insert(connection, table, rows)
        _forget_forms(connection, first)
        connection.execute("commit")
        for statement in made:
            connection.execute(statement)
        _count_anew(connection)
        connection.execute("analyze")


def _drop_triggers_and_indexes(connection: sqlite3.Connection) -> list[str]:
    """How they are made again."""
    found = connection.execute(
        "select type, name, sql from sqlite_master where type in ('trigger', 'index') and sql is not null"
    ).fetchall()
    for kind, name, _ in found:
        connection.execute(f"drop {kind} {name}")
    return [sql for _, _, sql in sorted(found)]


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"pragma table_info({table})")]


RowsOf = Callable[[Values, int, int], Iterator[tuple[Any, ...]]]


def _orthanc_rows(connection: sqlite3.Connection, names: Values) -> dict[str, RowsOf]:
    """By table, what makes the rows of a copy: Orthanc numbers its resources, each copy's follow those of the last."""
    keys = {f"orthanc {level}" for level in _LEVELS[:3]} | {f"orthanc instance {i}" for i in range(INSTANCES)}
    wanted = {names[key] for key in keys}
    listed = connection.execute("select internalId, publicId from Resources order by internalId").fetchall()
    offsets = {
        number: place for place, number in enumerate(number for number, public in listed if public in wanted)
    }
    assert len(offsets) == len(wanted)
    named = {text: name for name, text in names.items()}
    made: dict[str, RowsOf] = {}
    for table in ("Resources", "PatientRecyclingOrder", *_OF_RESOURCE):
        rows = [
            row
            for row in connection.execute(f"select {', '.join(_columns(connection, table))} from {table}")
            if row[_key(connection, table)] in offsets
            and not (table == "AttachedFiles" and row[1] == _HEADER)
        ]
        made[table] = partial(_cast_rows, _shapes(connection, table, rows, offsets, named), len(offsets))
    return made


def _key(connection: sqlite3.Connection, table: str) -> int:
    """Which column has the number of a resource."""
    name = {"Resources": "internalId", "PatientRecyclingOrder": "patientId"}.get(table, "id")
    return _columns(connection, table).index(name)


class Shape(NamedTuple):
    """A row: what stays, which columns hold numbers of resources, and which hold what is named."""

    row: tuple[Any, ...]
    numbers: tuple[tuple[int, int], ...]
    texts: tuple[tuple[int, str], ...]


def _shapes(
    connection: sqlite3.Connection,
    table: str,
    rows: list[tuple[Any, ...]],
    offsets: Mapping[int, int],
    named: Mapping[str, str],
) -> list[Shape]:
    columns = _columns(connection, table)
    of_resources = [
        i for i, name in enumerate(columns) if name in ("internalId", "parentId", "patientId", "id")
    ]
    shapes = []
    for row in rows:
        numbers = tuple((i, offsets[row[i]]) for i in of_resources if row[i] is not None)
        texts = tuple(
            (i, named[each]) for i, each in enumerate(row) if isinstance(each, str) and each in named
        )
        shapes.append(
            Shape(
                tuple(None if name == "seq" else each for name, each in zip(columns, row, strict=True)),
                numbers,
                texts,
            )
        )
    return shapes


def _cast_rows(
    shapes: list[Shape], resources: int, names: Values, first: int, number: int
) -> Iterator[tuple[Any, ...]]:
    base = first + number * resources
    for shape in shapes:
        row = list(shape.row)
        for i, offset in shape.numbers:
            row[i] = base + offset
        for i, name in shape.texts:
            row[i] = names[name]
        yield tuple(row)


def _insert(connection: sqlite3.Connection, table: str, rows: Iterator[tuple[Any, ...]]) -> None:
    marks = ", ".join("?" * len(_columns(connection, table)))
    connection.executemany(f"insert into {table} values ({marks})", rows)


def _forget_forms(connection: sqlite3.Connection, first: int) -> None:
    for table in ("PatientRecyclingOrder", *_OF_RESOURCE, "Resources"):
        key = _columns(connection, table)[_key(connection, table)]
        connection.execute(f"delete from {table} where {key} < ?", [first])
    connection.execute("delete from Changes")


def _count_anew(connection: sqlite3.Connection) -> None:
    """Orthanc's own sums: of sizes, and of the resources of each level."""
    sums = connection.execute(
        "select sum(compressedSize), sum(uncompressedSize) from AttachedFiles"
    ).fetchone()
    counts = [
        connection.execute("select count(*) from Resources where resourceType = ?", [level]).fetchone()[0]
        for level in range(1, 5)
    ]
    for key, value in enumerate((*sums, *counts)):
        connection.execute("update GlobalIntegers set value = ? where key = ?", [value, key])
