"""Every benchmark, one after the other: `make bench`. `python -m benchmarks NAME…` runs those that are named."""

import argparse
import importlib
import sys

ALL = (
    *("conformance", "deidentification", "callback", "ingest", "dicomweb", "memory"),
    *("inference", "cleaning", "borders", "audit", "permits", "revocation"),
)
LONGER = (  # by name alone
    *(
        "detection",
        "latency",
        "gpu",
        "growth",
        "index_growth",
        "scaling",
        "viewer",
        "worklist",
        "endurance",
        "catalogue",
    ),
    *("warm_client", "federated_learning", "gradient_inversion", "federation", "survival", "many_sites"),
    *("counting", "federated_search", "portal", "soak", "reindex", "tiers"),
)

parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join((*ALL, *LONGER)))
names = parser.parse_args().names or ALL
if unknown := set(names).difference(ALL, LONGER):
    parser.error(f"there is no {', '.join(sorted(unknown))}")
del sys.argv[1:]  # each reads arguments of its own
for name in names:
    print(f"\n== {name}")
    importlib.import_module(f"benchmarks.{name}").main()
