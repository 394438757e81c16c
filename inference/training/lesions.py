"""Trains a lesion detector for mammograms on phantoms: `python -m inference.training.lesions FOLDER`.

Seeded, on one thread, about twenty minutes on a CPU. The network is written as ONNX from its weights, and the
passport's figures are those of the written network, run by onnxruntime on phantoms of wider parameters than it was
trained on.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pydicom.sr.codedict import codes
from torch import nn

from inference.network import Graph, Weights
from inference.package import Package, save
from inference.training import lesion_images as population
from inference.training.lesion_images import Example
from inference.training.running import metrics, runner

SEED = 20240302
STEPS = 1500
BATCH = 6
SIDE = 384
STRIDE = 4
WIDTHS = (12, 24, 32, 48, 64)
UNIT = 16.0  # pixels; box sides are told in it
NAME = "phantom-trained-lesions"
THRESHOLD = 0.3
CLASSES = len(population.KINDS)

Tensor = npt.NDArray[np.float32]


class _Layer(nn.Module):
    """A convolution whose outputs are normalised over the batch while it learns, and a ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.convolution(value)))

    def weights(self) -> Weights:
        """Those of one convolution that does the same once learning has ended."""
        norm, convolution = self.norm, self.convolution
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = convolution.weight * scale[:, None, None, None]
        bias = (convolution.bias - norm.running_mean) * scale + norm.bias
        return weight.detach().numpy(), bias.detach().numpy()


class Detector(nn.Module):
    """`image` (n, 1, rows, columns) to, at a quarter of its size, logits of lesions' middles, sides, and masks.

    A small U-Net without anchors (Zhou et al., "Objects as Points", arXiv:1904.07850): (n, classes + 4 + classes,
    rows / 4, columns / 4). Rows and columns are multiples of 32.
    """

    def __init__(self) -> None:
        super().__init__()
        steps = list(zip((1, *WIDTHS), WIDTHS, strict=False))
        self.down = nn.ModuleList(_Layer(a, b, stride=2) for a, b in steps)
        self.look = nn.ModuleList(_Layer(b, b) for _, b in steps[1:])
        back = list(zip(WIDTHS[:1:-1], WIDTHS[-2:0:-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in back)
        self.join = nn.ModuleList(_Layer(2 * b, b) for _, b in back)
        self.tell = nn.Conv2d(WIDTHS[1], 2 * CLASSES + 4, 3, padding=1)
        nn.init.constant_(self.tell.bias[:CLASSES], -4.0)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        value, seen = self.down[0](value), []
        for down, look in zip(self.down[1:], self.look, strict=True):
            value = look(down(value))
            seen.append(value)
        for up, join, beside in zip(self.up, self.join, seen[-2::-1], strict=True):
            value = join(torch.cat([up(value), beside], dim=1))
        told: torch.Tensor = self.tell(value)
        return told

    def to_onnx(self) -> bytes:
        """The same network for one image: `image` to `boxes` (k, 4), `scores` (k, classes) and `mask`.

        k counts the cells of a quarter of the size; boxes are left, top, right, bottom in pixels of the image.
        """
        graph = Graph()
        value, seen = graph.add("Relu", [graph.convolve("image", self.down[0].weights(), stride=2)]), []
        for down, look in zip(self.down[1:], self.look, strict=True):
            value = graph.add("Relu", [graph.convolve(value, down.weights(), stride=2)])
            value = graph.add("Relu", [graph.convolve(value, look.weights())])
            seen.append(value)
        for up, join, beside in zip(self.up, self.join, seen[-2::-1], strict=True):
            value = graph.add("Concat", [graph.double(value, _weights(up)), beside], axis=1)
            value = graph.add("Relu", [graph.convolve(value, join.weights())])
        _add_heads(graph, value, _weights(self.tell))
        outputs = {
            "boxes": ("k", 4),
            "scores": ("k", CLASSES),
            "mask": (1, CLASSES, "mask_rows", "mask_columns"),
        }
        return graph.build(NAME, {"image": (1, 1, "rows", "columns")}, outputs)


def _add_heads(graph: Graph, value: str, weights: Weights) -> None:
    first, second = CLASSES, CLASSES + 4
    weight, bias = weights
    parts = [(weight[a:b], bias[a:b]) for a, b in ((0, first), (first, second), (second, None))]
    middles, sides, masks = (graph.convolve(value, one) for one in parts)
    graph.add("Sigmoid", [masks], "mask")
    graph.add("Sigmoid", [_cells(graph, middles, CLASSES)], "scores")
    ones = graph.add("Add", [graph.add("Mul", [middles, graph.tensor(0.0)]), graph.tensor(1.0)])
    ones = graph.add("Slice", [ones, *(graph.tensor([one], np.int64) for one in (0, 1, 1))])
    places = [graph.add("CumSum", [ones, graph.tensor(axis, np.int64)]) for axis in (3, 2)]
    places = [
        graph.add("Mul", [graph.add("Sub", [one, graph.tensor(0.5)]), graph.tensor(float(STRIDE))])
        for one in places
    ]
    grid = graph.add("Concat", [*places, *places], axis=1)
    signs = graph.tensor(np.array([-UNIT, -UNIT, UNIT, UNIT]).reshape(1, 4, 1, 1))
    reach = graph.add("Mul", [graph.add("Softplus", [sides]), signs])
    graph.add("Identity", [_cells(graph, graph.add("Add", [grid, reach]), 4)], "boxes")


def _cells(graph: Graph, value: str, width: int) -> str:
    """(1, width, rows, columns) as (rows × columns, width)."""
    return graph.reshape(graph.add("Transpose", [value], perm=[0, 2, 3, 1]), [-1, width])


def _weights(module: nn.Module) -> Weights:
    weight, bias = (one.detach().numpy() for one in (module.weight, module.bias))
    return weight, bias


def train(examples: Sequence[Example], *, steps: int = STEPS) -> Detector:
    """Train on crops of examples. The same population gives the same weights."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    random = np.random.default_rng(SEED)
    network = Detector()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps)
    shown = [number for number, one in enumerate(examples) if one.marks]
    for _ in range(steps):
        chosen = [int(random.choice(shown)) for _ in range(BATCH - 1)] + [int(random.integers(len(examples)))]
        crops = [_crop(random, examples[one]) for one in chosen]
        images, targets = (torch.from_numpy(np.stack(one)) for one in zip(*crops, strict=True))
        optimiser.zero_grad()
        _loss(network(images), targets).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    return network.eval()


def _crop(random: np.random.Generator, example: Example) -> tuple[Tensor, Tensor]:
    """A square of a view, mostly around a lesion, upside down half of the time, and what is to be told of it."""
    pixels = np.asarray(example.picture.pixels, np.float32)
    corner = np.array([random.integers(0, max(size - SIDE, 1)) for size in pixels.shape])
    if example.marks and random.random() < 0.8:
        left, top, right, bottom = example.marks[int(random.integers(len(example.marks)))].box
        middle = np.array([(top + bottom) / 2, (left + right) / 2])
        corner = (middle - random.uniform(0.15, 0.85, 2) * SIDE).astype(int)
        corner = np.clip(corner, 0, np.maximum(np.array(pixels.shape) - SIDE, 0))
    row, column = (int(one) for one in corner)
    image = np.zeros((1, SIDE, SIDE), np.float32)
    part = pixels[row : row + SIDE, column : column + SIDE]
    image[0, : part.shape[0], : part.shape[1]] = part
    target = draw_target([(one.kind, one.outline - (column, row)) for one in example.marks], SIDE)
    if random.random() < 0.5:
        image, target = image[:, ::-1], target[:, ::-1]
        target[[CLASSES + 1, CLASSES + 3]] = target[[CLASSES + 3, CLASSES + 1]]
    return np.ascontiguousarray(image), np.ascontiguousarray(target)


def draw_target(marks: Sequence[tuple[int, npt.NDArray[np.floating]]], side: int) -> Tensor:
    """What a perfect network tells of lesions (kind, outline) in a square: (classes + 4 + classes + 1, cells, cells).

    Middles are bells that reach 1; sides, in `UNIT`, hold where the last plane is 1.
    """
    cells = side // STRIDE
    target = np.zeros((2 * CLASSES + 5, cells, cells), np.float32)
    y, x = np.mgrid[:cells, :cells].astype(np.float32) * STRIDE + STRIDE / 2
    for kind, outline in marks:
        left, top = (float(one) for one in outline.min(axis=0))
        right, bottom = (float(one) for one in outline.max(axis=0))
        middle_x, middle_y, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        if not (0 <= middle_x < side and 0 <= middle_y < side):
            continue
        spread = np.maximum(np.array([width, height]) / 8, 1.2 * STRIDE)
        bell = np.exp(-0.5 * (((x - middle_x) / spread[0]) ** 2 + ((y - middle_y) / spread[1]) ** 2))
        bell[int(middle_y) // STRIDE, int(middle_x) // STRIDE] = 1
        target[kind] = np.maximum(target[kind], bell)
        near = bell > 0.5
        for plane, side_length in enumerate((x - left, y - top, right - x, bottom - y)):
            target[CLASSES + plane][near] = side_length[near] / UNIT
        target[-1][near] = 1
        polygon = np.rint(outline / STRIDE - 0.5).astype(np.int32).reshape(-1, 1, 2)
        cv2.fillPoly(target[CLASSES + 4 + kind], [polygon], 1)
    return target


def _loss(told: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Focal loss of middles (Lin et al., arXiv:1708.02002, as of Zhou et al.), sides by their distance, and masks."""
    middles, wanted = told[:, :CLASSES], target[:, :CLASSES]
    found = torch.sigmoid(middles).clamp(1e-5, 1 - 1e-5)
    at = wanted >= 1
    hit = -torch.log(found) * (1 - found) ** 2 * at
    miss = -torch.log(1 - found) * found**2 * (1 - wanted) ** 4 * ~at
    focal = (hit.sum() + miss.sum()) / at.sum().clamp(min=1)
    near = target[:, -1:]
    sides = nn.functional.softplus(told[:, CLASSES : CLASSES + 4])
    apart = ((sides - target[:, CLASSES : CLASSES + 4]).abs() * near).sum() / near.sum().clamp(min=1)
    masks, outlines = told[:, CLASSES + 4 :], target[:, CLASSES + 4 : -1]
    share = torch.sigmoid(masks)
    each = (0, 2, 3)
    overlaps = (2 * (share * outlines).sum(each) + 1) / (share.sum(each) + outlines.sum(each) + 1)
    apart = apart + 5 * nn.functional.binary_cross_entropy_with_logits(masks, outlines)
    return focal + apart + (1 - overlaps).sum()


def write_package(network: Detector, folder: Path) -> Package:
    """Write a package with the figures that its own ONNX reaches on the held-out population."""
    content = network.to_onnx()
    measured_on = (
        f"{4 * len(population.HELD_OUT_SEEDS)} held-out phantom views of wider parameters; no patients"
    )
    return save(folder, content, passport(metrics(population.measure(runner(content)), measured_on)))


def passport(figures: list[dict[str, Any]]) -> dict[str, Any]:
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
            "implants": "refuse",
            "spacing_mm": [0.04, 0.2],
            "preprocessing": population.PREPROCESSING,
        },
        "outputs": {
            "kind": "boxes",
            "threshold": THRESHOLD,
            "classes": [
                {"label": label, "value": one.value, "scheme": one.scheme_designator, "meaning": one.meaning}
                for label, one in kinds.items()
            ],
        },
        "training": {
            "trained_on": f"{len(population.TRAINING_SEEDS)} structured breast phantoms, no patients",
            "citation": "inference/training/lesions.py",
        },
        "metrics": figures,
    }


def main(folder: Path) -> Package:
    """Train, and write the package into a folder."""
    return write_package(train(list(population.training_population())), folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train a lesion detector for mammograms on phantoms.")
    parser.add_argument("folder", type=Path, help="where to write the model package")
    for metric in main(parser.parse_args().folder).passport.metrics:
        print(f"{metric.name}: {metric.value} ({metric.low} to {metric.high})")
