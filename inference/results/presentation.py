"""Outlines and words over the images, as Grayscale Softcopy Presentation States (PS3.3 A.33.1), one for each image.

A presentation state says all of how an image is shown, so that the image's own window is carried over. Images in colour
have none.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from archive.findings import Findings, Region, Source
from inference.results.content import Sources, graphic, reference_to
from inference.results.document import Uid, start_document, to_part10
from inference.results.words import headline, label_of, statements

LAYER = "AI"
_ROW = 0.03  # of the display, for a line of text
_MODALITY_LUT = ("ModalityLUTSequence", "RescaleIntercept", "RescaleSlope", "RescaleType")
_VOI_LUT = ("VOILUTSequence", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction")


def presentation_states(findings: Findings, sources: Sequence[Dataset], uid: Uid) -> list[bytes]:
    """A Part 10 instance for each source that is grey."""
    headers = Sources(sources)
    return [
        _presentation_state(findings, sources, source, number, uid)
        for number, source in enumerate(findings.sources, 1)
        if headers[source.sop_instance_uid].get("SamplesPerPixel", 1) == 1
    ]


def _presentation_state(
    findings: Findings, sources: Sequence[Dataset], source: Source, number: int, uid: Uid
) -> bytes:
    header = Sources(sources)[source.sop_instance_uid]
    sop_class_uid = GrayscaleSoftcopyPresentationStateStorage
    document = start_document(
        findings, sources, sop_class_uid, "PR", uid, number=number, part=source.sop_instance_uid
    )
    document.Laterality = ""
    document.ContentLabel = "AI"
    document.ContentDescription = document.SeriesDescription
    document.ContentCreatorName = ""
    document.PresentationCreationDate = document.ContentDate
    document.PresentationCreationTime = document.ContentTime
    del document.ContentDate, document.ContentTime
    series = Dataset()
    series.SeriesInstanceUID = source.series_instance_uid
    series.ReferencedImageSequence = [reference_to(source.sop_class_uid, source.sop_instance_uid)]
    document.ReferencedSeriesSequence = [series]
    _add_display(document, header)
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = LAYER, 1
    layer.GraphicLayerDescription = document.SeriesDescription
    document.GraphicLayerSequence = [layer]
    document.GraphicAnnotationSequence = list(_annotations(findings, source, header))
    return to_part10(document)


def _add_display(document: Dataset, header: Dataset) -> None:
    """Displayed Area, Modality LUT, Softcopy VOI LUT and Softcopy Presentation LUT (PS3.3 C.10.4, C.11)."""
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [int(header.Columns), int(header.Rows)]
    area.PresentationSizeMode = "SCALE TO FIT"
    area.PresentationPixelAspectRatio = [1, 1]
    document.DisplayedAreaSelectionSequence = [area]
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    modality = (shared.get("PixelValueTransformationSequence") or [header])[0]
    _copy(document, modality, _MODALITY_LUT)
    voi = Dataset()
    _copy(voi, (shared.get("FrameVOILUTSequence") or [header])[0], _VOI_LUT)
    if "WindowCenter" in voi or "VOILUTSequence" in voi:
        document.SoftcopyVOILUTSequence = [voi]
    is_inverse = header.get("PhotometricInterpretation") == "MONOCHROME1"
    document.PresentationLUTShape = header.get("PresentationLUTShape") or (
        "INVERSE" if is_inverse else "IDENTITY"
    )


def _copy(target: Dataset, source: Dataset, keywords: Sequence[str]) -> None:
    for keyword in keywords:
        if source.get(keyword) not in (None, ""):
            target[keyword] = source[keyword]


def _annotations(findings: Findings, source: Source, header: Dataset) -> Iterator[Dataset]:
    """Graphic Annotation (PS3.3 C.10.5): what is said of the image, then each region with its label."""
    words = Dataset()
    words.GraphicLayer = LAYER
    words.TextObjectSequence = [
        _corner_text(line, row)
        for row, line in enumerate([headline(findings), *statements(findings, source)])
    ]
    yield words
    for lesion in findings.lesions:
        for region in lesion.regions:
            if region.sop_instance_uid == source.sop_instance_uid:
                yield _annotation(region, label_of(lesion), source, header)


def _annotation(region: Region, label: str, source: Source, header: Dataset) -> Dataset:
    item = Dataset()
    reference = reference_to(source.sop_class_uid, source.sop_instance_uid)
    if "NumberOfFrames" in header:
        reference.ReferencedFrameNumber = region.frame
    item.ReferencedImageSequence = [reference]
    item.GraphicLayer = LAYER
    item.TextObjectSequence = [_anchored_text(label, region)]
    item.GraphicObjectSequence = [_graphic(region)]
    return item


def _graphic(region: Region) -> Dataset:
    shape, points = graphic(region)
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(points)
    item.GraphicData = [float(one) for one in np.ravel(points)]
    item.GraphicType = shape
    if shape == "POLYLINE":
        item.GraphicFilled = "N"
    return item


def _anchored_text(text: str, region: Region) -> Dataset:
    """Words at the upper right of a region."""
    _, top, right, _ = region.box
    item = Dataset()
    item.AnchorPointAnnotationUnits = "PIXEL"
    item.UnformattedTextValue = text
    item.AnchorPoint = [right, top]
    item.AnchorPointVisibility = "N"
    return item


def _corner_text(text: str, row: int) -> Dataset:
    """Words in a line of their own at the upper left of the display."""
    item = Dataset()
    item.BoundingBoxAnnotationUnits = "DISPLAY"
    item.UnformattedTextValue = text
    top = 0.01 + _ROW * row
    item.BoundingBoxTopLeftHandCorner = [0.01, top]
    item.BoundingBoxBottomRightHandCorner = [0.99, top + _ROW]
    item.BoundingBoxTextHorizontalJustification = "LEFT"
    return item
