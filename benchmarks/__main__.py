"""Every benchmark, one after the other: `make bench`."""

import importlib

for name in (
    "deidentification",
    "callback",
    "ingest",
    "dicomweb",
    "memory",
    "inference",
    "cleaning",
    "audit",
):
    print(f"\n== {name}")
    importlib.import_module(f"benchmarks.{name}").main()
