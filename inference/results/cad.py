"""Findings as a Mammography CAD SR: TID 4000 "Mammography CAD Document Root" and its sub-templates (PS3.16).

Mammography workstations read it. A lesion is an Individual Impression/Recommendation: a Single Image Finding for each
of its regions, under a Composite Feature where there are several or where its kind is one. What is said of exam,
breasts and views is the overall impression, as text; measurements, and the probabilities of alternatives, stand in the
Comprehensive 3D SR alone.
Images are referred to in the image library, which comes second among the children of the root: TID 4000 is not
extensible, and its order is significant.
"""

from collections.abc import Iterator, Sequence

import highdicom.sr as hd
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import MammographyCADSRStorage

from archive.findings import Code, Findings, Lesion, Region, Task
from inference.results.content import (
    CONTAINS,
    ENGLISH,
    HAS_CONCEPT_MOD,
    HAS_OBS_CONTEXT,
    HAS_PROPERTIES,
    INFERRED_FROM,
    Sources,
    add_report_attributes,
    caution,
    coded,
    graphic,
    percent,
    place_of,
)
from inference.results.document import Uid, name_of, start_document, to_part10
from inference.results.library import Library, with_children

INDIVIDUAL_IMPRESSION = CodedConcept("111034", "DCM", "Individual Impression/Recommendation")
OVERALL_ANALYSIS = CodedConcept("111234", "DCM", "Overall Impression/Recommendation Analysis")
COMPOSITE_ONLY = {"129788004", "129789007", "129790003"}
"""Kinds that are Composite Features alone (PS3.16 CID 6017): masses and asymmetries."""
ANALYSES = {
    Task.QUALITY: codes.SCT.ImageQualityAnalysis,
    Task.DENSITY: codes.SCT.BreastCompositionAnalysis,
    Task.RISK: OVERALL_ANALYSIS,
}


def mammography_cad_srs(findings: Findings, sources: Sequence[Dataset], uid: Uid) -> list[bytes]:
    """One Part 10 instance in the study of its sources; none where a source is no mammogram."""
    if any(header.get("Modality", "MG") != "MG" for header in sources):
        return []
    document = start_document(findings, sources, MammographyCADSRStorage, "SR", uid)
    add_report_attributes(document, findings)
    root = hd.ContainerContentItem(codes.DCM.MammographyCADReport, template_id="4000")
    for element in with_children(root, _Report(findings, Sources(sources), uid).children()):
        document.add(element)
    return [to_part10(document)]


class _Report:
    """Builds the tree of one report."""

    def __init__(self, findings: Findings, sources: Sources, uid: Uid) -> None:
        self._findings = findings
        self._uid = uid
        self._library = Library(findings, sources, position=(1, 2))

    def children(self) -> Iterator[Dataset]:
        yield from hd.LanguageOfContentItemAndDescendants(ENGLISH)
        yield self._library.container()
        yield self._summary()
        yield self._detections()
        yield self._analyses()

    def _summary(self) -> Dataset:
        """TID 4001, with its Impression Description (TID 4002) and what it was inferred from (TID 4003)."""
        impressions = [self._lesion(lesion) for lesion in self._findings.lesions]
        outcome = (
            codes.DCM.AllAlgorithmsSucceededWithFindings
            if impressions
            else codes.DCM.AllAlgorithmsSucceededWithoutFindings
        )
        summary = hd.CodeContentItem(codes.DCM.CADProcessingAndFindingsSummary, outcome, CONTAINS)
        text = hd.TextContentItem(
            codes.DCM.ImpressionDescription, "\n".join(self._sentences()), HAS_PROPERTIES
        )
        return with_children(summary, [text, *self._algorithm(), *impressions])

    def _sentences(self) -> Iterator[str]:
        yield caution(self._findings)
        for one in self._findings.evaluations:
            if not one.target.lesion:
                place = place_of(one.target, self._findings)
                yield f"{one.concept.meaning}{f' ({place})' if place else ''}: {one.value.meaning}"

    def _lesion(self, lesion: Lesion) -> Dataset:
        """TID 4003."""
        singles = [
            self._single(lesion, region, index, under_composite=len(lesion.regions) > 1)
            for index, region in enumerate(lesion.regions)
        ]
        is_composite = len(singles) > 1 or lesion.kind.value in COMPOSITE_ONLY
        found = [self._composite(lesion, singles)] if is_composite else singles
        for item in found:
            item.RelationshipType = CONTAINS.value
        container = hd.ContainerContentItem(INDIVIDUAL_IMPRESSION, relationship_type=INFERRED_FROM)
        return with_children(container, [_intent(), *found])

    def _composite(self, lesion: Lesion, singles: Sequence[Dataset]) -> Dataset:
        """TID 4004 and 4005."""
        scope = (
            codes.DCM.FeatureDetectedOnMultipleImages
            if len(singles) > 1
            else codes.DCM.FeatureDetectedOnOnlyOneOfTheImages
        )
        related = codes.DCM.TargetContentItemsAreRelatedSpatially
        item = hd.CodeContentItem(codes.DCM.CompositeFeature, coded(lesion.kind), CONTAINS)
        return with_children(
            item,
            [
                _intent(),
                *self._tracking(lesion.name, f"lesion\0{lesion.name}"),
                hd.CodeContentItem(codes.DCM.CompositeType, related, HAS_PROPERTIES),
                hd.CodeContentItem(codes.DCM.ScopeOfFeature, scope, HAS_PROPERTIES),
                *self._algorithm(),
                _certainty(codes.DCM.CertaintyOfFeature, lesion.score),
                *singles,
            ],
        )

    def _single(self, lesion: Lesion, region: Region, index: int, *, under_composite: bool) -> Dataset:
        """TID 4006, with its geometry (TID 4021)."""
        item = hd.CodeContentItem(codes.DCM.SingleImageFinding, _single_kind(lesion.kind), INFERRED_FROM)
        name = f"{lesion.name} {index + 1}" if under_composite else lesion.name
        return with_children(
            item,
            [
                _intent(),
                *self._tracking(name, f"lesion\0{lesion.name}\0{index}"),
                *self._algorithm(),
                _certainty(codes.DCM.CertaintyOfFinding, lesion.score),
                *self._geometry(region),
            ],
        )

    def _geometry(self, region: Region) -> Iterator[Dataset]:
        """TID 4021: the middle, and the outline where there is more than a point."""
        left, top, right, bottom = region.box
        middle = Region(region.sop_instance_uid, region.shape, (((left + right) / 2, (top + bottom) / 2),))
        image = self._library.reference(region)
        center = hd.ScoordContentItem(codes.DCM.Center, *graphic(middle), relationship_type=HAS_PROPERTIES)
        yield with_children(center, [image])
        if len(region.points) > 1:
            outline = hd.ScoordContentItem(
                codes.DCM.Outline, *graphic(region), relationship_type=HAS_PROPERTIES
            )
            yield with_children(outline, [self._library.reference(region)])

    def _tracking(self, name: str, tracked: str) -> Iterator[Dataset]:
        """TID 4108."""
        uid = self._uid(f"result feature\0{name_of(self._findings, MammographyCADSRStorage)}\0{tracked}")
        yield hd.TextContentItem(codes.DCM.TrackingIdentifier, name, HAS_OBS_CONTEXT)
        yield hd.UIDRefContentItem(codes.DCM.TrackingUniqueIdentifier, uid, HAS_OBS_CONTEXT)

    def _algorithm(self) -> Iterator[Dataset]:
        """TID 4019."""
        model = self._findings.model
        yield hd.TextContentItem(codes.DCM.AlgorithmName, model.name, HAS_PROPERTIES)
        yield hd.TextContentItem(codes.DCM.AlgorithmVersion, model.version, HAS_PROPERTIES)
        yield hd.TextContentItem(codes.DCM.AlgorithmParameters, f"sha256={model.sha256}", HAS_PROPERTIES)

    def _detections(self) -> Dataset:
        """TID 4015 and 4017. What else was looked for than what was found is not known here."""
        kinds = list(dict.fromkeys(_single_kind(one.kind) for one in self._findings.lesions))
        if self._findings.task is not Task.LESIONS and not kinds:
            return _not_attempted(codes.DCM.SummaryOfDetections)
        performed = [
            self._performed(codes.DCM.DetectionPerformed, kind)
            for kind in kinds or [codes.DCM.SelectedRegion]
        ]
        return _succeeded(codes.DCM.SummaryOfDetections, codes.DCM.SuccessfulDetections, performed)

    def _analyses(self) -> Dataset:
        """TID 4016 and 4018."""
        kinds = [ANALYSES[self._findings.task]] if self._findings.task in ANALYSES else []
        if any(len(one.regions) > 1 for one in self._findings.lesions):
            kinds.append(codes.SCT.SpatialCollocationAnalysis)
        if not kinds:
            return _not_attempted(codes.DCM.SummaryOfAnalyses)
        performed = [self._performed(codes.DCM.AnalysisPerformed, kind) for kind in kinds]
        return _succeeded(codes.DCM.SummaryOfAnalyses, codes.DCM.SuccessfulAnalyses, performed)

    def _performed(self, name: CodedConcept, kind: CodedConcept) -> Dataset:
        images = [
            self._library.reference_to(one.sop_instance_uid, HAS_PROPERTIES) for one in self._findings.sources
        ]
        item = hd.CodeContentItem(name, kind, CONTAINS)
        return with_children(item, [*self._algorithm(), *images])


def _single_kind(kind: Code) -> CodedConcept:
    """What a lesion of a kind is called on one image (CID 6014), where a mass is a density."""
    return codes.SCT.MammographyBreastDensity if kind.value in COMPOSITE_ONLY else coded(kind)


def _intent() -> Dataset:
    required = codes.DCM.PresentationRequiredRenderingDeviceIsExpectedToPresent
    return hd.CodeContentItem(codes.DCM.RenderingIntent, required, HAS_CONCEPT_MOD)


def _certainty(name: CodedConcept, score: float) -> Dataset:
    return hd.NumContentItem(name, percent(score), codes.UCUM.Percent, relationship_type=HAS_PROPERTIES)


def _not_attempted(name: CodedConcept) -> Dataset:
    return hd.CodeContentItem(name, codes.DCM.NotAttempted, CONTAINS)


def _succeeded(name: CodedConcept, kind: CodedConcept, performed: Sequence[Dataset]) -> Dataset:
    successes = hd.ContainerContentItem(kind, relationship_type=INFERRED_FROM)
    summary = hd.CodeContentItem(name, codes.DCM.Succeeded, CONTAINS)
    return with_children(summary, [with_children(successes, performed)])
