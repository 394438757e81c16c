"""What the callbacks inside Orthanc take, and what it costs that Orthanc parses a modified instance a second time.

python -m benchmarks.callback [--small N] [--large N]

The first part is a whole site whose callbacks are timed from without: wall and CPU of the thread that runs each. The
commit to the crosswalk is made by another thread; the fence waits for it. The second is a bare Orthanc whose callback
does nothing but answer: keep the instance as it is, or modify it to the very same bytes.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.exams import write_studies
from benchmarks.report import keep, timed
from benchmarks.servers import Server, peer, senogate
from senogate import scu
from tests.live import find_free_ports, temporary_home

_TIMED = """
import functools, json, os, time
from archive import instances
from orthanc_plugin.commitment import Commitments
from orthanc_plugin.received import Door

def timed(name, function):
    @functools.wraps(function)
    def run(*arguments):
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            return function(*arguments)
        finally:
            row = [name, time.perf_counter() - wall, time.thread_time() - cpu]
            with open(os.environ["BENCHMARK_TIMES"], "a") as file:
                file.write(json.dumps(row) + "\\n")
    return run

Door.receive = timed("receive", Door.receive)
Door.may_be_stored = timed("fence before storage", Door.may_be_stored)
Commitments.require = timed("of which: wait for the crosswalk", Commitments.require)
instances.write = timed("write and sync", instances.write)
"""
_ANSWERING = {
    "no callback": None,
    "keep": "return orthanc.ReceivedInstanceAction.KEEP_AS_IS, None",
    "modify": "return orthanc.ReceivedInstanceAction.MODIFY, data",
}
_SIZES = (("256x256", (256, 256)), ("17 MB", (3328, 2560)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=400, help="instances of 256 x 256")
    parser.add_argument("--large", type=int, default=32, help="instances of 3328 x 2560, 17 MB")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="senogate-bench-") as folder:
        counts = (arguments.small, arguments.large)
        files = {
            size: write_studies(Path(folder, size), count // 4, 4, *shape)
            for (size, shape), count in zip(_SIZES, counts, strict=True)
        }
        keep("callback", [*_of_a_site(Path(folder), files), *_of_answers(Path(folder), files)])


def _of_a_site(folder: Path, files: dict[str, list[Path]]) -> Iterator[dict[str, Any]]:
    """One association, so that no callback waits for another."""
    times = folder / "times"
    os.environ["BENCHMARK_TIMES"] = str(times)
    (folder / "sitecustomize.py").write_text(_TIMED)
    wheels = Path(__file__).resolve().parents[1] / ".orthanc-python"
    extra = {"SENOGATE_ORTHANC_PYTHON": f"{folder}:{wheels}"}
    with ExitStack() as stack:
        home = stack.enter_context(temporary_home())
        server = stack.enter_context(senogate(home, find_free_ports(3), extra))
        for size, paths in files.items():
            times.unlink(missing_ok=True)
            _send(server, paths)
            rows = [json.loads(line) for line in times.read_text().splitlines()]
            for name in dict.fromkeys(row[0] for row in rows):
                taken = [row[1:] for row in rows if row[0] == name]
                yield _row(f"{name}, {size}", *zip(*taken, strict=True))


def _row(case: str, wall: tuple[float, ...], cpu: tuple[float, ...]) -> dict[str, Any]:
    ordered = sorted(wall)
    return {
        "case": case,
        "p50_ms": round(1000 * statistics.median(ordered), 2),
        "p95_ms": round(1000 * ordered[int(0.95 * (len(ordered) - 1))], 2),
        "cpu_ms": round(1000 * statistics.mean(cpu), 2),
    }


def _of_answers(folder: Path, files: dict[str, list[Path]]) -> Iterator[dict[str, Any]]:
    for answer, line in _ANSWERING.items():
        script = folder / f"{answer}.py"
        lines = ["import orthanc", "def receive(data, origin):", f"    {line}"]
        script.write_text("\n".join([*lines, "orthanc.RegisterReceivedInstanceCallback(receive)", ""]))
        with ExitStack() as stack:
            server = stack.enter_context(peer(find_free_ports(2), script if line else None))
            for size, paths in files.items():
                taken = timed(lambda: _send(server, paths), server.processes)  # noqa: B023
                yield {
                    "case": f"bare Orthanc, {answer}, {size}",
                    "p50_ms": round(1000 * taken["wall_s"] / len(paths), 2),
                    "cpu_ms": round(1000 * taken["cpu_s"] / len(paths), 2),
                }


def _send(server: Server, paths: list[Path]) -> None:
    outcomes: list[scu.Outcome] = []
    scu.send(scu.find_items(paths), server.receiver, 1, outcomes.append)
    assert all(outcome.is_stored for outcome in outcomes)


if __name__ == "__main__":
    main()
