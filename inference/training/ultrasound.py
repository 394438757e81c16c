"""Trains the built-in ultrasound segmenter on phantoms: `python -m inference.training.ultrasound FOLDER`.

Seeded, on one thread, about ten minutes on a CPU. The network is written as ONNX from its weights, and the
passport's figures are those of the written network, run by onnxruntime on phantoms of wider parameters than it was
trained on.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from pydicom.sr.codedict import codes
from torch import nn

from inference.network import Graph, Weights
from inference.package import Package, save
from inference.training import ultrasound_images as population
from inference.training.running import metrics, runner

SEED = 20240301
EPOCHS = 16
BATCH = 16
WIDTHS = (12, 24, 32, 48)
NAME = "phantom-trained-ultrasound"


class Segmenter(nn.Module):
    """A small U-Net: `image` (n, 1, rows, columns) to the logits of a mass, (n, 1, rows / 2, columns / 2).

    Rows and columns are multiples of 16. Each level halves the size and convolves once more; the way back doubles it
    and joins what was seen on the way down.
    """

    def __init__(self) -> None:
        super().__init__()
        steps = list(zip((1, *WIDTHS), WIDTHS, strict=False))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in steps)
        self.look = nn.ModuleList(nn.Conv2d(b, b, 3, padding=1) for _, b in steps)
        back = list(zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in back)
        self.join = nn.ModuleList(nn.Conv2d(2 * b, b, 3, padding=1) for _, b in back)
        self.tell = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        seen = []
        for down, look in zip(self.down, self.look, strict=True):
            value = torch.relu(look(torch.relu(down(value))))
            seen.append(value)
        for up, join, beside in zip(self.up, self.join, seen[-2::-1], strict=True):
            value = torch.relu(join(torch.cat([up(value), beside], dim=1)))
        told: torch.Tensor = self.tell(value)
        return told

    def to_onnx(self) -> bytes:
        """The same network, answering with probabilities: `image` to `mask`."""
        graph, value, seen = Graph(), "image", []
        for down, look in zip(self.down, self.look, strict=True):
            value = graph.add("Relu", [graph.convolve(value, _weights(down), stride=2)])
            value = graph.add("Relu", [graph.convolve(value, _weights(look))])
            seen.append(value)
        for up, join, beside in zip(self.up, self.join, seen[-2::-1], strict=True):
            value = graph.add("Concat", [graph.double(value, _weights(up)), beside], axis=1)
            value = graph.add("Relu", [graph.convolve(value, _weights(join))])
        graph.add("Sigmoid", [graph.convolve(value, _weights(self.tell))], "mask")
        inputs = {"image": ("n", 1, "rows", "columns")}
        return graph.build(NAME, inputs, {"mask": ("n", 1, "mask_rows", "mask_columns")})


def _weights(module: nn.Module) -> Weights:
    weight, bias = (one.detach().numpy() for one in (module.weight, module.bias))
    return weight, bias


def train(images: population.Images, masses: population.Masses, *, epochs: int = EPOCHS) -> Segmenter:
    """Train on images (n, 1, rows, columns) and their masses (n, rows, columns).

    The same population gives the same weights.
    """
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    network = Segmenter()
    inputs = torch.from_numpy(images)
    truth = nn.functional.avg_pool2d(torch.from_numpy(masses[:, None]).float(), 2)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    steps = epochs * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(BATCH):
            optimiser.zero_grad()
            seen, wanted = inputs[batch], truth[batch]
            if torch.rand(()) < 0.5:
                seen, wanted = seen.flip(3), wanted.flip(3)
            _loss(network(seen), wanted).backward()
            optimiser.step()
            schedule.step()
    return network


def _loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of pixels and one less the soft Dice coefficient of the batch."""
    found = torch.sigmoid(logits)
    overlap = (2 * (found * truth).sum() + 1) / (found.sum() + truth.sum() + 1)
    return nn.functional.binary_cross_entropy_with_logits(logits, truth) + 1 - overlap


def write_package(network: Segmenter, folder: Path) -> Package:
    """Write a package with the figures that its own ONNX reaches on the held-out population."""
    content = network.to_onnx()
    figures = population.measure(runner(content), *population.held_out_population())
    measured_on = f"{len(population.HELD_OUT_SEEDS)} held-out phantoms of wider parameters; no patients"
    return save(folder, content, passport(metrics(figures, measured_on)))


def passport(figures: list[dict[str, Any]]) -> dict[str, Any]:
    mass = codes.SCT.Mass
    return {
        "identity": {
            "name": NAME,
            "title": "Phantom-trained ultrasound segmenter",
            "version": "1.0.0",
            "task": "lesions",
            "intended_use": "Shows that ultrasound is routed and read. Phantom-trained: says nothing about patients.",
            "licence": "Apache-2.0",
            "research_use_only": True,
        },
        "inputs": {
            "modality": "US",
            "presentation_intent": "",
            "views": [],
            "per": "image",
            "preprocessing": population.PREPROCESSING,
        },
        "outputs": {
            "kind": "mask",
            "threshold": population.THRESHOLD,
            "classes": [
                {
                    "label": "mass",
                    "value": mass.value,
                    "scheme": mass.scheme_designator,
                    "meaning": mass.meaning,
                }
            ],
        },
        "training": {
            "trained_on": f"{len(population.TRAINING_SEEDS)} synthetic ultrasound phantoms, no patients",
            "citation": "inference/training/ultrasound.py",
        },
        "metrics": figures,
    }


def main(folder: Path) -> Package:
    """Train, and write the package into a folder."""
    return write_package(train(*population.training_population()), folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the built-in ultrasound segmenter on phantoms.")
    parser.add_argument("folder", type=Path, help="where to write the model package")
    for metric in main(parser.parse_args().folder).passport.metrics:
        print(f"{metric.name}: {metric.value} ({metric.low} to {metric.high})")
