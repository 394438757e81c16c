"""How much text in border bands of mammograms the door finds, by size and contrast, and what it holds for nothing.

    python -m benchmarks.borders [--pictures 200] [--seed 0]

Names and view markers are drawn with seeds. Held for nothing: phantoms, and the real views beside the checkout.
"""

import argparse
import io
import time
from pathlib import Path
from typing import Any

from pydicom import dcmread

from benchmarks.report import keep
from inference.demo import demo_exam
from inference.phantom import HELD_OUT, draw_exam
from tests.drawn_borders import Kind, Picture, draw, is_found

REAL = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "nyu-density"
LARGE = {"least": 29, "most": 60}
NAMES = [
    Kind(), Kind(noise=4), Kind(contrast=(50, 100)), Kind(least=12, most=13), Kind(short=True), Kind(upright=True),
    Kind(**LARGE), Kind(**LARGE, noise=4), Kind(**LARGE, short=True), Kind(**LARGE, upright=True),
]  # fmt: skip
MARKERS = [Kind(marker=True), Kind(**LARGE, marker=True), Kind(**LARGE, marker=True, upright=True)]
EXAMS = 25  # of four phantoms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.pictures)
    rows = [count(f"name, {kind}", (draw(seed, kind) for seed in seeds)) for kind in NAMES]
    rows += [count(f"no name, {kind}", (draw(seed, kind) for seed in seeds)) for kind in MARKERS]
    keep(
        "borders", [*rows, count("no name, phantoms", phantoms()), count("no name, real views", real_views())]
    )


def count(part: str, pictures: Any) -> dict[str, Any]:
    """How many of the pictures are held, and the CPU time that deciding takes."""
    held, spent = [], 0.0
    for picture, stored in pictures:
        began = time.thread_time()
        held.append(is_found(picture, stored))
        spent += time.thread_time() - began
    share = round(100 * sum(held) / len(held), 1) if held else None
    cpu = round(spent / len(held) * 1000, 2) if held else None
    return {"part": part, "pictures": len(held), "held": sum(held), "held_percent": share, "cpu_ms": cpu}


def phantoms() -> Any:
    for seed in range(EXAMS):
        for image in draw_exam(seed, variation=HELD_OUT, rows=1664, columns=1280).images.values():
            yield image, 12


def real_views() -> Any:
    """Pictures and BitsStored; none where the views are not there."""
    for part in demo_exam(REAL) if REAL.is_dir() else []:
        dataset = dcmread(io.BytesIO(part))
        picture: Picture = dataset.pixel_array
        yield picture, int(dataset.BitsStored)


if __name__ == "__main__":
    main()
