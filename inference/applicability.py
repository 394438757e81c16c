"""The gate before a model: whether a study is what the model was made for, by its passport and the headers alone."""

from collections.abc import Callable, Sequence

from archive.findings import NotApplicable
from inference.exam import select
from inference.instance import Instance
from inference.manufacturers import normalise
from inference.passport import Inputs, Passport

Check = Callable[[Inputs, Sequence[Instance]], str]

_ROUNDING = 1e-4  # millimetres: spacings are written as decimal text


def gate(passport: Passport, instances: Sequence[Instance]) -> NotApplicable | None:
    """None where the model may read the study that these instances are of; else why it was not made for it.

    The conditions are put to the images that would be read: those that `inference.exam.select` takes. What a header
    does not tell does not meet a condition, but for Breast Implant Present, which is optional (PS3.3 C.8.11.7).
    Reasons name attributes and what the model was made for, and never an attribute's value.
    """
    chosen = select(instances, passport.inputs)
    if isinstance(chosen, NotApplicable):
        return chosen
    read = [one for one, _ in chosen]
    reasons = [reason for check in _CHECKS if (reason := check(passport.inputs, read))]
    return NotApplicable("; ".join(reasons)) if reasons else None


def _modality(inputs: Inputs, read: Sequence[Instance]) -> str:
    if all(one.modality == inputs.modality for one in read):
        return ""
    return f"Modality: the model was made for {inputs.modality}"


def _intent(inputs: Inputs, read: Sequence[Instance]) -> str:
    """Tomosynthesis need not tell its intent; what says that it is For Processing is never read."""
    if any(one.presentation_intent == "FOR PROCESSING" for one in read):
        return "PresentationIntentType: an image is For Processing"
    return ""


def _manufacturer(inputs: Inputs, read: Sequence[Instance]) -> str:
    made_for = {normalise(name) for name in inputs.manufacturers}
    if not made_for or all(normalise(one.manufacturer) in made_for for one in read):
        return ""
    return f"Manufacturer: the model was made for {', '.join(sorted(made_for))}"


def _implant(inputs: Inputs, read: Sequence[Instance]) -> str:
    if inputs.accepts_implants or all(one.implant != "YES" for one in read):
        return ""
    return "BreastImplantPresent: the model was not made for implants"


def _spacing(inputs: Inputs, read: Sequence[Instance]) -> str:
    if inputs.spacing_mm is None:
        return ""
    low, high = inputs.spacing_mm
    if all(
        one.spacing and low - _ROUNDING <= min(one.spacing) <= max(one.spacing) <= high + _ROUNDING
        for one in read
    ):
        return ""
    keywords = "ImagerPixelSpacing" if inputs.modality == "MG" else "PixelSpacing"
    return f"{keywords}: the model was made for {low:g} to {high:g} mm"


def _age(inputs: Inputs, read: Sequence[Instance]) -> str:
    if inputs.ages is None:
        return ""
    low, high = inputs.ages
    if all(one.age is not None and low <= one.age <= high for one in read):
        return ""
    return f"PatientAge: the model was made for {low:g} to {high:g} years"


_CHECKS: tuple[Check, ...] = (_modality, _intent, _manufacturer, _implant, _spacing, _age)
