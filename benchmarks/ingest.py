"""Ingest: a site with de-identification on, against a bare Orthanc without it, by C-STORE and by STOW-RS.

python -m benchmarks.ingest [--small N] [--large N]
"""

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.exams import write_studies
from benchmarks.report import keep, timed
from benchmarks.servers import Server, peer, senogate
from senogate import scu
from tests.live import find_free_ports, temporary_home

_BATCH = 4  # instances a STOW-RS request
ASSOCIATIONS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=400, help="instances of 256 x 256")
    parser.add_argument("--large", type=int, default=24, help="instances of 3328 x 2560, 17 MB")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="senogate-bench-")))
        servers = [
            stack.enter_context(senogate(stack.enter_context(temporary_home()), find_free_ports(3))),
            stack.enter_context(peer(find_free_ports(2))),
        ]
        for size, count, shape in (
            ("256x256", arguments.small, (256, 256)),
            ("17 MB", arguments.large, (3328, 2560)),
        ):
            for way, send in (("C-STORE", _c_store), ("STOW-RS", _stow)):
                figures: dict[str, list[dict[str, float]]] = {server.name: [] for server in servers}
                for number in range(arguments.rounds):
                    for server in servers:
                        paths = write_studies(folder / f"{number}", count // 4, 4, *shape)
                        figures[server.name].append(timed(lambda: send(server, paths), server.processes))  # noqa: B023
                        for path in paths:
                            path.unlink()
                rows += _compare(way, size, count // 4 * 4, figures)
    keep("ingest", rows)


def _compare(
    way: str, size: str, count: int, figures: dict[str, list[dict[str, float]]]
) -> list[dict[str, Any]]:
    """The median round of each server, and Senogate's instances/s as a ratio to the peer's."""
    rows: list[dict[str, Any]] = []
    for name, rounds in figures.items():
        middle = sorted(rounds, key=lambda each: each["wall_s"])[len(rounds) // 2]
        rows.append(
            {
                "case": f"{way}, {size}",
                "server": name,
                "instances_per_s": round(count / middle["wall_s"], 1),
                "cpu_ms_per_instance": round(1000 * middle["cpu_s"] / count, 2),
            }
        )
    rows[0]["ratio"] = round(rows[0]["instances_per_s"] / rows[1]["instances_per_s"], 2)
    return rows


def _c_store(server: Server, paths: list[Path]) -> None:
    outcomes: list[scu.Outcome] = []
    scu.send(scu.find_items(paths), server.receiver, ASSOCIATIONS, outcomes.append)
    refused = [outcome.reason for outcome in outcomes if not outcome.is_stored]
    assert not refused, refused[:3]


def _stow(server: Server, paths: list[Path]) -> None:
    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    with ThreadPoolExecutor(ASSOCIATIONS) as pool:
        list(pool.map(lambda batch: stow(server, batch), batches))


def stow(server: Server, paths: list[Path]) -> None:
    head = b"--boundary\r\nContent-Type: application/dicom\r\n\r\n"
    body = b"".join(head + path.read_bytes() + b"\r\n" for path in paths) + b"--boundary--\r\n"
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=boundary'}
    answer = server.dicomweb.post("/studies", content=body, headers=headers, timeout=600)
    assert answer.status_code == 200, answer.text


if __name__ == "__main__":
    main()
