"""How searches grow with the index: the same searches at 2,000 and at 1,000,000 studies of four instances.

python -m benchmarks.index_growth [--studies N ...] [--rounds R] [--keep FOLDER] [--cases TEXT] [--parts N]

The index alone is filled, by SQL; no instance lies behind it. What is timed is `archive.search.find` on one
connection as the gateway has it, without HTTP, with the index in the operating system's memory. Studies of a day lie
scattered over it, which is worse than at a site, where they come day by day. A million studies take long to fill:
FOLDER keeps them for the next run.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from archive.attributes import Level
from archive.migration import migrate
from archive.policy import EVERYTHING
from archive.pool import SESSION
from archive.query import parse_parameters, parse_query
from archive.resource import Resource
from archive.search import find, metadata, places
from benchmarks.report import keep, percentiles
from benchmarks.servers import database

INSTANCES = 4  # of each study, in one series
DAYS = 4000  # on which the studies lie

_FILL = f"""
set session_replication_role = replica;
set synchronous_commit = off;
create function pg_temp.uid(kind text, number bigint) returns text language sql immutable as $$
    select '2.25.' || replace((('x' || substr(md5(kind || number), 1, 15))::bit(60)::bigint)::text
        || (('x' || substr(md5(kind || number), 16, 15))::bit(60)::bigint)::text, '-', '')
$$;
create function pg_temp.filler(size integer) returns bytea language sql immutable as $$
    select convert_to('{{"00080005":{{"vr":"CS","Value":["ISO_IR 192"]}},"00081190":{{"vr":"UR","Value":["', 'UTF8')
        || convert_to(repeat('/studies', size / 8) || '"]}}}}', 'UTF8')
$$;
insert into study
select pg_temp.uid('study', n), 'P' || n / 2, 'Doe^Jane' || n, '19600101', 'F',
    to_char(date '2010-01-01' + mod(n * 7919, {DAYS})::integer, 'YYYYMMDD'), '101500', 'A' || n, 'S' || n, '',
    'Screening',
    case mod(n, 10) when 0 then '{{US}}'::text[] when 1 then '{{MG,US}}' else '{{MG}}' end,
    '{{1.2.840.10008.5.1.4.1.1.1.2}}', 1, {INSTANCES}, '{{}}', pg_temp.filler(1400)
from generate_series(1, %(studies)s::bigint) n;
insert into series
select pg_temp.uid('series', n), pg_temp.uid('study', n), case mod(n, 10) when 0 then 'US' else 'MG' end, 1,
    {INSTANCES}, '{{}}', pg_temp.filler(900)
from generate_series(1, %(studies)s::bigint) n;
insert into instance (sop_instance_uid, series_instance_uid, study_instance_uid, sop_class_uid, instance_number,
    number_of_frames, transfer_syntax_uid, orthanc_id, place, size, is_image, dicom_json, metadata)
select pg_temp.uid('instance', n * {INSTANCES} + i), pg_temp.uid('series', n), pg_temp.uid('study', n),
    '1.2.840.10008.5.1.4.1.1.1.2', i, 1, '1.2.840.10008.1.2.1', '', '', 1, true, pg_temp.filler(900),
    pg_temp.filler(4000)
from generate_series(1, %(studies)s::bigint) n, generate_series(1, {INSTANCES}) i;
"""


def _cases(studies: int) -> dict[str, Callable[[], tuple[Level, Resource, str]]]:
    """Searches by name; each call names another one of its kind."""
    pick = random.Random(studies)
    deep = studies * 9 // 10

    def day() -> int:
        return pick.randrange(2010, 2020) * 10000 + pick.randrange(1, 12) * 100 + pick.randrange(1, 28)

    def of(level: Level, text: Callable[[], str]) -> Callable[[], tuple[Level, Resource, str]]:
        return lambda: (level, Resource(), text())

    return {
        "studies?PatientID": of(Level.STUDY, lambda: f"PatientID=P{pick.randrange(1, studies // 2)}"),
        "studies?StudyDate range, 100": of(Level.STUDY, lambda: f"StudyDate={day()}-20201231&limit=100"),
        "studies?ModalitiesInStudy page": of(
            Level.STUDY, lambda: f"ModalitiesInStudy=MG&limit=50&offset={pick.randrange(0, 1000)}"
        ),
        "series, first page": of(Level.SERIES, lambda: "limit=50"),
        "instances, first page": of(Level.INSTANCE, lambda: "limit=50"),
        "studies, deep page": of(Level.STUDY, lambda: f"limit=50&offset={pick.randrange(0, deep)}"),
        "studies?ModalitiesInStudy, deep page": of(
            Level.STUDY, lambda: f"ModalitiesInStudy=MG&limit=50&offset={pick.randrange(0, deep * 8 // 10)}"
        ),
        "series, deep page": of(Level.SERIES, lambda: f"limit=50&offset={pick.randrange(0, deep)}"),
        "instances, deep page": of(
            Level.INSTANCE, lambda: f"limit=50&offset={pick.randrange(0, deep * INSTANCES)}"
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, nargs="+", default=[2_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=200, help="searches of each kind")
    parser.add_argument("--keep", type=Path, help="a folder for the indexes, filled once")
    parser.add_argument("--parts", type=int, default=0, help="also of instances in a table of so many parts")
    parser.add_argument("--cases", default="", help="only those that have this in their names")
    arguments = parser.parse_args()
    with database(arguments.keep) as url:
        addresses = {studies: _index(url, studies) for studies in arguments.studies}
        rows = []
        for studies, address in addresses.items():
            warm(address)
            rows += asyncio.run(_measure(address, studies, arguments.rounds, arguments.cases))
            rows += asyncio.run(_measure_resources(address, studies, arguments.rounds))
            rows += measure_parts(address, studies, arguments.parts) if arguments.parts else []
    keep("index_growth", rows)


def _index(url: str, studies: int) -> str:
    """The address of an index of so many studies, filled unless it is there."""
    name = f"growth_{studies}"
    address = make_conninfo(url, dbname=name)
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("select from pg_database where datname = %s", [name]).fetchone()
        if found is None:
            connection.execute(f"drop database if exists {name}_part")  # of a run that was cut short
            connection.execute(f"create database {name}_part")
            part = make_conninfo(url, dbname=f"{name}_part")
            migrate(part)
            fill(part, studies)
            connection.execute(f"alter database {name}_part rename to {name}")
    migrate(address)
    return address


def fill(address: str, studies: int) -> None:
    """Fill an empty index with this many studies."""
    with psycopg.connect(address, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(_FILL, {"studies": studies})
        connection.execute("reset session_replication_role")
        connection.execute("select count_studies()")
        connection.execute("select count_in_datasets()")
        connection.execute("vacuum analyze")


def warm(address: str) -> None:
    """Read the whole index once, as the searches of a site do in time."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("create extension if not exists pg_prewarm")
        connection.execute(
            "select pg_prewarm(oid, 'read') from pg_class"
            " where relkind in ('r', 'i', 't') and relnamespace in ('public'::regnamespace, 'pg_toast'::regnamespace)"
        )


async def _measure(address: str, studies: int, rounds: int, cases: str) -> list[dict[str, object]]:
    rows = []
    async with await AsyncConnection.connect(address, autocommit=True, **SESSION) as connection:
        for name, ask in _cases(studies).items():
            if cases not in name:
                continue
            waits = []
            for number in range(rounds + 20):
                level, resource, text = ask()
                query = parse_query(level, parse_parameters(text.encode()))
                began = time.perf_counter()
                page = await find(connection, EVERYTHING, resource, query)
                waits += [time.perf_counter() - began] if number >= 20 else []
                assert page.rows
            rows.append({"case": name, "studies": studies} | percentiles(waits))
    return rows


async def _measure_resources(address: str, studies: int, rounds: int) -> list[dict[str, object]]:
    """What WADO-RS asks of the index: the metadata of a study, and where its instances lie."""
    rows: list[dict[str, object]] = []
    async with await AsyncConnection.connect(address, autocommit=True, **SESSION) as connection:
        sample = "select study_instance_uid from study order by md5(study_instance_uid) limit %s"
        found = [uid for (uid,) in await (await connection.execute(sample, [rounds + 20])).fetchall()]
        asked = {"metadata of a study": metadata, "places of a study": places}
        for name, ask in asked.items():
            waits = []
            for number, uid in enumerate(found):
                began = time.perf_counter()
                await ask(connection, EVERYTHING, Resource(uid))
                waits += [time.perf_counter() - began] if number >= 20 else []
            rows.append({"case": name, "studies": studies} | percentiles(waits))
    return rows


_LOOKUPS = {
    "an instance by its UID": "select place from {} where sop_instance_uid = %s",
    "the instances of a study": "select place from {} where study_instance_uid = %s",
}
_PARTED = """
    drop table if exists parted;
    create table parted (like instance) partition by hash (sop_instance_uid);
    do $$ begin for n in 0 .. {last} loop
        execute format(
            'create table parted_%s partition of parted for values with (modulus {parts}, remainder %s)', n, n);
    end loop; end $$;
    insert into parted select * from instance;
    alter table parted add primary key (sop_instance_uid);
    create index on parted (study_instance_uid);
    create index on parted (series_instance_uid);
    analyze parted"""


def measure_parts(address: str, studies: int, parts: int) -> list[dict[str, object]]:
    """Instances in one table, and in one of `parts` parts by the hash of their UID: finding them, and adding some."""
    rows: list[dict[str, object]] = []
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(_PARTED.format(last=parts - 1, parts=parts).encode())
        sample = "select sop_instance_uid, study_instance_uid from instance tablesample system_rows(300)"
        connection.execute("create extension if not exists tsm_system_rows")
        found = connection.execute(sample).fetchall()
        for table in ("instance", "parted"):
            for number, (name, statement) in enumerate(_LOOKUPS.items()):
                waits = []
                for one in found:
                    began = time.perf_counter()
                    connection.execute(
                        statement.format(table).encode(), [one[number]], prepare=True
                    ).fetchall()
                    waits.append(time.perf_counter() - began)
                parted = parts if table == "parted" else 1
                rows.append({"case": name, "studies": studies, "parts": parted} | percentiles(waits[20:]))
        connection.execute("drop table parted")
    return rows


if __name__ == "__main__":
    main()
