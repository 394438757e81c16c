"""Dockerfile and shell scripts, by the linters of their kinds."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = (
    "tools/setup.sh",
    "tools/install.sh",
    "deploy/systemd/senogate",
    "deploy/docker/orthanc.sh",
    "deploy/docker/secrets.sh",
)


def lint(program: str, *arguments: str) -> str:
    """What the linter, which is beside the tests' Python, has to say; nothing where all is well."""
    path = shutil.which(program, path=Path(sys.executable).parent)
    assert path, f"{program} is not installed: `make setup-test`"
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_sound(script: str) -> None:
    assert lint("shellcheck", "--severity=warning", script) == ""


def test_the_dockerfile_is_sound() -> None:
    assert lint("hadolint", "Dockerfile") == ""
