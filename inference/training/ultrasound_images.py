"""The ultrasound segmenter's population: what it is trained on, and what its passport's figures are of.

The figures are made again from the seeds given here by anyone who doubts them.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inference.evaluation import bootstrap_mean
from inference.phantom_ultrasound import COLUMNS, HELD_OUT, ROWS, TRAINING, Variation, draw_image
from inference.training.running import Figure, Run

PREPROCESSING: list[dict[str, Any]] = [
    {"name": "fit", "rows": ROWS, "columns": COLUMNS},
    {"name": "unit", "low": 1, "high": 99},
    {"name": "stack", "multiple": 16},
]
THRESHOLD = 0.5
TRAINING_SEEDS = range(3_000_000, 3_001_600)
HELD_OUT_SEEDS = range(4_000_000, 4_000_300)
LEAST_DICE = 0.5
"""A mass counts as found where the outline's Dice coefficient with the truth is at least this."""

Images = npt.NDArray[np.float32]
Masses = npt.NDArray[np.bool_]


def draw_population(seeds: range, variation: Variation) -> tuple[Images, Masses]:
    """Images as the network takes them, (n, 1, rows, columns), and where their masses lie, (n, rows, columns)."""
    images = [draw_image(seed, variation=variation) for seed in seeds]
    return np.stack([_unit(one.pixels)[np.newaxis] for one in images]), np.stack([one.mass for one in images])


def _unit(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    low, high = np.percentile(pixels, (1, 99))
    return np.clip((pixels - low) / (high - low), 0, 1).astype(np.float32)


def training_population() -> tuple[Images, Masses]:
    return draw_population(TRAINING_SEEDS, TRAINING)


def held_out_population() -> tuple[Images, Masses]:
    return draw_population(HELD_OUT_SEEDS, HELD_OUT)


def measure(run: Run, images: Images, masses: Masses) -> dict[str, Figure]:
    """How well a network outlines masses: Dice of images with one, how many are found, and empty ones left so."""
    outlined = np.stack([_outline(run(one[np.newaxis])["mask"][0, 0]) for one in images])
    shown = masses.any(axis=(1, 2))
    overlaps = np.array([dice(*pair) for pair in zip(masses[shown], outlined[shown], strict=True)])
    empty = ~outlined[~shown].any(axis=(1, 2))
    values = {
        "dice": overlaps,
        "masses found": overlaps >= LEAST_DICE,
        "images without a mass left empty": np.asarray(empty),
    }
    return {name: (float(np.mean(one)), *bootstrap_mean(one)) for name, one in values.items()}


def dice(truth: Masses, answer: Masses) -> float:
    """Twice what both hold over the sum of what each holds; 1 where both are empty."""
    total = int(truth.sum() + answer.sum())
    return 2 * int((truth & answer).sum()) / total if total else 1.0


def _outline(probabilities: npt.NDArray[np.float32]) -> Masses:
    return np.asarray(cv2.resize(probabilities, (COLUMNS, ROWS)) >= THRESHOLD)
