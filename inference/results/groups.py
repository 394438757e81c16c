"""Lesions and placed measurements as measurement groups (TID 1410, PS3.16), by the rules under which viewers open them.

Every group has a Tracking Identifier that names the viewer's tool, a Tracking Unique Identifier of its own, and a
SCOORD; the number that comes first in a group has one below it, too. A lesion has a group for each of its regions:
what is known of the lesion is said in each, so that it can be read beside every outline.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import highdicom.sr as hd
from pydicom.sr.codedict import codes

from archive.findings import Code, Evaluation, Findings, Lesion, Measurement, Region, Shape
from inference.results.content import (
    CONTAINS,
    HAS_CONCEPT_MOD,
    HAS_OBS_CONTEXT,
    HAS_PROPERTIES,
    SIDES,
    Sources,
    algorithm,
    coded,
    graphic,
    percent,
)
from inference.results.document import Uid, name_of

PROBABILITY = codes.DCM.Probability
SCORE = codes.DCM.CertaintyOfFinding
TOOL = "Cornerstone3DTools@^0.1.0:"


def measurement_groups(findings: Findings, sources: Sources, uid: Uid) -> Iterator[hd.ContainerContentItem]:
    """A group for each region of each lesion, then one for each measurement that has regions."""
    groups = _Groups(findings, sources, uid)
    for lesion in findings.lesions:
        for index, region in enumerate(lesion.regions):
            yield groups.of_lesion(lesion, region, index)
    for index, measurement in enumerate(findings.measurements):
        if measurement.regions:
            yield groups.of_measurement(measurement, index)


def group_uids(findings: Findings, lesion: Lesion, uid: Uid) -> list[str]:
    """The Tracking Unique Identifiers of a lesion's groups, by its regions."""
    return [_group_uid(findings, _tracked(lesion, index), uid) for index in range(len(lesion.regions))]


def _tracked(lesion: Lesion, index: int) -> str:
    return f"lesion\0{lesion.name}\0{index}"


def _group_uid(findings: Findings, tracked: str, uid: Uid) -> str:
    return uid(f"result group\0{name_of(findings)}\0{tracked}")


def probabilities(evaluation: Evaluation) -> Iterator[hd.NumContentItem]:
    """The probability of each alternative, modified by the alternative that it speaks of."""
    for likelihood in evaluation.likelihoods:
        item = hd.NumContentItem(
            PROBABILITY,
            round(likelihood.probability, 9),
            codes.UCUM.NoUnits,
            relationship_type=HAS_PROPERTIES,
        )
        alternative = hd.CodeContentItem(coded(evaluation.concept), coded(likelihood.code), HAS_CONCEPT_MOD)
        item.ContentSequence = hd.ContentSequence([alternative])
        yield item


def tool_of(region: Region) -> str:
    """The name of the tool with which Cornerstone3D viewers draw a region."""
    points = region.points
    if region.shape is Shape.POINT or len(points) == 1:
        return "Probe"
    if region.shape is Shape.POLYLINE and len(points) == 2:
        return "Length"
    return "RectangleROI" if _is_rectangle(points) else "PlanarFreehandROI"


def _is_rectangle(points: Sequence[tuple[float, float]]) -> bool:
    """Whether points run round an upright rectangle: closed, and each edge changes one coordinate alone."""
    if len(points) != 5 or points[0] != points[-1]:
        return False
    turns = [(a[0] == b[0], a[1] == b[1]) for a, b in zip(points, points[1:], strict=False)]
    return all(one != other for one, other in turns) and turns[:2] == turns[2:] and turns[0] != turns[1]


class _Groups:
    """Builds the groups of one report."""

    def __init__(self, findings: Findings, sources: Sources, uid: Uid) -> None:
        self._findings = findings
        self._sources = sources
        self._uid = uid
        self._classes = {one.sop_instance_uid: one.sop_class_uid for one in findings.sources}

    def of_lesion(self, lesion: Lesion, region: Region, index: int) -> hd.ContainerContentItem:
        item = self._group(region, _tracked(lesion, index), lesion.laterality, lesion.kind)
        item.ContentSequence.insert(2, _identifier(lesion.name))
        item.ContentSequence.append(self._number(SCORE, percent(lesion.score), codes.UCUM.Percent, (region,)))
        for measurement in self._findings.measurements:
            if measurement.target.lesion == lesion.name and not measurement.regions:
                item.ContentSequence.append(self._measured(measurement))
        for evaluation in self._findings.evaluations:
            if evaluation.target.lesion == lesion.name:
                item.ContentSequence.append(_answer(evaluation))
        comment = f"{lesion.kind.meaning} {100 * lesion.score:.0f} % ({lesion.name})"
        item.ContentSequence.append(hd.TextContentItem(codes.DCM.Comment, comment, CONTAINS))
        return item

    def of_measurement(self, measurement: Measurement, index: int) -> hd.ContainerContentItem:
        named = {one.name: one for one in self._findings.lesions}
        lesion = named.get(measurement.target.lesion)
        kind = lesion.kind if lesion else None
        laterality = lesion.laterality if lesion else measurement.target.laterality
        item = self._group(measurement.regions[0], f"measurement\0{index}", laterality, kind)
        if measurement.target.lesion:
            item.ContentSequence.insert(2, _identifier(measurement.target.lesion))
        item.ContentSequence.append(self._measured(measurement))
        return item

    def _group(
        self, region: Region, tracked: str, laterality: str, kind: Code | None
    ) -> hd.ContainerContentItem:
        """TID 1410. `tracked` names the group among those of its report."""
        shape, points = graphic(region)
        group = hd.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.TrackingIdentifier(
                _group_uid(self._findings, tracked, self._uid),
                f"{TOOL}{tool_of(region)}",
            ),
            referenced_region=hd.ImageRegion(shape, points, self._image(region)),
            finding_type=coded(kind) if kind else None,
            algorithm_id=algorithm(self._findings),
            finding_sites=[hd.FindingSite(codes.SCT.Breast, SIDES.get(laterality))],
        )
        return cast(hd.ContainerContentItem, group[0])

    def _measured(self, one: Measurement) -> hd.NumContentItem:
        return self._number(coded(one.concept), one.value, coded(one.unit), one.regions)

    def _number(
        self, name: hd.CodedConcept, value: float, unit: hd.CodedConcept, regions: Sequence[Region]
    ) -> hd.NumContentItem:
        """TID 300, with the coordinates that it was inferred from (TID 320)."""
        item = hd.NumContentItem(name, float(value), unit, relationship_type=CONTAINS)
        if regions:
            item.ContentSequence = hd.ContentSequence(
                [hd.CoordinatesForMeasurement(*graphic(one), self._image(one)) for one in regions]
            )
        return item

    def _image(self, region: Region) -> hd.SourceImageForRegion:
        return hd.SourceImageForRegion(
            self._classes[region.sop_instance_uid], region.sop_instance_uid, self._sources.frames(region)
        )


def _identifier(lesion: str) -> hd.TextContentItem:
    """Which lesion a group belongs to: the same text in all groups of one lesion."""
    return hd.TextContentItem(codes.DCM.LesionIdentifier, lesion, HAS_OBS_CONTEXT)


def _answer(evaluation: Evaluation) -> hd.CodeContentItem:
    item = hd.CodeContentItem(coded(evaluation.concept), coded(evaluation.value), CONTAINS)
    if evaluation.likelihoods:
        item.ContentSequence = hd.ContentSequence([*probabilities(evaluation)])
    return item
