"""From probabilities of views to breasts and the exam (BI-RADS 5th edition: the denser breast tells)."""

import numpy as np
import pytest

from archive.findings import EXAM, Evaluation, Level, Target
from inference.answers import classes
from inference.answers.answer import Answer
from inference.density import CATEGORIES
from tests.unit.pictures import VIEWS, density, passport, picture

L_CC, R_CC, L_MLO, R_MLO = (
    [0.1, 0.7, 0.1, 0.1],
    [0.1, 0.2, 0.6, 0.1],
    [0.3, 0.5, 0.1, 0.1],
    [0.1, 0.4, 0.4, 0.1],
)


def told(rows: list[list[float]], fractions: list[float] | None = None, **outputs: object) -> Answer:
    given = {"probabilities": np.array(rows, np.float32)}
    if fractions:
        given["fraction"] = np.array(fractions, np.float32)[:, None]
    return classes.answer(given, [picture(view) for view in VIEWS[: len(rows)]], density("view", **outputs))


def at(answer: Answer, target: Target) -> Evaluation:
    (found,) = [one for one in answer.evaluations if one.target == target]
    return found


class TestLevels:
    def test_each_view_is_told(self) -> None:
        answer = told([L_CC, R_CC, L_MLO, R_MLO])
        views = [one for one in answer.evaluations if one.target.level is Level.VIEW]
        assert [one.label for one in views] == ["b", "c", "b", "b"]
        assert [one.target.sop_instance_uid for one in views] == ["L-CC", "R-CC", "L-MLO", "R-MLO"]

    def test_a_breast_is_the_mean_over_its_views(self) -> None:
        left = at(told([L_CC, R_CC, L_MLO, R_MLO]), Target(Level.BREAST, "L"))
        assert [one.probability for one in left.likelihoods] == pytest.approx([0.2, 0.6, 0.1, 0.1])

    def test_the_denser_breast_tells_the_exam(self) -> None:
        answer = told([L_CC, R_CC, L_MLO, R_MLO])
        assert at(answer, EXAM).value == CATEGORIES["c"]
        assert at(answer, EXAM).likelihoods == at(answer, Target(Level.BREAST, "R")).likelihoods

    def test_of_two_breasts_of_one_class_the_one_nearer_to_the_next(self) -> None:
        answer = told([[0.3, 0.6, 0.1, 0], [0.1, 0.6, 0.3, 0]])
        assert at(answer, EXAM).likelihoods == at(answer, Target(Level.BREAST, "R")).likelihoods

    def test_the_exam_comes_first(self) -> None:
        assert told([L_CC, R_CC]).evaluations[0].target == EXAM

    def test_one_breast_tells_the_exam(self) -> None:
        assert at(told([L_CC]), EXAM).label == "b"

    def test_frames_of_an_instance_are_one_view(self) -> None:
        given = {"probabilities": np.array([L_CC, L_MLO], np.float32)}
        answer = classes.answer(given, [picture(VIEWS[0], frame=one) for one in (1, 2)], density("view"))
        assert [one.target.level for one in answer.evaluations] == [Level.EXAM, Level.BREAST, Level.VIEW]

    def test_a_network_of_the_whole_exam_tells_the_exam_alone(self) -> None:
        given = {"probabilities": np.array([R_CC], np.float32)}
        (found,) = classes.answer(given, [picture(view) for view in VIEWS], density("exam")).evaluations
        assert (found.target, found.label) == (EXAM, "c")


class TestPercentDensity:
    """PS3.16 annex D, 111046: Percent Fibroglandular Tissue."""

    def test_each_level_has_its_own(self) -> None:
        answer = told([L_CC, R_CC, L_MLO, R_MLO], [0.2, 0.5, 0.3, 0.6])
        found = {one.target: one.value for one in answer.measurements}
        assert found[EXAM] == found[Target(Level.BREAST, "R")] == pytest.approx(55)
        assert found[Target(Level.BREAST, "L")] == pytest.approx(25)
        assert found[Target(Level.VIEW, "R", "R-MLO")] == pytest.approx(60)

    def test_it_is_coded(self) -> None:
        one = told([L_CC], [0.25]).measurements[0]
        assert (one.concept.value, one.concept.scheme, one.unit.value, one.value) == (
            "111046",
            "DCM",
            "%",
            25,
        )

    def test_a_network_without_it_measures_nothing(self) -> None:
        assert not told([L_CC, R_CC]).measurements


class TestThresholds:
    """A yes-or-no question whose operating point is not one half."""

    @staticmethod
    def answer(probability: float) -> str:
        asked = [
            {"label": label, "value": label, "scheme": "99TEST", "meaning": label} for label in ("no", "yes")
        ]
        asked[1]["threshold"] = 0.2
        given = {"probabilities": np.array([[1 - probability, probability]], np.float32)}
        return (
            classes.answer(given, [picture()], passport("classes", {}, {"classes": asked}))
            .evaluations[0]
            .label
        )

    def test_a_class_is_told_from_its_threshold_on(self) -> None:
        assert (self.answer(0.3), self.answer(0.1)) == ("yes", "no")
