"""The features of risk models that read numbers instead of images: age and breast density, laid out for the network."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from archive.findings import EXAM, Evaluation, NotApplicable
from inference.density import BREAST_COMPOSITION, CATEGORIES
from inference.instance import Instance

SIZES = {"age": 1, "density": len(CATEGORIES)}
"""How many numbers each feature is: years; the probabilities of BI-RADS a to d."""

Tensor = npt.NDArray[np.float32]


def lay_out(
    features: Sequence[str], instances: Iterable[Instance], density: Iterable[Evaluation]
) -> Tensor | NotApplicable:
    """The tensor `features`, (1, numbers), of a passport's `features` in their order.

    `instances` are the exam's, whose header tells the age; `density` is what the site's density model told of the same
    study. NotApplicable says what is missing.
    """
    found = {"age": _age(instances), "density": _density(density)}
    for name in features:
        if not found.get(name):
            return NotApplicable(_MISSING.get(name, f"the model needs {name}, which nothing here tells"))
    return np.array([[number for name in features for number in found[name]]], np.float32)


_MISSING = {
    "age": "the age is not told: PatientAge",
    "density": "no density model has told the breast composition of this study",
}


def _age(instances: Iterable[Instance]) -> list[float]:
    return [float(one.age) for one in instances if one.age is not None][:1]


def _density(evaluations: Iterable[Evaluation]) -> list[float]:
    """The probabilities of a to d, empty where no evaluation of the exam tells all of them."""
    for one in evaluations:
        if one.target == EXAM and one.concept == BREAST_COMPOSITION:
            told = {likelihood.code: likelihood.probability for likelihood in one.likelihoods}
            if told.keys() >= set(CATEGORIES.values()):
                return [told[code] for code in CATEGORIES.values()]
    return []
