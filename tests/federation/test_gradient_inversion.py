"""What one update tells of the exam that it was made from, with and without protection (arXiv:2003.14053)."""

from dataclasses import replace

import pytest

pytest.importorskip("torch")

from benchmarks.gradient_inversion import ONE, TASK, recognise, update
from federation.training.task import Example, Label, Privacy, Weights
from inference.training.density_exams import draw_flat

PRIVATE = replace(ONE, privacy=Privacy(1.0), secret=b"the site's own")
CANDIDATES = range(100, 108)


def exam(seed: int) -> Example:
    drawn = draw_flat(seed, 0.38)
    return Example(f"1.2.{seed}", f"P{seed}", {"views": drawn.features}, Label("csv", "abcd"[drawn.category]))


@pytest.fixture(scope="module")
def weights() -> Weights:
    return TASK.initial(1)


@pytest.fixture(scope="module")
def candidates() -> list[Example]:
    return [exam(seed) for seed in CANDIDATES]


class TestRecognising:
    """Which of eight exams of one category an update was made from."""

    def test_an_unprotected_step_names_the_exam(self, weights: Weights, candidates: list[Example]) -> None:
        seen = [update(weights, one, ONE) for one in candidates]
        assert [recognise(one, seen) for one in seen] == list(range(len(candidates)))

    def test_several_local_steps_hide_nothing(self, weights: Weights, candidates: list[Example]) -> None:
        """The attacker knows the settings and the seed, and so makes the same steps."""
        guesses = [update(weights, one, replace(ONE, epochs=4)) for one in candidates]
        assert recognise(update(weights, candidates[3], replace(ONE, epochs=4)), guesses) == 3

    def test_clipping_and_noise_leave_a_guess(self, weights: Weights, candidates: list[Example]) -> None:
        guesses = [update(weights, one, ONE) for one in candidates]
        seen = [update(weights, one, PRIVATE) for one in candidates]
        assert sum(recognise(one, guesses) == at for at, one in enumerate(seen)) <= 3  # one is expected

    def test_it_is_the_noise_that_hides(self, weights: Weights, candidates: list[Example]) -> None:
        guesses = [update(weights, one, ONE) for one in candidates]
        little = replace(PRIVATE, privacy=Privacy(1e-6))
        assert recognise(update(weights, candidates[5], little), guesses) == 5
