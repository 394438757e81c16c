"""What a round costs beside its training: bytes on the wire of each site and direction, and time of the engine.

A hub and three sites on one machine, each with a network to itself; density on small phantoms. Weights are what the
task has; what is carried beside them hangs on the number of messages and not on their size, and is told by itself.
"""

import re
from collections import Counter
from datetime import datetime
from itertools import pairwise
from typing import Any

from benchmarks.report import keep
from federation.training.task import task_of
from tests.federation.live import HUB, Federation, apart
from tests.federation.teaching import CATEGORIES, is_over, look, propose, teach
from tests.federation.wire import Wire
from tests.live import eventually

SITES = 3
ROUNDS = 5
_WORK = re.compile(r"round (\d+) of (R\w+): train in ([\d.]+) s")
MIB = 1024**2


def main() -> None:
    weights = sum(each.nbytes for each in task_of("density").initial(0).values())
    with apart(SITES) as (nodes, wire):
        teach(nodes, 2 * CATEGORIES)
        run = propose(nodes, rounds=ROUNDS, sites=SITES)
        seen = follow(nodes, wire, run)
        rows = [_row(nodes, run, weights, before, after) for before, after in pairwise(seen)]
    beside = max(max(row["up_beside"], row["down_beside"]) for row in rows[1:])
    keep(
        "federation",
        rows,
        weights=weights,
        sites=SITES,
        smallest_weights_mib_for_1_02=round(beside / 0.02 / MIB, 2),
    )


def follow(nodes: Federation, wire: Wire, run: str) -> list[dict[str, Any]]:
    """The moment at which each round was complete, and what the wire had carried then."""
    seen: list[dict[str, Any]] = []

    def is_next() -> bool:
        found = look(nodes, run)
        while len(seen) <= found["round"]:
            seen.append(
                {"round": len(seen), "at": datetime.now().astimezone(), "carried": Counter(wire.carried)}
            )
        return found["round"] == ROUNDS or is_over(nodes, run)

    eventually(is_next, 1200)
    return seen


def _row(
    nodes: Federation, run: str, weights: int, before: dict[str, Any], after: dict[str, Any]
) -> dict[str, Any]:
    """A round: seconds, those of the slowest site's work, and bytes of the site that had most."""
    wall = (after["at"] - before["at"]).total_seconds()
    work = max(_work(nodes, name, run, after["round"]) for name in nodes.sites)
    carried = after["carried"] - before["carried"]
    up, down = (max(carried[way(name)] for name in nodes.sites) for way in (_up, _down))
    return {
        "round": after["round"],
        "seconds": round(wall, 2),
        "work_s": round(work, 2),
        "engine_s": round(wall - work, 2),
        "up_beside": up - weights,
        "down_beside": down - weights,
        "up_at_4_mib": round(1 + (up - weights) / (4 * MIB), 4),
        "down_at_4_mib": round(1 + (down - weights) / (4 * MIB), 4),
    }


def _up(name: str) -> tuple[str, str]:
    return name, HUB


def _down(name: str) -> tuple[str, str]:
    return HUB, name


def _work(nodes: Federation, name: str, run: str, number: int) -> float:
    """Seconds of a site's own work in a round."""
    told = _WORK.findall(nodes.log("trainer", name))
    return max(
        (float(seconds) for round_, of, seconds in told if (int(round_), of) == (number, run)),
        default=0.0,
    )


if __name__ == "__main__":
    main()
