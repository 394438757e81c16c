"""What the lesion detector learns from: views changed a little each time, and how far it is from what they show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from inference.training.lesion_images import Example, Mark, tensor
from inference.training.lesion_network import features
from inference.training.lesion_targets import CELL, CLASSES, draw_target, turn_over


@dataclass(frozen=True, slots=True)
class Shown:
    """What a view shows of itself and of its lesions: `features` (2, rows, columns)."""

    features: npt.NDArray[np.float16]
    marks: tuple[Mark, ...]
    position: str


def see(example: Example) -> Shown:
    seen = features(torch.from_numpy(tensor(example.pixels)))[0]
    return Shown(seen.numpy().astype(np.float16), example.marks, example.view[1])


def assemble(random: np.random.Generator, views: Sequence[Shown]) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, 2, rows, columns) and (n, planes, cells, cells): of another contrast each, half of them upside down."""
    rows, columns = (max(one.features.shape[axis] for one in views) for axis in (1, 2))
    inputs, targets = np.zeros((len(views), 2, rows, columns), np.float32), []
    inputs[:, 0] = -1
    for given, view in zip(inputs, views, strict=True):
        given[:, : view.features.shape[1], : view.features.shape[2]] = view.features
        given[0] = (given[0] + 1) * random.uniform(0.85, 1.15) - 1
        given[1] *= random.uniform(0.75, 1.3)
        target = draw_target(view.marks, (rows * CELL, columns * CELL))
        if random.random() < 0.5:
            given[:], target = given[:, ::-1].copy(), turn_over(target)
        targets.append(target)
    return torch.from_numpy(inputs), torch.from_numpy(np.stack(targets))


def loss(told: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The quality focal loss of middles (Li et al., arXiv:2006.04388), and the errors of box sides and outlines."""
    middles, wanted = told[:, :CLASSES], target[:, :CLASSES]
    each = nn.functional.binary_cross_entropy_with_logits(middles, wanted, reduction="none")
    focal = ((torch.sigmoid(middles) - wanted) ** 2 * each).sum() / wanted.sum().clamp(min=1)
    near = target[:, -1:]
    sides = nn.functional.softplus(told[:, CLASSES : CLASSES + 4])
    apart = ((sides - target[:, CLASSES : CLASSES + 4]).abs() * near).sum() / near.sum().clamp(min=1)
    return 4 * focal + apart / 4 + _outline_loss(told[:, CLASSES + 4 :], target[:, CLASSES + 4 : -1])


def _outline_loss(told: torch.Tensor, outlines: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, and what is left of the overlap (Dice) of the whole batch."""
    share, axes = torch.sigmoid(told), (0, 2, 3)
    overlaps = (2 * (share * outlines).sum(axes) + 1) / (share.sum(axes) + outlines.sum(axes) + 1)
    entropy = nn.functional.binary_cross_entropy_with_logits(told, outlines)
    return 5 * entropy + (1 - overlaps).mean()
