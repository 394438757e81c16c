"""Training that tells little of any one patient: clipped gradients, noise, and what was spent (DP-SGD by Opacus).

In each step every patient takes part by chance (Poisson sampling), what the patient's exams would change is cut to
`max_grad_norm`, and Gaussian noise is added to the sum (Abadi et al., arXiv:1607.00133). So (ε, δ) holds for the
weights of all rounds together, against everybody who sees them, the hub too: noise and sampling come from a secret of
the site's. It does not hold for what is told beside the weights: counts, and figures on held-out exams.
"""

import hashlib
import os
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from opacus.accountants import RDPAccountant
from opacus.optimizers import DPOptimizer
from torch import nn

from archive.errors import BadRequest
from federation.training.learning import Learnt, Loss, Mean, adam, pull
from federation.training.task import Local, Privacy


def fit_privately(network: nn.Module, loss: Loss, patients: Sequence[Hashable], local: Local) -> Learnt:
    """As `federation.training.learning.fit`, of exams whose patients are given in the same order.

    Nothing depends on the mix of classes, as that would tell of patients besides what is clipped, and no loss is told.
    A step's expected number of patients is `local.batch`. Raises BadRequest where δ is no less than one in so many
    patients, so that it promised nothing.
    """
    exams = _exams_by_patient(patients)
    if local.privacy.delta * len(exams) >= 1 or local.privacy.max_grad_norm <= 0:
        raise BadRequest(
            "privacy needs a bound of gradients, and a delta below one in the number of patients"
        )
    rate = min(1.0, local.batch / len(exams))
    steps = local.epochs * -(-len(exams) // local.batch)
    random = _random(local)
    optimiser = _Optimiser(network, local, rate * len(exams), random)
    start = [one.detach().clone() for one in network.parameters()]
    mean = Mean(network)
    for number in range(steps):
        chosen = np.flatnonzero(random.random(len(exams)) < rate)
        optimiser.zero_grad()
        _sample(network, loss, [exams[one] for one in chosen], random)
        optimiser.pre_step()
        pull(network, start, local.proximal_mu)
        optimiser.original_optimizer.step()
        if 2 * number + 1 >= steps:
            mean.add()
    mean.take()
    return Learnt(steps, None, rate)


def epsilon(rounds: Iterable[tuple[int, float]], privacy: Privacy) -> float:
    """What is spent by rounds of (steps, sample rate): ε for `privacy.delta` by Rényi accounting; 0 without privacy.

    Mironov, Talwar, Zhang: Rényi differential privacy of the sampled Gaussian mechanism, arXiv:1908.10530.
    """
    history = [(privacy.noise_multiplier, rate, steps) for steps, rate in rounds if steps]
    if not privacy.is_on or not history:
        return 0.0
    accountant = RDPAccountant()
    accountant.history = history
    return float(accountant.get_epsilon(privacy.delta))


class _Optimiser(DPOptimizer):
    """Opacus's, with noise from the site's generator."""

    def __init__(
        self, network: nn.Module, local: Local, expected: float, random: np.random.Generator
    ) -> None:
        super().__init__(
            adam(network, local.learning_rate),
            noise_multiplier=local.privacy.noise_multiplier,
            max_grad_norm=local.privacy.max_grad_norm,
            expected_batch_size=expected,
        )
        self._random = random

    def add_noise(self) -> None:
        deviation = self.noise_multiplier * self.max_grad_norm
        for one in self.params:
            noise = torch.tensor(deviation * self._random.standard_normal(tuple(one.shape)), dtype=one.dtype)
            one.grad = one.summed_grad + noise


def _exams_by_patient(patients: Sequence[Hashable]) -> list[list[int]]:
    found: dict[Hashable, list[int]] = {}
    for exam, patient in enumerate(patients):
        found.setdefault(patient, []).append(exam)
    return list(found.values())


def _random(local: Local) -> np.random.Generator:
    """Of a secret that no one can try all of: Philox with a key of 128 bits."""
    secret = local.secret or os.urandom(32)
    key = hashlib.sha256(b"senogate private training\0" + local.seed.to_bytes(32) + secret).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16])))


def _sample(network: nn.Module, loss: Loss, chosen: Sequence[list[int]], random: np.random.Generator) -> None:
    """Lay each patient's gradient where Opacus clips it: 0 where it is no number, which no clipping would bound."""
    parameters: list[Any] = list(network.parameters())
    each = [torch.autograd.grad(loss(exams, random), parameters) for exams in chosen]
    kept = [one for one in each if all(bool(part.isfinite().all()) for part in one)]
    for place, one in enumerate(parameters):
        rows = [gradients[place] for gradients in kept]
        one.grad_sample = torch.stack(rows) if rows else torch.zeros((0, *one.shape))
