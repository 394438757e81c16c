"""Trains the built-in lesion detector on phantoms: `python -m inference.training.lesions FOLDER`.

Seeded, on one thread, about fifteen minutes on a CPU, half of them drawing phantoms. The network is written as ONNX
from its weights. Operating point and calibration are those of phantoms for validation, and the passport's figures are
those of the written network, run by onnxruntime on held-out phantoms of wider parameters than it was trained on.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydicom.sr.codedict import codes
from torch import nn

from inference.evaluation import threshold_at
from inference.package import Package, save
from inference.passport import Calibration
from inference.training import lesion_figures as figures
from inference.training import lesion_images as population
from inference.training.lesion_images import Example
from inference.training.lesion_learning import Shown, assemble, loss, see
from inference.training.lesion_network import NAME, Detector
from inference.training.lesion_targets import CLASSES
from inference.training.running import metrics, runner

SEED = 20240302
STEPS = 800
BATCH = 8
OPERATING_RATE = 0.25
"""False positives an image and kind at the operating point, of which a mark is as likely as `LEAST_LIKELY` at least."""
LEAST_LIKELY = 0.1

_WITH_LESIONS = 0.75
_SAID_EVERY = 50


def train(examples: Iterable[Example], *, steps: int = STEPS) -> Detector:
    """Train on whole views. The same examples give the same weights on the same machine and version of torch."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    views = [see(one) for one in examples]
    torch.manual_seed(SEED)
    network = Detector()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, total_steps=steps, pct_start=0.15)
    total = 0.0
    for step, (inputs, targets) in enumerate(_batches(views, steps), 1):
        optimiser.zero_grad()
        found = loss(network(inputs), targets)
        found.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        total += float(found.detach())
        if step % _SAID_EVERY == 0:
            print(f"step {step} of {steps}: loss {total / _SAID_EVERY:.3f}", flush=True)
            total = 0.0
    return network.eval()


def _batches(views: Sequence[Shown], steps: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Views of one position each, most of them with lesions."""
    random = np.random.default_rng(SEED)
    groups = [
        [
            [one for one in views if one.position == position and bool(one.marks) is shown]
            for shown in (True, False)
        ]
        for position in ("CC", "MLO")
    ]
    for step in range(steps):
        shown, empty = groups[step % 2]
        chosen = [(shown if random.random() < _WITH_LESIONS or not empty else empty) for _ in range(BATCH)]
        yield assemble(random, [some[int(random.integers(len(some)))] for some in chosen])


def write_package(
    network: Detector, folder: Path, validation: Iterable[Example], held_out: Iterable[Example]
) -> Package:
    """Write a package, its operating point from the one set, its figures from the other."""
    content = network.to_onnx()
    run, tuning = runner(content), list(validation)
    calibration = figures.calibrate(figures.look(run, tuning))
    tuned = figures.look(run, tuning, calibration)
    allowed = OPERATING_RATE * tuned[0].views
    thresholds = [
        max(threshold_at([one.kinds[kind] for one in tuned], allowed), LEAST_LIKELY)
        for kind in range(CLASSES)
    ]
    exams = figures.look(run, held_out, calibration)
    measured_on = f"{len(exams)} held-out phantoms of wider parameters; no patients"
    found = metrics(figures.measure(exams), measured_on)
    return save(folder, content, passport(found, thresholds, calibration))


def passport(
    found: list[dict[str, Any]], thresholds: Sequence[float], calibration: Calibration
) -> dict[str, Any]:
    kinds = {"mass": codes.SCT.Mass, "calcification cluster": codes.SCT.CalcificationCluster}
    return {
        "identity": {
            "name": NAME,
            "title": "Phantom-trained lesion detector",
            "version": "1.0.0",
            "task": "lesions",
            "intended_use": "Shows that lesions are found and shown. Phantom-trained: says nothing about patients.",
            "licence": "Apache-2.0",
            "research_use_only": True,
        },
        "inputs": {
            "modality": "MG",
            "presentation_intent": "FOR PRESENTATION",
            "views": ["L CC", "R CC", "L MLO", "R MLO"],
            "per": "view",
            "required": False,
            "implants": "refuse",
            "spacing_mm": [0.04, population.SPACING],
            "preprocessing": population.PREPROCESSING,
        },
        "outputs": {
            "kind": "boxes",
            "classes": [
                {
                    "label": label,
                    "value": one.value,
                    "scheme": one.scheme_designator,
                    "meaning": one.meaning,
                    "threshold": round(threshold, 4),
                }
                for (label, one), threshold in zip(kinds.items(), thresholds, strict=True)
            ],
            "calibration": {"kind": calibration.kind, "a": calibration.a, "b": calibration.b},
        },
        "training": {
            "trained_on": f"{len(population.TRAINING.seeds)} structured breast phantoms, no patients",
            "citation": "inference/training/lesions.py",
        },
        "metrics": found,
    }


def main(folder: Path) -> Package:
    """Train, and write the package into a folder."""
    network = train(population.draw(population.TRAINING))
    return write_package(
        network, folder, population.draw(population.VALIDATION), population.draw(population.HELD_OUT)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the built-in lesion detector on phantoms.")
    parser.add_argument("folder", type=Path, help="where to write the model package")
    for metric in main(parser.parse_args().folder).passport.metrics:
        print(f"{metric.name}: {metric.value} ({metric.low} to {metric.high})")
