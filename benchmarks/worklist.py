"""How long a page of the worklist takes, and how soon a result is on it.

python -m benchmarks.worklist [--studies N] [--rounds R] [--keep FOLDER] [--exams E]

*Pages* are those of an index of 100,000 studies that is filled by SQL, four tasks read of each: `archive.summaries`
on one connection as the gateway has it, first and deep, with each filter, by who sees everything and under permits; and
what PostgreSQL's process and this one spend on each. *Results* are of a whole site: an exam is sent by C-STORE, and its
row is waited for as a page's script does, by events.
"""

import argparse
import asyncio
import json
import random
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from archive import summaries
from archive.migration import migrate
from archive.policy import EVERYTHING, Scope
from archive.pool import SESSION
from archive.summaries import Place
from benchmarks.index_growth import fill, warm
from benchmarks.report import keep, percentiles
from benchmarks.servers import database
from gateway.portal.list_filters import parse_asked, parse_filters
from inference.demo import demo_exam
from senogate import scu
from tests.live import LiveSite, find_free_ports, temporary_home

SUBJECT = "account:benchmark"
# Datasets by the part of all studies that they have, scattered, and one of the oldest fifth.
PARTS = {"0.1 %": 0.001, "5 %": 0.05, "50 %": 0.5}
OLDEST = "the oldest fifth"

_READINGS = """
set session_replication_role = replica;
set synchronous_commit = off;
insert into reading (study_instance_uid, task, state, fingerprint, model)
select study_instance_uid, task,
    case mod(abs(hashtext(study_instance_uid || task)), 1000) when 0 then 'failed' when 1 then 'due' else
        case when mod(abs(hashtext(study_instance_uid || task)), 20) = 0 then 'not-applicable' else 'done' end end,
    '', 'Model 1.0'
from study, unnest(array['density', 'lesions', 'quality', 'risk']) task;
insert into study_summary (
    study_instance_uid, study_date, patient_id, withheld, modalities, number_of_images, picture, states, density, score,
    risk, quality, arrived_at)
select study_instance_uid, study_date, patient_id, withheld, modalities, number_of_instances,
    (select sop_instance_uid from instance where instance.study_instance_uid = study.study_instance_uid limit 1),
    array(
        select task || ':' || state from reading
        where reading.study_instance_uid = study.study_instance_uid order by 1),
    substr('aabbbbbcccd', 1 + mod(abs(hashtext(study_instance_uid)), 11), 1),
    case when mod(abs(hashtext(study_instance_uid)), 3) = 0
        then power(mod(abs(hashtext('score' || study_instance_uid)), 1000) / 1000.0, 3) end,
    1.5, 'Good', now() - make_interval(secs => abs(hashtext('arrival' || study_instance_uid)) / 100.0)
from study;
"""
_PART = """
with made as (
    insert into dataset (name, query, created_by) values (%(name)s, 'StudyInstanceUID=1.2', 'benchmark')
    returning number)
insert into dataset_study (dataset, study_date, study_instance_uid)
select number, study_date, study_instance_uid
from study, made
where abs(hashtext(study_instance_uid || %(name)s)::bigint) < %(part)s * 2147483648
    and (not %(is_oldest)s or study_date < (
        select percentile_disc(0.2) within group (order by study_date) from study))
"""
_MARKS = "insert into study_reader (subject, studies) values (%(subject)s, %(studies)s)"
_WAY = """
select extract(epoch from indexed_at)::float8, extract(epoch from began_at)::float8,
    (select sum(part::float8) from jsonb_each_text(parts) told (name, part))
from study join inference_log using (study_instance_uid)
where task = 'density' order by indexed_at desc limit 1
"""
FILTERS = {
    "no filter": "",
    "a year": "from=2015-01-01&to=2015-12-31",
    "Modality=US": "Modality=US",
    "density d": "density=d",
    "score >= 50 %": "score=50",
    "score >= 97 %": "score=97",
    "failed": "status=failed",
    "no model": "status=none",
    "unread, 0.1 %": "unread=1",
    "density d, score >= 90 %, failed": "density=d&score=90&status=failed",
    "PatientID": "PatientID=P77",
    "PatientID with *": "PatientID=P777*",
    "by score": "sort=score",
    "by arrival": "sort=arrival",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=100_000, help="0: no pages")
    parser.add_argument("--rounds", type=int, default=40, help="pages of each kind")
    parser.add_argument("--keep", type=Path, help="a folder for the index, filled once")
    parser.add_argument("--exams", type=int, default=5, help="0: no results")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if arguments.studies:
        with database(arguments.keep) as url:
            address = _index(url, arguments.studies)
            warm(address)
            rows += asyncio.run(measure_pages(address, arguments.rounds))
    told = _results(arguments.exams) if arguments.exams else {}
    keep("worklist", rows, studies=arguments.studies, results=told)
    for name, value in told.items():
        print(f"{name}: {value}")


def _index(url: str, studies: int) -> str:
    """The address of an index of so many studies, filled unless it is there."""
    name = f"worklist_{studies}"
    address = make_conninfo(url, dbname=name)
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
            return address
        connection.execute(f"drop database if exists {name}_part")
        connection.execute(f"create database {name}_part")
        part = make_conninfo(url, dbname=f"{name}_part")
        migrate(part)
        fill(part, studies)
        fill_rest(part)
        connection.execute(f"alter database {name}_part rename to {name}")
    return address


def fill_rest(address: str) -> None:
    """Readings of all studies, what lists show of them, and datasets; an index has the studies."""
    with psycopg.connect(address, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(_READINGS)
        for name, part in {**PARTS, OLDEST: 1.0}.items():
            connection.execute(_PART, {"name": name, "part": part, "is_oldest": name == OLDEST})
        last = connection.execute("select max(number) from study_summary").fetchone()
        bits = bytes([255]) * ((last[0] if last else 0) // 8 + 1)
        connection.execute(_MARKS, {"subject": SUBJECT, "studies": _with_holes(bits)})
        connection.execute("reset session_replication_role")
        connection.execute("select count_in_datasets()")
        connection.execute("vacuum analyze")


def _with_holes(bits: bytes) -> bytes:
    """All but one in a thousand read."""
    pick, kept = random.Random(1), bytearray(bits)
    for _ in range(len(bits) * 8 // 1000):
        kept[pick.randrange(len(kept))] &= ~(1 << pick.randrange(8))
    return bytes(kept)


async def measure_pages(
    address: str, rounds: int, filters: Mapping[str, str] = FILTERS
) -> list[dict[str, Any]]:
    """Each filter by each kind of principal, first page and deep ones."""
    rows = []
    async with await AsyncConnection.connect(address, autocommit=True, **SESSION) as connection:
        for sees, scope in (await _scopes(connection)).items():
            for name, query in filters.items():
                for depth in ("first", "deep"):
                    places = (
                        await _places(connection, scope, query, rounds)
                        if depth == "deep"
                        else [None] * rounds
                    )
                    if places:
                        rows.append(
                            {"page": name, "at": depth, "sees": sees}
                            | await _time(connection, scope, query, places)
                        )
    return rows


async def _scopes(connection: AsyncConnection) -> dict[str, Scope]:
    named = "select name, number from dataset where name = any(%s)"
    found = await (await connection.execute(named, [[*PARTS, OLDEST]])).fetchall()
    return {"everything": EVERYTHING, **{name: Scope(False, (number,)) for name, number in found}}


async def _places(connection: AsyncConnection, scope: Scope, query: str, rounds: int) -> list[Place | None]:
    """Places that pages deep in the list begin at; none where the list has one page."""
    filters = parse_filters(parse_asked(query.encode()))
    first = await summaries.list_studies(connection, scope, SUBJECT, filters)
    if not first.behind:
        return []
    pick = random.Random(1)
    these = (
        "study_summary where score is not null" if filters.order is summaries.Order.SCORE else "study_summary"
    )
    statement = f"select study_date, score, arrived_at, study_instance_uid from {these} offset %s limit 1"
    ((total,),) = await (await connection.execute(f"select count(*) from {these}")).fetchall()
    places: list[Place | None] = []
    for _ in range(rounds):
        cursor = await connection.execute(statement, [pick.randrange(total)])
        date, score, arrived, uid = await cursor.fetchone() or ("", 0, None, "")
        keys = {"date": (date,), "score": (repr(score), date), "arrival": (arrived.isoformat(),)}
        places.append(Place((*keys[filters.order], uid)))
    return places


async def _time(
    connection: AsyncConnection, scope: Scope, query: str, places: list[Place | None]
) -> dict[str, Any]:
    filters = parse_filters(parse_asked(query.encode()))
    own, backend = psutil.Process(), psutil.Process(connection.info.backend_pid)
    waits, found = [], 0
    for place in places[:3]:
        await summaries.list_studies(connection, scope, SUBJECT, filters, place)
    before = [_cpu(each) for each in (own, backend)]
    for place in places:
        began = time.perf_counter()
        page = await summaries.list_studies(connection, scope, SUBJECT, filters, place)
        waits.append(time.perf_counter() - began)
        found += len(page.studies)
    spent = [
        round((_cpu(each) - then) * 1000 / len(places), 2)
        for each, then in zip((own, backend), before, strict=True)
    ]
    told = {"python_cpu_ms": spent[0], "postgresql_cpu_ms": spent[1], "studies": round(found / len(places))}
    return percentiles(waits) | told


def _cpu(process: psutil.Process) -> float:
    return sum(process.cpu_times()[:2])


def _results(exams: int) -> dict[str, Any]:
    """From the last C-STORE of an exam to its density in its row, less the model's own time."""
    with temporary_home() as home, tempfile.TemporaryDirectory() as folder:
        site = LiveSite(home, find_free_ports(3), {"SENOGATE_STABLE_AGE": "2"}).start()
        try:
            waits = [_result(site, Path(folder, str(number))) for number in range(exams + 1)][1:]
        finally:
            site.stop()
    names = waits[0].keys()
    return {name: percentiles([each[name] for each in waits]) for name in names}


def _result(site: LiveSite, folder: Path) -> dict[str, float]:
    """Seconds of the ways of one exam."""
    folder.mkdir()
    for number, part in enumerate(demo_exam(seed=uuid.uuid4().hex)):
        (folder / f"{number}.dcm").write_bytes(part)
    receiver = scu.Receiver("127.0.0.1", site.settings.dicom_port, site.settings.dicom_aet)
    with _listener(site) as seen:
        scu.send(scu.find_items([folder]), receiver, 1, lambda outcome: None)
        sent = time.time()
        visible = seen()
    with site.database() as database:
        row = database.execute(_WAY).fetchone()
    assert row
    indexed, began, seconds = row
    return {
        "to the index": max(indexed - sent, 0.0),
        "to the model's begin": began - sent,
        "the model": seconds,
        "to the row": visible - sent,
        "to the row, less the model": visible - sent - seconds,
    }


@contextmanager
def _listener(site: LiveSite) -> Iterator[Callable[[], float]]:
    """Listens as a page does; the callable waits for the first row with a density that was not there before."""
    headers = {"Authorization": f"Bearer {site.token()}"}
    shown, ready = threading.Event(), threading.Event()
    moment: list[float] = []

    def listen() -> None:
        with httpx.Client(base_url=site.base_url, headers=headers, timeout=60, trust_env=False) as client:
            since = _since(client)
            with client.stream("GET", f"/worklist/events?since={since}") as stream:
                for line in stream.iter_lines():
                    ready.set()
                    if line.startswith('data: {"studies"') and _has_density(
                        client, json.loads(line[6:])["studies"]
                    ):
                        moment.append(time.time())
                        return shown.set()
        return None

    threading.Thread(target=listen, daemon=True).start()
    assert ready.wait(30)

    def wait() -> float:
        assert shown.wait(120)
        return moment[0]

    yield wait


def _since(client: httpx.Client) -> str:
    text = client.get("/worklist/").text
    return text.partition("since=")[2].partition('"')[0]


def _has_density(client: httpx.Client, studies: list[str]) -> bool:
    answer = client.get("/worklist/rows", params={"StudyInstanceUID": ",".join(studies)})
    return 'Density (MG): <span class="done">' in answer.text


if __name__ == "__main__":
    main()
