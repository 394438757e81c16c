"""Figures: how they are taken, printed and kept. Every file names the hardware it was measured on."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).resolve().parent / "results"


def hardware() -> dict[str, Any]:
    """The machine: processor, cores, memory, operating system, Python."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system time of the processes and of the children they have waited for; of those that are there still."""
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def timed(work: Callable[[], Any], servers: Callable[[], list[psutil.Process]]) -> dict[str, float]:
    """Run `work` once: wall seconds, and the CPU seconds that the servers spent meanwhile."""
    before, began = cpu_seconds(servers()), time.perf_counter()
    work()
    return {"wall_s": time.perf_counter() - began, "cpu_s": cpu_seconds(servers()) - before}


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile, in milliseconds."""
    ordered = sorted(seconds)
    return {
        "p50_ms": round(statistics.median(ordered) * 1000, 2),
        "p95_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] * 1000, 2),
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    widths = [max(len(column), *(len(str(row.get(column, ""))) for row in rows)) for column in columns]
    for cells in (columns, *([str(row.get(column, "")) for column in columns] for row in rows)):
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def keep(name: str, rows: list[dict[str, Any]], **more: Any) -> None:
    """Print the rows as a table and write them, with the hardware and what more there is, to `results/<name>.json`."""
    show(rows)
    RESULTS.mkdir(exist_ok=True)
    content = {"benchmark": name, "hardware": hardware(), "rows": rows, **more}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
