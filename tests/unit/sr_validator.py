"""PixelMed's DicomSRValidator, which checks a report's tree against its root template (PS3.16)."""

import shutil
import subprocess
from pathlib import Path

import pytest

JAVA = Path("/usr/share/java")
JARS = ("pixelmed", "slf4j-api", "slf4j-nop")
LIMITS = (
    "xpathExprOp",
    "xpathTotalOp",
    "xpathExprGrp",
)  # its stylesheets are larger than Java allows unasked


def validate(report: bytes, folder: Path) -> str:
    """What it says of a report; the test is skipped where it is not installed."""
    if not (JAVA / "pixelmed.jar").exists() or not shutil.which("java"):
        pytest.skip("PixelMed's validator (Debian's libpixelmed-java) is not installed")
    (folder / "report").write_bytes(report)
    options = [f"-Djdk.xml.{name}Limit=0" for name in LIMITS]
    path = ":".join(str(JAVA / f"{name}.jar") for name in JARS)
    command = ["java", *options, "-cp", path, "com.pixelmed.validate.DicomSRValidator", folder / "report"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout + answer.stderr
