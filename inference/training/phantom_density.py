"""Trains the built-in density model on phantoms: `python -m inference.training.phantom_density FOLDER`.

Seeded, on one thread, a few minutes on a CPU. The network is written as ONNX from its weights, and the
passport's figures are those of the written network, run by onnxruntime on phantoms of wider parameters than
it was trained on.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from inference import phantom_density as population
from inference.density import CATEGORIES, passport_outputs
from inference.network import Layers, build_view_classifier
from inference.package import Package, save
from inference.phantom import VIEWS
from inference.session import open_session

SEED = 20240229
EPOCHS = 60
BATCH = 32
CHANNELS = (1, 8, 16, 32, 32)
HIDDEN = 32
NAME = "phantom-trained-density"


class ViewClassifier(nn.Module):
    """(n, views, rows, columns) to the logits of the categories, (n, 4)."""

    def __init__(self) -> None:
        super().__init__()
        sizes = zip(CHANNELS, CHANNELS[1:], strict=False)
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in sizes)
        self.layers = nn.ModuleList([nn.Linear(CHANNELS[-1], HIDDEN), nn.Linear(HIDDEN, len(CATEGORIES))])

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        value = features.reshape(-1, 1, *features.shape[2:])
        for convolution in self.convolutions:
            value = torch.relu(convolution(value))
        value = value.mean(dim=(2, 3)).reshape(*features.shape[:2], -1).mean(dim=1)
        return self.layers[1](torch.relu(self.layers[0](value)))

    def to_onnx(self) -> bytes:
        return build_view_classifier(
            _weights(self.convolutions),
            _weights(self.layers),
            NAME,
            views=len(VIEWS),
            rows=population.ROWS,
            columns=population.COLUMNS,
        )


def train(
    features: npt.NDArray[np.float32], truth: npt.NDArray[np.int64], *, epochs: int = EPOCHS
) -> ViewClassifier:
    """Train on a population (n, views, rows, columns), categories (n,): the same weights for the same
    population.
    """
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    network = ViewClassifier()
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    steps = epochs * -(-len(truth) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps)
    inputs, answers = torch.from_numpy(features), torch.from_numpy(truth)
    for _ in range(epochs):
        for batch in torch.randperm(len(truth)).split(BATCH):
            optimiser.zero_grad()
            views = inputs[batch][:, torch.randperm(inputs.shape[1])]
            loss = nn.functional.cross_entropy(network(_flipped(views)), answers[batch])
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def _flipped(views: torch.Tensor) -> torch.Tensor:
    """Upside down, half of the time."""
    return views.flip(2) if torch.rand(()) < 0.5 else views


def _weights(modules: nn.ModuleList) -> Layers:
    return [(module.weight.detach().numpy(), module.bias.detach().numpy()) for module in modules]


def write_package(network: ViewClassifier, folder: Path) -> Package:
    """Write a package with the figures that its own ONNX reaches on the held-out population."""
    content = network.to_onnx()
    with tempfile.TemporaryDirectory() as draft:
        session = open_session(save(Path(draft) / NAME, content, _passport([])), threads=1)
        figures = population.measure(session, *population.held_out_population())
    metrics = [_metric(name, *(round(value, 3) for value in values)) for name, values in figures.items()]
    return save(folder, content, _passport(metrics))


def _metric(name: str, value: float, low: float, high: float) -> dict[str, Any]:
    measured_on = f"{len(population.HELD_OUT_SEEDS)} held-out phantoms of wider parameters; no patients"
    return {"name": name, "value": value, "low": low, "high": high, "measured_on": measured_on}


def _passport(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "identity": {
            "name": NAME,
            "title": "Phantom-trained density model",
            "version": "1.0.0",
            "task": "density",
            "intended_use": "Shows that a site works. Phantom-trained: says nothing about patients.",
            "licence": "Apache-2.0",
            "research_use_only": True,
        },
        "inputs": {
            "modality": "MG",
            "presentation_intent": "FOR PRESENTATION",
            "views": [" ".join(view) for view in VIEWS],
            "per": "exam",
            "implants": "refuse",
            "preprocessing": [population.PREPROCESSING],
        },
        "outputs": passport_outputs(),
        "training": {
            "trained_on": f"{len(population.TRAINING_SEEDS)} synthetic breast phantoms, no patients",
            "citation": "inference/training/phantom_density.py",
        },
        "metrics": metrics,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the built-in density model on phantoms.")
    parser.add_argument("folder", type=Path, help="where to write the model package")
    folder = parser.parse_args().folder
    package = write_package(train(*population.training_population()), folder)
    for metric in package.passport.metrics:
        print(f"{metric.name}: {metric.value} ({metric.low} to {metric.high})")


if __name__ == "__main__":
    main()
