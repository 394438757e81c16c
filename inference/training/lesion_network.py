"""The lesion detector: a small network without anchors, in torch to be trained and as ONNX to be run.

Lesions are found by their middles (Zhou et al., "Objects as Points", arXiv:1904.07850) on a grid of `STRIDE` pixels.
What is fine, as calcifications are, is seen at the image's own resolution by a fixed first part and carried down to a
coarse grid as the largest value in each cell, so that the learnt part stays small.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from inference.network import Graph, Weights
from inference.training.lesion_targets import CELL, CLASSES, STRIDE, UNIT

WIDTHS = (16, 24, 40, 56, 56)
NAME = "phantom-trained-lesions"

_AROUND = 7  # pixels a side of the neighbourhood that a pixel stands out from
_DETAIL = 5.0
_GROUPS = 4
_EPSILON = 1e-5


def features(image: torch.Tensor) -> torch.Tensor:
    """(n, 1, rows, columns) to (n, 2, rows / 2, columns / 2): means, and by how much the brightest pixel stands out."""
    around = nn.functional.avg_pool2d(image, _AROUND, stride=1, padding=_AROUND // 2, count_include_pad=False)
    detail = nn.functional.max_pool2d(image - around, CELL) * _DETAIL
    return torch.cat([nn.functional.avg_pool2d(image, CELL) - 1, detail], dim=1)


class _Layer(nn.Module):
    """A convolution, normalised over groups of channels (Wu and He, arXiv:1803.08494), and a ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.norm = nn.GroupNorm(_GROUPS, outputs, eps=_EPSILON)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.convolution(value)))

    def add(self, graph: Graph, value: str, *, stride: int = 1) -> str:
        """The same as nodes of ONNX: its normalisation of channels runs on groups that are laid out as channels."""
        value = graph.convolve(value, _weights(self.convolution), stride=stride)
        apart = graph.reshape(value, [0, _GROUPS, -1])
        one, none = graph.tensor(np.ones(_GROUPS)), graph.tensor(np.zeros(_GROUPS))
        apart = graph.add("InstanceNormalization", [apart, one, none], epsilon=_EPSILON)
        together = graph.add("Reshape", [apart, graph.add("Shape", [value])])
        scale, shift = (graph.tensor(given[:, None, None]) for given in _weights(self.norm))
        scaled = graph.add("Add", [graph.add("Mul", [together, scale]), shift])
        return graph.add("Relu", [scaled])


class Detector(nn.Module):
    """`features` to, on a grid of `STRIDE` pixels, logits of lesions' middles, box sides, and logits of outlines.

    (n, classes + 4 + classes, cells, cells). Rows and columns of the image are multiples of 64.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Layer(2, WIDTHS[0], stride=2)
        steps = list(zip(WIDTHS, WIDTHS[1:], strict=False))
        self.down = nn.ModuleList(_Layer(a, b, stride=2) for a, b in steps)
        self.look = nn.ModuleList(_Layer(b, b) for _, b in steps)
        back = list(zip(WIDTHS[:1:-1], WIDTHS[-2:0:-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in back)
        self.join = nn.ModuleList(_Layer(b, b) for _, b in back)
        self.last = _Layer(WIDTHS[1], 32)
        self.tell = nn.Conv2d(32, 2 * CLASSES + 4, 1)
        nn.init.normal_(self.tell.weight, std=0.01)
        nn.init.zeros_(self.tell.bias)
        nn.init.constant_(self.tell.bias[:CLASSES], -4.6)  # one cell in a hundred holds a middle
        nn.init.constant_(self.tell.bias[CLASSES + 4 :], -3.0)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        value, seen = self.stem(value), []
        for down, look in zip(self.down, self.look, strict=True):
            value = look(down(value))
            seen.append(value)
        for up, join, beside in zip(self.up, self.join, seen[-2::-1], strict=True):
            value = join(up(value) + beside)
        told: torch.Tensor = self.tell(self.last(value))
        return told

    def answers(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the network in ONNX tells of the same image, (1, 1, rows, columns)."""
        told = self(features(image))
        scores = torch.sigmoid(told[:, :CLASSES])
        peaks = scores * (scores == nn.functional.max_pool2d(scores, 3, stride=1, padding=1))
        places = (torch.arange(size) * STRIDE + STRIDE / 2 for size in told.shape[2:])
        y, x = torch.meshgrid(*places, indexing="ij")
        reach = nn.functional.softplus(told[0, CLASSES : CLASSES + 4]) * UNIT
        boxes = torch.stack([x - reach[0], y - reach[1], x + reach[2], y + reach[3]])
        mask = torch.sigmoid(told[:, CLASSES + 4 :])
        return {"boxes": boxes.flatten(1).T, "scores": peaks[0].flatten(1).T, "mask": mask}

    def to_onnx(self) -> bytes:
        """The same network for one image: `image` to `boxes` (k, 4), `scores` (k, classes) and `mask`.

        k counts the grid's cells; boxes are left, top, right, bottom in pixels of the image. A cell next to a more
        likely one scores 0.
        """
        graph = Graph()
        value, seen = self.stem.add(graph, _add_features(graph), stride=2), []
        for down, look in zip(self.down, self.look, strict=True):
            value = look.add(graph, down.add(graph, value, stride=2))
            seen.append(value)
        for up, join, beside in zip(self.up, self.join, seen[-2::-1], strict=True):
            value = join.add(graph, graph.add("Add", [graph.double(value, _weights(up)), beside]))
        _add_heads(graph, self.last.add(graph, value), _weights(self.tell))
        outputs: dict[str, Sequence[str | int]] = {
            "boxes": ("k", 4),
            "scores": ("k", CLASSES),
            "mask": (1, CLASSES, "mask_rows", "mask_columns"),
        }
        return graph.build(NAME, {"image": (1, 1, "rows", "columns")}, outputs)


def _add_features(graph: Graph) -> str:
    around = graph.add(
        "AveragePool", ["image"], kernel_shape=[_AROUND] * 2, pads=[_AROUND // 2] * 4, count_include_pad=0
    )
    cell: dict[str, Any] = {"kernel_shape": [CELL, CELL], "strides": [CELL, CELL]}
    detail = graph.add("MaxPool", [graph.add("Sub", ["image", around])], **cell)
    means = graph.add("Sub", [graph.add("AveragePool", ["image"], **cell), graph.tensor(1.0)])
    return graph.add("Concat", [means, graph.add("Mul", [detail, graph.tensor(_DETAIL)])], axis=1)


def _add_heads(graph: Graph, value: str, weights: Weights) -> None:
    first, second = CLASSES, CLASSES + 4
    weight, bias = weights
    parts = [(weight[a:b], bias[a:b]) for a, b in ((0, first), (first, second), (second, None))]
    middles, sides, masks = (graph.convolve(value, one) for one in parts)
    graph.add("Sigmoid", [masks], "mask")
    graph.add("Identity", [_cells(graph, _add_peaks(graph, middles), CLASSES)], "scores")
    signs = graph.tensor(np.array([-UNIT, -UNIT, UNIT, UNIT]).reshape(1, 4, 1, 1))
    reach = graph.add("Mul", [graph.add("Softplus", [sides]), signs])
    graph.add("Identity", [_cells(graph, graph.add("Add", [_add_places(graph, middles), reach]), 4)], "boxes")


def _add_peaks(graph: Graph, middles: str) -> str:
    """Probabilities of middles, 0 where a neighbour's is higher."""
    scores = graph.add("Sigmoid", [middles])
    highest = graph.add("MaxPool", [scores], kernel_shape=[3, 3], pads=[1] * 4)
    is_peak = graph.add("Cast", [graph.add("Equal", [scores, highest])], to=1)
    return graph.add("Mul", [scores, is_peak])


def _add_places(graph: Graph, middles: str) -> str:
    """Columns, rows, columns, rows of the cells' middles, in pixels: (1, 4, rows, columns)."""
    ones = graph.add("Add", [graph.add("Mul", [middles, graph.tensor(0.0)]), graph.tensor(1.0)])
    ones = graph.add("Slice", [ones, *(graph.tensor([one], np.int64) for one in (0, 1, 1))])
    counts = [graph.add("CumSum", [ones, graph.tensor(axis, np.int64)]) for axis in (3, 2)]
    places = [
        graph.add("Mul", [graph.add("Sub", [one, graph.tensor(0.5)]), graph.tensor(float(STRIDE))])
        for one in counts
    ]
    return graph.add("Concat", [*places, *places], axis=1)


def _cells(graph: Graph, value: str, width: int) -> str:
    """(1, width, rows, columns) as (rows × columns, width)."""
    return graph.reshape(graph.add("Transpose", [value], perm=[0, 2, 3, 1]), [-1, width])


def _weights(module: nn.Module) -> Weights:
    weight, bias = (one.detach().numpy() for one in (module.weight, module.bias))
    return weight, bias
