"""Answers of networks that tell a probability for each class of one question, such as BI-RADS breast composition.

`probabilities` is (n, classes): one row for the exam, or a row a picture where the passport's `per` is a view or an
image. Then each view is told; a breast's probabilities are the mean over its views; and the exam's are those of the
breast whose class comes later in the passport's order, which lists them from the least to the most; of two of the same
class, the one whose probabilities lie further that way. So BI-RADS (5th edition, breast composition) has it: where the
breasts differ, the denser one tells the category.

`fraction`, (n, 1) from 0 to 1, if the network has that output, is the share of fibroglandular tissue in the breast's
area: percent density, at each level of the same views and breast.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from archive.findings import EXAM, Code, Evaluation, Likelihood, Measurement, Target
from inference.answers.answer import Answer
from inference.answers.calibration import calibrated_alternatives
from inference.answers.levels import Row, by_breast, by_view
from inference.passport import Outputs, Passport, Per
from inference.picture import Picture

PERCENT_DENSITY = Code("111046", "DCM", "Percent Fibroglandular Tissue")
PERCENT = Code("%", "UCUM", "Percent")


def answer(
    outputs: Mapping[str, npt.NDArray[Any]], pictures: Sequence[Picture], passport: Passport
) -> Answer:
    """What the network's `probabilities`, and `fraction` if it has that, say of exam, breasts and views."""
    asked = passport.outputs
    probabilities = calibrated_alternatives(outputs["probabilities"].astype(np.float64), asked.calibration)
    if passport.inputs.per is Per.EXAM:
        rows = {EXAM: probabilities[0]}
        shares = {EXAM: outputs["fraction"][0]} if "fraction" in outputs else {}
    else:
        views = by_view(probabilities, pictures)
        breasts = by_breast(views)
        rows = _levels(views, breasts, _leading(breasts, asked))
        shares = _shares(outputs, pictures, _leading(breasts, asked))
    return Answer(
        evaluations=tuple(_evaluation(target, row, asked) for target, row in rows.items()),
        measurements=tuple(_percent(target, float(row[0])) for target, row in shares.items()),
    )


def _leading(breasts: Mapping[Target, Row], asked: Outputs) -> Target:
    """The breast that tells the exam's class."""
    return max(
        breasts,
        key=lambda one: (_choose(breasts[one], asked), float(breasts[one] @ np.arange(breasts[one].size))),
    )


def _levels(views: Mapping[Target, Row], breasts: Mapping[Target, Row], leading: Target) -> dict[Target, Row]:
    """The exam first, then breasts whose laterality is known, then views."""
    known = {target: row for target, row in breasts.items() if target.laterality}
    return {EXAM: breasts[leading], **known, **views}


def _shares(
    outputs: Mapping[str, npt.NDArray[Any]], pictures: Sequence[Picture], leading: Target
) -> dict[Target, Row]:
    if "fraction" not in outputs:
        return {}
    views = by_view(outputs["fraction"].astype(np.float64), pictures)
    return _levels(views, by_breast(views), leading)


def _choose(row: Row, asked: Outputs) -> int:
    """The last class that reaches a threshold of its own, else the most probable of those that have none."""
    thresholds = [one.threshold for one in asked.classes]
    reached = [at for at, least in enumerate(thresholds) if least is not None and row[at] >= least]
    free = [at for at, least in enumerate(thresholds) if least is None] or range(len(thresholds))
    return reached[-1] if reached else max(free, key=lambda at: float(row[at]))


def _evaluation(target: Target, row: Row, asked: Outputs) -> Evaluation:
    assert asked.concept is not None, "a passport of classes has a concept"
    likelihoods = tuple(
        Likelihood(one.label, one.code, min(float(probability), 1.0))
        for one, probability in zip(asked.classes, row, strict=True)
    )
    return Evaluation(target, asked.concept, asked.classes[_choose(row, asked)].code, likelihoods)


def _percent(target: Target, share: float) -> Measurement:
    return Measurement(target, PERCENT_DENSITY, round(100 * min(max(share, 0.0), 1.0), 3), PERCENT)
