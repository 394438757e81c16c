"""Findings of every kind on the small phantom exam, and what reads a report's content tree back."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pydicom.dataset import Dataset

from archive.findings import (
    EXAM,
    Code,
    Evaluation,
    Findings,
    Lesion,
    Level,
    Likelihood,
    Measurement,
    Model,
    Region,
    Shape,
    Source,
    Target,
    Task,
)
from inference.density import BREAST_COMPOSITION, CATEGORIES
from inference.instance import read_dataset
from tests.unit.mammograms import small_exam

MASS = Code("129788004", "SCT", "Mammographic breast mass")
CALCIFICATIONS = Code("129769006", "SCT", "Calcification Cluster")
SUSPICION = Code("111005", "DCM", "Assessment Category")
PROBABLY_BENIGN = Code("397143007", "SCT", "Mammography assessment (Category 3) - Probably benign finding")
SUSPICIOUS = Code("397144001", "SCT", "Mammography assessment (Category 4) - Suspicious abnormality")
TISSUE_DENSITY = Code("112191", "DCM", "Breast tissue density")
DIAMETER = Code("81827009", "SCT", "Diameter")
AREA = Code("42798000", "SCT", "Area")
PERCENT = Code("%", "UCUM", "Percent")
MILLIMETRE = Code("mm", "UCUM", "millimeter")
SQUARE_MILLIMETRE = Code("mm2", "UCUM", "square millimeter")
OUTLINE = ((60.5, 80.25), (75.0, 78.0), (84.0, 95.5), (66.0, 104.0), (60.5, 80.25))
_VALUES = ("TextValue", "UID", "Date", "Time", "PersonName")  # of content items
BOX = ((50.0, 70.0), (90.0, 70.0), (90.0, 110.0), (50.0, 110.0), (50.0, 70.0))


def uid(name: str) -> str:
    return f"2.25.{int.from_bytes(hashlib.sha256(name.encode()).digest()[:15])}"


def headers(*, pixels: bool = False) -> list[Dataset]:
    """L CC, R CC, L MLO, R MLO of the small phantom exam."""
    return [read_dataset(part, pixels=pixels) for part in small_exam()]


def lesion_findings(exam: Sequence[Dataset] | None = None) -> Findings:
    """Two lesions: a mass in both views of the left breast, calcifications in one of the right; and all else.

    They are of L CC, R CC, L MLO and R MLO of an exam, by its headers, or else of the small phantom exam.
    """
    exam = exam or headers()
    sources = [_source(one) for one in exam]
    left_cc, right_cc, left_mlo, _ = (one.sop_instance_uid for one in sources)
    mass = Lesion(
        "L1",
        "L",
        MASS,
        0.873,
        (Region(left_cc, Shape.POLYGON, OUTLINE), Region(left_mlo, Shape.POLYGON, BOX)),
    )
    calcifications = Lesion(
        "R1", "R", CALCIFICATIONS, 0.41, (Region(right_cc, Shape.POINT, ((70.5, 99.25),)),)
    )
    return Findings(
        task=Task.LESIONS,
        study_instance_uid=str(exam[0].StudyInstanceUID),
        model=Model(
            "phantom-lesions", "Phantom-trained lesion model", "1.0.0", "ab" * 32, "phantoms, no patients"
        ),
        evaluations=(
            Evaluation(EXAM, BREAST_COMPOSITION, CATEGORIES["b"], _densities(0.2, 0.5, 0.2, 0.1)),
            Evaluation(Target(Level.BREAST, "L"), SUSPICION, SUSPICIOUS),
            Evaluation(
                Target(Level.VIEW, "R", right_cc),
                BREAST_COMPOSITION,
                CATEGORIES["c"],
                _densities(0.1, 0.2, 0.6, 0.1),
            ),
            Evaluation(
                Target(Level.LESION, "L", lesion="L1"),
                SUSPICION,
                SUSPICIOUS,
                (Likelihood("4", SUSPICIOUS, 0.8), Likelihood("3", PROBABLY_BENIGN, 0.2)),
            ),
        ),
        measurements=(
            Measurement(Target(Level.VIEW, "L", left_cc), TISSUE_DENSITY, 23.75, PERCENT),
            Measurement(Target(Level.LESION, "L", lesion="L1"), AREA, 81.5, SQUARE_MILLIMETRE),
            Measurement(
                Target(Level.LESION, "L", lesion="L1"),
                DIAMETER,
                12.4,
                MILLIMETRE,
                (Region(left_cc, Shape.POLYLINE, ((60.5, 80.25), (84.0, 95.5))),),
            ),
        ),
        lesions=(mass, calcifications),
        sources=tuple(sources),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        applicability="MG FOR PRESENTATION",
        facts={"preprocessing": "voi, fit"},
        operating_point="0.35",
    )


def without_lesions(findings: Findings) -> Findings:
    """The same findings of a study in which nothing was found."""
    kept = [one for one in findings.evaluations if not one.target.lesion]
    measured = [one for one in findings.measurements if not one.target.lesion]
    return replace(findings, lesions=(), evaluations=tuple(kept), measurements=tuple(measured))


def _densities(*probabilities: float) -> tuple[Likelihood, ...]:
    pairs = zip(CATEGORIES.items(), probabilities, strict=True)
    return tuple(Likelihood(label, code, probability) for (label, code), probability in pairs)


def _source(header: Dataset) -> Source:
    return Source(
        header.ImageLaterality,
        header.ViewPosition,
        header.SOPClassUID,
        header.SeriesInstanceUID,
        header.SOPInstanceUID,
    )


def children(item: Dataset, meaning: str) -> list[Dataset]:
    """The content items directly below an item whose concept name has this meaning."""
    found = item.get("ContentSequence", [])
    return [one for one in found if concept(one).meaning == meaning]


def everything(item: Dataset) -> Iterator[Dataset]:
    """An item and all below it."""
    yield item
    for child in item.get("ContentSequence", []):
        yield from everything(child)


def concept(item: Dataset) -> Code:
    """The concept name; an empty one where an item has none."""
    return code(item.get("ConceptNameCodeSequence"))


def code(sequence: list[Dataset] | None) -> Code:
    if not sequence:
        return Code("", "", "")
    (item,) = sequence
    return Code(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)


def tree(item: Dataset, depth: int = 0) -> Iterator[str]:
    """The content tree as lines: relationship, value type, concept and value of each item."""
    value = next((item[name].value for name in _VALUES if item.get(name)), None)
    if "ConceptCodeSequence" in item:
        value = code(item.ConceptCodeSequence).meaning
    if "MeasuredValueSequence" in item:
        (measured,) = item.MeasuredValueSequence
        value = f"{measured.NumericValue} {code(measured.MeasurementUnitsCodeSequence).value}"
    if "GraphicData" in item:
        value = f"{item.GraphicType} {[float(one) for one in item.GraphicData]}"
    if "ReferencedSOPSequence" in item:
        value = item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    if "ReferencedContentItemIdentifier" in item:
        value = f"-> {'.'.join(str(one) for one in item.ReferencedContentItemIdentifier)}"
    words = (item.get("RelationshipType"), item.get("ValueType"), concept(item).meaning, value)
    yield "  " * depth + " | ".join(" / ".join(str(word).splitlines()) for word in words if word)
    for child in item.get("ContentSequence", []):
        yield from tree(child, depth + 1)


def only(item: Dataset, meaning: str) -> Dataset:
    """The one content item directly below an item whose concept name has this meaning."""
    (found,) = children(item, meaning)
    return found


def points_of(graphic: Dataset) -> list[tuple[float, float]]:
    """Graphic Data as (column, row)."""
    values = [float(one) for one in graphic.GraphicData]
    return list(zip(values[::2], values[1::2], strict=True))
