"""Figures of what sites told, against those of the scores themselves (federation.evaluation.figures)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.evaluation.figures import Figure, area, figures_of, kappa
from federation.evaluation.release import Seen, protect
from federation.evaluation.scoring import (
    ANSWERS,
    BINS,
    FATTY,
    LABELS,
    NEGATIVE,
    POSITIVE,
    STRATA,
    answers_of,
    plan_of,
)
from inference import evaluation
from inference.evaluation import Detections

LEAST = 3
scores = st.integers(0, 30).map(lambda one: 0.5 + one / 500)  # five to a cell
exams = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS), scores), min_size=3, max_size=60)
detections = st.builds(
    Detections,
    st.lists(st.just(0.0) | scores.map(lambda one: one + 0.0005), max_size=3).map(tuple),
    st.lists(scores.map(lambda one: one + 0.0005), max_size=3).map(tuple),
)


def density(truth: str, answer: str, score: float) -> Seen:
    stratum = NEGATIVE if truth in FATTY else POSITIVE
    place = ANSWERS[stratum].index((truth, answer))
    return Seen({stratum: {int(score * BINS): 1}, answers_of(stratum): {place: 1}})


def lesions(one: Detections) -> Seen:
    """An exam of one image."""
    counts: dict[str, dict[int, int]] = {
        (POSITIVE if one.lesions else NEGATIVE): {int(BINS * max((*one.lesions, *one.false, 0))): 1},
        "lesions": {}, "false": {}, "images": {0: 1},
    }  # fmt: skip
    for name, cells in (
        ("lesions", [int(BINS * score) + 1 if score else 0 for score in one.lesions]),
        ("false", [int(BINS * score) for score in one.false]),
    ):
        counts[name] = {cell: cells.count(cell) for cell in cells}
    return Seen(counts)


def told(task: str, *sites: list[Seen]) -> dict[str, Figure]:
    """The figures joined of what each of the sites tells."""
    plan = plan_of(task)
    plan = type(plan)(plan.cells, plan.strata)
    tables = [protect(site, 0, plan, LEAST).tables for site in sites]
    return {one.name: one for one in figures_of(task, tables)}


def large(cases: list[tuple[str, str, float]]) -> bool:
    """Whether each stratum has none, or enough to be told of."""
    numbers = [sum((one[0] in FATTY) == is_fatty for one in cases) for is_fatty in (True, False)]
    return all(number == 0 or number >= LEAST for number in numbers)


@settings(deadline=None, max_examples=40)
@given(exams.filter(large), exams.filter(large))
def test_the_area_of_the_scores_themselves_lies_within_what_is_told(one, other):
    """However sites' cells were joined: the bounds are of the pooled cases, and hold the figure that is told."""
    truth = np.array([case[0] not in FATTY for case in one + other])
    raw = evaluation.area_under_curve(truth, np.array([case[2] for case in one + other]))
    found = told("density", [density(*case) for case in one], [density(*case) for case in other])
    if found.get("area under the curve"):
        figure = found["area under the curve"]
        assert figure.least - 1e-6 <= raw <= figure.most + 1e-6
        assert figure.least <= figure.value <= figure.most
        assert figure.low <= figure.value <= figure.high


@settings(deadline=None, max_examples=40)
@given(exams, exams)
def test_agreement_joined_of_sites_is_that_of_all_their_cases(one, other):
    """Where no cell is small, none is joined, and κ and accuracy are exact."""
    cases = [[case for case in site for _ in range(LEAST)] for site in (one, other)]
    truth, answer = (np.array([LABELS.index(case[at]) for site in cases for case in site]) for at in (0, 1))
    found = told("density", *([density(*case) for case in site] for site in cases))
    for name, power in (("linear kappa", 1), ("quadratic kappa", 2)):
        raw = evaluation.kappa(truth, answer, classes=4, power=power)
        assert found[name].value == pytest.approx(raw, abs=1e-5)
    assert found["accuracy"].value == pytest.approx(evaluation.accuracy(truth, answer), abs=1e-5)


@settings(deadline=None, max_examples=40)
@given(exams.filter(large), exams.filter(large))
def test_the_accuracy_of_the_answers_themselves_lies_within_what_is_told(one, other):
    raw = np.mean([truth == answer for truth, answer, _ in one + other])
    found = told("density", [density(*case) for case in one], [density(*case) for case in other])
    if figure := found.get("accuracy"):
        assert figure.least - 1e-6 <= raw <= figure.most + 1e-6


def test_rare_errors_that_are_joined_leave_agreement_where_it_is():
    """240 exams of which a few are wrong, so that no cell of an error may be told."""
    cases = [(truth, truth, 0.1) for truth in LABELS for _ in range(57)]
    cases += [
        ("a", "b", 0.1),
        ("b", "a", 0.1),
        ("b", "c", 0.6),
        ("c", "b", 0.1),
        ("c", "d", 0.9),
        ("d", "c", 0.6),
    ] * 2
    found = told("density", [density(*case) for case in cases])
    truth, answer = (np.array([LABELS.index(case[at]) for case in cases]) for at in (0, 1))
    assert found["accuracy"].value == pytest.approx(evaluation.accuracy(truth, answer), abs=1e-5)
    raw = evaluation.kappa(truth, answer, classes=4, power=2)
    assert found["quadratic kappa"].value == pytest.approx(raw, abs=0.002)


@settings(deadline=None, max_examples=40)
@given(st.lists(detections, min_size=3, max_size=40), st.lists(detections, min_size=3, max_size=40))
def test_the_sensitivity_of_the_scores_themselves_lies_within_what_is_told(one, other):
    """Exams of strata that are too small are told of by nobody, so that they are left out of both."""
    sites = [[exam for exam in site if _is_told(exam, site)] for site in (one, other)]
    if not all(sites):
        return
    found = told("lesions", *([lesions(exam) for exam in site] for site in sites))
    for rate in (0.25, 0.5, 1.0, 2.0):
        if figure := found.get(f"sensitivity at {rate:g} false marks an image"):
            raw = evaluation._sensitivity([exam for site in sites for exam in site], rate)
            assert figure.least - 1e-6 <= raw <= figure.most + 1e-6
            assert figure.low <= figure.value <= figure.high


def _is_told(exam: Detections, site: list[Detections]) -> bool:
    return sum(bool(one.lesions) == bool(exam.lesions) for one in site) >= LEAST


def test_the_interval_of_an_area_is_about_that_of_cases_drawn_again():
    random = np.random.default_rng(1)
    truth = random.integers(0, 2, 400)
    score = np.clip(random.normal(0.4 + 0.15 * truth, 0.2), 0, 0.999)
    cases = [("c" if one else "b", "b", two) for one, two in zip(truth, score, strict=True)]
    figure = told("density", [density(*case) for case in cases])["area under the curve"]
    low, high = evaluation.bootstrap(evaluation.area_under_curve, truth, score)
    assert (figure.low, figure.high) == pytest.approx((low, high), abs=0.01)


def test_no_interval_is_a_point_where_all_is_right():
    cases = [density("a", "a", 0.05)] * 6 + [density("d", "d", 0.95)] * 6
    found = told("density", cases)
    assert found["area under the curve"].value == 1
    assert all(one.low < one.high for one in found.values())


def test_kappa_is_taken_of_many_matrices_at_once():
    random = np.random.default_rng(0)
    matrices = random.integers(1, 30, (5, 4, 4)).astype(float)
    assert kappa(matrices, 2) == pytest.approx([float(kappa(one, 2)) for one in matrices])


def test_pairs_in_one_cell_are_half_in_order():
    assert float(area(np.array([0.0, 4.0]), np.array([0.0, 2.0]))) == 0.5


def test_exams_without_one_kind_have_no_area():
    assert "area under the curve" not in told("density", [density("a", "b", 0.1)] * 5)
    assert STRATA == (NEGATIVE, POSITIVE)
