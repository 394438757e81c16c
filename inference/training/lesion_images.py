"""The lesion detector's population: what it is trained on, tuned on, and what its passport's figures are of.

Phantoms are drawn at the network's own spacing and go the way of a site's studies: written as DICOM, read again and
preprocessed by the passport's steps. The figures are made again from the seeds given here by anyone who doubts them.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.instance import read_instance
from inference.phantom.instances import write_instances
from inference.phantom.population import OTHER, TRAINED, Population
from inference.phantom.study import Order, Study, draw_study
from inference.phantom.truth import Kind, Seen
from inference.picture import Picture, View
from inference.pixels import read_picture
from inference.preprocess import prepare

SPACING = 0.2
MULTIPLE = 64
KINDS = (Kind.MASS, Kind.CALCIFICATIONS)
"""In the order of the network's classes."""

PREPROCESSING: list[dict[str, Any]] = [
    {"name": "chest_wall_left"},
    {"name": "breast_mask"},
    {"name": "crop_to_breast", "margin_mm": 2},
    {"name": "spacing", "mm": SPACING},
    {"name": "voi"},
    {"name": "relative"},
    {"name": "stack", "multiple": MULTIPLE},
]
STEPS = [(one["name"], {key: value for key, value in one.items() if key != "name"}) for one in PREPROCESSING]

Pixels = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Set:
    """Exams by their seeds. Those of training have lesions; of the others every third has none, as `lesions` tells."""

    seeds: range
    population: Population
    lesions: tuple[int, ...]


TRAINING = Set(range(5_000_000, 5_000_240), TRAINED, (2, 3, 4))
VALIDATION = Set(range(5_500_000, 5_500_048), TRAINED, (0, 1, 2))
HELD_OUT = Set(range(6_000_000, 6_000_120), OTHER, (0, 1, 2))


@dataclass(frozen=True, slots=True)
class Mark:
    """A lesion in one view: its kind's number, and its outline, (column, row) of the view's pixels."""

    kind: int
    outline: npt.NDArray[np.float32]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        left, top = (float(one) for one in self.outline.min(axis=0))
        right, bottom = (float(one) for one in self.outline.max(axis=0))
        return left, top, right, bottom


@dataclass(frozen=True, slots=True)
class Example:
    """One view as the network takes it, (rows, columns) before it is padded, with the lesions that it shows.

    `exam` is the seed of its exam and `category` that one's density.
    """

    exam: int
    category: str
    view: View
    pixels: Pixels
    marks: tuple[Mark, ...]


def draw(drawn: Set) -> Iterator[Example]:
    """The views of a set's exams, in the order of their seeds, drawn by as many processes as there are cores."""
    exam = partial(_exam, drawn)
    if (os.cpu_count() or 1) == 1:
        yield from chain.from_iterable(map(exam, drawn.seeds))
        return
    with ProcessPoolExecutor() as pool:
        yield from chain.from_iterable(pool.map(exam, drawn.seeds, chunksize=4))


def _exam(drawn: Set, seed: int) -> list[Example]:
    count = drawn.lesions[seed % len(drawn.lesions)]
    kinds = tuple(KINDS[(seed // len(drawn.lesions) + one) % 2] for one in range(count))
    return list(
        examples(draw_study(seed, Order(lesions=kinds, spacing=SPACING, population=drawn.population)))
    )


def examples(study: Study) -> Iterator[Example]:
    """The views of a phantom as a site would prepare them."""
    for view, _, content in write_instances(study):
        picture = prepare(read_picture(read_instance(content), view), STEPS)
        marks = tuple(_mark(picture, one.kind, where) for one, where in study.truth.seen(view))
        truth = study.truth
        yield Example(truth.seed, truth.category, view, picture.pixels.astype(np.float16), marks)


def _mark(picture: Picture, kind: Kind, seen: Seen) -> Mark:
    return Mark(KINDS.index(kind), np.array(picture.placement.own(seen.outline), np.float32))


def tensor(pixels: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """What the network takes, as the passport's `stack` assembles it: (1, 1, rows, columns)."""
    rows, columns = (-(-size // MULTIPLE) * MULTIPLE for size in pixels.shape)
    padded = np.zeros((1, 1, rows, columns), np.float32)
    padded[0, 0, : pixels.shape[0], : pixels.shape[1]] = pixels
    return padded
