"""What one model says about one exam, before it is told who said so and when."""

from dataclasses import dataclass

from archive.findings import Evaluation, Lesion, Measurement


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything that a model found, as findings hold it; each part may be empty."""

    evaluations: tuple[Evaluation, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    lesions: tuple[Lesion, ...] = ()
