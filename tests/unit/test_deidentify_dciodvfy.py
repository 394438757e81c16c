"""dciodvfy (dicom3tools) finds no error in an output that its input has not."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deidentification.deidentify import Deidentifier, Refused
from deidentification.profile import Profile
from deidentification.pseudonym import Keys

DEIDENTIFIER = Deidentifier(
    Keys.derive(b"a site secret of thirty-two bytes"), Profile.load("breast-screening")
)
pytestmark = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")


def errors(path: Path) -> set[str]:
    """The errors without the values that they quote."""
    told = subprocess.run(["dciodvfy", path], capture_output=True, check=False)
    lines = (told.stderr + told.stdout).decode("latin-1").splitlines()
    return {re.sub(r"[<=(\[].*", "", line) for line in lines if line.startswith("Error")}


def test_real_files(shared: Path, tmp_path: Path) -> None:
    found = {}
    for path in sorted((shared / "data" / "dicom").glob("*/*")):
        try:
            output = DEIDENTIFIER.deidentify(path.read_bytes()).instance
        except Refused:
            continue
        (tmp_path / "output").write_bytes(output)
        found[path.name] = errors(tmp_path / "output") - errors(path)
    assert found
    assert {name: new for name, new in found.items() if new} == {}
