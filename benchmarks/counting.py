"""How long a node takes to count what a question means, before and after it has loaded its facts.

python -m benchmarks.counting [--studies N] [--datasets D] [--rounds R]

Facts of made-up studies in a PostgreSQL of its own, loaded as a gateway does when the first question comes; then
questions of several kinds, each time another one, answered with protection; how long it takes to learn of studies that
changed; and one of the questions by SQL alone.
"""

import argparse
import random
import resource
import time
from collections.abc import Callable
from typing import Any

import psycopg

from archive import secrets
from archive.migration import migrate
from archive.settings import Settings
from benchmarks.report import keep, percentiles
from benchmarks.servers import database
from gateway.search.counting import Counting
from gateway.search.question import All, Condition, Either, Not, Question
from tests.live import temporary_home

KINDS = (
    '[["MG", "HOLOGIC, INC.", "BREAST"]]',
    '[["DBT", "HOLOGIC, INC.", "BREAST"], ["MG", "HOLOGIC, INC.", "BREAST"]]',
    '[["MG", "SIEMENS", "BREAST"]]',
    '[["MG", "GE MEDICAL SYSTEMS", "BREAST"], ["US", "GE MEDICAL SYSTEMS", "BREAST"]]',
    '[["MR", "SIEMENS", "BREAST"]]',
    '[["MG", "FUJIFILM", "BREAST"], ["SR", "", ""]]',
)
_SEEDED = random.Random(9)


STUDIES = """
    insert into study
    select '2.25.' || n, 'P' || n / 5, '', '', 'F', to_char(date '2010-01-01' + n %% 5000, 'YYYYMMDD'), '', '', '', '',
        '', '{MG}', '{}', 1, 4, '{}', ''
    from generate_series(1, %s) n"""
FACTS = """
    insert into search_fact (
        revision, study_instance_uid, patient, day, age, sex, kinds, views, laterality, density, assessment, diagnosis,
        findings, round)
    select 1, study_instance_uid, search_hash(patient_id), study_date::integer, 40 + n % 35, 1 + (n % 97 = 0)::integer,
        1 + n % 6, 1 + (n % 4 > 0)::integer, 3, n % 5, n % 8 - 1, (n % 50 = 0)::integer, (n % 16) << 8, 1 + n % 5
    from (select *, substr(study_instance_uid, 6)::integer as n from study) study order by patient_id"""
SQL = """
    select d.dataset, count(*), count(distinct patient)
    from search_fact f join dataset_study d using (study_instance_uid)
    where day >= %s and density in (3, 4) and views = 2 and not d.withheld group by 1"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=1_000_000)
    parser.add_argument("--datasets", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    with database() as url, temporary_home() as home:
        migrate(url)
        settings = Settings(home=home, database_url=url, search_budget=0)
        secrets.write(home / "secrets" / secrets.SITE_KEY, bytes(32))
        with psycopg.connect(url, autocommit=True) as connection:
            fill(connection, arguments.studies, arguments.datasets)
            rows = measure(settings, connection, arguments.rounds)
    keep("counting", rows, studies=arguments.studies, datasets=arguments.datasets)


def fill(connection: psycopg.Connection, studies: int, datasets: int) -> None:
    """Studies of patients who have five on average, each dataset with a half or less of them."""
    connection.execute("set session_replication_role = replica")  # no triggers: nothing is indexed here
    connection.execute("insert into search_kinds (kinds) select unnest(%s::text[])", [list(KINDS)])
    connection.execute(STUDIES, [studies])
    connection.execute(FACTS)
    connection.execute("update search_revision set revision = 1")
    for number in range(1, datasets + 1):
        connection.execute(
            "insert into dataset (name, query, created_by) values (%s, 'Modality=MG', 'x')", [f"d{number}"]
        )
        connection.execute(
            "insert into dataset_study select %s, study_date, study_instance_uid from study"
            " where substr(study_instance_uid, 6)::integer %% %s = 0",
            [number, number + 1],
        )
        connection.execute(
            "insert into catalogue_record (dataset, fields, edited_by, published_at) values (%s, '{}', 'x', now())",
            [number],
        )
    connection.execute("set session_replication_role = origin")
    connection.execute("vacuum analyze")


def one_condition() -> Question:
    return Condition("date", None, _SEEDED.randrange(20100101, 20200101))


def of_one_series() -> Question:
    makers = (Condition("manufacturer", (name,)) for name in ("HOLOGIC", "GE"))
    return All((Condition("modality", ("MG",)), Either(tuple(makers)), one_condition()))


def of_many_criteria() -> Question:
    return All((
        Condition("modality", ("MG", "DBT")), Condition("density", ("c", "d")), Condition("views", ("complete",)),
        Condition("assessment", ("4", "5")), Condition("finding", ("any",)), Condition("year", None, 2012, 2020),
        Not(Condition("diagnosis", ("breast-cancer",))), one_condition(),
    ))  # fmt: skip


def of_alternatives() -> Question:
    return Either((
        All((Condition("density", ("d",)), one_condition())),
        All((Condition("modality", ("MR",)), Condition("round", None, 2))),
        All((Condition("finding", ("mass",)), Condition("finding_source", ("reading",)))), Not(one_condition()),
    ))  # fmt: skip


def everything() -> Question:
    return All((Either((one_condition(), Not(one_condition()))),))


QUESTIONS: dict[str, Callable[[], Question]] = {
    "everything": everything,
    "one condition": one_condition,
    "of one series": of_one_series,
    "many criteria": of_many_criteria,
    "alternatives": of_alternatives,
}


def measure(settings: Settings, connection: psycopg.Connection, rounds: int) -> list[dict[str, Any]]:
    """A row for the load, for each kind of question, for changes, and for SQL."""
    counting, before = Counting(), _memory()
    began = time.perf_counter()
    counting.exact(settings, Condition("age", None, 50))
    rows: list[dict[str, Any]] = [
        {"what": "load", "seconds": round(time.perf_counter() - began, 2), "MiB": round(_memory() - before)}
    ]
    every: list[float] = []
    for name, make in QUESTIONS.items():
        times = _timed(lambda make=make: counting.answer(settings, make(), "x"), rounds, rows, name)
        every += times
    rows.append({"what": "all questions"} | percentiles(every))
    asked = one_condition()
    _timed(lambda: counting.answer(settings, asked, "x"), rounds, rows, "the same again")
    _timed(lambda: _change(connection, counting, settings), 5, rows, "after 500 studies changed")
    _timed(
        lambda: connection.execute(SQL, [_SEEDED.randrange(20100101, 20200101)]).fetchall(),
        5,
        rows,
        "SQL alone",
    )
    counting.close()
    return rows


def _change(connection: psycopg.Connection, counting: Counting, settings: Settings) -> None:
    first = _SEEDED.randrange(1000)
    connection.execute(
        "insert into search_stale select study_instance_uid, false from search_fact"
        " where number between %s and %s + 499 and study_instance_uid is not null",
        [first, first],
    )
    counting.answer(settings, one_condition(), "x")


def _timed(work: Callable[[], object], rounds: int, rows: list[dict[str, Any]], name: str) -> list[float]:
    times, used = [], time.process_time()
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    cpu = (time.process_time() - used) / rounds
    rows.append({"what": name, "cpu_ms": round(1000 * cpu, 2)} | percentiles(times))
    print(rows[-1], flush=True)
    return times


def _memory() -> float:
    """The most that this process has held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
