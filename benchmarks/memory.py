"""The gateway's memory while eight clients fetch a study of 68 MB over and over and one stores 500 instances.

python -m benchmarks.memory [--stored N] [--rows N] [--columns N]
"""

import argparse
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.dicomweb import _DICOM, _JSON, fill
from benchmarks.exams import write_studies
from benchmarks.ingest import stow
from benchmarks.report import keep
from benchmarks.servers import Server, senogate
from tests.live import find_free_ports, temporary_home

CLIENTS = 8
_EVERY = 0.05  # seconds between two looks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--stored", type=int, default=500, help="instances that one client stores, in one request"
    )
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--columns", type=int, default=512)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="senogate-bench-")))
        server = stack.enter_context(senogate(stack.enter_context(temporary_home()), find_free_ports(3)))
        fill(server, write_studies(folder / "large", 1, 4, 3328, 2560), 1)
        new = write_studies(folder / "new", 1, arguments.stored, arguments.rows, arguments.columns)
        (gateway,) = [each for each in server.processes() if "gateway" in each.cmdline()]
        watch = _Watch(gateway)
        rows = [watch.during("idle", lambda: None)]
        rows.append(
            watch.during(f"{CLIENTS} clients fetch 68 MB, one stores {len(new)}", lambda: _work(server, new))
        )
        rows.append(watch.during("afterwards", lambda: None))
    keep("memory", rows)


class _Watch:
    """Looks at a process's resident memory again and again."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process

    def during(self, case: str, work: Callable[[], Any]) -> dict[str, Any]:
        """The most MB that the process held while `work` ran."""
        peak = [self._process.memory_info().rss]
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(_EVERY):
                peak.append(self._process.memory_info().rss)

        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(look)
            work()
            ended.set()
            looking.result()
        return {"case": case, "gateway_peak_mb": round(max(peak) / 1e6), "looks": len(peak)}


def _work(server: Server, new: list[Path]) -> None:
    """Fetch until everything is stored."""
    study = server.dicomweb.get("/studies?limit=1", headers=_JSON).json()[0]["0020000D"]["Value"][0]
    stored = threading.Event()

    def fetch(_: int) -> None:
        headers = dict(server.dicomweb.headers) | _DICOM
        with httpx.Client(
            base_url=server.dicomweb.base_url, headers=headers, timeout=120, trust_env=False
        ) as client:
            while not stored.is_set():
                with client.stream("GET", f"/studies/{study}") as answer:
                    assert answer.status_code == 200
                    for _chunk in answer.iter_raw():
                        pass

    with ThreadPoolExecutor(CLIENTS) as pool:
        fetching = [pool.submit(fetch, number) for number in range(CLIENTS)]
        try:
            stow(server, new)
        finally:
            stored.set()
        for each in fetching:
            each.result()


if __name__ == "__main__":
    main()
