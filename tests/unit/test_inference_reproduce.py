"""What `make reproduce-models` compares."""

import pytest

from inference.passport import Metric
from inference.training.reproduce import KEPT, MODELS, compare

KAPPA, ERROR = Metric("kappa", 0.9, 0.8, 0.95, "phantoms"), Metric("error", 3.0, 2.5, 3.5, "phantoms")


def metric(name: str, value: float) -> Metric:
    return Metric(name, value, value, value, "phantoms")


@pytest.mark.parametrize(
    ("kappa", "error", "agrees"), [(0.9, 3.0, True), (0.81, 3.4, True), (0.79, 3.0, False), (0.9, 3.6, False)]
)
def test_figures_lie_within_the_passports_intervals(kappa: float, error: float, agrees: bool) -> None:
    assert compare((KAPPA, ERROR), (metric("error", error), metric("kappa", kappa))) is agrees


def test_a_figure_that_is_missing_or_new_does_not_agree() -> None:
    assert not compare((KAPPA, ERROR), (metric("kappa", 0.9),))
    assert not compare((KAPPA,), (metric("kappa", 0.9), metric("error", 3.0)))


def test_every_package_that_is_kept_can_be_made_again() -> None:
    assert {one.parent.name for one in KEPT.glob("*/model.onnx")} <= MODELS.keys()
