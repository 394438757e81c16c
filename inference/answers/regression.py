"""Answers of networks that tell one number: `values` (n, 1), of the exam or of each picture.

Where the passport's `per` is a view or an image, a breast's number is the mean over its views, and the exam's the mean
over its breasts. The passport's concept and unit say what it is. Calibration `platt` is a × value + b, `temperature`
the value over a.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from archive.findings import EXAM, Measurement
from inference.answers.answer import Answer
from inference.answers.levels import by_breast, by_view
from inference.passport import Calibration, Passport, Per
from inference.picture import Picture


def answer(
    outputs: Mapping[str, npt.NDArray[Any]], pictures: Sequence[Picture], passport: Passport
) -> Answer:
    """The network's `values` as measurements of exam, breasts and views."""
    concept, unit = passport.outputs.concept, passport.outputs.unit
    assert concept is not None and unit is not None, "a passport of regression has a concept and a unit"
    values = _calibrated(outputs["values"].astype(np.float64), passport.outputs.calibration)
    if passport.inputs.per is Per.EXAM:
        rows = {EXAM: values[0]}
    else:
        views = by_view(values, pictures)
        breasts = by_breast(views)
        known = {target: row for target, row in breasts.items() if target.laterality}
        rows = {EXAM: np.mean(list(breasts.values()), axis=0), **known, **views}
    return Answer(
        measurements=tuple(Measurement(target, concept, float(row[0]), unit) for target, row in rows.items())
    )


def _calibrated(values: npt.NDArray[np.float64], calibration: Calibration) -> npt.NDArray[np.float64]:
    if calibration.kind == "platt":
        return calibration.a * values + calibration.b
    return values / calibration.a if calibration.kind == "temperature" else values
