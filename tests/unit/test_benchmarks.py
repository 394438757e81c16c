"""Every benchmark can be called by its name, and every name that a target of make calls is one."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def named() -> set[str]:
    """The names that `python -m benchmarks --help` tells."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(re.findall(r"[a-z_]+", done.stdout.rpartition("NAME ")[2].partition("options:")[0]))


def test_each_benchmark_has_its_name(named: set[str]) -> None:
    modules = [path for path in (ROOT / "benchmarks").glob("*.py") if path.stem not in ("__main__", "report")]
    assert {path.stem for path in modules if "keep(" in path.read_text("utf-8")} <= named


def test_make_calls_none_that_is_not_there(named: set[str]) -> None:
    called = re.findall(r"-m benchmarks ([a-z ]+)$", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert {name for names in called for name in names.split()} <= named
