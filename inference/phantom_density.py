"""The built-in density model's population: what it is trained on, and what its passport's figures are of.

The figures are made again from the seeds given here by anyone who doubts them.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from inference.density import CATEGORIES
from inference.evaluation import accuracy, bootstrap, kappa
from inference.phantom import HELD_OUT, TRAINING, VIEWS, Variation, draw_exam
from inference.preprocess import thumbnails
from inference.session import Session

ROWS, COLUMNS = 104, 80
PREPROCESSING: dict[str, int | float | str] = {"name": "thumbnails", "rows": ROWS, "columns": COLUMNS}
DRAWN_ROWS, DRAWN_COLUMNS = 208, 160
TRAINING_SEEDS = range(1_000_000, 1_001_600)
HELD_OUT_SEEDS = range(2_000_000, 2_000_400)
LABELS = tuple(CATEGORIES)

Features = npt.NDArray[np.float32]
Truth = npt.NDArray[np.int64]


def draw_population(seeds: range, variation: Variation) -> tuple[Features, Truth]:
    """Exams as the network takes them, (n, views, rows, columns), and their categories, (n,), 0 for `a`."""
    features, categories = zip(*_draw(seeds, variation), strict=True)
    return np.concatenate(features), np.array(categories, np.int64)


def _draw(seeds: range, variation: Variation) -> Iterator[tuple[Features, int]]:
    for seed in seeds:
        exam = draw_exam(seed, variation=variation, rows=DRAWN_ROWS, columns=DRAWN_COLUMNS)
        images = [exam.images[view] for view in VIEWS]
        yield thumbnails(images, PREPROCESSING), LABELS.index(exam.category)


def training_population() -> tuple[Features, Truth]:
    return draw_population(TRAINING_SEEDS, TRAINING)


def held_out_population() -> tuple[Features, Truth]:
    return draw_population(HELD_OUT_SEEDS, HELD_OUT)


def measure(session: Session, features: Features, truth: Truth) -> dict[str, tuple[float, float, float]]:
    """Accuracy and κ of a session on a population, each with its 95 % interval: (value, low, high)."""
    answer = np.argmax(
        np.concatenate([session.run(one[np.newaxis])["probabilities"] for one in features]), axis=1
    )
    measures = {
        "accuracy": accuracy,
        "linear kappa": lambda one, other: kappa(one, other, classes=len(LABELS), power=1),
        "quadratic kappa": lambda one, other: kappa(one, other, classes=len(LABELS), power=2),
    }
    return {
        name: (function(truth, answer), *bootstrap(function, truth, answer))
        for name, function in measures.items()
    }
