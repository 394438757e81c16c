"""Findings as a Comprehensive 3D SR that follows TID 1500 "Measurement Report" (PS3.16).

Lesions, and measurements that have a place, are measurement groups (`groups`). What is said of the exam, a breast or
a view stands in the Qualitative Evaluations container (TID 1500 row 12): a measurement group would need a region of an
image, and viewers fail on one without. Each evaluation is a CODE; its algorithm (TID 4019) modifies it, and the
probabilities of all alternatives are NUMs among its properties, each modified by the alternative it speaks of, so that
a program reads them without parsing text.
"""

from collections.abc import Iterator, Sequence

import highdicom.sr as hd
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage

from archive.findings import Evaluation, Findings, Level, Measurement, Source, Target
from inference.instance import VIEW_CODES
from inference.results.content import (
    CONTAINS,
    ENGLISH,
    HAS_ACQ_CONTEXT,
    HAS_CONCEPT_MOD,
    INFERRED_FROM,
    SIDES,
    SOURCE,
    Sources,
    add_report_attributes,
    algorithm,
    caution,
    coded,
    device_observer,
)
from inference.results.document import Uid, start_document, to_part10
from inference.results.groups import measurement_groups, probabilities

QUALITATIVE_EVALUATIONS = CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
MODALITIES = {
    "MG": codes.DCM.Mammography,
    "US": codes.DCM.Ultrasound,
    "MR": codes.DCM.MagneticResonance,
}


def comprehensive_3d_sr(findings: Findings, sources: Sequence[Dataset], uid: Uid) -> bytes:
    """The findings as a Part 10 instance in the study of their sources.

    `sources` are the headers of the instances that the findings name; `uid` maps a name to a UID, always the
    same. The same findings and sources give the same bytes.
    """
    document = start_document(findings, sources, Comprehensive3DSRStorage, "SR", uid)
    add_report_attributes(document, findings)
    document.PreliminaryFlag = "PRELIMINARY"
    for element in _report(findings, Sources(sources), uid):
        document.add(element)
    return to_part10(document)


def _report(findings: Findings, sources: Sources, uid: Uid) -> Dataset:
    """TID 1500: language, observer, procedure, image library, measurement groups, qualitative evaluations."""
    report = hd.ContainerContentItem(name=codes.DCM.ImagingMeasurementReport, template_id="1500")
    report.ContentSequence = hd.ContentSequence(
        [
            *hd.LanguageOfContentItemAndDescendants(ENGLISH),
            *device_observer(findings, uid),
            hd.CodeContentItem(codes.DCM.ProcedureReported, codes.SCT.ImagingProcedure, HAS_CONCEPT_MOD),
            image_library(findings, sources),
            *_measurements(findings, sources, uid),
            _evaluations(findings),
        ]
    )
    return report


def image_library(findings: Findings, sources: Sources) -> hd.ContainerContentItem:
    """TID 1600: the instances that were read, with laterality and view (TID 1602, 1603)."""
    group = hd.ContainerContentItem(codes.DCM.ImageLibraryGroup, relationship_type=CONTAINS)
    group.ContentSequence = hd.ContentSequence()
    for source in findings.sources:
        image = hd.ImageContentItem(
            SOURCE, source.sop_class_uid, source.sop_instance_uid, relationship_type=CONTAINS
        )
        modality = str(sources[source.sop_instance_uid].get("Modality") or "MG")
        image.ContentSequence = hd.ContentSequence([*_descriptors(source, modality)])
        group.ContentSequence.append(image)
    library = hd.ContainerContentItem(codes.DCM.ImageLibrary, relationship_type=CONTAINS)
    library.ContentSequence = hd.ContentSequence([group])
    return library


def _descriptors(source: Source, modality: str) -> Iterator[hd.CodeContentItem]:
    if modality in MODALITIES:
        yield hd.CodeContentItem(codes.DCM.Modality, MODALITIES[modality], HAS_ACQ_CONTEXT)
    if source.laterality in SIDES:
        yield hd.CodeContentItem(codes.DCM.ImageLaterality, SIDES[source.laterality], HAS_ACQ_CONTEXT)
    if source.view in VIEW_CODES:
        yield hd.CodeContentItem(codes.DCM.ImageView, VIEW_CODES[source.view], HAS_ACQ_CONTEXT)


def _measurements(findings: Findings, sources: Sources, uid: Uid) -> Iterator[hd.ContainerContentItem]:
    """The Imaging Measurements container (TID 1500 row 6), where there is a group to put into it."""
    groups = list(measurement_groups(findings, sources, uid))
    if groups:
        container = hd.ContainerContentItem(codes.DCM.ImagingMeasurements, relationship_type=CONTAINS)
        container.ContentSequence = hd.ContentSequence(groups)
        yield container


def _evaluations(findings: Findings) -> hd.ContainerContentItem:
    """The Qualitative Evaluations container; numbers that have no place in an image stand there too."""
    container = hd.ContainerContentItem(QUALITATIVE_EVALUATIONS, relationship_type=CONTAINS)
    container.ContentSequence = hd.ContentSequence(
        [
            *(_evaluation(one, findings) for one in findings.evaluations if not one.target.lesion),
            *(_number(one, findings) for one in findings.measurements if _is_placeless(one)),
            hd.TextContentItem(codes.DCM.Comment, caution(findings), CONTAINS),
        ]
    )
    return container


def _is_placeless(measurement: Measurement) -> bool:
    return not measurement.regions and not measurement.target.lesion


def _evaluation(evaluation: Evaluation, findings: Findings) -> hd.CodeContentItem:
    item = hd.CodeContentItem(coded(evaluation.concept), coded(evaluation.value), CONTAINS)
    item.ContentSequence = hd.ContentSequence(
        [
            *algorithm(findings),
            *_modifiers(evaluation.target),
            *_images(evaluation.target, findings),
            *probabilities(evaluation),
        ]
    )
    return item


def _number(measurement: Measurement, findings: Findings) -> hd.NumContentItem:
    item = hd.NumContentItem(
        coded(measurement.concept),
        measurement.value,
        coded(measurement.unit),
        relationship_type=CONTAINS,
    )
    target = measurement.target
    item.ContentSequence = hd.ContentSequence(
        [*algorithm(findings), *_modifiers(target), *_images(target, findings)]
    )
    return item


def _modifiers(target: Target) -> Iterator[hd.CodeContentItem]:
    if target.laterality in SIDES:
        yield hd.CodeContentItem(codes.SCT.Laterality, SIDES[target.laterality], HAS_CONCEPT_MOD)


def _images(target: Target, findings: Findings) -> Iterator[hd.ImageContentItem]:
    """The one image that an answer about a view was drawn from."""
    for source in findings.sources:
        if target.level is Level.VIEW and source.sop_instance_uid == target.sop_instance_uid:
            yield hd.ImageContentItem(
                SOURCE, source.sop_class_uid, source.sop_instance_uid, relationship_type=INFERRED_FROM
            )
