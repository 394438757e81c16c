"""Lesion detection against the way an Orthanc plugin does it today: torch, one image at a time, in one process.

The same network (`benchmarks/retinanet.py`: RetinaNet with ResNet-50, fixed random weights), the same mammograms, the
same scale. The torch side runs in `.venv-bench`. Ours is the pipeline: headers, decoding ahead in threads, the header's
VOI, area averages, onnxruntime; without cropping, so that the boxes must be the same, and with cropping to the breast,
which is how a package would ask for it. `session.run` is the network alone on tensors that lie ready.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.inference import REAL
from benchmarks.report import keep
from inference.demo import PIXEL_SPACING, build_exam, demo_exam
from inference.devices import Device, providers
from inference.exam import Chosen
from inference.instance import read_instance
from inference.phantom.flat import draw_exam
from inference.pictures import Steps, prepared
from inference.preprocess import assemble
from inference.session import Tensor, options
from inference.trace import Trace

SHRINK, MULTIPLE, MOST = 2, 32, 300  # as in benchmarks/retinanet.py, which needs torch
ENVIRONMENT = Path(__file__).resolve().parent.parent / ".venv-bench"
IMAGES = int(os.environ.get("SENOGATE_BENCH_IMAGES", "4"))
SPACING = {"mm": SHRINK * PIXEL_SPACING[0]}
STACK = {"multiple": MULTIPLE}
WHOLE: Steps = [("voi", {}), ("spacing", SPACING), ("stack", STACK)]
CROPPED: Steps = [
    ("breast_mask", {}),
    ("crop_to_breast", {"margin_mm": 5}),
    ("voi", {}),
    ("spacing", SPACING),
    ("stack", STACK),
]


def main() -> None:
    python = ENVIRONMENT / "bin" / "python"
    if subprocess.run(
        [python, "-c", "import torch, onnx, pydicom"], check=False, capture_output=True
    ).returncode:
        sys.exit(f"{python} needs torch, onnx and pydicom: pip install them there")
    with tempfile.TemporaryDirectory(prefix="senogate-bench-") as folder:
        paths = write_exams(Path(folder))
        network = Path(folder, "retinanet.onnx")
        plugin = the_plugin_way(python, network, Path(folder, "plugin.json"), paths)
        keep("detection", compare(plugin, ours(network, paths), len(paths)), torch=plugin["torch"])


def write_exams(folder: Path) -> list[Path]:
    """So many mammograms of 2600 × 2000: the real ones where they are, phantoms besides."""
    parts = demo_exam(REAL) if REAL.exists() else []
    while len(parts) < IMAGES:
        images = draw_exam(len(parts), rows=2600, columns=2000).images
        parts += build_exam(images, seed=f"detection {len(parts)}")
    paths = [folder / f"{number}.dcm" for number in range(IMAGES)]
    for path, part in zip(paths, parts, strict=False):
        path.write_bytes(part)
    return paths


def the_plugin_way(python: Path, network: Path, result: Path, paths: Sequence[Path]) -> dict[str, Any]:
    script = Path(__file__).with_name("retinanet.py")
    threads = str(os.cpu_count() or 1)
    subprocess.run([python, "-W", "ignore", script, network, result, threads, *paths], check=True)
    answer: dict[str, Any] = json.loads(result.read_text())
    return answer


def ours(network: Path, paths: Sequence[Path]) -> dict[str, Any]:
    """Figures and boxes of the pipeline, by what it does."""
    chosen = tuple((read_instance(path), ("", "")) for path in paths)
    session = onnxruntime.InferenceSession(str(network), options(0), providers=providers(Device()))
    run: Callable[[Tensor], Any] = lambda tensor: session.run(["boxes", "scores"], {"image": tensor})  # noqa: E731
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        whole = figures(chosen, WHOLE, pool, run)
        cropped = figures(chosen, CROPPED, pool, run)
    device = session.get_providers()[0]
    return {"device": device, "whole image": whole, "cropped to the breast": cropped}


def figures(
    chosen: Chosen, steps: Steps, pool: ThreadPoolExecutor, run: Callable[[Tensor], Any]
) -> dict[str, Any]:
    """What an image costs, the network on tensors that lie ready (`bare`), and the boxes that were found."""
    tensors = [tensor for tensor, _ in ready(chosen, steps, Trace(), pool)]
    run(tensors[0])
    bare = measured(lambda: [run(tensor) for tensor in tensors], len(tensors))
    trace, boxes = Trace(), {}
    whole = measured(lambda: boxes.update(detect(chosen, steps, trace, pool, run)), len(chosen))
    parts = {f"{part}_s": round(seconds / len(chosen), 4) for part, seconds in trace.seconds.items()}
    return {"whole": whole | parts, "bare": bare, "found": boxes}


def ready(
    chosen: Chosen, steps: Steps, trace: Trace, pool: ThreadPoolExecutor
) -> Iterator[tuple[Tensor, Any]]:
    for picture in prepared(chosen, steps, trace, pool):
        yield assemble([picture], steps), picture.placement


def detect(
    chosen: Chosen, steps: Steps, trace: Trace, pool: ThreadPoolExecutor, run: Callable[[Tensor], Any]
) -> dict[str, np.ndarray]:
    """The best boxes of each instance, in pixels of the uncropped input."""
    found = {}
    for (one, _), (tensor, placement) in zip(chosen, ready(chosen, steps, trace, pool), strict=True):
        with trace.part("network"):
            boxes, scores = run(tensor)
        order = np.argsort(-scores[:, 0], kind="stable")[:MOST]
        corners = np.array(placement.stored(boxes[order].reshape(-1, 2))).reshape(-1, 4) / SHRINK
        found[Path(str(one.part)).name] = np.column_stack([corners, scores[order]])
    return found


def measured(work: Callable[[], object], images: int) -> dict[str, float]:
    """Wall and CPU seconds of an image."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return {
        "wall_s": round((time.perf_counter() - wall) / images, 4),
        "cpu_s": round((time.process_time() - processor) / images, 4),
    }


def compare(plugin: dict[str, Any], own: dict[str, Any], images: int) -> list[dict[str, Any]]:
    wall = sum(plugin["seconds"]) / images
    rows = [{"way": "plugin", "device": plugin["device"], "wall_s": round(wall, 4), "cpu_s": plugin["cpu_s"]}]
    for name in ("whole image", "cropped to the breast"):
        found = own[name]
        rows.append(
            {
                "way": name,
                "device": own["device"],
                **found["whole"],
                "times_plugin": round(wall / found["whole"]["wall_s"], 2),
                "of_session_run": round(found["whole"]["wall_s"] / found["bare"]["wall_s"], 3),
                "same_boxes": round(agreement(plugin["found"], found["found"]), 3),
            }
        )
        rows.append({"way": f"{name}, session.run alone", "device": own["device"], **found["bare"]})
    return rows


def agreement(theirs: dict[str, Any], own: dict[str, np.ndarray], corner: float = 1.0) -> float:
    """The share of the plugin's boxes that are among ours: each side within a pixel, the score within 0.01."""
    shares = []
    for name, boxes in theirs.items():
        distances = np.abs(np.array(boxes)[:, None] - own[name][None])
        near = (distances[..., :4].max(axis=-1) < corner) & (distances[..., 4] < 0.01)
        shares.append(near.any(axis=1).mean())
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
