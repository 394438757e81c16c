"""The lesion detector's population: what it is trained on, and what its passport's figures are of.

The figures are made again from the seeds given here by anyone who doubts them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inference.answers.boxes import Found, find
from inference.evaluation import Detections, sensitivity_at
from inference.instance import Instance
from inference.phantom.population import OTHER, TRAINED, Population
from inference.phantom.study import Order, Study, draw_study
from inference.phantom.truth import Kind, Seen
from inference.picture import Picture
from inference.preprocess import assemble, prepare
from inference.training.running import Figure, Run

SPACING = 0.2
MULTIPLE = 32
KINDS = (Kind.MASS, Kind.CALCIFICATIONS)
"""In the order of the network's classes."""

PREPROCESSING: list[dict[str, Any]] = [
    {"name": "chest_wall_left"},
    {"name": "breast_mask"},
    {"name": "crop_to_breast", "margin_mm": 2},
    {"name": "spacing", "mm": SPACING},
    {"name": "voi"},
    {"name": "standardise"},
    {"name": "stack", "multiple": MULTIPLE},
]
TRAINING_SEEDS = range(5_000_000, 5_000_260)
HELD_OUT_SEEDS = range(6_000_000, 6_000_100)
FALSE_POSITIVES = (0.25, 0.5, 1.0)
"""Per image, at which the sensitivity is told."""

_DRAWN_IN = tuple(one for one in PREPROCESSING if one["name"] not in ("spacing", "voi"))
_NOBODY = Instance(
    *(b"", "", "", "", "", "MG", "FOR PRESENTATION", (), "", "", "", ""),
    modified=False,
    partial=False,
    quality_control=False,
    number_of_frames=1,
    acquired=("", "", 0),
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A lesion in one picture: its kind's number, its outline (column, row), and its breast's name for it."""

    kind: int
    outline: npt.NDArray[np.float32]
    name: str

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        left, top = (float(one) for one in self.outline.min(axis=0))
        right, bottom = (float(one) for one in self.outline.max(axis=0))
        return left, top, right, bottom


@dataclass(frozen=True, slots=True)
class Example:
    """One view as the network takes it, with the lesions that it shows."""

    picture: Picture
    marks: tuple[Mark, ...]


def training_population() -> Iterator[Example]:
    """Exams with a mass and a cluster at least, each in one breast or the other."""
    return _draw(TRAINING_SEEDS, TRAINED, (2, 4))


def held_out_population() -> Iterator[Example]:
    """Exams of wider parameters than those of training, a third of them without a lesion."""
    return _draw(HELD_OUT_SEEDS, OTHER, (0, 3))


def _draw(seeds: range, population: Population, lesions: tuple[int, int]) -> Iterator[Example]:
    for seed in seeds:
        count = lesions[0] + seed % (lesions[1] - lesions[0])
        kinds = tuple(KINDS[(seed + one) % 2] for one in range(count))
        yield from examples(draw_study(seed, Order(lesions=kinds, spacing=SPACING, population=population)))


def examples(study: Study) -> Iterator[Example]:
    """The views of a phantom that was drawn at the network's own spacing."""
    steps = [(str(one["name"]), one) for one in _DRAWN_IN]
    for view, stored in study.images.items():
        dark = study.vendor.photometric == "MONOCHROME1"
        greys = study.vendor.curve(np.asarray(study.vendor.top - stored if dark else stored, np.float32))
        drawn = Picture(_NOBODY, view, greys.astype(np.float32), (study.spacing, study.spacing))
        picture = prepare(drawn, steps)
        seen = study.truth.seen(view)
        yield Example(picture, tuple(_mark(picture, one.kind, where, one.name) for one, where in seen))


def _mark(picture: Picture, kind: Kind, seen: Seen, name: str) -> Mark:
    outline = np.array(picture.placement.own(seen.outline), np.float32)
    return Mark(KINDS.index(kind), outline, name)


def tensor(picture: Picture) -> npt.NDArray[np.float32]:
    """What the network takes: (1, 1, rows, columns)."""
    return assemble([picture], [("stack", {"multiple": MULTIPLE})])


def measure(run: Run) -> dict[str, Figure]:
    """Sensitivity at so many false positives an image (FROC), for each kind and for both.

    A lesion counts as found where a box of its kind has its middle inside the lesion's outline.
    """
    detections: list[list[Detections]] = [[] for _ in KINDS]
    for example in held_out_population():
        found = find(run(tensor(example.picture)), least=0.02)
        for kind, collected in enumerate(detections):
            collected.append(_compare(example, [one for one in found if one.kind == kind], kind))
    both = [Detections.joined(pair) for pair in zip(*detections, strict=True)]
    figures = {}
    for name, images in (
        ("lesions", both),
        ("masses", detections[0]),
        ("calcification clusters", detections[1]),
    ):
        for rate in FALSE_POSITIVES:
            figures[f"sensitivity for {name} at {rate:g} false positives an image"] = sensitivity_at(
                images, rate
            )
    return figures


def _compare(example: Example, found: list[Found], kind: int) -> Detections:
    """The best score that each lesion of a kind got, 0 for none, and the scores of boxes that lie on no lesion."""
    outlines = [mark.outline for mark in example.marks if mark.kind == kind]
    hits, false = [0.0] * len(outlines), []
    for one in found:
        inside = [number for number, outline in enumerate(outlines) if _holds(outline, one.middle)]
        for number in inside:
            hits[number] = max(hits[number], one.score)
        if not inside:
            false.append(one.score)
    return Detections(tuple(hits), tuple(false))


def _holds(outline: npt.NDArray[np.float32], point: tuple[float, float]) -> bool:
    return bool(cv2.pointPolygonTest(outline.reshape(-1, 1, 2), point, False) >= 0)
