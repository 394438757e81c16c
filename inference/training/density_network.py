"""The density network: each view by itself, in torch to be trained and as ONNX to be run.

It has no normalisation over a batch, so that it means the same wherever it was trained.
"""

import torch
from torch import nn

from inference.network import Graph, Weights
from inference.phantom import THRESHOLDS
from inference.training.density_exams import COLUMNS, ROWS

WIDTHS = (12, 24, 32, 48)
HIDDEN = 32
CUTS = tuple(THRESHOLDS.values())[:-1]
NAME = "phantom-trained-density"


class ViewDensity(nn.Module):
    """Views (n, 1, rows, columns) to the logit of the dense share of each one's area, (n, 1).

    The categories follow from the share: it lies under a bound with the probability of a logistic distribution around
    it whose spread is learnt. So percent and category do not contradict each other.
    """

    def __init__(self) -> None:
        super().__init__()
        steps = zip((1, *WIDTHS), WIDTHS, strict=False)
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in steps)
        self.layers = nn.ModuleList([nn.Linear(WIDTHS[-1], HIDDEN), nn.Linear(HIDDEN, 1)])
        self.log_spread = nn.Parameter(torch.tensor(-3.0))

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        for convolution in self.convolutions:
            value = torch.relu(convolution(value))
        share: torch.Tensor = self.layers[1](torch.relu(self.layers[0](value.mean(dim=(2, 3)))))
        return share

    def probabilities(self, share: torch.Tensor) -> torch.Tensor:
        """Those of a to d, (n, 4), for shares (n, 1)."""
        under = torch.sigmoid((torch.tensor(CUTS) - share) / self.log_spread.exp())
        return torch.diff(under, prepend=torch.zeros_like(share), append=torch.ones_like(share), dim=1)

    def answers(self, views: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the network in ONNX tells of the same views."""
        share = torch.sigmoid(self(views))
        return {"probabilities": self.probabilities(share), "fraction": share}

    def to_onnx(self) -> bytes:
        """The same network: `features` (n, 1, rows, columns) to `probabilities` (n, 4) and `fraction` (n, 1)."""
        graph, value = Graph(), "features"
        for convolution in self.convolutions:
            value = graph.add("Relu", [graph.convolve(value, _weights(convolution), stride=2)])
        value = graph.reshape(graph.add("GlobalAveragePool", [value]), [-1, WIDTHS[-1]])
        share = graph.add(
            "Sigmoid", [graph.connect(value, [_weights(one) for one in self.layers])], "fraction"
        )
        spread = graph.tensor(float(self.log_spread.detach().exp()))
        under = graph.add(
            "Sigmoid", [graph.add("Div", [graph.add("Sub", [graph.tensor([CUTS]), share]), spread])]
        )
        none = graph.add("Mul", [share, graph.tensor(0.0)])
        all_of_it = graph.add("Add", [none, graph.tensor(1.0)])
        upper = graph.add("Concat", [under, all_of_it], axis=1)
        between = graph.add("Sub", [upper, graph.add("Concat", [none, under], axis=1)])
        graph.add("Relu", [between], "probabilities")
        outputs = {"probabilities": ("n", len(CUTS) + 1), "fraction": ("n", 1)}
        return graph.build(NAME, {"features": ("n", 1, ROWS, COLUMNS)}, outputs)


def _weights(module: nn.Module) -> Weights:
    weight, bias = (one.detach().numpy() for one in (module.weight, module.bias))
    return weight, bias
