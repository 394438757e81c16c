"""The built-in density model: its passport's figures are what it reaches, and torch and ONNX agree."""

from pathlib import Path

import numpy as np
import pytest

from inference import installed, phantom_density
from inference.evaluation import accuracy, bootstrap, kappa
from inference.package import Package, load
from inference.session import Session, open_session


@pytest.fixture(scope="module")
def package() -> Package:
    return load(Path(installed.__file__).parent / "models" / "phantom_density")


@pytest.fixture(scope="module")
def session(package: Package) -> Session:
    return open_session(package, threads=1)


class TestPassport:
    def test_its_figures_are_reached(self, package: Package, session: Session) -> None:
        figures = phantom_density.measure(session, *phantom_density.held_out_population())
        for metric in package.passport.metrics:
            assert metric.low <= figures[metric.name][0] <= metric.high, metric.name

    def test_it_is_called_phantom_trained(self, package: Package) -> None:
        model = package.model
        assert model.name.startswith("phantom-trained")
        assert model.title.startswith("Phantom-trained")

    def test_nothing_is_claimed_of_patients(self, package: Package) -> None:
        assert all("no patients" in metric.measured_on for metric in package.passport.metrics)
        assert package.model.trained_on.endswith("no patients")
        assert package.model.research_use_only

    def test_it_was_not_trained_on_what_it_is_measured_on(self) -> None:
        assert not set(phantom_density.TRAINING_SEEDS) & set(phantom_density.HELD_OUT_SEEDS)


class TestParity:
    def test_torch_and_onnx_agree(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        from inference.package import save
        from inference.training.phantom_density import ViewClassifier, _passport

        torch.manual_seed(1)
        network = ViewClassifier().eval()
        session = open_session(save(tmp_path / "m", network.to_onnx(), _passport([])), threads=1)
        features, _ = phantom_density.draw_population(range(3), phantom_density.HELD_OUT)
        with torch.no_grad():
            expected = torch.softmax(network(torch.from_numpy(features)), 1).numpy()
        np.testing.assert_allclose(session.run(features)["probabilities"], expected, atol=1e-5)

    def test_training_gives_the_same_weights_twice(self) -> None:
        pytest.importorskip("torch")
        from inference.training.phantom_density import train

        population = phantom_density.draw_population(range(8), phantom_density.TRAINING)
        assert train(*population, epochs=1).to_onnx() == train(*population, epochs=1).to_onnx()


TRUTH = np.array([0, 0, 1, 1, 2, 2, 3, 3])


class TestMeasures:
    def test_perfect_answers(self) -> None:
        assert (accuracy(TRUTH, TRUTH), kappa(TRUTH, TRUTH, classes=4, power=1)) == (1, 1)

    def test_constant_answers_are_chance(self) -> None:
        assert kappa(TRUTH, np.zeros_like(TRUTH), classes=4, power=2) == pytest.approx(0)

    def test_reversed_answers_are_worse_than_chance(self) -> None:
        assert kappa(TRUTH, 3 - TRUTH, classes=4, power=2) == pytest.approx(-1)

    def test_unweighted_example(self) -> None:
        """Two raters, 20 yes-yes, 15 no-no, 5 and 10 apart: κ is 0.4 (Cohen's textbook example)."""
        truth = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
        answer = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
        assert kappa(truth, answer, classes=2, power=1) == pytest.approx(0.4)

    def test_one_category_only_is_agreement(self) -> None:
        zeros = np.zeros(4, np.int64)
        assert kappa(zeros, zeros, classes=4, power=1) == 1

    def test_the_interval_holds_the_value(self) -> None:
        answer = np.where(np.arange(8) == 3, 0, TRUTH)
        low, high = bootstrap(accuracy, TRUTH, answer)
        assert low <= accuracy(TRUTH, answer) <= high
