"""What reading an exam costs: the whole pipeline, its parts, and `session.run` alone on ready features.

The exam is the real one beside the checkout where present, else a phantom of its size. The models are small,
so nearly all is decoding and preprocessing; `the published way` does those as the model's authors do, in
float64 on every pixel. One thread, medians.
"""

import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread

from archive.findings import Findings
from benchmarks.report import keep
from inference import installed
from inference.demo import build_exam, demo_exam
from inference.instance import read_dataset, read_instance
from inference.nyu import import_histogram_model
from inference.package import load
from inference.phantom import draw_exam
from inference.pipeline import read_study
from inference.pixels import decode, read_picture
from inference.preprocess import Tensor, assemble, prepare
from inference.results.sr import comprehensive_3d_sr
from inference.session import Session, open_session
from inference.views import choose

REAL = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "nyu-density"
ROUNDS = 15


def main() -> None:
    keep("inference", rows())


def rows() -> list[dict[str, Any]]:
    parts = (
        demo_exam(REAL)
        if REAL.exists()
        else build_exam(draw_exam(1, rows=2600, columns=2000).images, seed="b")
    )
    exam = "real, 4 × 2600 × 2000" if REAL.exists() else "phantom, 4 × 2600 × 2000"
    answer = []
    for name, session in sessions().items():
        answer += [
            {"model": name, "exam": exam, "part": part, **cost} for part, cost in measure(parts, session)
        ]
    return answer


def sessions() -> dict[str, Session]:
    """The models that can be had here, on one thread."""
    built_in = load(Path(installed.__file__).parent / "models" / "phantom_density")
    found = {"phantom-trained": open_session(built_in, threads=1)}
    if REAL.exists():
        with tempfile.TemporaryDirectory() as folder:
            package = import_histogram_model(REAL / "histogram_model.p", Path(folder) / "nyu")
            found["NYU histogram"] = open_session(package, threads=1)
    return found


def measure(parts: list[bytes], session: Session) -> list[tuple[str, dict[str, float]]]:
    inputs = session.package.passport.inputs
    steps = [(step.name, step.parameters) for step in inputs.preprocessing]
    instances = [read_instance(part) for part in parts]
    chosen = choose(instances, inputs.views)
    assert isinstance(chosen, tuple)
    pictures = [read_picture(one, view) for one, view in zip(chosen, inputs.views, strict=True)]

    def preprocess() -> Tensor:
        return assemble([prepare(one, steps) for one in pictures], steps)

    features = preprocess()
    findings = read_study(parts, session)
    assert isinstance(findings, Findings)
    headers = [read_dataset(part, pixels=False) for part in parts]
    works: dict[str, Callable[[], object]] = {
        "whole pipeline": lambda: read_study(parts, session),
        "headers": lambda: [read_instance(part) for part in parts],
        "pixels": lambda: [decode(read_dataset(part, pixels=True)) for part in parts],
        "preprocessing": preprocess,
        "session.run": lambda: session.run(features),
        "report": lambda: comprehensive_3d_sr(findings, headers, lambda name: "2.25.1"),
    }
    if steps[-1][0] == "histogram":
        works["the published way"] = lambda: [published_way(part) for part in parts]
    costs = [(name, cost(work)) for name, work in works.items()]
    whole = costs[0][1]["cpu_ms"]
    return [(name, one | {"of_whole": round(one["cpu_ms"] / whole, 3)}) for name, one in costs]


def published_way(part: bytes) -> np.ndarray:
    pixels = dcmread(io.BytesIO(part)).pixel_array.astype(np.float64)
    return np.histogram((pixels - np.mean(pixels)) / np.std(pixels), 50)[0] / pixels.size


def cost(work: Callable[[], object]) -> dict[str, float]:
    """Medians of wall and CPU milliseconds."""
    work()
    walls, processors = [], []
    for _ in range(ROUNDS):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return {
        "wall_ms": round(statistics.median(walls) * 1000, 3),
        "cpu_ms": round(statistics.median(processors) * 1000, 3),
    }


if __name__ == "__main__":
    main()
