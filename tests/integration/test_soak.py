"""The soak, quickly: everything at once is answered, and what is held is looked at and judged."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.gauges import Gauges, judge
from benchmarks.soak import Load, soak
from tests.live import LiveSite

SECONDS = 10.0


@pytest.fixture(scope="module")
def soaked(new_home: Callable[[], Path], free_ports: Callable[[int], list[int]]) -> tuple[Load, Gauges]:
    site = LiveSite(new_home(), free_ports(3), {"SENOGATE_STABLE_AGE": "2"}).start()
    try:
        return soak(site, SECONDS, per_minute=60.0, kept=2)
    finally:
        site.stop()


def test_nothing_is_refused(soaked: tuple[Load, Gauges]) -> None:
    """However slow the machine is: of what was asked, all was answered with success."""
    load, _ = soaked
    assert {asked for asked in load.answers if not asked.endswith(" 200")} == set()
    assert {"C-STORE 200", "QIDO-RS 200"} <= set(load.answers)


def test_each_part_is_looked_at(soaked: tuple[Load, Gauges]) -> None:
    _, gauges = soaked
    parts = ("gateway", "worker", "keeper", "orthanc", "postgresql", "site")
    seen = {name for sample in gauges.samples for name, held in sample.items() if held > 0}
    assert {f"{kind} {part}" for kind in ("memory", "handles") for part in parts} <= seen
    assert {"connections postgresql", "disk database", "disk storage"} <= seen


def test_what_grows_is_found() -> None:
    flat = [{"memory gateway": 100.0 + number % 3, "waits jobs": float(number % 5)} for number in range(60)]
    leaks = [{"memory gateway": 100.0 + 2 * number, "handles worker": 20.0 + number} for number in range(60)]
    assert all(row["flat"] for row in judge(flat))
    assert {row["what"] for row in judge(leaks) if not row["flat"]} == {"memory gateway", "handles worker"}


def test_what_fills_at_first_is_none_that_grows() -> None:
    """Caches, pools, and the exams that are held."""
    filling = [{"memory worker": min(300.0, 30.0 * number)} for number in range(60)]
    (row,) = judge(filling)
    assert row["flat"] and row["most"] == 300.0
