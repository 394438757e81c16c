"""How fast an index is built anew, and what CPU that takes: into an empty one, and over the one that is there.

python -m benchmarks.reindex [--instances N] [--processes P ...]

Small phantom mammograms as the door stores them, of which the whole header is read and the proof checked; where they
lie is known, so Orthanc's part, a page of identifiers and places, is not in it. `per_core` is by the CPU time of the
processes that read and write; `with_postgresql` by theirs and that of PostgreSQL's backend together.
"""

import argparse
import os
import tempfile
import time
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from archive import instances
from archive.dicom_json import read_instance
from archive.follow import orthanc_id
from archive.migration import migrate
from archive.orthanc import Orthanc
from archive.reindexing import Reindexing
from archive.tiers import Tiers
from benchmarks.report import keep
from benchmarks.servers import database
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from deidentification.stored import is_proven
from inference.demo import VIEWS, build_exam

KEYS = Keys.derive(bytes(32))


class Shelf(Orthanc):
    """What an Orthanc would say of files in a folder."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}

    def places(self, instances: Sequence[str]) -> dict[str, str]:
        return {identifier: self.held[identifier] for identifier in instances}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instances", type=int, default=8_000)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="senogate-bench-") as folder, database() as url:
        shelf = _fill(folder, arguments.instances)
        for processes in arguments.processes:
            name = f"reindex_{processes}"
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"create database {name}")
            address = make_conninfo(url, dbname=name)
            migrate(address)
            for case in ("into an empty index", "over the one that is there"):
                found = _measure(address, folder, shelf, processes)
                rows.append({"case": case, "processes": processes, "instances": len(shelf.held)} | found)
                print(rows[-1], flush=True)
    loads = f"{load:.0f} before, {os.getloadavg()[0]:.0f} after"
    note = f"Load of the machine: {loads}. What others do makes CPU times longer, too."
    keep("reindex", rows, note=note)


def _fill(folder: str, count: int) -> Shelf:
    deidentifier = Deidentifier(KEYS, Profile.load("breast-screening"))
    images = {view: np.full((16, 16), 1000, np.uint16) for view in VIEWS}
    shelf = Shelf()
    for number in range(count // 4):
        for each in build_exam(images, seed=f"reindex {number}"):
            instance, place = deidentifier.deidentify(each).instance, str(uuid.uuid4())
            path = instances.path(folder, place)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(instance)
            shelf.held[orthanc_id(read_instance(instance))] = place
    return shelf


def _measure(address: str, folder: str, shelf: Shelf, processes: int) -> dict[str, float]:
    with psycopg.connect(address, autocommit=True) as connection:
        backend = psutil.Process(connection.info.backend_pid)
        proven = partial(is_proven, KEYS.proof)
        reindexing = Reindexing(connection, shelf, Tiers(folder), proven, processes)
        before, server, began = _cpu(), _cpu_of(backend), time.perf_counter()
        count = reindexing.run(lambda: shelf.held, lambda _: None)
        wall, own, its = time.perf_counter() - began, _cpu() - before, _cpu_of(backend) - server
    assert count == len(shelf.held)
    return {
        "per_s": round(count / wall),
        "per_core": round(count / own),
        "with_postgresql": round(count / (own + its)),
        "own_cpu_us": round(1e6 * own / count),
        "postgresql_cpu_us": round(1e6 * its / count),
    }


def _cpu() -> float:
    """Seconds of this process, and of those that it started and that have ended."""
    times = psutil.Process().cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def _cpu_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main()
