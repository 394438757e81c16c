"""Outlines as binary segmentations (PS3.3 A.51), one for each image in which a lesion has an area.

Viewers place a segmentation by its planes, and fail on one without: Pixel Measures, Plane Position and Plane
Orientation are always there. A projection has no position in the patient; its plane is then that of the detector,
the first pixel at the origin, in a frame of reference of its own.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import SegmentationStorage

from archive.findings import Findings, Lesion, Region, Shape, Source
from inference.results.content import SIDES, Sources, reference_to
from inference.results.document import Uid, add_compression, code_item, name_of, start_document, to_part10

_TRIANGLE = 3  # points; fewer have no area
_FIRST_PIXEL, _ALONG_ROWS_AND_COLUMNS = [0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
_YELLOW = [63000, 32000, 55000]  # CIELab of PS3.3 C.10.7.1.1
Mask = npt.NDArray[np.bool_]


def segmentations(findings: Findings, sources: Sequence[Dataset], uid: Uid) -> list[bytes]:
    """A Part 10 instance for each source in which a lesion has an area; none where no lesion has one."""
    headers, written = Sources(sources), []
    for number, source in enumerate(findings.sources, 1):
        areas = _areas(findings, source.sop_instance_uid)
        if areas:
            document = _Segmentation(findings, sources, source, headers[source.sop_instance_uid], uid)
            written.append(document.write(areas, number))
    return written


def mask_of(region: Region, rows: int, columns: int) -> Mask:
    """The pixels (rows, columns) whose middle lies inside a polygon, by the even-odd rule."""
    mask = np.zeros((rows, columns), np.bool_)
    points = np.array([*region.points, region.points[0]], np.float64)
    (x, y), (next_x, next_y) = points[:-1].T, points[1:].T
    _, top, _, bottom = region.box
    for row in range(max(math.floor(top), 0), min(math.ceil(bottom), rows)):
        middle = row + 0.5
        met = (y <= middle) != (next_y <= middle)
        share = (middle - y[met]) / (next_y[met] - y[met])
        edges = np.ceil(np.sort(x[met] + share * (next_x[met] - x[met])) - 0.5).clip(0, columns)
        for left, right in edges.astype(np.intp).reshape(-1, 2):
            mask[row, left:right] = True
    return mask


def _areas(findings: Findings, sop_instance_uid: str) -> list[tuple[Lesion, list[Region]]]:
    """The lesions that have an area in an image, with these areas."""
    found = []
    for lesion in findings.lesions:
        regions = [
            one
            for one in lesion.regions
            if one.sop_instance_uid == sop_instance_uid
            and one.shape is Shape.POLYGON
            and len(one.points) >= _TRIANGLE
        ]
        if regions:
            found.append((lesion, regions))
    return found


class _Segmentation:
    """Builds the segmentation of one image."""

    def __init__(
        self, findings: Findings, sources: Sequence[Dataset], source: Source, header: Dataset, uid: Uid
    ) -> None:
        self._findings = findings
        self._sources = sources
        self._source = source
        self._header = header
        self._uid = uid
        self._name = f"{name_of(findings, SegmentationStorage)}\0{source.sop_instance_uid}"

    def write(self, areas: Sequence[tuple[Lesion, list[Region]]], number: int) -> bytes:
        document = start_document(
            self._findings,
            self._sources,
            SegmentationStorage,
            "SEG",
            self._uid,
            number=number,
            part=self._source.sop_instance_uid,
        )
        self._add_image(document)
        document.SegmentSequence = [self._segment(one, index) for index, (one, _) in enumerate(areas, 1)]
        frames = [
            (index, region) for index, (_, regions) in enumerate(areas, 1) for region in _by_frame(regions)
        ]
        positions = sorted({region[0].frame for _, region in frames})
        document.SharedFunctionalGroupsSequence = [self._shared()]
        document.PerFrameFunctionalGroupsSequence = [
            self._frame(index, regions[0].frame, positions) for index, regions in frames
        ]
        document.NumberOfFrames = len(frames)
        document.PixelData = self._pack([regions for _, regions in frames])
        document["PixelData"].VR = "OB"
        return to_part10(document)

    def _add_image(self, document: Dataset) -> None:
        """Segmentation Image, Multi-frame Dimension and Common Instance Reference (PS3.3 C.8.20.2, C.7.6.17)."""
        document.ImageType = ["DERIVED", "PRIMARY"]
        document.ContentLabel = "AI"
        document.ContentDescription = document.SeriesDescription
        document.ContentCreatorName = ""
        document.SegmentationType = "BINARY"
        add_compression(document, self._header)
        document.SegmentsOverlap = "UNDEFINED"
        document.SamplesPerPixel = 1
        document.PhotometricInterpretation = "MONOCHROME2"
        document.Rows, document.Columns = self._header.Rows, self._header.Columns
        document.BitsAllocated = document.BitsStored = 1
        document.HighBit = document.PixelRepresentation = 0
        document.FrameOfReferenceUID = self._header.get("FrameOfReferenceUID") or self._uid(
            f"result frame of reference\0{self._source.sop_instance_uid}"
        )
        document.PositionReferenceIndicator = ""
        self._add_dimensions(document)
        series = Dataset()
        series.SeriesInstanceUID = self._source.series_instance_uid
        series.ReferencedInstanceSequence = [self._reference()]
        document.ReferencedSeriesSequence = [series]

    def _add_dimensions(self, document: Dataset) -> None:
        organization = Dataset()
        organization.DimensionOrganizationUID = self._uid(f"result dimensions\0{self._name}")
        document.DimensionOrganizationSequence = [organization]
        document.DimensionIndexSequence = [
            _index(organization.DimensionOrganizationUID, pointer, group)
            for pointer, group in ((0x0062000B, 0x0062000A), (0x00200032, 0x00209113))
        ]

    def _segment(self, lesion: Lesion, number: int) -> Dataset:
        """Segment Description Macro (PS3.3 C.8.20.4)."""
        model, item = self._findings.model, Dataset()
        item.SegmentNumber = number
        item.SegmentLabel = f"{lesion.name} {lesion.kind.meaning}"[:64]
        item.SegmentDescription = f"{lesion.kind.meaning} {100 * lesion.score:.0f} %"[:64]
        item.SegmentAlgorithmType = "AUTOMATIC"
        item.SegmentAlgorithmName = f"{model.name} {model.version}"[:64]
        item.SegmentedPropertyCategoryCodeSequence = [code_item(codes.SCT.MorphologicallyAbnormalStructure)]
        item.SegmentedPropertyTypeCodeSequence = [code_item(lesion.kind)]
        item.AnatomicRegionSequence = [code_item(codes.SCT.Breast)]
        if lesion.laterality in SIDES:
            item.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [
                code_item(SIDES[lesion.laterality])
            ]
        item.TrackingID = lesion.name
        item.TrackingUID = self._uid(f"result segment\0{name_of(self._findings)}\0{lesion.name}")
        item.RecommendedDisplayCIELabValue = _YELLOW
        algorithm = Dataset()
        algorithm.AlgorithmFamilyCodeSequence = [code_item(codes.DCM.ArtificialIntelligence)]
        algorithm.AlgorithmName, algorithm.AlgorithmVersion = model.name[:64], model.version[:64]
        item.SegmentationAlgorithmIdentificationSequence = [algorithm]
        return item

    def _shared(self) -> Dataset:
        """Pixel Measures and Plane Orientation (PS3.3 C.7.6.16.2.1, .4)."""
        header, measures, orientation, shared = self._header, Dataset(), Dataset(), Dataset()
        told = _group(header, "PixelMeasuresSequence", 1) or header
        measures.PixelSpacing = told.get("PixelSpacing") or header.get("ImagerPixelSpacing") or [1, 1]
        measures.SliceThickness = told.get("SliceThickness") or 1
        told = _group(header, "PlaneOrientationSequence", 1) or header
        orientation.ImageOrientationPatient = told.get("ImageOrientationPatient") or _ALONG_ROWS_AND_COLUMNS
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
        return shared

    def _frame(self, segment: int, frame: int, positions: Sequence[int]) -> Dataset:
        """Frame Content, Plane Position, Derivation Image and Segment Identification of one frame."""
        content, position, derivation, identification = Dataset(), Dataset(), Dataset(), Dataset()
        content.DimensionIndexValues = [segment, positions.index(frame) + 1]
        told = _group(self._header, "PlanePositionSequence", frame) or self._header
        position.ImagePositionPatient = told.get("ImagePositionPatient") or _FIRST_PIXEL
        derivation.DerivationCodeSequence = [code_item(codes.DCM.SegmentationImageDerivation)]
        derivation.SourceImageSequence = [self._reference(frame)]
        derivation.SourceImageSequence[0].PurposeOfReferenceCodeSequence = [
            code_item(codes.DCM.SourceImageForImageProcessingOperation)
        ]
        derivation.SourceImageSequence[0].SpatialLocationsPreserved = "YES"
        identification.ReferencedSegmentNumber = segment
        groups = Dataset()
        groups.FrameContentSequence, groups.PlanePositionSequence = [content], [position]
        groups.DerivationImageSequence = [derivation]
        groups.SegmentIdentificationSequence = [identification]
        return groups

    def _reference(self, frame: int = 0) -> Dataset:
        reference = reference_to(self._source.sop_class_uid, self._source.sop_instance_uid)
        if frame and "NumberOfFrames" in self._header:
            reference.ReferencedFrameNumber = frame
        return reference

    def _pack(self, frames: Sequence[Sequence[Region]]) -> bytes:
        """Pixel cells of one bit, without a gap between frames (PS3.5 section 8.1.1)."""
        rows, columns = int(self._header.Rows), int(self._header.Columns)
        masks = [np.any([mask_of(one, rows, columns) for one in regions], axis=0) for regions in frames]
        packed = np.packbits(np.array(masks).ravel(), bitorder="little").tobytes()
        return packed + b"\0" * (len(packed) % 2)


def _by_frame(regions: Sequence[Region]) -> list[list[Region]]:
    frames: dict[int, list[Region]] = {}
    for region in regions:
        frames.setdefault(region.frame, []).append(region)
    return [frames[frame] for frame in sorted(frames)]


def _index(organization: str, pointer: int, group: int) -> Dataset:
    item = Dataset()
    item.DimensionOrganizationUID = organization
    item.DimensionIndexPointer, item.FunctionalGroupPointer = pointer, group
    return item


def _group(header: Dataset, keyword: str, frame: int) -> Dataset | None:
    """A functional group of a frame of a source: its own, else the shared one (PS3.3 C.7.6.16)."""
    own = (header.get("PerFrameFunctionalGroupsSequence") or [])[frame - 1 : frame]
    for groups in (*own, *(header.get("SharedFunctionalGroupsSequence") or [])):
        for item in groups.get(keyword) or []:
            return item
    return None
