"""What a site of 2,000,000 instances costs more than a small one: the same asked of both, in turn, in one run.

python -m benchmarks.growth [--folder FOLDER] [--studies SMALL LARGE] [--seconds S] [--rounds R] [--parts NAME ...]

Both are whole sites (`benchmarks.large_site`), made once and kept in FOLDER, and both run meanwhile. A row is of one
case and one size; at the larger size it has the ratios to the smaller one, and `most`, what the p95 may be of it.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import psycopg
from psycopg import AsyncConnection

from archive import holdings, secrets
from archive.orthanc import Orthanc
from archive.pool import SESSION
from archive.reindexing import Reindexing
from archive.tiers import Tiers
from benchmarks import counting, permits, worklist
from benchmarks.exams import write_studies
from benchmarks.index_growth import warm
from benchmarks.large_site import EVERY, Large, make
from benchmarks.load import put_load, request_bytes
from benchmarks.moulds import INSTANCES
from benchmarks.report import cpu_seconds, family, keep, percentiles
from benchmarks.servers import database
from deidentification.pseudonym import Keys
from deidentification.stored import is_proven
from senogate import scu
from tests.live import LiveSite, eventually

SAMPLE = 400  # studies of each site that are asked for
TURNS = 4  # in which the sites are asked one after the other
FIRST, DEEP = (
    1.5,
    3.0,
)  # what the p95 of a large index may be of that of a small one: a first page, a deep one
_JSON, _PAGE = "application/dicom+json", "text/html"
_DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Running:
    """A site under measurement: what it holds, a token, and some of its studies by what they are called."""

    large: Large
    live: LiveSite
    token: str
    sample: Sequence[dict[str, str]]

    @property
    def studies(self) -> int:
        return self.large.studies

    def ask(self, path: str, accept: str) -> bytes:
        """A request as it goes over the wire."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": accept, "Accept-Encoding": "identity"}
        return request_bytes("127.0.0.1", path, headers)


@contextmanager
def running(large: Large, **settings: str) -> Iterator[Running]:
    """The site, when nothing is under way in it."""
    pick, copies = random.Random(large.studies), large.copies()
    live = large.site(**settings).start()
    try:
        warm(live.settings.database_url)
        eventually(partial(_is_idle, live), 900)
        drawn = [copies(pick.randrange(large.studies)) for _ in range(SAMPLE)]
        held = _held(live, [each["study"] for each in drawn])
        yield Running(large, live, live.token(), [each for each in drawn if each["study"] in held])
    finally:
        live.stop()


def _held(live: LiveSite, studies: list[str]) -> set[str]:
    """Those of these studies that are there: each run erases a few of a site that is kept."""
    with live.database() as connection:
        rows = connection.execute(
            "select study_instance_uid from study where study_instance_uid = any(%s)", (studies,)
        )
        return {study for (study,) in rows}


def _is_idle(live: LiveSite) -> bool:
    """Whether nothing is asked of PostgreSQL, by the keeper say, at three looks."""
    with live.database() as connection:
        return not any(
            connection.execute(
                "select count(*) from pg_stat_activity, pg_sleep(0.5)"
                " where state = 'active' and pid <> pg_backend_pid() and backend_type = 'client backend'"
            ).fetchall()[0][0]
            for _ in range(3)
        )


# What is asked over HTTP: by name how much slower it may be, what is accepted, and the path.
_INSTANCE = "/dicom-web/studies/{study}/series/{series}/instances/{instance 1}"
REQUESTS = {
    "studies?PatientID": (FIRST, _JSON, "/dicom-web/studies?PatientID={patient}"),
    "studies?StudyDate range, 100": (FIRST, _JSON, "/dicom-web/studies?StudyDate={day}-&limit=100"),
    "studies?ModalitiesInStudy page": (
        FIRST, _JSON, "/dicom-web/studies?ModalitiesInStudy=MG&limit=50&offset={near}"
    ),
    "instances of a series": (FIRST, _JSON, "/dicom-web/studies/{study}/series/{series}/instances"),
    "series, first page": (FIRST, _JSON, "/dicom-web/series?limit=50"),
    "instances, first page": (FIRST, _JSON, "/dicom-web/instances?limit=50"),
    "studies, deep page": (DEEP, _JSON, "/dicom-web/studies?limit=50&offset={study place}"),
    "studies?ModalitiesInStudy, deep page": (
        DEEP, _JSON, "/dicom-web/studies?ModalitiesInStudy=MR&limit=50&offset={MR place}"
    ),
    "series, deep page": (DEEP, _JSON, "/dicom-web/series?limit=50&offset={study place}"),
    "instances, deep page": (DEEP, _JSON, "/dicom-web/instances?limit=50&offset={instance place}"),
    "metadata of a study": (FIRST, _JSON, "/dicom-web/studies/{study}/metadata"),
    "study as stored, 0.5 MB": (FIRST, _DICOM, "/dicom-web/studies/{study}"),
    "instance as stored": (FIRST, _DICOM, _INSTANCE),
    "frames/1": (FIRST, _OCTETS, f"{_INSTANCE}/frames/1"),
    "page: worklist": (FIRST, _PAGE, "/worklist/"),
    "page: worklist, density d": (FIRST, _PAGE, "/worklist/?density=d"),
    "page: worklist by score": (FIRST, _PAGE, "/worklist/?sort=score"),
    "page: catalogue": (FIRST, _PAGE, "/catalogue"),
    "page: search": (FIRST, _PAGE, "/search"),
    "state of the node": (FIRST, "application/json", "/api/state"),
}  # fmt: skip


def _drawn(site: Running, pick: random.Random) -> dict[str, Any]:
    """What stands for the names in a path, another time another."""
    return {
        **pick.choice(site.sample),
        "day": f"{pick.randrange(2010, 2020)}0{pick.randrange(1, 10)}15",
        "near": pick.randrange(1000),
        "study place": pick.randrange(site.studies * 9 // 10),
        "MR place": pick.randrange(site.studies // EVERY * 9 // 10),
        "instance place": pick.randrange(site.studies * INSTANCES * 9 // 10),
    }


def measure_requests(sites: Sequence[Running], seconds: float) -> Iterator[Row]:
    """Each request, put to the sites in turn by one client."""
    for name, (most, _, _) in REQUESTS.items():
        waits: dict[int, list[float]] = {site.studies: [] for site in sites}
        spent = dict.fromkeys(waits, 0.0)
        for turn in range(TURNS + 1):
            for site in sites:
                took, cpu, _ = put(site, name, 1, seconds / TURNS if turn else 0.3, turn)
                if turn:  # the first is to warm up
                    waits[site.studies] += took
                    spent[site.studies] += cpu
        rows = {
            studies: {"case": name, "requests": len(each), **percentiles(each)}
            | {"cpu_ms": round(1000 * spent[studies] / len(each), 2)}
            for studies, each in waits.items()
        }
        yield from compared(rows, most)


def put(
    site: Running, name: str, clients: int, seconds: float, seed: int
) -> tuple[list[float], float, float]:
    """Put one kind of request for so long: how long each took, the site's CPU, and the wall, all in seconds."""
    _, accept, path = REQUESTS[name]
    pick = random.Random(seed)
    asked = [site.ask(path.format_map(_drawn(site, pick)), accept) for _ in range(SAMPLE)]
    before = cpu_seconds(family(site.live.pid))
    address = ("127.0.0.1", site.live.settings.port)
    answers, wall = put_load(address, lambda number: asked[number % len(asked)], clients, seconds)
    cpu = cpu_seconds(family(site.live.pid)) - before
    return [wait for each in answers for wait in each.waits], cpu, wall


def compared(rows: dict[int, Row], most: float | None = None) -> Iterator[Row]:
    """The rows of one case by the number of studies, with ratios to the smallest, and how busy the machine is."""
    base = rows[min(rows)]
    for studies, row in sorted(rows.items()):
        ratios = {
            f"{name.removesuffix('_ms')}_ratio": round(row[name] / base[name], 2)
            for name in ("p50_ms", "p95_ms", "cpu_ms", "seconds", "cpu_s")
            if studies > min(rows) and base.get(name)
        }
        limit = {"most": most} if most and ratios else {}
        yield (
            {"case": row.pop("case"), "studies": studies, "load": round(os.getloadavg()[0], 1)}
            | row
            | ratios
            | limit
        )


# What is asked of PostgreSQL as a gateway asks.

_PAGES = (
    "no filter",
    "a year",
    "density d",
    "score >= 97 %",
    "failed",
    "unread, 0.1 %",
    "PatientID",
    "by score",
)


def measure_worklist(sites: Sequence[Running], rounds: int) -> Iterator[Row]:
    """Pages of the worklist with their filters, first and deep, under each scope."""
    found: dict[str, dict[int, Row]] = {}
    for site in sites:
        filters = {name: worklist.FILTERS[name] for name in _PAGES}
        filters["PatientID"] = f"PatientID={site.sample[0]['patient']}"
        for row in asyncio.run(worklist.measure_pages(site.live.settings.database_url, rounds, filters)):
            case = f"worklist: {row['page']}, {row['at']} page, sees {row['sees']}"
            cpu = round(row["python_cpu_ms"] + row["postgresql_cpu_ms"], 2)
            told = {name: row[name] for name in ("p50_ms", "p95_ms")}
            found.setdefault(case, {})[site.studies] = {"case": case} | told | {"cpu_ms": cpu}
    for rows in found.values():
        if len(rows) == len(sites):
            yield from compared(rows)


def measure_permits(larges: Sequence[Large], rounds: int) -> Iterator[Row]:
    """Searches under 10,000 permits on 1,000 datasets, each against the same by who sees everything.

    Of the databases alone, since a keeper counts datasets that come.
    """
    for large in larges:
        with database(large.folder) as address:
            permits.add_datasets(address)
            warm(address)
            for row in asyncio.run(permits.measure(address, rounds)):
                sees = f", sees {row.pop('sees')}" if "sees" in row else ""
                load = round(os.getloadavg()[0], 1)
                yield {
                    "case": f"permits: {row.pop('case')}{sees}",
                    "studies": large.studies,
                    "load": load,
                } | row
            permits.remove_datasets(address)


def measure_counting(sites: Sequence[Running], rounds: int) -> Iterator[Row]:
    """Questions about studies, as `senogate search count` and gateways answer them."""
    found: dict[str, dict[int, Row]] = {}
    for site in sites:
        settings = site.live.settings
        with site.live.database() as connection:
            for row in counting.measure(replace(settings, search_budget=0), connection, rounds):
                case = f"question: {row.pop('what')}"
                found.setdefault(case, {})[site.studies] = {"case": case} | row
    for rows in found.values():
        yield from compared(rows)


def measure_datasets(sites: Sequence[Running]) -> Iterator[Row]:
    """What the keeper counts of everything and of half of it, for the catalogue."""
    for name in ("everything", "50 %"):
        rows = {site.studies: asyncio.run(_count(site, name)) for site in sites}
        yield from compared(rows)


async def _count(site: Running, name: str) -> Row:
    options: dict[str, Any] = {"autocommit": True, **SESSION}
    async with await AsyncConnection.connect(site.live.settings.database_url, **options) as connection:
        backend, found = psutil.Process(connection.info.backend_pid), None
        if name != "everything":
            found = await (
                await connection.execute("select number from dataset where name = %s", [name])
            ).fetchone()
        before, began = cpu_seconds([backend]), time.perf_counter()
        held = await holdings.count(connection, found[0] if found else 0)
        wall = time.perf_counter() - began
        cpu = cpu_seconds([backend]) - before
    return {
        "case": f"dataset counted: {name}",
        "seconds": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "members": held.studies,
    }


# What changes a site.


def measure_ingest(sites: Sequence[Running], studies: int) -> Iterator[Row]:
    """Exams by C-STORE over 4 associations, until all can be found."""
    rows = {}
    for site in sites:
        with tempfile.TemporaryDirectory(prefix="senogate-bench-") as folder:
            items = scu.find_items(write_studies(Path(folder), studies, INSTANCES, 256, 256))
            with site.live.database() as connection:
                rows[site.studies] = _ingest(site, connection, items)
    yield from compared(rows)


def _ingest(site: Running, connection: psycopg.Connection, items: list[scu.Item]) -> Row:
    def indexed() -> int:
        ((number,),) = connection.execute("select count(*) from instance").fetchall()
        return int(number)

    settings, wanted = site.live.settings, indexed() + len(items)
    outcomes: list[scu.Outcome] = []
    receiver = scu.Receiver("127.0.0.1", settings.dicom_port, settings.dicom_aet)
    used, began = cpu_seconds(family(site.live.pid)), time.perf_counter()
    scu.send(items, receiver, 4, outcomes.append)
    sent = time.perf_counter() - began
    assert all(each.is_stored for each in outcomes)
    cpu = cpu_seconds(family(site.live.pid)) - used  # counting, below, is none of it
    eventually(lambda: indexed() == wanted)
    return {
        "case": f"C-STORE of {len(items)} instances",
        "per_s": round(len(items) / sent, 1),
        "seconds": round(time.perf_counter() - began, 2),
        "cpu_ms": round(1000 * cpu / len(items), 2),
    }


def measure_erasure(sites: Sequence[Running], studies: int) -> Iterator[Row]:
    """`senogate erase study`, of studies of the middle: the command from its start to its receipt."""
    waits: dict[int, list[float]] = {site.studies: [] for site in sites}
    spent = dict.fromkeys(waits, 0.0)
    for number in range(studies):
        for site in sites:
            with site.live.database() as connection:
                query = "select study_instance_uid from study order by md5(study_instance_uid || %s) limit 1"
                (uid,) = connection.execute(query, [str(number)]).fetchone() or ("",)
            before, began = cpu_seconds(family(site.live.pid)), time.perf_counter()
            site.live.run("erase", "study", uid, "--reason", "benchmark", "--yes")
            waits[site.studies].append(time.perf_counter() - began)
            spent[site.studies] += cpu_seconds(family(site.live.pid)) - before
    yield from compared(
        {
            studies: {"case": "erasure of a study", "erased": len(each)}
            | percentiles(each)
            | {"cpu_ms": round(1000 * spent[studies] / len(each), 1)}
            for studies, each in waits.items()
        }
    )


class Enough(Exception):
    """What ends a reindexing before its end."""


def measure_reindexing(sites: Sequence[Running], instances: int) -> Iterator[Row]:
    """An index built anew over the one that is there: cut short half-way, and gone on with, up to so many instances."""
    rows: dict[str, dict[int, Row]] = {"listed": {}, "indexed": {}}
    for site in sites:
        settings = site.live.settings
        key = Keys.derive(secrets.read_key(settings.secrets, secrets.SITE_KEY)).proof
        with closing(Orthanc(settings)) as orthanc, site.live.database() as connection:
            processes = [psutil.Process(), psutil.Process(connection.info.backend_pid)]
            reindexing = Reindexing(connection, orthanc, Tiers.of(settings), partial(is_proven, key))
            begun = _look(0, processes)
            first = _reindex(reindexing, orthanc, instances // 2, processes)
            second = _reindex(reindexing, orthanc, instances, processes)
            assert first[-1].instances == second[0].instances > 0  # it goes on where it was cut short
            connection.execute("delete from reindexing")
            connection.execute("truncate reindexing_instance")
        rows["listed"][site.studies] = {
            "case": "reindex: what there is to do is listed",
            "seconds": round(first[0].wall - begun.wall, 2),
            "cpu_s": round(first[0].cpu - begun.cpu, 2),
        }
        count, wall, cpu = (
            sum(one) for one in zip(*(_between(each[0], each[-1]) for each in (first, second)), strict=True)
        )
        rows["indexed"][site.studies] = {
            "case": f"reindex: {count:.0f} instances, over the index that is there",
            "per_s": round(count / wall),
            "per_cpu_s": round(count / cpu),
            "cpu_ms": round(1000 * cpu / count, 3),
        }
    for of_case in rows.values():
        yield from compared(of_case)


class Look(NamedTuple):
    """How many instances are done, when, and after how much CPU, in seconds."""

    instances: int
    wall: float
    cpu: float


def _look(instances: int, processes: Sequence[psutil.Process]) -> Look:
    return Look(instances, time.perf_counter(), cpu_seconds(processes))


def _between(first: Look, last: Look) -> tuple[float, float, float]:
    return last.instances - first.instances, last.wall - first.wall, last.cpu - first.cpu


def _reindex(
    reindexing: Reindexing, orthanc: Orthanc, until: int, processes: Sequence[psutil.Process]
) -> list[Look]:
    """The looks after each step, the first of where it begins."""
    looks: list[Look] = []

    def advance(more: int) -> None:
        looks.append(_look((looks[-1].instances if looks else 0) + more, processes))
        if looks[-1].instances >= until:
            raise Enough

    with suppress(Enough):
        reindexing.run(orthanc.instances, advance)
    return looks


# Several gateways and workers.

_BY_MANY = (
    "studies?PatientID",
    "instances of a series",
    "metadata of a study",
    "instance as stored",
    "frames/1",
)


def measure_gateways(site: Running, gateways: int, seconds: float) -> Iterator[Row]:
    """What eight clients get of so many gateways on one PostgreSQL."""
    for name in _BY_MANY:
        put(site, name, 8, 0.5, 0)
        waits, cpu, wall = put(site, name, 8, seconds, 1)
        row = {"requests_per_s": round(len(waits) / wall, 1), "cpu_ms": round(1000 * cpu / len(waits), 2)}
        yield {
            "case": f"8 clients: {name}", "studies": site.studies, "gateways": gateways,
            "load": round(os.getloadavg()[0], 1), **row, **percentiles(waits),
        }  # fmt: skip


@contextmanager
def second_worker(live: LiveSite) -> Iterator[None]:
    """Another worker of the site beside its own."""
    with tempfile.TemporaryFile() as log:
        command = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "senogate", "worker"]
        process = subprocess.Popen(
            command, env=os.environ | live.settings.environment, stdout=log, stderr=log
        )
        try:
            yield
            assert process.poll() is None, "the second worker ended"
        finally:
            process.terminate()
            process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, help="where the sites are kept; else they are made and removed"
    )
    parser.add_argument("--studies", type=int, nargs=2, default=[2_000, 500_000], metavar=("SMALL", "LARGE"))
    parser.add_argument("--seconds", type=float, default=4.0, help="of each request at each site")
    parser.add_argument("--rounds", type=int, default=40, help="pages and questions of each kind")
    parser.add_argument("--instances", type=int, default=6_000, help="that are indexed anew")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what is measured")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        if arguments.folder:
            folder = arguments.folder
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="senogate-growth-")))
            os.chmod(folder, 0o755)
        larges = [make(folder.resolve(), studies) for studies in arguments.studies]
        rows = []
        for row in _measure(larges, arguments):
            rows.append(row)
            print(row, flush=True)
    made = {str(each.studies): dict(each.made) for each in larges}
    keep("growth", rows, made=made)


PARTS = (
    *(
        "requests",
        "worklist",
        "counting",
        "datasets",
        "ingest",
        "erasure",
        "reindexing",
        "gateways",
        "permits",
    ),
)


def _measure(larges: Sequence[Large], asked: argparse.Namespace) -> Iterator[Row]:
    """The rows of the parts that are asked for."""
    with running(larges[0]) as small, running(larges[1]) as large:
        sites = (small, large)
        parts: dict[str, Callable[[], Iterator[Row]]] = {
            "requests": lambda: measure_requests(sites, asked.seconds),
            "worklist": lambda: measure_worklist(sites, asked.rounds),
            "counting": lambda: measure_counting(sites, asked.rounds),
            "datasets": lambda: measure_datasets(sites),
            "ingest": lambda: measure_ingest(sites, 20),
            "erasure": lambda: measure_erasure(sites, 5),
            "reindexing": lambda: measure_reindexing(sites, asked.instances),
            "gateways": lambda: measure_gateways(large, 1, asked.seconds),
        }
        for name, measured in parts.items():
            if name in asked.parts:
                yield from measured()
    if "gateways" in asked.parts:
        with running(larges[1], SENOGATE_GATEWAY_PROCESSES="2") as large, second_worker(large.live):
            yield from measure_gateways(large, 2, asked.seconds)
            for row in measure_ingest([large], 20):
                yield row | {"workers": 2}
    if "permits" in asked.parts:
        yield from measure_permits(larges, asked.rounds)


if __name__ == "__main__":
    main()
