"""What cleaning a frame of burned-in text costs, from the bytes of an instance to the bytes with the text masked.

Frames are drawn with a fixed seed; real ultrasounds are taken from beside the checkout where present. Also counted:
drawn names that are not wholly masked, and view markers that are lost.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from benchmarks.report import keep
from inference.cleaning.cleaner import clean
from inference.cleaning.mask import covered
from inference.cleaning.text import Finder
from tests.drawn_text import draw_markers, draw_names, ultrasound

REAL = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "dicom" / "us"
ROUNDS = 3
FRAMES = 8  # of the multi-frame instance
DRAWN = 5  # frames of each polarity in which names are counted
MARKED = 25  # frames of four markers each


def main() -> None:
    finder = Finder()
    rows = [measure(name, instance, frames, finder) for name, instance, frames in instances()]
    keep("cleaning", [*rows, *count_missed(finder), count_lost(finder)])


def instances() -> list[tuple[str, bytes, int]]:
    """Name, Part 10 bytes and number of frames."""
    small, large = draw_names(1, light=True)[0], np.full((2600, 2000), 20, np.uint8)
    large[200:968, 500:1524] = small
    loop = np.stack([draw_names(1, light=True, rows=480, columns=640)[0]] * FRAMES)
    found = [
        ("drawn ultrasound 768 × 1024", ultrasound(small), 1),
        (f"drawn ultrasound 480 × 640, {FRAMES} frames", ultrasound(loop), FRAMES),
        ("drawn capture 2600 × 2000", ultrasound(large), 1),
    ]
    return found + [(path.stem, path.read_bytes(), 1) for path in sorted(REAL.glob("*.dcm"))]


def measure(name: str, instance: bytes, frames: int, finder: Finder) -> dict[str, Any]:
    clean(instance, finder)  # the networks are loaded when first used
    costs = [timed(lambda: clean(instance, finder)) for _ in range(ROUNDS)]
    wall, cpu = (statistics.median(each) / frames for each in zip(*costs, strict=True))
    return {"part": name, "wall_ms_a_frame": round(wall, 1), "cpu_ms_a_frame": round(cpu, 1)}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU milliseconds, of all threads."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000


def count_missed(finder: Finder) -> list[dict[str, Any]]:
    rows = []
    for light in (True, False):
        missed = {True: 0, False: 0}
        total = {True: 0, False: 0}
        for seed in range(1000, 1000 + DRAWN):
            frame, drawn = draw_names(seed, light=light)
            cleaned = dcmread(DicomBytesIO(clean(ultrasound(frame), finder).instance)).pixel_array
            for each in drawn:
                large = each.size >= 14
                total[large] += 1
                missed[large] += np.unique(cleaned[each.box]).size > 1
        name = "light on dark" if light else "dark on light"
        for large, size in ((True, "14 to 28 px"), (False, "12 and 13 px")):
            rows.append(
                {"part": f"names {name}, {size}", "drawn": total[large], "not_wholly_masked": missed[large]}
            )
    return rows


def count_lost(finder: Finder) -> dict[str, Any]:
    drawn = lost = 0
    for seed in range(1000, 1000 + MARKED):
        frame, markers = draw_markers(seed)
        texts = [text.box for text in finder.find(frame, 255 - frame) if not text.is_marker]
        mask = covered(texts, (frame.shape[0], frame.shape[1]))
        drawn += len(markers)
        lost += sum(bool(mask[each.ink].any()) for each in markers)
    return {"part": "view markers, 14 to 60 px", "drawn": drawn, "lost": lost}


if __name__ == "__main__":
    main()
