"""Content items that several reports share: codes, places, algorithm, evidence, and what warns the reader."""

from collections.abc import Sequence

import highdicom.sr as hd
import numpy as np
from highdicom.sr import CodedConcept, RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from archive.findings import Code, Findings, Region, Shape, Target
from inference.results.document import RESEARCH_USE_ONLY, Uid

CONTAINS = RelationshipTypeValues.CONTAINS
HAS_ACQ_CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT
HAS_CONCEPT_MOD = RelationshipTypeValues.HAS_CONCEPT_MOD
HAS_OBS_CONTEXT = RelationshipTypeValues.HAS_OBS_CONTEXT
HAS_PROPERTIES = RelationshipTypeValues.HAS_PROPERTIES
INFERRED_FROM = RelationshipTypeValues.INFERRED_FROM

SOURCE = CodedConcept("260753009", "SCT", "Source")
SIDES = {"L": codes.SCT.Left, "R": codes.SCT.Right}
_WORDS = {"L": "left", "R": "right"}
ENGLISH = CodedConcept("en-US", "RFC5646", "English (United States)")


class Sources:
    """The headers of the instances that were read, by SOP Instance UID."""

    def __init__(self, headers: Sequence[Dataset]) -> None:
        self._headers = {str(header.get("SOPInstanceUID", "")): header for header in headers}

    def __getitem__(self, sop_instance_uid: str) -> Dataset:
        """The header of an instance; an empty one for an instance that is not there."""
        return self._headers.get(sop_instance_uid, Dataset())

    def frames(self, region: Region) -> list[int] | None:
        """The frame that a reference to a region's image names, none where the image has no frames."""
        return [region.frame] if "NumberOfFrames" in self[region.sop_instance_uid] else None


def coded(code: Code) -> CodedConcept:
    """A concept of the findings as a code of a content item."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def percent(share: float) -> float:
    """A share from 0 to 1 in percent."""
    return round(100 * share, 9)


def place_of(target: Target, findings: Findings) -> str:
    """What an answer is about, in words: `left`, `right CC`; empty where it is the exam."""
    for source in findings.sources:
        if target.sop_instance_uid and source.sop_instance_uid == target.sop_instance_uid:
            return " ".join(filter(None, (_WORDS.get(source.laterality), source.view)))
    return _WORDS.get(target.laterality, "")


def caution(findings: Findings) -> str:
    """What every reader has to know: whether the model is cleared for patients, and what it was trained on."""
    model = findings.model
    cleared = f"{RESEARCH_USE_ONLY}. Not for diagnosis. " if model.research_use_only else ""
    return f"{cleared}{model.title} {model.version}, trained on {model.trained_on}."


def algorithm(findings: Findings) -> hd.AlgorithmIdentification:
    """TID 4019 (PS3.16): the model, its hash, and how it was run."""
    model = findings.model
    parameters = [f"sha256={model.sha256}", f"trained on {model.trained_on}"]
    if "preprocessing" in findings.facts:
        parameters.append(f"preprocessing {findings.facts['preprocessing']}")
    if findings.operating_point:
        parameters.append(f"operating point {findings.operating_point}")
    return hd.AlgorithmIdentification(
        name=model.name, version=model.version, parameters=parameters, family=codes.DCM.ArtificialIntelligence
    )


def device_observer(findings: Findings, uid: Uid) -> hd.ObserverContext:
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


def graphic(region: Region) -> tuple[str, np.ndarray]:
    """Graphic Type and Graphic Data (points, 2) of a region (PS3.3 C.18.6.1.2): a polygon is a closed polyline."""
    points = region.points
    if region.shape is Shape.POLYGON and points[0] != points[-1]:
        points = (*points, points[0])
    shape = Shape.POINT if len(points) == 1 else Shape.POLYLINE
    return shape.value, np.array(points[:1] if shape is Shape.POINT else points, np.float32)


def evidence(findings: Findings) -> Dataset:
    """Hierarchical SOP Instance Reference Macro (PS3.3 C.17.2.1) of all sources."""
    study = Dataset()
    study.StudyInstanceUID = findings.study_instance_uid
    study.ReferencedSeriesSequence = references(findings)
    return study


def references(findings: Findings, only: Sequence[str] = ()) -> list[Dataset]:
    """The sources as items of Referenced Series Sequence (PS3.3 C.17.2.1); `only` limits them to some instances."""
    series: dict[str, Dataset] = {}
    for source in findings.sources:
        if only and source.sop_instance_uid not in only:
            continue
        item = series.setdefault(source.series_instance_uid, Dataset())
        item.SeriesInstanceUID = source.series_instance_uid
        reference = reference_to(source.sop_class_uid, source.sop_instance_uid)
        item.ReferencedSOPSequence = [*item.get("ReferencedSOPSequence", []), reference]
    return list(series.values())


def reference_to(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """SOP Instance Reference Macro (PS3.3 section 10.8)."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = sop_class_uid
    reference.ReferencedSOPInstanceUID = sop_instance_uid
    return reference


def add_report_attributes(document: Dataset, findings: Findings) -> None:
    """SR Document Series and SR Document General (PS3.3 C.17.1, C.17.2) of a report that nobody has verified."""
    document.ReferencedPerformedProcedureStepSequence = []
    document.PerformedProcedureCodeSequence = []
    document.CompletionFlag = "COMPLETE"
    document.VerificationFlag = "UNVERIFIED"
    document.CurrentRequestedProcedureEvidenceSequence = [evidence(findings)]
