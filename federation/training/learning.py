"""How a network learns at a site in one round: the same settings, weights and examples give the same weights."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from archive.errors import BadRequest
from federation.training.task import Local, Weights

BETA = 0.99
"""Of a class's effective number of examples (Cui et al., arXiv:1901.05555): the 100th adds a third of the first."""
LARGEST_GRADIENT = 5.0
_DECAY = 1e-3
_LEAST_RATE = 0.05

Loss = Callable[[Sequence[int], np.random.Generator], torch.Tensor]
"""The mean loss of examples, by their places; the generator tells how they are changed."""
Shares = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Learnt:
    """`loss` is the mean of the last epoch; None where telling it would tell of single patients."""

    steps: int
    loss: float | None = None
    sample_rate: float = 0.0


@contextmanager
def repeatable() -> Iterator[None]:
    """One thread, and of torch's ways those that always give the same."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)


def weights_of(network: nn.Module) -> Weights:
    return {name: one.detach().numpy().astype(np.float32) for name, one in network.state_dict().items()}


def restore(network: nn.Module, weights: Weights) -> None:
    """Give a network its weights. Raises BadRequest where they are another network's, or no finite numbers."""
    wanted = {name: tuple(one.shape) for name, one in network.state_dict().items()}
    if wanted != {name: one.shape for name, one in weights.items()}:
        raise BadRequest("the weights are not those of this task's network")
    if not all(np.isfinite(one).all() for one in weights.values()):
        raise BadRequest("the weights are not all finite numbers")
    network.load_state_dict({name: torch.from_numpy(one.copy()) for name, one in weights.items()})


def balanced(classes: Sequence[Hashable]) -> Shares:
    """How often each example is shown, adding up to 1, so that rare classes are not passed over."""
    weight = {one: (1 - BETA) / (1 - BETA**count) for one, count in Counter(classes).items()}
    shares = np.array([weight[one] for one in classes])
    return np.asarray(shares / shares.sum())


def uniform(count: int) -> Shares:
    return np.full(count, 1 / count)


def fit(network: nn.Module, loss: Loss, shares: Shares, local: Local) -> Learnt:
    """Train in place; each epoch shows as many examples as there are, each as often as its share says.

    FedProx's pull towards the weights that the round began with is added to the gradients. What comes of it is the mean
    of the weights over the second half of the steps (Polyak and Juditsky, SIAM J. Control Optim. 30 (1992) 838): single
    steps sway. Raises BadRequest where the loss ends to be a number.
    """
    random = np.random.default_rng(local.seed)
    start = [one.detach().clone() for one in network.parameters()]
    optimiser = adam(network, local.learning_rate)
    found: list[float] = []
    batches = list(_batches(random, shares, local))
    mean = Mean(network)
    for number, chosen in enumerate(batches):
        optimiser.zero_grad()
        told = loss(chosen.tolist(), random)
        told.backward()
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        pull(network, start, local.proximal_mu)
        optimiser.step()
        found.append(float(told.detach()))
        if not math.isfinite(found[-1]):
            raise BadRequest("the loss is no finite number any more")
        if 2 * number + 1 >= len(batches):
            mean.add()
    mean.take()
    return Learnt(len(found), float(np.mean(found[-(len(found) // local.epochs) :])))


class Mean:
    """The mean of a network's weights over several steps, in float64."""

    def __init__(self, network: nn.Module) -> None:
        self._network, self._count = network, 0
        self._sums = [torch.zeros_like(one, dtype=torch.float64) for one in network.parameters()]

    def add(self) -> None:
        self._count += 1
        for total, one in zip(self._sums, self._network.parameters(), strict=True):
            total += one.detach()

    def take(self) -> None:
        """Give the network the mean."""
        with torch.no_grad():
            for total, one in zip(self._sums, self._network.parameters(), strict=True):
                one.copy_(total / self._count)


def annealed(learning_rate: float, number: int, rounds: int) -> float:
    """The rate of a round, of 1 to `rounds`: half a cosine from the whole of it down to a twentieth."""
    course = (1 + math.cos(math.pi * (number - 1) / rounds)) / 2
    return learning_rate * (_LEAST_RATE + (1 - _LEAST_RATE) * course)


def adam(network: nn.Module, rate: float) -> torch.optim.Optimizer:
    """A fresh one each round: what it remembers does not travel."""
    return torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=_DECAY)


def pull(network: nn.Module, start: Sequence[torch.Tensor], proximal_mu: float) -> None:
    """Add the gradient of μ/2 ‖w − w₀‖² (Li et al., arXiv:1812.06127)."""
    if proximal_mu:
        for one, began in zip(network.parameters(), start, strict=True):
            assert one.grad is not None
            one.grad.add_(one.detach() - began, alpha=proximal_mu)


def _batches(random: np.random.Generator, shares: Shares, local: Local) -> Iterator[npt.NDArray[np.intp]]:
    for _ in range(local.epochs):
        order = _draw(random, shares)
        yield from np.split(order, range(local.batch, len(order), local.batch))


def _draw(random: np.random.Generator, shares: Shares) -> npt.NDArray[np.intp]:
    """As many places as there are, in any order; each as often as its share has it, but for one more or less."""
    ladder = (random.random() + np.arange(len(shares))) / len(shares)
    return random.permutation(np.searchsorted(np.cumsum(shares)[:-1], ladder, side="right"))
