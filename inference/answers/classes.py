"""The answer of a classifier: the most likely class of the exam, and how likely each was."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from archive.findings import EXAM, Evaluation, Likelihood
from inference.answers.answer import Answer
from inference.errors import PackageError
from inference.passport import Passport
from inference.picture import Picture


def answer(
    outputs: Mapping[str, npt.NDArray[np.float32]], pictures: Sequence[Picture], passport: Passport
) -> Answer:
    """`probabilities` (n, classes), of which the mean over n is the exam's. Raises PackageError."""
    if passport.outputs.concept is None:
        raise PackageError("the passport does not say which question the classes answer")
    probabilities = outputs["probabilities"].mean(axis=0)
    probabilities = np.clip(probabilities / probabilities.sum(), 0, 1)
    likelihoods = tuple(
        Likelihood(one.label, one.code, float(probability))
        for one, probability in zip(passport.outputs.classes, probabilities, strict=True)
    )
    best = max(likelihoods, key=lambda one: one.probability)
    return Answer(evaluations=(Evaluation(EXAM, passport.outputs.concept, best.code, likelihoods),))
