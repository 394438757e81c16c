"""How long one exam waits: alone, and while exams come at 80 % of what the model process can do.

They come evenly, as from one machine in use, and at random, as from many: then they also wait for each other, the
longer the busier the process is, however fast it is (of a single server at 80 %, two services on average).
"""

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.inference import REAL
from benchmarks.report import keep, percentiles
from inference import installed
from inference.demo import build_exam, demo_exam
from inference.execution.host import Host
from inference.phantom.flat import draw_exam

LOAD = 0.8
SECONDS = 30.0
READINGS = os.cpu_count() or 1


def main() -> None:
    with served(2600, 2000) as (host, folder, paths):
        idle = [one_reading(host, folder, paths) for _ in range(30)]
        capacity = measure_capacity(host, folder, paths)
        rate = LOAD * capacity
        evenly = under_load(host, folder, paths, lambda: 1 / rate)
        at_random = under_load(host, folder, paths, partial(random.Random(7).expovariate, rate))
    loads = {"idle": idle, "evenly": evenly, "at random": at_random}
    rows = [{"load": name, "readings": len(each), **percentiles(each)} for name, each in loads.items()]
    for row in rows:
        row["p95_times_idle"] = round(row["p95_ms"] / rows[0]["p95_ms"], 2)
    keep("latency", rows, load=LOAD, exams_per_s=round(capacity, 2))


@contextmanager
def served(rows: int, columns: int) -> Iterator[tuple[Host, str, list[str]]]:
    """A model process, the built-in density package, and an exam of this size."""
    with tempfile.TemporaryDirectory(prefix="senogate-bench-") as name:
        real = REAL.exists() and rows == 2600
        parts = (
            demo_exam(REAL) if real else build_exam(draw_exam(1, rows=rows, columns=columns).images, seed="b")
        )
        paths = [Path(name, f"{number}.dcm") for number in range(len(parts))]
        for path, part in zip(paths, parts, strict=True):
            path.write_bytes(part)
        options = {"--home": name, "--readings": READINGS, "--threads": READINGS}
        host = Host([str(one) for option in options.items() for one in option])
        (folder,) = (
            str(slot.package.folder) for slot in installed.wanted(Path(name)) if slot.package is not None
        )
        try:
            host.read(folder, list(map(str, paths)))
            yield host, folder, list(map(str, paths))
        finally:
            host.close()


def one_reading(host: Host, folder: str, paths: list[str]) -> float:
    begun = time.perf_counter()
    assert host.read(folder, paths).answer
    return time.perf_counter() - begun


def measure_capacity(host: Host, folder: str, paths: list[str]) -> float:
    """Exams a second with as many under way as the process reads at once."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(READINGS) as pool:
        done = list(pool.map(lambda _: one_reading(host, folder, paths), range(20 * READINGS)))
    return len(done) / (time.perf_counter() - begun)


def under_load(host: Host, folder: str, paths: list[str], pause: Callable[[], float]) -> list[float]:
    """Seconds from an exam's coming, which nobody's wait puts off, to its answer; `pause` tells until the next."""

    def read(came: float) -> float:
        assert host.read(folder, paths).answer
        return time.perf_counter() - came

    with ThreadPoolExecutor(64) as pool:
        answers, end = [], time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            time.sleep(pause())
            answers.append(pool.submit(read, time.perf_counter()))
        return [answer.result() for answer in answers]


if __name__ == "__main__":
    main()
