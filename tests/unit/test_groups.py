"""The command line loads what a command needs, and no more: each is a process of its own."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from senogate.cli import app
from senogate.groups import GROUPS

HEAVY = {"numpy", "pydicom", "procrastinate", "starlette", "uvicorn", "onnx"}


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_is_there_under_its_name(group: str) -> None:
    answer = CliRunner().invoke(app, [group, "--help"])
    assert (answer.exit_code, f" {group} " in answer.output) == (0, True)


def test_the_help_names_every_group() -> None:
    lines = [line.split() for line in CliRunner().invoke(app, ["--help"]).output.splitlines()]
    assert GROUPS.keys() <= {line[1] for line in lines if len(line) > 1}


def test_one_that_is_mistyped_is_guessed() -> None:
    assert "'permit'" in CliRunner().invoke(app, ["permi"]).output


@pytest.mark.parametrize("modules", ["senogate.cli", "senogate.tokens, gateway.issuing"])
def test_nothing_heavy_is_loaded_to_begin_with(modules: str) -> None:
    program = f"import sys, {modules}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert not HEAVY & set(loaded.split())
