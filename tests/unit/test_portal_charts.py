"""Figures as drawn marks, and manifests in words: what the pages of a federation are made of."""

import pytest

from gateway.portal.charts import BAR, PLOT, bar, plot
from gateway.portal.manifests import title_of, words_of

MANIFEST = {
    "kind": "training", "task": "density", "dataset": "screening", "purpose": "algorithms", "hub": "hub",
    "created_at": "2026-11-23T10:00:00+00:00", "min_sites": 2, "rounds": 3, "patience": 0, "norm_bound": 0.0,
    "parameters": {"proximal_mu": 0.01}, "epochs": 1, "batch": 16, "learning_rate": 0.001, "seed": 0,
    "strategy": "fedprox", "aggregation": "mean", "initial": "1" * 64, "code": "c" * 64, "packages": [],
    "privacy": {"noise_multiplier": 0.0, "max_grad_norm": 1.0, "delta": 1e-5},
}  # fmt: skip


@pytest.mark.parametrize("value", [-0.3, 0.0, 0.5, 1.0, 7.0])
def test_an_interval_lies_within_its_picture(value):
    drawn = bar({"low": value - 0.1, "value": value, "high": value + 0.1})
    assert 0 <= drawn.low <= drawn.at <= drawn.high <= BAR[0]


@pytest.mark.parametrize("curve", [[(1.0, 2.0)], [(1.0, 0.0), (2.0, 1e9)], [(0.0, -1.0), (0.0, -1.0)]])
def test_a_curve_lies_within_its_picture(curve):
    (line,) = plot("loss", {"all": curve}).lines
    points = [tuple(map(float, point.split(","))) for point in line.points.split()]
    assert all(0 <= x <= PLOT[0] and 0 <= y <= PLOT[1] for x, y in points)


def test_a_higher_figure_stands_higher():
    (line,) = plot("kappa", {"all": [(1.0, 0.2), (2.0, 0.9)]}).lines
    first, last = (float(point.split(",")[1]) for point in line.points.split())
    assert last < first


def test_without_points_nothing_is_drawn():
    assert plot("loss", {"all": []}) is None


def test_a_training_that_is_not_private_says_so():
    said = {label: text for label, text, _ in words_of(MANIFEST, "f" * 64)}
    assert title_of(MANIFEST) == "Training of density on screening"
    assert "not differentially private" in said["Privacy"] and "proximal_mu 0.01" in said["Weights"]


def test_an_evaluation_names_each_passport():
    manifest = MANIFEST | {"kind": "evaluation", "packages": ["a" * 64, "b" * 64]}
    lines = words_of(manifest, "f" * 64)
    assert [text for label, text, _ in lines if label == "Passport"] == ["a" * 64, "b" * 64]
    assert "Weights" not in {label for label, _, _ in lines}
