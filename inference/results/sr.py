"""Findings as a Comprehensive 3D SR that follows TID 1500 "Measurement Report" (PS3.16).

What is said of the whole exam stands in the Qualitative Evaluations container (TID 1500 row 12): a
measurement group would need a region of an image, and viewers fail on one without. Each evaluation is a CODE;
its algorithm (TID 4019) modifies it, and the probabilities of all alternatives are NUMs among its properties,
each modified by the alternative it speaks of, so that a program reads them without parsing text.
"""

from collections.abc import Sequence

import highdicom.sr as hd
from highdicom.sr import CodedConcept, RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage

from archive.findings import Code, Evaluation, Findings
from inference.results.document import Uid, start_document, to_part10
from inference.results.reading import RESEARCH_USE_ONLY

PROBABILITY = codes.DCM.Probability
QUALITATIVE_EVALUATIONS = CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
SOURCE = CodedConcept("260753009", "SCT", "Source")

CONTAINS = RelationshipTypeValues.CONTAINS
HAS_CONCEPT_MOD = RelationshipTypeValues.HAS_CONCEPT_MOD
HAS_PROPERTIES = RelationshipTypeValues.HAS_PROPERTIES
HAS_ACQ_CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT


def comprehensive_3d_sr(findings: Findings, sources: Sequence[Dataset], uid: Uid) -> bytes:
    """The findings as a Part 10 instance in the study of their sources.

    `sources` are the headers of the instances that the findings name; `uid` maps a name to a UID, always the
    same. The same findings and sources give the same bytes.
    """
    document = start_document(findings, sources, Comprehensive3DSRStorage, "SR", uid)
    document.ReferencedPerformedProcedureStepSequence = []
    document.PerformedProcedureCodeSequence = []
    document.CompletionFlag = "COMPLETE"
    document.VerificationFlag = "UNVERIFIED"
    document.PreliminaryFlag = "PRELIMINARY"
    document.CurrentRequestedProcedureEvidenceSequence = [_evidence(findings)]
    for element in _report(findings, uid):
        document.add(element)
    return to_part10(document)


def _evidence(findings: Findings) -> Dataset:
    """Hierarchical SOP Instance Reference Macro (PS3.3 C.17.2.1)."""
    study = Dataset()
    study.StudyInstanceUID = findings.study_instance_uid
    series: dict[str, Dataset] = {}
    for source in findings.sources:
        item = series.setdefault(source.series_instance_uid, Dataset())
        item.SeriesInstanceUID = source.series_instance_uid
        reference = Dataset()
        reference.ReferencedSOPClassUID = source.sop_class_uid
        reference.ReferencedSOPInstanceUID = source.sop_instance_uid
        item.ReferencedSOPSequence = [*item.get("ReferencedSOPSequence", []), reference]
    study.ReferencedSeriesSequence = list(series.values())
    return study


def _report(findings: Findings, uid: Uid) -> Dataset:
    """TID 1500: language, observer, procedure, image library, qualitative evaluations."""
    report = hd.ContainerContentItem(name=codes.DCM.ImagingMeasurementReport, template_id="1500")
    report.ContentSequence = hd.ContentSequence(
        [
            *hd.LanguageOfContentItemAndDescendants(
                CodedConcept("en-US", "RFC5646", "English (United States)")
            ),
            *_observer(findings, uid),
            hd.CodeContentItem(codes.DCM.ProcedureReported, codes.SCT.ImagingProcedure, HAS_CONCEPT_MOD),
            _image_library(findings),
            _evaluations(findings),
        ]
    )
    return report


def _observer(findings: Findings, uid: Uid) -> hd.ObserverContext:
    """TID 1002 and 1004: the device that observes is the model."""
    model = findings.model
    device = hd.DeviceObserverIdentifyingAttributes(
        uid=uid(f"model\0{model.name}\0{model.version}\0{model.sha256}"),
        name=model.title,
        manufacturer_name="Senogate",
        model_name=model.name,
        serial_number=model.sha256,
    )
    return hd.ObserverContext(CodedConcept("121007", "DCM", "Device"), device)


def _image_library(findings: Findings) -> hd.ContainerContentItem:
    """TID 1600: the instances that were read, with laterality and view (TID 1602, 1603)."""
    group = hd.ContainerContentItem(codes.DCM.ImageLibraryGroup, relationship_type=CONTAINS)
    group.ContentSequence = hd.ContentSequence()
    for source in findings.sources:
        image = hd.ImageContentItem(
            SOURCE, source.sop_class_uid, source.sop_instance_uid, relationship_type=CONTAINS
        )
        laterality = codes.SCT.Left if source.laterality == "L" else codes.SCT.Right
        image.ContentSequence = hd.ContentSequence(
            [
                hd.CodeContentItem(codes.DCM.Modality, codes.DCM.Mammography, HAS_ACQ_CONTEXT),
                hd.CodeContentItem(codes.DCM.ImageLaterality, laterality, HAS_ACQ_CONTEXT),
            ]
        )
        group.ContentSequence.append(image)
    library = hd.ContainerContentItem(codes.DCM.ImageLibrary, relationship_type=CONTAINS)
    library.ContentSequence = hd.ContentSequence([group])
    return library


def _evaluations(findings: Findings) -> hd.ContainerContentItem:
    container = hd.ContainerContentItem(QUALITATIVE_EVALUATIONS, relationship_type=CONTAINS)
    comment = hd.TextContentItem(codes.DCM.Comment, _caution(findings), CONTAINS)
    evaluations = [_evaluation(one, findings) for one in findings.evaluations]
    container.ContentSequence = hd.ContentSequence([*evaluations, comment])
    return container


def _caution(findings: Findings) -> str:
    model = findings.model
    cleared = f"{RESEARCH_USE_ONLY}. Not for diagnosis. " if model.research_use_only else ""
    return f"{cleared}{model.title} {model.version}, trained on {model.trained_on}."


def _evaluation(evaluation: Evaluation, findings: Findings) -> hd.CodeContentItem:
    item = hd.CodeContentItem(_coded(evaluation.concept), _coded(evaluation.value), CONTAINS)
    probabilities = [_probability(evaluation, index) for index in range(len(evaluation.likelihoods))]
    item.ContentSequence = hd.ContentSequence([*_algorithm(findings), *probabilities])
    return item


def _algorithm(findings: Findings) -> hd.AlgorithmIdentification:
    """TID 4019."""
    model = findings.model
    parameters = [f"sha256={model.sha256}", f"trained on {model.trained_on}"]
    if "preprocessing" in findings.facts:
        parameters.append(f"preprocessing {findings.facts['preprocessing']}")
    return hd.AlgorithmIdentification(
        name=model.name, version=model.version, parameters=parameters, family=codes.DCM.ArtificialIntelligence
    )


def _probability(evaluation: Evaluation, index: int) -> hd.NumContentItem:
    likelihood = evaluation.likelihoods[index]
    item = hd.NumContentItem(
        PROBABILITY, round(likelihood.probability, 9), codes.UCUM.NoUnits, relationship_type=HAS_PROPERTIES
    )
    alternative = hd.CodeContentItem(_coded(evaluation.concept), _coded(likelihood.code), HAS_CONCEPT_MOD)
    item.ContentSequence = hd.ContentSequence([alternative])
    return item


def _coded(code: Code) -> CodedConcept:
    return CodedConcept(code.value, code.scheme, code.meaning)
