"""The public tools, bytes to bytes: run by benchmarks/deidentification.py in a virtual environment of their own.

    python benchmarks/peers.py FILE…

Prints JSON: for each tool and file the CPU and wall milliseconds of a call.
"""

import importlib
import io
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom

Work = Callable[[bytes], object]
_ROUNDS, _SECONDS = 3, 0.3  # of each measurement; the best round counts


def main() -> None:
    """Measure every tool on every file of the command line."""
    warnings.simplefilter("ignore")
    tools = {name: make(importlib.import_module(module)) for name, (module, make) in _TOOLS.items()}
    figures = {
        name: {path: measure(work, Path(path).read_bytes()) for path in sys.argv[1:]}
        for name, work in tools.items()
    }
    print(json.dumps(figures))


def measure(work: Work, instance: bytes) -> dict[str, float]:
    """CPU and wall milliseconds a call, of the best round."""
    work(instance)
    return min((_round(work, instance) for _ in range(_ROUNDS)), key=lambda each: each["cpu_ms"])


def _round(work: Work, instance: bytes) -> dict[str, float]:
    calls, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < _SECONDS:
        work(instance)
        calls += 1
    return {
        "cpu_ms": (time.process_time() - cpu) / calls * 1000,
        "wall_ms": (time.perf_counter() - wall) / calls * 1000,
    }


def with_dicom_anonymizer(module: Any) -> Work:
    """The tool as its command line runs it, without files."""

    def anonymize(instance: bytes) -> bytes:
        dataset = pydicom.dcmread(io.BytesIO(instance))
        module.anonymize_dataset(dataset)
        return write(dataset)

    return anonymize


def with_dicognito(module: Any) -> Work:
    """One anonymizer for all instances, as its documentation advises."""
    anonymizer = module.Anonymizer(seed="a seed")

    def anonymize(instance: bytes) -> bytes:
        dataset = pydicom.dcmread(io.BytesIO(instance))
        anonymizer.anonymize(dataset)
        return write(dataset)

    return anonymize


def with_deid(module: Any) -> Work:
    """Its default recipe on a dataset in memory."""
    recipe = importlib.import_module("deid.config").DeidRecipe()

    def replace(instance: bytes) -> bytes:
        dataset = pydicom.dcmread(io.BytesIO(instance))
        (replaced,) = module.replace_identifiers([dataset], deid=recipe, save=False, remove_private=True)
        return write(replaced)

    return replace


def write(dataset: pydicom.Dataset) -> bytes:
    """The dataset as a file in memory, in the transfer syntax it came in."""
    stream = io.BytesIO()
    syntax = pydicom.uid.UID(dataset.file_meta.TransferSyntaxUID)
    dataset.save_as(stream, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    return stream.getvalue()


_TOOLS: dict[str, tuple[str, Callable[[Any], Work]]] = {
    "dicom-anonymizer": ("dicomanonymizer", with_dicom_anonymizer),
    "dicognito": ("dicognito.anonymizer", with_dicognito),
    "deid": ("deid.dicom", with_deid),
}


if __name__ == "__main__":
    main()
