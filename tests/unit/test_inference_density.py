"""The built-in density model: its passport's figures are what it reaches, and torch and ONNX agree."""

from pathlib import Path

import numpy as np
import pytest

from archive.findings import EXAM, Level
from inference import installed
from inference.answers import classes
from inference.evaluation import accuracy, area_under_curve, bootstrap, bootstrap_mean, kappa
from inference.package import Package, load
from inference.phantom.population import TRAINED
from inference.training import density_exams as population
from inference.training.running import Run, runner
from tests.unit.pictures import VIEWS, picture

SOME = population.HELD_OUT_SEEDS[:12]


@pytest.fixture(scope="module")
def package() -> Package:
    return load(Path(installed.__file__).parent / "models" / "phantom_density")


@pytest.fixture(scope="module")
def run(package: Package) -> Run:
    return runner(package.read_network())


class TestPassport:
    def test_some_of_the_held_out_phantoms_agree_with_its_figures(self, package: Package, run: Run) -> None:
        """`make reproduce-models` measures on all of them."""
        figures = population.measure(run, list(population.held_out_population(SOME)))
        kept = {one.name: one.value for one in package.passport.metrics}
        assert figures.keys() == kept.keys()
        assert figures["quadratic kappa"][0] > kept["quadratic kappa"] - 0.25
        assert (
            figures["percent density, mean error in points"][0]
            < 2 * kept["percent density, mean error in points"]
        )

    def test_it_is_called_phantom_trained(self, package: Package) -> None:
        model = package.model
        assert model.name.startswith("phantom-trained")
        assert model.title.startswith("Phantom-trained")

    def test_nothing_is_claimed_of_patients(self, package: Package) -> None:
        assert all("no patients" in metric.measured_on for metric in package.passport.metrics)
        assert package.model.trained_on.endswith("no patients")
        assert package.model.research_use_only

    def test_it_was_not_trained_on_what_it_is_measured_on(self) -> None:
        trained_on = {*population.TRAINING_SEEDS, *population.FLAT_SEEDS}
        assert not trained_on & set(population.HELD_OUT_SEEDS)


class TestAnswer:
    @pytest.mark.parametrize(("fraction", "label"), [(0.1, "a"), (0.37, "b"), (0.63, "c"), (0.9, "d")])
    def test_flat_phantoms_too(self, package: Package, run: Run, fraction: float, label: str) -> None:
        exam = population.draw_flat(31, fraction)
        answer = classes.answer(run(exam.features), [picture(view) for view in VIEWS], package.passport)
        told = {one.target: one for one in answer.evaluations}
        assert told[EXAM].label == label
        assert [one.target.level for one in answer.evaluations].count(Level.VIEW) == 4

    def test_percent_and_category_do_not_contradict_each_other(self, run: Run) -> None:
        outputs = run(population.draw_structured(7, TRAINED).features)
        cuts = np.searchsorted([0.25, 0.5, 0.75], outputs["fraction"][:, 0])
        assert list(outputs["probabilities"].argmax(axis=1)) == list(cuts)

    def test_upside_down_is_the_same_density(self, run: Run) -> None:
        exam = population.draw_structured(8, TRAINED)
        upright, turned = (run(one)["fraction"] for one in (exam.features, exam.features[:, :, ::-1].copy()))
        assert turned == pytest.approx(upright, abs=0.08)


class TestTraining:
    def test_torch_and_onnx_agree(self) -> None:
        torch = pytest.importorskip("torch")
        from inference.training.density import train

        exams = [population.draw_flat(seed) for seed in range(4)]
        network, features = train(exams, epochs=1), exams[0].features
        with torch.no_grad():
            share = torch.sigmoid(network(torch.from_numpy(features)))
            expected = network.probabilities(share)
        outputs = runner(network.to_onnx())(features)
        assert outputs["fraction"] == pytest.approx(share.numpy(), abs=1e-5)
        assert outputs["probabilities"] == pytest.approx(expected.numpy(), abs=1e-5)

    def test_it_is_repeated_byte_by_byte(self) -> None:
        pytest.importorskip("torch")
        from inference.training.density import train

        exams = [population.draw_flat(seed) for seed in range(4)]
        assert train(exams, epochs=1).to_onnx() == train(exams, epochs=1).to_onnx()


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

    def test_the_interval_of_a_mean(self) -> None:
        """That of 400 fair coins is 0.5 ± 1.96 × 0.5 / 20."""
        low, high = bootstrap_mean(np.tile([0, 1], 200))
        assert (low, high) == (pytest.approx(0.451, abs=0.01), pytest.approx(0.549, abs=0.01))

    @pytest.mark.parametrize(
        ("scores", "area"), [([1, 2, 3, 4], 1), ([4, 3, 2, 1], 0), ([1, 1, 1, 1], 0.5), ([1, 3, 2, 4], 0.75)]
    )
    def test_the_area_under_the_curve(self, scores: list[int], area: float) -> None:
        assert area_under_curve(np.array([0, 0, 1, 1]), np.array(scores)) == area

    def test_without_positives_there_is_no_curve(self) -> None:
        assert np.isnan(area_under_curve(np.zeros(3), np.arange(3)))
