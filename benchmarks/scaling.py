"""How a site's requests a second and their CPU grow with its gateway processes.

python -m benchmarks.scaling [--gateways N ...] [--studies N] [--seconds S]

The clients share the machine's cores with the site: what is to be had at most is what they leave.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.dicomweb import CASES, fill, measure
from benchmarks.exams import write_studies
from benchmarks.report import keep
from benchmarks.servers import senogate
from tests.live import find_free_ports, temporary_home

CLIENTS = 8
_MEASURED = ("PatientID", "instances of a series", "metadata, 4", "0.5 MB", "frames/1, 128 KB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="senogate-bench-") as folder:
        paths = write_studies(Path(folder), arguments.studies, 4, 256, 256)
        for gateways in arguments.gateways:
            rows += _measure_all(paths, arguments.studies, gateways, arguments.seconds)
    keep("scaling", sorted(rows, key=lambda row: str(row["case"])))


def _measure_all(paths: list[Path], studies: int, gateways: int, seconds: float) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        home = stack.enter_context(temporary_home())
        server = stack.enter_context(senogate(home, find_free_ports(3), gateways=gateways))
        fill(server, paths, studies)
        chosen = [case for case in CASES if any(part in case[0] for part in _MEASURED)]
        return [
            {"case": name, "gateways": gateways} | measure(server, plan(server), CLIENTS, seconds)
            for name, plan in chosen
        ]


if __name__ == "__main__":
    main()
