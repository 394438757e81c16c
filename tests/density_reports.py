"""Reads density reports back: what `inference.results.sr` wrote."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydicom.dataset import Dataset

from inference.density import BREAST_COMPOSITION, CATEGORIES
from inference.errors import ReadingFailed
from inference.instance import Part, read_dataset, readable
from inference.results.document import RESEARCH_USE_ONLY

_QUALITATIVE_EVALUATIONS = "C0034375"
_ALGORITHM_NAME, _ALGORITHM_VERSION, _ALGORITHM_PARAMETERS = "111001", "111003", "111002"
_LATERALITY, _SOURCE = "272741003", "260753009"
_LABELS = {code.value: label for label, code in CATEGORIES.items()}
_HASH = "sha256="


@dataclass(frozen=True, slots=True)
class DensityReading:
    """What a density report says: the category (`a` to `d`), each one's probability, the model behind it."""

    study_instance_uid: str
    category: str
    probabilities: Mapping[str, float]
    model_name: str
    model_version: str
    model_sha256: str
    caution: str

    @property
    def research_use_only(self) -> bool:
        return RESEARCH_USE_ONLY in self.caution


def read_density(sr: Part) -> DensityReading:
    """Read a density report (Part 10). Raises ReadingFailed for an instance that is none."""
    dataset = read_dataset(sr, pixels=False)
    with readable():
        container = _only(dataset, _QUALITATIVE_EVALUATIONS)
        density = _of_exam(container)
        parameters = [one.TextValue for one in _children(density, _ALGORITHM_PARAMETERS)]
        return DensityReading(
            study_instance_uid=str(dataset.StudyInstanceUID),
            category=_category(density),
            probabilities=dict(_probabilities(density)),
            model_name=str(_only(density, _ALGORITHM_NAME).TextValue),
            model_version=str(_only(density, _ALGORITHM_VERSION).TextValue),
            model_sha256="".join(one.removeprefix(_HASH) for one in parameters if one.startswith(_HASH)),
            caution=" ".join(
                str(one.TextValue) for one in container.ContentSequence if one.ValueType == "TEXT"
            ),
        )


def _children(item: Dataset, concept: str) -> Iterator[Dataset]:
    for child in item.get("ContentSequence") or []:
        if child.ConceptNameCodeSequence[0].get("CodeValue") == concept:
            yield child


def _of_exam(container: Dataset) -> Dataset:
    """The composition that is said of the exam: neither a breast nor an image modifies it."""
    found = [
        one
        for one in _children(container, BREAST_COMPOSITION.value)
        if not any(_children(one, _LATERALITY)) and not any(_children(one, _SOURCE))
    ]
    if len(found) != 1:
        raise ReadingFailed("the instance is not a density report")
    return found[0]


def _only(item: Dataset, concept: str) -> Dataset:
    found = list(_children(item, concept))
    if len(found) != 1:
        raise ReadingFailed("the instance is not a density report")
    return found[0]


def _probabilities(density: Dataset) -> Iterator[tuple[str, float]]:
    for child in density.ContentSequence:
        if child.ValueType == "NUM":
            probability = float(child.MeasuredValueSequence[0].NumericValue)
            if not 0 <= probability <= 1:
                raise ReadingFailed("the density report holds a probability that is none: NumericValue")
            yield _category(child.ContentSequence[0]), probability


def _category(item: Dataset) -> str:
    return _LABELS[str(item.ConceptCodeSequence[0].CodeValue)]
