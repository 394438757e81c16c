"""Trains the built-in density model on phantoms: `python -m inference.training.density FOLDER`.

Seeded, on one thread, about seven minutes on a CPU, two thirds of them drawing phantoms. The network is written as ONNX
from its weights, and the passport's figures are those of the written network, run by onnxruntime on phantoms of wider
parameters than it was trained on.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inference.density import passport_outputs
from inference.package import Package, save
from inference.phantom import VIEWS
from inference.training import density_exams as population
from inference.training.density_network import CUTS, NAME, ViewDensity
from inference.training.running import metrics, runner

SEED = 20240229
EPOCHS = 30
BATCH = 64


def train(exams: Iterable[population.Exam], *, epochs: int = EPOCHS) -> ViewDensity:
    """Train on exams: the same weights for the same exams."""
    drawn = list(exams)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    inputs = torch.cat([torch.from_numpy(one.features) for one in drawn])
    truth = torch.cat([torch.from_numpy(one.shares) for one in drawn])[:, None]
    network = ViewDensity()
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    steps = epochs * -(-len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs)).split(BATCH):
            optimiser.zero_grad()
            _loss(network, _changed(inputs[batch]), truth[batch]).backward()
            optimiser.step()
            schedule.step()
    return network


def _changed(views: torch.Tensor) -> torch.Tensor:
    """Another display curve, gamma 0.7 to 1.4, and upside down half of the time."""
    views = views ** torch.empty(len(views), 1, 1, 1).uniform_(0.7, 1.4)
    return views.flip(2) if torch.rand(()) < 0.5 else views


def _loss(network: ViewDensity, views: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The categories' cross-entropy and the shares' absolute error."""
    share = torch.sigmoid(network(views))
    category = torch.bucketize(truth[:, 0], torch.tensor(CUTS), right=True)
    told = network.probabilities(share).clamp_min(1e-6).log()
    return nn.functional.nll_loss(told, category) + 10 * nn.functional.l1_loss(share, truth)


def write_package(network: ViewDensity, folder: Path) -> Package:
    """Write a package with the figures that its own ONNX reaches on the held-out population."""
    content = network.to_onnx()
    figures = population.measure(runner(content), list(population.held_out_population()))
    measured_on = f"{len(population.HELD_OUT_SEEDS)} held-out phantoms of wider parameters; no patients"
    return save(folder, content, passport(metrics(figures, measured_on)))


def passport(figures: list[dict[str, Any]]) -> dict[str, Any]:
    exams = len(population.TRAINING_SEEDS) + len(population.FLAT_SEEDS)
    return {
        "identity": {
            "name": NAME,
            "title": "Phantom-trained density model",
            "version": "2.1.0",
            "task": "density",
            "intended_use": "Shows that a site works. Phantom-trained: says nothing about patients.",
            "licence": "Apache-2.0",
            "research_use_only": True,
        },
        "inputs": {
            "modality": "MG",
            "presentation_intent": "FOR PRESENTATION",
            "views": [" ".join(view) for view in VIEWS],
            "per": "view",
            "required": True,
            "implants": "refuse",
            "preprocessing": population.PREPROCESSING,
        },
        "outputs": passport_outputs(),
        "training": {
            "trained_on": f"{exams} synthetic breast phantoms, no patients",
            "citation": "inference/training/density.py",
        },
        "metrics": figures,
    }


def main(folder: Path) -> Package:
    """Train, and write the package into a folder."""
    return write_package(train(population.training_population()), folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the built-in density model on phantoms.")
    parser.add_argument("folder", type=Path, help="where to write the model package")
    for metric in main(parser.parse_args().folder).passport.metrics:
        print(f"{metric.name}: {metric.value} ({metric.low} to {metric.high})")
