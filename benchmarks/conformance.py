"""The conformance cases whose clauses bind every server, put to a site and to Orthanc's DICOMweb plugin.

python -m benchmarks.conformance

The cases are those of `tests/conformance` marked `standard`; pytest runs them twice. What is optional, what the
standard leaves open, and whatever is about tokens is not among them.
"""

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.report import keep

SERVERS = {"senogate": "Senogate", "orthanc": "Orthanc 1.12.7 + DICOMweb 1.20"}
TRANSACTIONS = {
    "test_qido": "QIDO-RS",
    "test_wado": "WADO-RS",
    "test_wado_accept": "WADO-RS, media types",
    "test_wado_rendered": "WADO-RS, rendered",
    "test_stow": "STOW-RS",
    "test_xml": "XML",
    "test_http": "HTTP",
}
_CASES = Path(__file__).resolve().parent.parent / "tests" / "conformance"

Case = tuple[str, str, str]  # transaction, name, clause
Outcomes = dict[str, dict[Case, bool]]  # of each server: which cases it passes


def main() -> None:
    outcomes = {server: run(server) for server in SERVERS}
    cases = list(outcomes["senogate"])
    assert cases == list(outcomes["orthanc"])
    keep("conformance", score(outcomes, cases), cases=[_row(case, outcomes) for case in cases])


def run(server: str) -> dict[Case, bool]:
    """Whether a server passes each case."""
    with tempfile.TemporaryDirectory(prefix="senogate-bench-") as folder:
        report = Path(folder, "report.xml")
        options = ["-m", "standard and not own", "-n0", f"--server={server}", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", str(_CASES), *options]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        found = ElementTree.parse(report).iter("testcase")
        return {_named(case): case.find("failure") is None and case.find("error") is None for case in found}


def _named(case: ElementTree.Element) -> Case:
    module, _, group = case.get("classname", "").removeprefix("tests.conformance.").partition(".")
    clause = case.find("properties/property[@name='clause']")
    name = "::".join(part for part in (module, group, case.get("name", "")) if part)
    return TRANSACTIONS[module], name, "" if clause is None else clause.get("value", "")


def score(outcomes: Outcomes, cases: list[Case]) -> list[dict[str, Any]]:
    """How many cases of each transaction each server passes, and of all."""
    numbers = Counter(transaction for transaction, _, _ in cases)
    passed = {server: Counter(case[0] for case in cases if outcomes[server][case]) for server in SERVERS}
    rows = [
        {"transaction": each, "cases": numbers[each]}
        | {name: passed[server][each] for server, name in SERVERS.items()}
        for each in TRANSACTIONS.values()
    ]
    total = {name: passed[server].total() for server, name in SERVERS.items()}
    return [*rows, {"transaction": "all", "cases": numbers.total()} | total]


def _row(case: Case, outcomes: Outcomes) -> dict[str, Any]:
    _, case_name, clause = case
    results = {name: "pass" if outcomes[server][case] else "fail" for server, name in SERVERS.items()}
    return {"case": case_name, "clause": clause} | results


if __name__ == "__main__":
    main()
