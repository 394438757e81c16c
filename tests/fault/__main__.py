"""A campaign of faults on a real site, summarised.

python -m tests.fault [--rounds 100] [--seed 1] [--only "orthanc killed"] [--output benchmarks/results/fault.json]
"""

import argparse
import json
import random
import signal
import sys
from pathlib import Path

from tests.fault.campaign import Campaign, draw, summarise
from tests.fault.faults import FAULTS
from tests.fault.ground import ground

_SWEPT = 10  # rounds after which all files and tables are searched, and not those alone that changed


def main() -> int:
    """0 when nothing was wrong after any round, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=FAULTS, action="append", help="these faults, in turn")
    parser.add_argument("--output", type=Path)
    order = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that its disks go
    with ground() as made:
        campaign, rounds = Campaign(made, order.seed), []
        names = draw(order.rounds, made.missing, random.Random(order.seed))
        if order.only:
            names = (order.only * order.rounds)[: order.rounds]
        for each in campaign.rounds(names):
            if each.number % _SWEPT == 0 or each.number == len(names):
                each.wrong += [f"{place} names somebody" for place in campaign.sweep()]
            rounds.append(each)
            said = "; ".join(each.wrong) or "sound"
            print(f"{each.number:3} {each.fault}, {each.moment}: {each.refusals} refused, {said}", flush=True)
            if order.output:
                summary = summarise(rounds, order.seed, made.missing)
                order.output.write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    return 1 if any(each.wrong for each in rounds) else 0


if __name__ == "__main__":
    sys.exit(main())
