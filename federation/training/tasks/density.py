"""Density across sites: the built-in network, learnt from BI-RADS categories a to d, percent density where it is known.

A reader tells the category of the denser breast, so that is what the likelihood is of: each view's share of dense area
is told by itself, a breast's is the mean over its views, and the denser breast's share is under a category's bound with
the probability that the network gives it (`ViewDensity.probabilities`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from archive.errors import BadRequest
from federation.training.learning import Loss, balanced, fit, repeatable, restore, uniform, weights_of
from federation.training.parity import check_parity
from federation.training.privacy import fit_privately
from federation.training.tables import tables
from federation.training.task import Example, Label, Local, Trained, Weights
from inference.density import CATEGORIES, passport_outputs
from inference.evaluation import accuracy, kappa
from inference.phantom import VIEWS
from inference.picture import Picture, View
from inference.preprocess import assemble
from inference.training.density_exams import COLUMNS, PREPROCESSING, ROWS, STEPS
from inference.training.density_network import ViewDensity
from inference.training.running import draw

NAME = "federated-density"
LABELS = tuple(CATEGORIES)

_AT_ONCE = 32  # exams
_SIDES = [[at for at, one in enumerate(VIEWS) if one[0] == side] for side in "LR"]
_SOFTNESS = 0.05  # of the larger of two shares, so that both breasts learn where they are alike
_SHARE_WEIGHT = 10.0
_CURVE = np.linspace(0, 1, 1024, dtype=np.float32)
_SPREAD = 0.25  # the deviation of the logarithm of a curve's exponent
_BEND = 0.5

Tensor = npt.NDArray[np.float32]


class Density:
    """Implements `federation.training.task.TrainingTask`. An example's `inputs` are `views` (4, 1, rows, columns).

    Where `is_balanced`, rare categories are shown more often; where `is_varied`, views get other grey curves each time,
    so that no vendor's is learnt. Neither depends on what other sites have.
    """

    name = "density"
    steps = STEPS

    def __init__(self, *, is_balanced: bool = True, is_varied: bool = True) -> None:
        self.is_balanced, self.is_varied = is_balanced, is_varied

    def initial(self, seed: int) -> Weights:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = ViewDensity()
            for layer in (*network.convolutions, *network.layers):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # He et al., arXiv:1502.01852
                nn.init.zeros_(layer.bias)
            return weights_of(network)

    def prepare(self, pictures: Mapping[View, Picture], label: Label) -> Example | None:
        if label.category not in LABELS or not all(view in pictures for view in VIEWS):
            return None
        views = assemble([pictures[view] for view in VIEWS], STEPS)
        return Example("", "", {"views": views}, label)

    def train(self, weights: Weights, examples: Sequence[Example], local: Local) -> Trained:
        categories, _ = _truth(examples)
        with repeatable():
            network = _network(weights)
            loss = self._loss(network, examples)
            if local.privacy.is_on:
                learnt = fit_privately(network, loss, [one.patient_id for one in examples], local)
            else:
                shares = balanced(categories.tolist()) if self.is_balanced else uniform(len(examples))
                learnt = fit(network, loss, shares, local)
        metrics = {} if learnt.loss is None else {"loss": learnt.loss}
        return Trained(weights_of(network), len(examples), metrics, learnt.steps, learnt.sample_rate)

    def _loss(self, network: ViewDensity, examples: Sequence[Example]) -> Loss:
        def loss(chosen: Sequence[int], random: np.random.Generator) -> torch.Tensor:
            some = [examples[one] for one in chosen]
            views = np.stack([one.inputs["views"] for one in some])
            category, share = _truth(some)
            return exam_loss(network, torch.from_numpy(self._vary(views, random)), category, share)

        return loss

    def _vary(self, views: Tensor, random: np.random.Generator) -> Tensor:
        return vary(views, random) if self.is_varied else views

    def evaluate(self, weights: Weights, examples: Sequence[Example]) -> Mapping[str, float]:
        truth, _ = _truth(examples)
        with repeatable(), torch.no_grad():
            network = _network(weights)
            parts = range(0, len(examples), _AT_ONCE)
            told = torch.cat([_answers(network, examples[at : at + _AT_ONCE]) for at in parts])
        likely = told.gather(1, truth[:, None]).clamp_min(1e-6)
        true, answer = truth.numpy(), told.argmax(1).numpy()
        linear, quadratic = (kappa(true, answer, classes=len(LABELS), power=power) for power in (1, 2))
        return {
            "loss": float(-likely.log().mean()),
            "primary": linear,
            "kappa": linear,
            "quadratic kappa": quadratic,
            "accuracy": accuracy(true, answer),
        }

    def export(self, weights: Weights) -> tuple[bytes, Mapping[str, Any]]:
        with repeatable():
            network = _network(weights)
            content = network.to_onnx()
            check_parity(content, draw((4, 1, ROWS, COLUMNS)), network.answers)
        return content, _tables()


def exam_loss(
    network: ViewDensity, views: torch.Tensor, category: torch.Tensor, share: torch.Tensor
) -> torch.Tensor:
    """The mean over exams of the category's cross-entropy and, where it is known, the share's absolute error.

    `views` is (n, 4, 1, rows, columns), `category` (n,) counts from 0 for a, `share` (n,) is NaN where it is unknown.
    """
    told = denser(torch.sigmoid(network(views.flatten(0, 1))).reshape(len(views), len(VIEWS)))
    likely = network.probabilities(told[:, None]).clamp_min(1e-6).log()
    known = ~torch.isnan(share)
    apart = torch.where(known, told - torch.nan_to_num(share), 0.0).abs().mean()
    return nn.functional.nll_loss(likely, category) + _SHARE_WEIGHT * apart


def denser(shares: torch.Tensor) -> torch.Tensor:
    """The share (n,) of the denser breast of shares (n, 4) of its views: softly the larger of the two."""
    breasts = _breasts(shares)
    return (breasts * torch.softmax(breasts.detach() / _SOFTNESS, dim=1)).sum(1)


def _breasts(views: torch.Tensor) -> torch.Tensor:
    """(n, 4, …) to (n, 2, …): the mean over a breast's views."""
    return torch.stack([views[:, one].mean(1) for one in _SIDES], dim=1)


def vary(views: Tensor, random: np.random.Generator) -> Tensor:
    """Exams (n, 4, 1, rows, columns) as other vendors might have stored them.

    Each gets a power, mostly between 0.6 and 1.6, as its grey curve, bent around the middle, and is turned upside down
    half of the time. What is black stays black, and the brightest stays so.
    """
    changed = np.empty_like(views)
    for given, to in zip(views, changed, strict=True):
        table = _CURVE ** np.exp(_SPREAD * random.standard_normal())
        table += random.uniform(-_BEND, _BEND) * table * (1 - table) * (2 * table - 1)
        levels = (given * (len(table) - 1) + 0.5).astype(np.uint16)
        to[:] = table[levels[:, :, ::-1] if random.random() < 0.5 else levels]
    return changed


def _truth(examples: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Categories (n,) and shares (n,) of examples. Raises BadRequest where there is none, or one without category."""
    labels = [one.label for one in examples]
    if not labels or any(one.category not in LABELS for one in labels):
        raise BadRequest("density is learnt from exams whose category, a to d, is known")
    shares = [np.nan if one.share is None else one.share for one in labels]
    return torch.tensor([LABELS.index(one.category) for one in labels]), torch.tensor(shares)


def _network(weights: Weights) -> ViewDensity:
    network = ViewDensity().to(memory_format=torch.channels_last)
    restore(network, weights)
    return network


def _answers(network: ViewDensity, examples: Sequence[Example]) -> torch.Tensor:
    """The probabilities (n, 4) of exams: those of the denser breast, as `inference.answers.classes` has it."""
    views = torch.from_numpy(np.concatenate([one.inputs["views"] for one in examples]))
    told = network.answers(views)["probabilities"].reshape(len(examples), len(VIEWS), -1)
    breasts = _breasts(told)
    rank = breasts.argmax(2) * len(LABELS) + breasts @ torch.arange(len(LABELS), dtype=torch.float32)
    return breasts[torch.arange(len(examples)), rank.argmax(1)]


def _tables() -> dict[str, Any]:
    inputs = {"required": True, "implants": "refuse", "preprocessing": PREPROCESSING}
    return tables(NAME, "Density model trained across sites", "density", inputs, passport_outputs())


TASK = Density()
