"""A reader's review of findings as a Comprehensive 3D SR that follows TID 1500 "Measurement Report" (PS3.16).

The observer is a person (TID 1003). What they say stands in the Qualitative Evaluations container (TID 1500 row 12): an
Impression that agrees or disagrees with what was found before it, and the comment as text. Each is inferred from the
model's report, and names a lesion by its identifiers in that report. The report is evidence and no predecessor (PS3.3
C.17.2), since nothing of its content is in the review; an earlier decision of the same reader on the same thing is one.
Nobody verifies a review, so it is unverified; whose it is stands in Author Observer Sequence and in the tree. Its dates
are those of the images, since these were shifted.
"""

from collections.abc import Iterator

import highdicom.sr as hd
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset, FileDataset
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage

from archive.findings import Findings
from archive.reviews import Decision, Due
from inference.results.content import (
    CONTAINS,
    ENGLISH,
    HAS_CONCEPT_MOD,
    HAS_OBS_CONTEXT,
    INFERRED_FROM,
    SOURCE,
    Sources,
    caution,
    evidence,
    reference_to,
)
from inference.results.document import RESEARCH_USE_ONLY, Uid, moment_of, name_of, start_instance, to_part10
from inference.results.groups import group_uids
from inference.results.sr import QUALITATIVE_EVALUATIONS, image_library

SERIES_NUMBER = 9010
IMPRESSION = CodedConcept("121073", "DCM", "Impression")
IMPRESSIONS = {
    Decision.ACCEPT: CodedConcept("122775", "DCM", "Agreement with prior findings"),
    Decision.REJECT: CodedConcept("122776", "DCM", "Disagreement with prior findings"),
}
PERSON = CodedConcept("121006", "DCM", "Person")
_NOT_IN_NAMES = str.maketrans(dict.fromkeys("\\^=", " "))  # they part a PN (PS3.5 section 6.2.1)
_LONGEST_NAME = 64  # characters


def review_sr(review: Due, header: Dataset, uid: Uid) -> bytes:
    """The review as a Part 10 instance in the study of the findings.

    `header` is that of an instance of this study, whose patient and study the SR is to have; `uid` maps a name to a
    UID, always the same. The same review gives the same bytes.
    """
    document = start_instance(header, Comprehensive3DSRStorage, sop_instance_uid(review.review_id, uid))
    _add_series(document, review, header, uid)
    _add_report_attributes(document, review, uid)
    for element in _report(review, Sources([header]), uid):
        document.add(element)
    return to_part10(document)


def sop_instance_uid(review_id: str, uid: Uid) -> str:
    """The UID of a review's SR."""
    return uid(f"review\0{review_id}")


def _series_instance_uid(review: Due, uid: Uid) -> str:
    return uid(f"review series\0{review.study_instance_uid}")


def _add_series(document: FileDataset, review: Due, header: Dataset, uid: Uid) -> None:
    """All reviews of a study are one series; their equipment is the site, not the model."""
    document.Modality = "SR"
    document.SeriesInstanceUID = _series_instance_uid(review, uid)
    document.SeriesNumber = SERIES_NUMBER
    document.InstanceNumber = review.number
    document.SeriesDescription = f"{RESEARCH_USE_ONLY}: reviews of AI findings"
    document.ContentDate, document.ContentTime = moment_of(review.findings, [header])
    document.SeriesDate, document.SeriesTime = document.ContentDate, document.ContentTime
    document.Manufacturer = "Senogate"
    document.ManufacturerModelName = "Senogate"
    document.SoftwareVersions = "1"
    document.DeviceSerialNumber = "1"


def _add_report_attributes(document: FileDataset, review: Due, uid: Uid) -> None:
    """SR Document Series and SR Document General (PS3.3 C.17.1, C.17.2)."""
    document.ReferencedPerformedProcedureStepSequence = []
    document.PerformedProcedureCodeSequence = []
    document.CompletionFlag = "COMPLETE"
    document.VerificationFlag = "UNVERIFIED"
    document.PreliminaryFlag = "FINAL"
    document.AuthorObserverSequence = [_author(review)]
    document.CurrentRequestedProcedureEvidenceSequence = [_evidence(review, uid)]
    if review.superseded:
        document.PredecessorDocumentsSequence = [_predecessor(review, uid)]


def _author(review: Due) -> Dataset:
    """Identified Person or Device Macro (PS3.3 table C.17-3b)."""
    author = Dataset()
    author.ObserverType = "PSN"
    author.PersonName = _name(review)
    author.PersonIdentificationCodeSequence = []
    author.InstitutionName = ""
    author.InstitutionCodeSequence = []
    return author


def _name(review: Due) -> str:
    """A PN of one component (PS3.5 section 6.2.1.2)."""
    return review.observer.translate(_NOT_IN_NAMES)[: _LONGEST_NAME - 1].strip() + "^"


def _evidence(review: Due, uid: Uid) -> Dataset:
    """What was looked at: the images, and the model's report."""
    found = evidence(review.findings)
    if review.result_sop_instance_uid:
        series = Dataset()
        series.SeriesInstanceUID = uid(f"result series\0{name_of(review.findings)}")
        series.ReferencedSOPSequence = [
            reference_to(Comprehensive3DSRStorage, review.result_sop_instance_uid)
        ]
        found.ReferencedSeriesSequence.append(series)
    return found


def _predecessor(review: Due, uid: Uid) -> Dataset:
    """The decision whose place this one takes (Hierarchical SOP Instance Reference Macro, PS3.3 C.17.2.1)."""
    series, study = Dataset(), Dataset()
    earlier = sop_instance_uid(review.superseded, uid)
    series.SeriesInstanceUID = _series_instance_uid(review, uid)
    series.ReferencedSOPSequence = [reference_to(Comprehensive3DSRStorage, earlier)]
    study.StudyInstanceUID = review.study_instance_uid
    study.ReferencedSeriesSequence = [series]
    return study


def _report(review: Due, sources: Sources, uid: Uid) -> Dataset:
    """TID 1500: language, observer, procedure, image library, qualitative evaluations."""
    report = hd.ContainerContentItem(name=codes.DCM.ImagingMeasurementReport, template_id="1500")
    observer = hd.PersonObserverIdentifyingAttributes(name=_name(review))
    report.ContentSequence = hd.ContentSequence(
        [
            *hd.LanguageOfContentItemAndDescendants(ENGLISH),
            *hd.ObserverContext(PERSON, observer),
            hd.CodeContentItem(codes.DCM.ProcedureReported, codes.SCT.ImagingProcedure, HAS_CONCEPT_MOD),
            image_library(review.findings, sources),
            _said(review, uid),
        ]
    )
    return report


def _said(review: Due, uid: Uid) -> hd.ContainerContentItem:
    container = hd.ContainerContentItem(QUALITATIVE_EVALUATIONS, relationship_type=CONTAINS)
    container.ContentSequence = hd.ContentSequence(
        [*_impression(review, uid), *_comment(review, uid), *_remark(review.findings)]
    )
    return container


def _impression(review: Due, uid: Uid) -> Iterator[hd.CodeContentItem]:
    if review.decision in IMPRESSIONS:
        item = hd.CodeContentItem(IMPRESSION, IMPRESSIONS[review.decision], CONTAINS)
        item.ContentSequence = hd.ContentSequence([*_about(review, uid)])
        yield item


def _comment(review: Due, uid: Uid) -> Iterator[hd.TextContentItem]:
    if review.comment:
        text = review.comment.replace("\n", "\r\n")  # PS3.5 section 6.1.3
        item = hd.TextContentItem(codes.DCM.Comment, text, CONTAINS)
        item.ContentSequence = hd.ContentSequence([*_about(review, uid)])
        yield item


def _about(review: Due, uid: Uid) -> Iterator[hd.ContentItem]:
    """The lesion, as it is named in the model's report, and the report."""
    for lesion in review.findings.lesions:
        if lesion.name == review.lesion:
            yield hd.TextContentItem(codes.DCM.LesionIdentifier, lesion.name, HAS_OBS_CONTEXT)
            for tracking in group_uids(review.findings, lesion, uid):
                yield hd.UIDRefContentItem(codes.DCM.TrackingUniqueIdentifier, tracking, HAS_OBS_CONTEXT)
    if review.result_sop_instance_uid:
        yield hd.CompositeContentItem(
            SOURCE, Comprehensive3DSRStorage, review.result_sop_instance_uid, INFERRED_FROM
        )


def _remark(findings: Findings) -> Iterator[hd.TextContentItem]:
    """What every reader of the review has to know."""
    text = f"Review of findings of an AI model. {caution(findings)}"
    yield hd.TextContentItem(codes.DCM.Comment, text, CONTAINS)
