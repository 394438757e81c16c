"""Calibration as a passport tells it: temperature (Guo et al. 2017) and Platt (1999)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.answers.calibration import calibrated, calibrated_alternatives
from inference.passport import Calibration

ROW = np.array([[0.7, 0.2, 0.1]])
TEMPERATURE, PLATT = Calibration("temperature", 2.0), Calibration("platt", 1.5, -0.4)


def test_none_leaves_them() -> None:
    assert calibrated_alternatives(ROW, Calibration()) == pytest.approx(ROW)


def test_a_temperature_is_a_softmax_of_logarithms_over_it() -> None:
    logits = np.log(ROW) / 2
    expected = np.exp(logits) / np.exp(logits).sum()
    assert calibrated_alternatives(ROW, TEMPERATURE) == pytest.approx(expected)


def test_platt_moves_the_second_of_two() -> None:
    (found,) = calibrated_alternatives(np.array([[0.4, 0.6]]), PLATT)
    logit = 1.5 * np.log(0.6 / 0.4) - 0.4
    assert found[1] == pytest.approx(1 / (1 + np.exp(-logit)))


@pytest.mark.parametrize("calibration", [TEMPERATURE, PLATT])
@given(numbers=st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_an_order_stays(calibration: Calibration, numbers: list[float]) -> None:
    found = calibrated(np.sort(np.array(numbers)), calibration)
    assert (np.diff(found) >= 0).all() and ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("calibration", [Calibration(), TEMPERATURE, PLATT])
@given(numbers=st.lists(st.floats(0.001, 1), min_size=2, max_size=6))
def test_alternatives_sum_to_one(calibration: Calibration, numbers: list[float]) -> None:
    row = np.array([numbers]) / sum(numbers)
    assert calibrated_alternatives(row, calibration).sum() == pytest.approx(1)
