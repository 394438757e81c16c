"""What permits cost a search: it is made by who sees everything, and by holders of 10,000 permits on 1,000 datasets.

The principals are of five kinds, by the datasets that their permits name: one of a thousand studies, one of fifty
thousand, one of half of all, three, ten. `--database` names a PostgreSQL with an index, as `benchmarks.index_growth`
fills one; datasets and permits are added to it where there are none.
"""

import argparse
import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.errors import QueryCanceled

from archive import permits
from archive.attributes import Level
from archive.migration import migrate
from archive.policy import EVERYTHING, Action, Principal, Scope, decide
from archive.pool import SESSION
from archive.query import parse_parameters, parse_query
from archive.resource import Resource
from archive.search import find
from benchmarks.index_growth import fill
from benchmarks.report import keep, percentiles
from benchmarks.servers import database

_LOG = logging.getLogger("senogate.benchmarks")
PERMITS, DATASETS = 10_000, 1000
PRINCIPALS = 10  # of each kind, who ask again and again
PATIENCE = 5  # seconds after which a search is given up, and counted as that long
# How many datasets there are of how large a part of all studies; beside them the small ones, of a few days each.
PARTS = {20: 0.05, 5: 0.5}

_FILL = """
set session_replication_role = replica;
set synchronous_commit = off;
insert into dataset (name, query, created_by)
select 'benchmark-' || n, 'StudyInstanceUID=1.2.' || n, 'benchmark' from generate_series(1, %(datasets)s) n;
insert into dataset_study
select d.number, study_date, study_instance_uid
from (select study_date, study_instance_uid, row_number() over (order by study_date) as place from study) s
    join (select number, row_number() over (order by number) as n from dataset where number > 0) d
        on s.place / greatest((select count(*) from study) / 1000, 1) = d.n
where d.n <= %(datasets)s - %(large)s;
"""
_FILL_PART = """
insert into dataset_study
select d.number, study_date, study_instance_uid
from study, (select number from dataset where name = 'benchmark-' || %(n)s) d
where hashtext(study_instance_uid || %(n)s)::bigint + 2147483648 < %(part)s * 4294967296
"""
_PERMITS = """
insert into permit (subject, state, purpose, legal_basis, actions, requested_by)
select 'client:' || n, 'granted', 'research', 'benchmark', '{dicomweb.read}', 'benchmark'
from generate_series(1, %(permits)s) n;
insert into client (client_id, secret_sha256, scope) select n, '', '' from generate_series(1, %(permits)s) n;
insert into permit_dataset
select distinct number, 1 + (hashtext(number || ' ' || i)::bigint + 2147483648) %% %(datasets)s
from permit, generate_series(1, 3) i;
"""

_REMOVE = """
create temporary table gone as select number from dataset where created_by = 'benchmark' and name like 'benchmark-%';
delete from dataset_study where dataset in (select number from gone);
delete from permit_dataset where permit in (select number from permit where legal_basis = 'benchmark');
delete from permit where legal_basis = 'benchmark';
delete from client where secret_sha256 = '' and scope = '';
delete from dataset where number in (select number from gone)
"""


def add_datasets(address: str) -> None:
    """Add the datasets and permits to an index."""
    large = sum(PARTS)
    with psycopg.connect(address, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(_FILL, {"datasets": DATASETS, "large": large})
        number = DATASETS - large
        for count, part in PARTS.items():
            for _ in range(count):
                number += 1
                connection.execute(_FILL_PART, {"n": number, "part": part})
        connection.execute(_PERMITS, {"permits": PERMITS, "datasets": DATASETS})
        connection.execute("reset session_replication_role")
        connection.execute("select count_in_datasets()")
        connection.execute("vacuum analyze")


def remove_datasets(address: str) -> None:
    """Remove what `add_datasets` added."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(_REMOVE)
        connection.execute("reset session_replication_role")
        connection.execute("select count_in_datasets()")
        connection.execute("vacuum analyze")


def scopes(numbers: list[int], pick: random.Random) -> dict[str, Callable[[], Scope]]:
    """By the kind of principal what it sees; each call is one of those who ask."""
    half, twentieth = numbers[-5:], numbers[-25:-5]
    small = numbers[:-25]

    def of(some: list[int], count: int) -> Callable[[], Scope]:
        kind = [Scope(False, tuple(sorted(pick.sample(some, count)))) for _ in range(PRINCIPALS)]
        return lambda: pick.choice(kind)

    return {
        "everything": lambda: EVERYTHING,
        "one of 0.1 %": of(small, 1),
        "one of 5 %": of(twentieth, 1),
        "one of 50 %": of(half, 1),
        "three": of(numbers, 3),
        "ten": of(numbers, 10),
    }


def searches(
    studies: int, patients: list[str], modality: str, pick: random.Random
) -> dict[str, Callable[[int], tuple[Level, str]]]:
    """Searches by name, of who sees so many studies; `modality` is one that few series have."""

    def day() -> int:
        return pick.randrange(2010, 2020) * 10000 + pick.randrange(1, 12) * 100 + pick.randrange(1, 28)

    def page(seen: int) -> str:
        return f"limit=50&offset={pick.randrange(0, max(seen * 9 // 10, 1))}"

    return {
        "studies?PatientID": lambda seen: (Level.STUDY, f"PatientID={pick.choice(patients)}"),
        "studies?StudyDate range, 100": lambda seen: (Level.STUDY, f"StudyDate={day()}-20201231&limit=100"),
        "studies, first page": lambda seen: (Level.STUDY, "limit=50"),
        "studies?ModalitiesInStudy page": lambda seen: (
            Level.STUDY, f"ModalitiesInStudy=MG&limit=50&offset={pick.randrange(0, 1000)}"
        ),
        "series?Modality page": lambda seen: (Level.SERIES, f"Modality={modality}&limit=50"),
        "instances, first page": lambda seen: (Level.INSTANCE, "limit=50"),
        "studies, deep page": lambda seen: (Level.STUDY, page(seen)),
        "series, deep page": lambda seen: (Level.SERIES, page(seen)),
    }  # fmt: skip


_PATIENTS = "select patient_id from study order by md5(study_instance_uid) limit 500"
_RAREST = "select modality from study_month where modality <> '' group by 1 order by sum(studies) limit 1"


async def measure(address: str, rounds: int) -> list[dict[str, object]]:
    """Each search by each kind of principal; the ratio is to who sees everything."""
    rows: list[dict[str, object]] = []
    pooled: dict[str, list[float]] = {}
    pick = random.Random(1)
    async with await AsyncConnection.connect(address, autocommit=True, **SESSION) as connection:
        await connection.execute(f"set statement_timeout = '{PATIENCE}s'")
        studies = (await (await connection.execute("select count(*) from study")).fetchone() or (0,))[0]
        found = await connection.execute(
            "select number from dataset where name like 'benchmark-%' order by number"
        )
        numbers = [number for (number,) in await found.fetchall()]
        sizes = dict(
            await (
                await connection.execute("select dataset, count(*) from dataset_study group by 1")
            ).fetchall()
        )
        rows_of = [await (await connection.execute(each)).fetchall() for each in (_PATIENTS, _RAREST)]
        patients, ((modality,),) = [patient for (patient,) in rows_of[0]], rows_of[1]
        for name, ask in searches(studies, patients, modality, pick).items():
            whole = 0.0
            for kind, scope_of in scopes(numbers, pick).items():
                waits = []
                for number in range(rounds + 10):
                    scope = scope_of()
                    seen = studies if scope.everything else max(sizes.get(each, 0) for each in scope.numbers)
                    level, text = ask(seen)
                    query = parse_query(level, parse_parameters(text.encode()))
                    began = time.perf_counter()
                    with suppress(QueryCanceled):
                        await find(connection, scope, Resource(), query)
                    waits += [time.perf_counter() - began] if number >= 10 else []
                taken = percentiles(waits)
                pooled.setdefault(kind, []).extend(waits)
                whole = whole or taken["p95_ms"]
                ratio = round(taken["p95_ms"] / whole, 2)
                _LOG.info("%s, %s: %s", name, kind, taken)
                rows.append({"case": name, "sees": kind, "studies": studies} | taken | {"p95_ratio": ratio})
        whole = percentiles(pooled["everything"])["p95_ms"]
        for kind, waits in pooled.items():
            taken = percentiles(waits)
            ratio = round(taken["p95_ms"] / whole, 2)
            rows.append(
                {"case": "all of these", "sees": kind, "studies": studies} | taken | {"p95_ratio": ratio}
            )
        rows.append(await _measure_grants(connection, rounds))
    return rows


async def _measure_grants(connection: AsyncConnection, rounds: int) -> dict[str, object]:
    """What a gateway looks up once for a principal, until something changes."""
    waits = []
    for number in range(1, rounds + 1):
        subject = f"client:{number}"
        began = time.perf_counter()
        grants = await permits.grants_of(connection, subject)
        decide(Principal(subject, frozenset(Action)), grants, Action.READ)
        waits.append(time.perf_counter() - began)
    return {"case": "grants of a principal", "permits": PERMITS} | percentiles(waits)


@contextmanager
def _filled(studies: int) -> Iterator[str]:
    with database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create database permits")
        address = make_conninfo(url, dbname="permits")
        migrate(address)
        fill(address, studies)
        yield address


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--database", help="an index that is filled already")
    parser.add_argument("--rounds", type=int, default=100, help="searches of each kind")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = arguments.database
    with nullcontext(given) if given else _filled(arguments.studies) as address:
        migrate(address)
        with psycopg.connect(address) as connection:
            there = connection.execute("select count(*) from dataset where number > 0").fetchone()
        if not (there and there[0]):
            add_datasets(address)
        keep("permits", asyncio.run(measure(address, arguments.rounds)))


if __name__ == "__main__":
    main()
