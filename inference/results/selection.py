"""The views in which lesions were found, as a Key Object Selection (TID 2010, PS3.16)."""

from collections.abc import Sequence

import highdicom.sr as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import KeyObjectSelectionDocumentStorage

from archive.findings import Findings
from inference.results.content import (
    CONTAINS,
    ENGLISH,
    SOURCE,
    Sources,
    caution,
    device_observer,
    references,
)
from inference.results.document import Uid, start_document, to_part10
from inference.results.library import with_children


def key_object_selections(findings: Findings, sources: Sequence[Dataset], uid: Uid) -> list[bytes]:
    """One Part 10 instance; none where there is no lesion."""
    shown = dict.fromkeys(
        (region.sop_instance_uid, frame)
        for lesion in findings.lesions
        for region in lesion.regions
        for frame in Sources(sources).frames(region) or [0]
    )
    if not shown:
        return []
    document = start_document(findings, sources, KeyObjectSelectionDocumentStorage, "KO", uid)
    document.ReferencedPerformedProcedureStepSequence = []
    document.CurrentRequestedProcedureEvidenceSequence = [_evidence(findings, [one for one, _ in shown])]
    classes = {one.sop_instance_uid: one.sop_class_uid for one in findings.sources}
    images = [_image(classes[one], one, frame) for one, frame in shown]
    root = hd.ContainerContentItem(codes.DCM.OfInterest, template_id="2010")
    children = [
        *hd.LanguageOfContentItemAndDescendants(ENGLISH),
        *device_observer(findings, uid),
        hd.TextContentItem(codes.DCM.KeyObjectDescription, _description(findings), CONTAINS),
        *images,
    ]
    for element in with_children(root, children):
        document.add(element)
    return [to_part10(document)]


def _evidence(findings: Findings, only: Sequence[str]) -> Dataset:
    study = Dataset()
    study.StudyInstanceUID = findings.study_instance_uid
    study.ReferencedSeriesSequence = references(findings, only)
    return study


def _description(findings: Findings) -> str:
    found = [f"{one.name}: {one.kind.meaning} {100 * one.score:.0f} %" for one in findings.lesions]
    return "\n".join([caution(findings), *found])


def _image(sop_class_uid: str, sop_instance_uid: str, frame: int) -> Dataset:
    """Without a purpose of reference, which TID 2010 row 8 forbids."""
    item = hd.ImageContentItem(
        SOURCE,
        sop_class_uid,
        sop_instance_uid,
        referenced_frame_numbers=[frame] if frame else None,
        relationship_type=CONTAINS,
    )
    del item.ConceptNameCodeSequence
    return item
