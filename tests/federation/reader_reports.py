"""Reports as readers write them: TID 1500 by highdicom, and a breast imaging report by TID 4200, both of a person."""

from collections.abc import Sequence
from io import BytesIO

import highdicom as hd
import numpy as np
from highdicom.sr import (
    CodedConcept,
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    FindingSite,
    ImageRegion,
    MeasurementReport,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForRegion,
    TrackingIdentifier,
)
from highdicom.sr import ObservationContext as Context
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ComprehensiveSRStorage, generate_uid

from inference.density import BREAST_COMPOSITION, CATEGORIES
from inference.results.content import CONTAINS
from inference.results.sr import QUALITATIVE_EVALUATIONS

Box = tuple[float, float, float, float]


def tid_1500(
    exam: Sequence[Dataset],
    *,
    category: str = "",
    areas: Sequence[tuple[int, Code, Box]] = (),
    verified: bool = False,
) -> bytes:
    """A measurement report on an exam: areas are in the image of that number."""
    observer = ObserverContext(codes.DCM.Person, PersonObserverIdentifyingAttributes("Reader^Rita"))
    content = MeasurementReport(
        Context(observer_person_context=observer),
        codes.SCT.ImagingProcedure,
        [_group(exam[number], finding, box) for number, finding, box in areas],
    )
    if category:
        told = QualitativeEvaluation(_coded(BREAST_COMPOSITION), _coded(CATEGORIES[category]))
        container = ContainerContentItem(QUALITATIVE_EVALUATIONS, relationship_type=CONTAINS)
        container.ContentSequence = ContentSequence([told[0]])
        content[0].ContentSequence.append(container)
    report = ComprehensiveSR(
        list(exam), content[0], generate_uid(), 77, generate_uid(), 1, "Reporting Ltd",
        is_complete=True, is_verified=verified,
        verifying_observer_name="Reader^Rita" if verified else None,
        verifying_organization="Clinic" if verified else None,
    )  # fmt: skip
    buffer = BytesIO()
    report.save_as(buffer)
    return buffer.getvalue()


def _group(image: Dataset, finding: Code, box: Box) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    left, top, right, bottom = box
    points = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    source = SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID)
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(hd.UID(), "1"),
        ImageRegion(hd.sr.GraphicTypeValues.POLYLINE, np.array(points), source),
        finding_type=finding,
        finding_sites=[FindingSite(codes.SCT.Breast)],
    )


def _coded(code: object) -> CodedConcept:
    return CodedConcept(code.value, code.scheme, code.meaning)


def item(kind: str, name: Code | None, *below: Dataset, value: Code | None = None, shape: str = "",
         points: Sequence[float] = (), instance: str = "") -> Dataset:  # fmt: skip
    """A content item with those below it (PS3.3 C.17.3)."""
    content = Dataset()
    content.ValueType, content.RelationshipType = kind, "CONTAINS"
    if name:
        content.ConceptNameCodeSequence = [_item_of(name)]
    if value:
        content.ConceptCodeSequence = [_item_of(value)]
    if shape:
        content.GraphicType, content.GraphicData = shape, list(points)
    if instance:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = (
            "1.2.840.10008.5.1.4.1.1.1.2",
            instance,
        )
        content.ReferencedSOPSequence = [reference]
    if below:
        content.ContentSequence = list(below)
    return content


def area(shape: str, points: Sequence[float], instance: str) -> Dataset:
    """A SCOORD that was selected from an image."""
    return item(
        "SCOORD", codes.DCM.ImageRegion, item("IMAGE", None, instance=instance), shape=shape, points=points
    )


def report(*content: Dataset, sop_class: str = ComprehensiveSRStorage, complete: str = "COMPLETE",
           verified: str = "UNVERIFIED", date: str = "20240101") -> Dataset:  # fmt: skip
    """A report of a person, with these items."""
    dataset = item("CONTAINER", codes.DCM.BreastImagingReport, *content)
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.CompletionFlag, dataset.VerificationFlag = complete, verified
    dataset.ContentDate, dataset.ContentTime = date, "120000"
    return dataset


def _item_of(code: Code) -> Dataset:
    coded = Dataset()
    coded.CodeValue, coded.CodingSchemeDesignator, coded.CodeMeaning = (
        code.value,
        code.scheme_designator,
        code.meaning,
    )
    return coded
