"""The risk baseline against its sources, and what becomes of any network's yearly risks."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archive.findings import EXAM, Evaluation, Likelihood, NotApplicable
from inference import installed
from inference.answers import risk as answers
from inference.density import BREAST_COMPOSITION, CATEGORIES
from inference.errors import ReadingFailed
from inference.features import lay_out
from inference.network import Graph
from inference.package import load
from inference.preprocess import assemble
from inference.training import risk
from inference.training.running import Run, runner
from tests.unit.pictures import INSTANCE, VIEWS, mammography, passport, picture

MODELS = Path(installed.__file__).parent / "models"
PER_YEAR = ("risk-1y", "risk-2y", "risk-3y", "risk-4y", "risk-5y")


@pytest.fixture(scope="module")
def run() -> Run:
    return runner(load(MODELS / "risk_baseline").read_network())


def features(age: float, *density: float) -> np.ndarray:
    return np.array([[age, *density]], np.float32)


def by_hand(age: int, ratio: float, years: int) -> float:
    """Gail et al. 1989, equation 6, year by year."""
    told, alive = 0.0, 1.0
    for year in range(years):
        new = ratio * risk.at_age(risk.INCIDENCE, age + year)
        leaving = new + risk.at_age(risk.COMPETING_MORTALITY, age + year)
        told += alive * new / leaving * (1 - math.exp(-leaving))
        alive *= math.exp(-leaving)
    return told


class TestBaseline:
    def test_a_woman_of_52_with_scattered_densities(self, run: Run) -> None:
        """By hand: −ln(1 − r) of 0.6, 1.3, 1.8, 2.2 % are 0.0060181, 0.0130852, 0.0181640, 0.0222456; b against their
        mean over 10, 40, 40, 10 % is 0.0130852 / 0.0153259 = 0.853799, of 0.0026154 a year: 0.0022330; with other
        deaths, 0.0032984 a year, 0.0022330 × (1 − 0.0055314 / 2 + …) in the first.
        """
        found = run(features(52, 0, 1, 0, 0))["probabilities"][0]
        assert found[0] == pytest.approx(0.0022330 * (1 - 0.0055314 / 2), rel=2e-5)

    @pytest.mark.parametrize("age", [40, 47, 53, 68, 79])
    @pytest.mark.parametrize("category", range(4))
    def test_the_graph_is_the_equation(self, run: Run, age: int, category: int) -> None:
        found = run(features(age, *np.eye(4)[category]))["probabilities"][0]
        ratio = risk.relative_risks(age)[category]
        assert found == pytest.approx([by_hand(age, ratio, years) for years in range(1, 6)], rel=1e-4)

    @pytest.mark.parametrize("age", risk.PUBLISHED_RISK)
    def test_the_average_woman_has_her_ages_incidence(self, age: int) -> None:
        shares = zip(risk.DISTRIBUTION, risk.relative_risks(age), strict=True)
        assert sum(share * ratio for share, ratio in shares) == pytest.approx(1)

    def test_relative_risks_are_the_published_ones(self) -> None:
        """Kerlikowske et al. 2010, Table 3: 0.7, 1.3, 2.1 and 2.5 % in five years from 45 on."""
        ratios = risk.relative_risks(47)
        assert [one / ratios[1] for one in ratios] == pytest.approx([0.54, 1, 1.62, 1.93], abs=0.01)

    def test_an_uncertain_density_is_averaged(self, run: Run) -> None:
        pure = [run(features(60, *row))["probabilities"] for row in np.eye(4)]
        mixed = run(features(60, 0.1, 0.2, 0.3, 0.4))["probabilities"]
        assert mixed == pytest.approx(sum(w * one for w, one in zip((0.1, 0.2, 0.3, 0.4), pure, strict=True)))

    def test_contributions_explain_it(self, run: Run) -> None:
        """At 50, the reference, age contributes nothing; c is 1.185 times the average density there."""
        found = run(features(50, 0, 0, 1, 0))["contributions"][0]
        assert found == pytest.approx([1, risk.relative_risks(50)[2]], rel=1e-5)

    def test_it_is_the_package_that_the_script_makes(self, tmp_path: Path) -> None:
        made, kept = risk.main(tmp_path / "made").passport, load(MODELS / "risk_baseline").passport
        assert replace(made, signature=None) == replace(kept, signature=None)


class TestAnswer:
    @staticmethod
    def told(risks: list[float], **outputs: object) -> dict[str, float]:
        given = passport("risk", mammography("exam") | {"features": ["age", "density"]}, outputs)
        found = answers.answer(
            {"probabilities": np.array([risks]), "contributions": np.array([[1.5, 0.8]])}, [], given
        )
        assert {one.target for one in found.measurements} == {EXAM}
        return {one.concept.value: one.value for one in found.measurements}

    def test_each_year_is_a_percentage(self) -> None:
        found = self.told([0.001, 0.002, 0.003, 0.004, 0.005])
        assert [found[name] for name in PER_YEAR] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])

    def test_features_explain_it(self) -> None:
        found = self.told([0.001, 0.002, 0.003, 0.004, 0.005])
        assert (found["rr-age"], found["rr-density"]) == (1.5, 0.8)

    def test_it_is_calibrated(self) -> None:
        found = self.told([0.1, 0.2, 0.3, 0.4, 0.5], calibration={"kind": "platt", "a": 1.0, "b": -1.0})
        assert found["risk-5y"] == pytest.approx(100 / (1 + math.e), abs=1e-3)

    @pytest.mark.parametrize(
        "risks", [[0.1] * 4, [0.1, 0.2, 0.1, 0.2, 0.3], [0, 0, 0, 0, 1.5], [math.nan] * 5]
    )
    def test_what_is_no_cumulative_risk_is_refused(self, risks: list[float]) -> None:
        with pytest.raises(ReadingFailed, match="no cumulative risk"):
            self.told(risks)


def four_view_network() -> bytes:
    """Like Mirai in what it takes and gives: a hazard from four views' means, which each year adds to."""
    graph = Graph()
    mean = graph.add("ReduceMean", ["image"], axes=[0, 1, 2, 3], keepdims=0)
    hazards = graph.add("Mul", [graph.reshape(mean, [1, 1]), graph.tensor([[0.01] * 5])])
    graph.add("CumSum", [hazards, graph.tensor(1, np.int64)], "probabilities")
    return graph.build("tiny", {"image": [4, 1, "rows", "columns"]}, {"probabilities": [1, 5]})


class TestImages:
    """The place of models such as Mirai (Yala et al. 2021): four views in, five years out."""

    def test_four_views_tell_five_years(self) -> None:
        asked = passport("risk", mammography("exam"))
        steps = [(one.name, one.parameters) for one in asked.inputs.preprocessing]
        shown = [picture(view, pixels=np.full((8, 8), 0.5, np.float32)) for view in VIEWS]
        outputs = runner(four_view_network())(assemble(shown, steps))
        found = answers.answer(outputs, shown, asked).measurements
        assert [one.concept.value for one in found] == list(PER_YEAR)
        assert [one.value for one in found] == pytest.approx([0.5, 1, 1.5, 2, 2.5])


def density(*probabilities: float) -> Evaluation:
    pairs = zip(CATEGORIES.items(), probabilities, strict=True)
    likelihoods = tuple(Likelihood(label, code, one) for (label, code), one in pairs)
    return Evaluation(EXAM, BREAST_COMPOSITION, CATEGORIES["b"], likelihoods)


class TestFeatures:
    aged = replace(INSTANCE, age=58)

    def test_age_and_density_in_the_passports_order(self) -> None:
        found = lay_out(["age", "density"], [INSTANCE, self.aged], [density(0.1, 0.6, 0.2, 0.1)])
        assert found == pytest.approx(np.array([[58, 0.1, 0.6, 0.2, 0.1]], np.float32))

    def test_without_age_it_is_not_applicable(self) -> None:
        found = lay_out(["age", "density"], [INSTANCE], [density(0.1, 0.6, 0.2, 0.1)])
        assert isinstance(found, NotApplicable) and "PatientAge" in found.reason

    def test_without_density_it_is_not_applicable(self) -> None:
        found = lay_out(["age", "density"], [self.aged], [])
        assert isinstance(found, NotApplicable) and "density" in found.reason

    def test_an_unknown_feature_is_not_applicable(self) -> None:
        assert isinstance(lay_out(["weight"], [self.aged], []), NotApplicable)
