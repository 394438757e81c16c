"""Whether the process that runs models grows: it reads small phantom exams over and over, several at once.

python -m benchmarks.endurance [--readings N] [--exams N] [--looks N]

The exams differ in make, density and lesions; each is read by every built-in model of mammograms.
`grown_mib` is from the first look after a fifth of the readings, when everything has been in memory once, to the last.
"""

import argparse
import itertools
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil

from benchmarks.report import keep
from inference import installed
from inference.execution.host import Host
from inference.package import load
from inference.passport import PASSPORT
from inference.phantom.study import Order
from senogate.phantom import write_exams

SPACING = 0.2  # millimetres, the largest that all of these models read
READINGS = os.cpu_count() or 1  # at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=10_000)
    parser.add_argument("--exams", type=int, default=5)
    parser.add_argument("--looks", type=int, default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="senogate-bench-") as name:
        home = Path(name)
        exams = [_write(home / str(seed), seed) for seed in range(arguments.exams)]
        packages = [load(path.parent) for path in sorted(installed.BUILT_IN.glob(f"*/{PASSPORT}"))]
        inputs = {str(one.folder): one.passport.inputs for one in packages}
        models = [name for name, each in inputs.items() if each.modality == "MG" and not each.features]
        options = {"--home": home, "--readings": READINGS, "--threads": READINGS}
        with closing(Host([str(one) for option in options.items() for one in option])) as host:
            rows = _read(host, models, exams, arguments.readings, arguments.looks)
    settled = rows[len(rows) // 5]
    grown = round(rows[-1]["resident_mib"] - settled["resident_mib"], 1)
    keep("endurance", rows, models=len(models), exams=arguments.exams, grown_mib=grown)


def _write(folder: Path, seed: int) -> list[str]:
    write_exams(Order(spacing=SPACING), range(seed, seed + 1), folder, lambda: None)
    return sorted(map(str, folder.rglob("*.dcm")))


def _read(
    host: Host, models: Sequence[str], exams: Sequence[list[str]], readings: int, looks: int
) -> list[dict[str, float]]:
    """A row for each look at the process, which stays the same one all the time."""
    orders = itertools.cycle([(model, exam) for exam in exams for model in models])
    rows: list[dict[str, float]] = []
    done, step = 0, max(readings // looks, 1)
    with ThreadPoolExecutor(READINGS) as pool:
        while done < readings:
            some = list(itertools.islice(orders, min(step, readings - done)))
            replies = list(pool.map(lambda order: host.read(*order), some))
            done += len(some)
            unread = sum(not reply.parts.get("answer") for reply in replies)  # failed, or not applicable
            assert host.pid
            resident = psutil.Process(host.pid).memory_info().rss / 2**20
            rows.append({"readings": done, "resident_mib": round(resident, 1), "unread": unread})
    return rows


if __name__ == "__main__":
    main()
