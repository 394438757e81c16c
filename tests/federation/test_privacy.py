"""Private training: bounded by patient, noisy from a secret of the site's, and accounted over all rounds."""

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("opacus")

import torch
from torch import nn

from archive.errors import BadRequest
from federation.training.learning import Learnt, Loss
from federation.training.privacy import epsilon, fit_privately
from federation.training.task import Local, Privacy

LOCAL = Local(epochs=2, batch=2, learning_rate=0.1, seed=1, privacy=Privacy(1.0), secret=b"s")
PATIENTS = ["P1", "P2", "P3", "P4"]


def pulled(strength: float) -> tuple[nn.Linear, Loss]:
    """A network of ten weights, and a loss that pulls all of them as strongly."""
    network = nn.Linear(9, 1)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)
    return network, lambda chosen, random: strength * (network.weight.sum() + network.bias.sum())


def learn(strength: float, local: Local, patients: list[str] = PATIENTS) -> tuple[np.ndarray, Learnt]:
    network, loss = pulled(strength)
    learnt = fit_privately(network, loss, patients, local)
    return torch.cat([one.detach().ravel() for one in network.parameters()]).numpy(), learnt


class TestTraining:
    def test_the_same_secret_gives_the_same_weights(self) -> None:
        assert (learn(1, LOCAL)[0] == learn(1, LOCAL)[0]).all()

    def test_what_the_hub_knows_does_not_tell_the_noise(self) -> None:
        """Settings and seed are the hub's; the secret is not."""
        assert (learn(1, LOCAL)[0] != learn(1, replace(LOCAL, secret=b"t"))[0]).any()

    def test_without_a_secret_noise_is_new_each_time(self) -> None:
        free = replace(LOCAL, secret=b"")
        assert (learn(1, free)[0] != learn(1, free)[0]).any()

    def test_rounds_do_not_share_noise(self) -> None:
        assert (learn(1, LOCAL)[0] != learn(1, replace(LOCAL, seed=2))[0]).any()

    def test_a_thousandfold_gradient_changes_nothing_more(self) -> None:
        """What is clipped to the same norm is the same (arXiv:1607.00133, algorithm 1)."""
        usual, large = (learn(one, LOCAL)[0] for one in (10.0, 10_000.0))
        assert large == pytest.approx(usual, abs=1e-4)

    @pytest.mark.parametrize("strength", [math.nan, math.inf])
    def test_a_gradient_that_is_no_number_adds_nothing(self, strength: float) -> None:
        assert learn(strength, LOCAL)[0] == pytest.approx(learn(0.0, LOCAL)[0])

    def test_exams_of_one_patient_are_clipped_together(self) -> None:
        seen: list[list[int]] = []
        network, plain = pulled(1.0)

        def loss(chosen: list[int], random: np.random.Generator) -> torch.Tensor:
            seen.append(list(chosen))
            return plain(chosen, random)

        fit_privately(network, loss, ["P1", "P2", "P1"], replace(LOCAL, epochs=8))
        assert [0, 2] in seen and [1] in seen and [0] not in seen

    def test_steps_and_rate_are_what_an_accountant_needs(self) -> None:
        _, learnt = learn(1, LOCAL)
        assert (learnt.steps, learnt.sample_rate) == (4, 0.5)

    def test_no_loss_is_told(self) -> None:
        assert learn(1, LOCAL)[1].loss is None

    def test_a_delta_that_promises_nothing_is_refused(self) -> None:
        with pytest.raises(BadRequest, match="delta"):
            learn(1, replace(LOCAL, privacy=Privacy(1.0, delta=0.25)))


class TestAccount:
    def test_one_whole_step_is_the_gaussian_mechanism(self) -> None:
        """Rényi: ε = min over α of α / 2σ² + log(1/δ) / (α − 1), the known bound of one release (arXiv:1702.07476)."""
        bound = min(a / (2 * 4**2) + math.log(1e5) / (a - 1) for a in np.linspace(1.01, 100, 10_000))
        assert 0.7 * bound < epsilon([(1, 1.0)], Privacy(4.0)) <= bound + 0.01

    def test_more_rounds_cost_more(self) -> None:
        spent = [epsilon([(10, 0.1)] * rounds, Privacy(1.0)) for rounds in (1, 2, 10)]
        assert 0 < spent[0] < spent[1] < spent[2] < 10 * spent[0]

    def test_more_noise_costs_less(self) -> None:
        assert epsilon([(10, 0.1)], Privacy(2.0)) < epsilon([(10, 0.1)], Privacy(1.0))

    def test_rounds_of_different_rates_add_up(self) -> None:
        both = epsilon([(10, 0.1), (10, 0.2)], Privacy(1.0))
        assert epsilon([(20, 0.1)], Privacy(1.0)) < both < epsilon([(20, 0.2)], Privacy(1.0))

    def test_without_privacy_nothing_is_accounted(self) -> None:
        assert epsilon([(10, 0.1)], Privacy()) == 0 and epsilon([], Privacy(1.0)) == 0
