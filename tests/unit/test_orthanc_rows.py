"""Rows of Orthanc's database that benchmarks multiply: here of a database of the same tables."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.moulds import INSTANCES, Copies, with_orthanc_names
from benchmarks.orthanc_rows import fill_orthanc
from deidentification.pseudonym import Keys, Pseudonyms

STUDIES = 3
_SCHEMA = """
    create table Resources(internalId integer primary key autoincrement, resourceType integer, publicId text,
        parentId integer references Resources(internalId) on delete cascade);
    create table MainDicomTags(id integer, tagGroup integer, tagElement integer, value text,
        primary key(id, tagGroup, tagElement));
    create table DicomIdentifiers(id integer, tagGroup integer, tagElement integer, value text,
        primary key(id, tagGroup, tagElement));
    create table Metadata(id integer, type integer, value text, revision integer, primary key(id, type));
    create table AttachedFiles(id integer, fileType integer, uuid text, compressedSize integer,
        uncompressedSize integer, compressionType integer, primary key(id, fileType));
    create table Changes(seq integer primary key autoincrement, changeType integer);
    create table PatientRecyclingOrder(seq integer primary key autoincrement, patientId integer);
    create table GlobalIntegers(key integer primary key, value integer);
    create index PublicIndex on Resources(publicId);
    create trigger PatientAdded after insert on Resources for each row when new.resourceType = 1
        begin insert into PatientRecyclingOrder values (null, new.internalId); end;
    insert into GlobalIntegers values (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0);
    insert into Changes values (null, 1);
"""


def _named(form: str) -> dict[str, str]:
    names = {"study": f"{form}.1", "series": f"{form}.2", "patient": f"{form}.P", "date": "20240229"}
    names |= {f"instance {i}": f"{form}.3.{i}" for i in range(INSTANCES)}
    return with_orthanc_names(names | {f"place {i}": f"{form} place {i}" for i in range(INSTANCES)})


def _add(connection: sqlite3.Connection, names: dict[str, str]) -> None:
    above = None
    for level, resource in enumerate(("patient", "study", "series"), 1):
        above = _add_resource(connection, level, names[f"orthanc {resource}"], above, names[resource])
    for i in range(INSTANCES):
        number = _add_resource(connection, 4, names[f"orthanc instance {i}"], above, names[f"instance {i}"])
        for kind, uuid in ((1, names[f"place {i}"]), (3, "header")):
            connection.execute("insert into AttachedFiles values (?, ?, ?, 10, 10, 1)", [number, kind, uuid])


def _add_resource(
    connection: sqlite3.Connection, level: int, public: str, above: int | None, uid: str
) -> int:
    found = connection.execute("insert into Resources values (null, ?, ?, ?)", [level, public, above])
    number = found.lastrowid
    assert number
    connection.execute("insert into DicomIdentifiers values (?, 8, 24, ?)", [number, uid])
    connection.execute("insert into MainDicomTags values (?, 8, 32, '20240229')", [number])
    connection.execute("insert into Metadata values (?, 1, 'kept', 0)", [number])
    return number


@pytest.fixture
def copies() -> Copies:
    return Copies(Pseudonyms(Keys.derive(bytes(32))))


@pytest.fixture
def filled(tmp_path: Path, copies: Copies) -> Iterator[sqlite3.Connection]:
    forms = [_named("1"), _named("2")]
    with closing(sqlite3.connect(tmp_path / "index")) as connection:
        connection.executescript(_SCHEMA)
        for form in forms:
            _add(connection, form)
        connection.commit()
    fill_orthanc(tmp_path / "index", forms, lambda number: number % 2, copies, STUDIES)
    with closing(sqlite3.connect(tmp_path / "index")) as connection:
        yield connection


def test_each_copy_has_all_resources_below_one_another(filled: sqlite3.Connection, copies: Copies) -> None:
    found = filled.execute(
        "select p.publicId, s.publicId, e.publicId, i.publicId from Resources i"
        " join Resources e on e.internalId = i.parentId"
        " join Resources s on s.internalId = e.parentId join Resources p on p.internalId = s.parentId"
        " order by i.internalId"
    ).fetchall()
    named = [copies(number) for number in range(STUDIES)]
    above = ("orthanc patient", "orthanc study", "orthanc series")
    wanted = [
        (*(each[key] for key in above), each[f"orthanc instance {i}"])
        for each in named
        for i in range(INSTANCES)
    ]
    assert found == wanted


def test_no_header_and_nothing_of_the_forms_stays(filled: sqlite3.Connection) -> None:
    assert filled.execute("select count(*) from AttachedFiles where fileType = 3").fetchone() == (0,)
    assert filled.execute("select count(*) from DicomIdentifiers where value like '1.%'").fetchone() == (0,)
    assert filled.execute("select count(*) from MainDicomTags where value = '20240229'").fetchone() == (0,)


def test_sums_are_those_of_the_rows(filled: sqlite3.Connection) -> None:
    sums = [value for (value,) in filled.execute("select value from GlobalIntegers order by key")]
    size = 10 * STUDIES * INSTANCES
    assert sums == [size, size, STUDIES, STUDIES, STUDIES, STUDIES * INSTANCES]


def test_triggers_and_indexes_are_made_again(filled: sqlite3.Connection) -> None:
    made = filled.execute(
        "select name from sqlite_master where type in ('trigger', 'index') and sql is not null"
    )
    assert {name for (name,) in made} == {"PatientAdded", "PublicIndex"}
    assert filled.execute("select count(*) from PatientRecyclingOrder").fetchone() == (STUDIES,)
