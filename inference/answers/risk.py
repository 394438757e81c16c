"""Answers of networks that tell the risk of breast cancer within one to five years.

`probabilities` is (1, 5): the cumulative risk after 1, 2, 3, 4 and 5 years, which never falls. Each becomes a
measurement in percent whose concept names its time (docs/risk.md has the codes). A network may explain itself by
`contributions`, (1, number of the passport's `features`): the relative risk that each feature brings.

A network takes one of two inputs:

- `image`: the standard views in the passport's order, preprocessed as it says (Mirai-like); (1, views, rows, columns)
  where its last step is `thumbnails`, (views, 1, rows, columns) where it is `stack`.
- `features`, (1, f), where the passport names `features`, laid one after the other in their order by
  `inference.features.lay_out`: `age`, years, from the header; `density`, the probabilities of BI-RADS a to d that the
  site's density model told of the same study. An exam without age, or not read for density, is *not applicable*.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from archive.findings import EXAM, Code, Measurement
from inference.answers.answer import Answer
from inference.answers.calibration import calibrated
from inference.errors import ReadingFailed
from inference.passport import Passport
from inference.picture import Picture

YEARS = 5
PERCENT = Code("%", "UCUM", "Percent")
RATIO = Code("1", "UCUM", "no units")
SCHEME = "99SENOGATE"
_SLACK = 1e-6  # how far rounding may let a cumulative risk fall


def answer(
    outputs: Mapping[str, npt.NDArray[Any]], pictures: Sequence[Picture], passport: Passport
) -> Answer:
    """The cumulative risks, and what each feature contributes. Raises ReadingFailed for risks that are none."""
    risks = outputs["probabilities"].astype(np.float64).reshape(-1)
    if risks.size != YEARS or not _is_cumulative(risks):
        raise ReadingFailed("the network's answer is no cumulative risk of one to five years")
    told = np.maximum.accumulate(calibrated(risks, passport.outputs.calibration))
    yearly = [Measurement(EXAM, within(year), _percent(risk), PERCENT) for year, risk in enumerate(told, 1)]
    return Answer(measurements=(*yearly, *_contributions(outputs, passport.inputs.features)))


def within(years: int) -> Code:
    """The risk of breast cancer within so many years, as a coded concept."""
    time = "1 year" if years == 1 else f"{years} years"
    return Code(f"risk-{years}y", SCHEME, f"Risk of breast cancer within {time}")


def relative(feature: str) -> Code:
    """The relative risk that a feature brings, as a coded concept."""
    return Code(f"rr-{feature}", SCHEME, f"Relative risk of breast cancer by {feature}")


def _is_cumulative(risks: npt.NDArray[np.float64]) -> bool:
    return bool(
        np.isfinite(risks).all() and risks.min() >= 0 and risks.max() <= 1 and np.diff(risks).min() >= -_SLACK
    )


def _contributions(outputs: Mapping[str, npt.NDArray[Any]], features: Sequence[str]) -> list[Measurement]:
    if "contributions" not in outputs:
        return []
    ratios = outputs["contributions"].reshape(-1)
    return [
        Measurement(EXAM, relative(feature), round(float(ratio), 4), RATIO)
        for feature, ratio in zip(features, ratios, strict=True)
    ]


def _percent(risk: float) -> float:
    return round(100 * float(risk), 4)
