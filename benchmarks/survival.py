"""How long a federated run stands still when one process is killed, and after how long a dead site is noticed.

python -m benchmarks survival

A hub and three sites train on one machine; each part of the hub and of a site is killed in turn (SIGKILL) while a
round is open. `resumed_s` is from the kill until that round is complete, so it holds what the round itself takes
(`round_s`, the median of those in which nothing was killed). At last a whole site is killed; `noticed_s` is until the
hub lists it as away.
"""

import os
import signal
import statistics
import time
from itertools import pairwise
from typing import Any

import psutil
import psycopg

from archive.errors import Unavailable
from benchmarks.report import family, keep
from federation.hub.control import Control
from gateway.fleet.flower import read_ports
from tests.federation.live import HUB, Federation, federation
from tests.federation.teaching import CATEGORIES, look, propose, teach
from tests.live import eventually

SITES = 3
SITE = "site-1"
PARTS = (
    *((HUB, part) for part in ("server app", "superlink", "postgresql", "conductor", "gateway")),
    *((SITE, part) for part in ("relay", "supernode", "trainer", "gateway")),
)
CALM = 4
"""Rounds in which nothing is killed, and after each of which something is: sites take a while to come back."""


def main() -> None:
    with federation(SITES) as nodes:
        teach(nodes, 2 * CATEGORIES)
        run = propose(nodes, rounds=100, sites=2)
        calm = [_reached(nodes, run, number) for number in range(1, CALM + 1)]
        rows = [_killed(nodes, run, node, part) for node, part in PARTS]
        noticed = _noticed(nodes)
    usual = statistics.median(after - before for before, after in pairwise(calm))
    keep("survival", rows, sites=SITES, round_s=round(usual, 1), noticed_s=round(noticed, 1))


def _reached(nodes: Federation, run: str, number: int) -> float:
    """When the run has so many rounds behind it."""
    eventually(lambda: _round(nodes, run) >= number, 600)
    return time.monotonic()


def _round(nodes: Federation, run: str) -> int:
    """-1 while the hub's PostgreSQL is away."""
    try:
        found = look(nodes, run)
    except (psycopg.Error, Unavailable):
        return -1
    assert found["state"] in ("waiting", "running"), found["message"]
    return int(found["round"])


def _killed(nodes: Federation, run: str, node: str, part: str) -> dict[str, Any]:
    """Kill it in the middle of a round; lost are rounds that were complete and are done anew."""
    before = _round(nodes, run)
    _reached(nodes, run, before + 1)
    began = time.monotonic()
    if part == "server app":
        _kill_server(nodes)
    else:
        nodes.kill(part, node)
    ended = _reached(nodes, run, before + 2)
    return {"node": node.split("-")[0], "part": part, "resumed_s": round(ended - began, 1)}


def _kill_server(nodes: Federation) -> None:
    address = f":{read_ports(nodes.hub.settings).superlink}"
    for one in psutil.process_iter(["cmdline"]):
        command = " ".join(one.info["cmdline"] or ())
        if "flwr-serverapp" in command and address in command:
            os.kill(one.pid, signal.SIGKILL)


def _noticed(nodes: Federation) -> float:
    """Kill every process of a site, and wait until the hub's SuperLink has it for away."""
    control = Control(nodes.hub.settings)
    eventually(lambda: _online(control) == SITES, 300)
    began = time.monotonic()
    for process in family(nodes.sites[SITE].pid):
        process.kill()
    eventually(lambda: _online(control) < SITES, 300)
    return time.monotonic() - began


def _online(control: Control) -> int:
    return sum(node.is_online for node in control.nodes().values())


if __name__ == "__main__":
    main()
