"""The hospitals of the federated experiment: made-up vendors, mixes of density and sizes of their own; no patients.

Exams are structured phantoms, drawn once and kept under `build/`, as the network takes them: from stored values, with
the vendor's curve and sharpening in them.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from federation.training.task import Example, Label
from inference.density import CATEGORIES
from inference.phantom.study import Order
from inference.training.density_exams import Exam, draw_ordered

CACHE = Path("build", "federated_sites.npz")
LABELS = tuple(CATEGORIES)
TESTED = 80
"""Exams of each hospital that no model is trained on or chosen by."""


@dataclass(frozen=True, slots=True)
class Hospital:
    """`mix` is the shares of categories a to d, `size` how many labelled exams it learns from.

    So many are `drawn` in all that repetitions have others to learn from.
    """

    vendor: str
    mix: tuple[float, float, float, float]
    size: int
    drawn: int
    first_seed: int


HOSPITALS = (
    Hospital("alpha", (0.30, 0.45, 0.20, 0.05), 80, 320, 7_000_000),
    Hospital("beta", (0.10, 0.40, 0.40, 0.10), 60, 260, 7_100_000),
    Hospital("gamma", (0.05, 0.20, 0.45, 0.30), 40, 200, 7_200_000),
    Hospital("delta", (0.40, 0.10, 0.10, 0.40), 30, 160, 7_300_000),
)
VENDORS = tuple(one.vendor for one in HOSPITALS)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A hospital's exams: those that repetitions choose their training's from, and those to be tested on."""

    pool: Sequence[Example]
    tested: Sequence[Example]


def load(path: Path = CACHE) -> Mapping[str, Drawn]:
    """By vendor; drawn where they are not kept yet, which takes 0.4 s of processor an exam."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(part, **{key: value for one in HOSPITALS for key, value in _draw(one).items()})
        part.replace(path)
    with np.load(path) as kept:
        return {one.vendor: _split(one, kept[f"{one.vendor} views"], kept[f"{one.vendor} categories"])
                for one in HOSPITALS}  # fmt: skip


def _draw(hospital: Hospital) -> dict[str, np.ndarray]:
    random = np.random.default_rng(hospital.first_seed)
    asked = random.choice(len(LABELS), hospital.drawn, p=hospital.mix)
    exams: list[Exam] = []
    for number, category in enumerate(asked):
        order = Order(category=LABELS[category], vendor=hospital.vendor)
        exams.append(draw_ordered(hospital.first_seed + number, order))
        if number % 20 == 0:
            print(f"{hospital.vendor}: {number} of {hospital.drawn}", file=sys.stderr, flush=True)
    return {
        f"{hospital.vendor} views": np.stack([one.features for one in exams]).astype(np.float16),
        f"{hospital.vendor} categories": np.array([one.category for one in exams]),
    }


def _split(hospital: Hospital, views: np.ndarray, categories: np.ndarray) -> Drawn:
    examples = [
        Example(
            f"{hospital.vendor}-{number}",
            f"{hospital.vendor}-{number}",
            {"views": one.astype(np.float32)},
            Label("csv", LABELS[category]),
            manufacturer=hospital.vendor,
        )
        for number, (one, category) in enumerate(zip(views, categories, strict=True))
    ]
    return Drawn(examples[TESTED:], examples[:TESTED])
