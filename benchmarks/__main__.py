"""Every benchmark, one after the other: `make bench`. `python -m benchmarks NAME…` runs those that are named."""

import importlib
import sys

ALL = (
    *("conformance", "deidentification", "callback", "ingest", "dicomweb", "memory"),
    *("inference", "cleaning", "borders", "audit", "permits"),
)

names = sys.argv[1:] or ALL
del sys.argv[1:]
for name in names:
    print(f"\n== {name}")
    importlib.import_module(f"benchmarks.{name}").main()
