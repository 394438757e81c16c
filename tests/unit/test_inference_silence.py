"""What reads studies tells nobody: ONNX Runtime's telemetry is off before it is imported, wherever it is imported."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
IMPORT = re.compile(r"^\s*(?:import|from) onnxruntime\b", re.M)


@pytest.mark.parametrize("module", ["inference.session", "inference.cleaning.detection"])
def test_a_module_that_runs_networks_leaves_no_trace_of_its_maker(tmp_path: Path, module: str) -> None:
    """Telemetry keeps an identifier of the device and what is still to be sent below ~/.cache."""
    environment = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", f"import {module}"], env=environment, check=True, cwd="/")
    assert list(tmp_path.rglob("*")) == []


def test_nothing_of_a_site_imports_it_elsewhere() -> None:
    rooms = ("archive", "deidentification", "gateway", "orthanc_plugin", "senogate")
    paths = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    assert not [path for path in paths if IMPORT.search(path.read_text("utf-8"))]
