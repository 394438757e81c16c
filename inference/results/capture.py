"""Pictures of the images with outlines and words burned in: Secondary Captures (PS3.3 A.8.1), which every viewer shows.

A captured picture is in colour and at most `LONGEST_SIDE` pixels long. The words stand in a strip above the image, so
that they cover nothing of it. Its modality is Other: no model reads it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileDataset
from pydicom.sr.codedict import codes
from pydicom.uid import SecondaryCaptureImageStorage

from archive.findings import Findings, Lesion, Region, Source
from archive.json_values import render_attributes
from archive.pixels.dataset import decode_frames
from archive.pixels.layout import Undecodable, layout_of_dataset
from archive.pixels.presentation import grey_of
from archive.pixels.render import to_picture
from inference.errors import ReadingFailed
from inference.instance import readable
from inference.results.content import Sources, reference_to
from inference.results.document import Uid, add_compression, code_item, start_document, to_part10
from inference.results.words import headline, label_of, statements

LONGEST_SIDE = 2048
_YELLOW, _WHITE, _BLACK = (255, 220, 0), (255, 255, 255), (0, 0, 0)
_LINE = 0.022  # a line of text's height, in heights of the picture
_NARROWEST = 12  # pixels of a line of text

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Shown:
    """A frame that is captured, and what lies in it."""

    source: Source
    frame: int
    outlined: tuple[tuple[Lesion, Region], ...]


def secondary_captures(findings: Findings, sources: Sequence[Dataset], uid: Uid) -> list[bytes]:
    """A Part 10 instance for each image, or each frame in which a lesion lies; `sources` have their pixels.

    Raises ReadingFailed for a source whose pixels can't be decoded.
    """
    headers = Sources(sources)
    shown = [one for source in findings.sources for one in _frames(findings, source, headers)]
    return [
        _capture(findings, sources, headers[one.source.sop_instance_uid], one, number, uid)
        for number, one in enumerate(shown, 1)
    ]


def _frames(findings: Findings, source: Source, headers: Sources) -> Iterator[_Shown]:
    """Each frame with a region of a lesion; the middle one where there is none."""
    found: dict[int, list[tuple[Lesion, Region]]] = {}
    for lesion in findings.lesions:
        for region in lesion.regions:
            if region.sop_instance_uid == source.sop_instance_uid:
                found.setdefault(region.frame, []).append((lesion, region))
    middle = (int(headers[source.sop_instance_uid].get("NumberOfFrames") or 1) + 1) // 2
    for frame in sorted(found) or [middle]:
        yield _Shown(source, frame, tuple(found.get(frame, ())))


def _capture(
    findings: Findings, sources: Sequence[Dataset], dataset: Dataset, shown: _Shown, number: int, uid: Uid
) -> bytes:
    source = shown.source
    part = source.sop_instance_uid if shown.frame == 1 else f"{source.sop_instance_uid}\0{shown.frame}"
    document = start_document(
        findings, sources, SecondaryCaptureImageStorage, "OT", uid, number=number, part=part
    )
    document.Laterality = ""
    document.ConversionType = "WSD"
    document.ImageType = ["DERIVED", "SECONDARY"]
    document.PatientOrientation = ""
    document.BurnedInAnnotation = "YES"
    document.RecognizableVisualFeatures = "NO"
    document.DerivationDescription = f"{headline(findings)}: outlines and words drawn over the image"
    reference = reference_to(source.sop_class_uid, source.sop_instance_uid)
    if "NumberOfFrames" in dataset:
        reference.ReferencedFrameNumber = shown.frame
    reference.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.SourceImageForImageProcessingOperation)]
    document.SourceImageSequence = [reference]
    add_compression(document, dataset)
    words = [headline(findings), *statements(findings, source)]
    _add_pixels(document, draw(_picture(dataset, shown.frame), shown.outlined, words))
    return to_part10(document)


def _add_pixels(document: FileDataset, picture: Picture) -> None:
    """Image Pixel (PS3.3 C.7.6.3) of 8-bit RGB."""
    document.Rows, document.Columns, document.SamplesPerPixel = picture.shape
    document.PhotometricInterpretation = "RGB"
    document.PlanarConfiguration = 0
    document.BitsAllocated = document.BitsStored = 8
    document.HighBit, document.PixelRepresentation = 7, 0
    content = picture.tobytes()
    document.PixelData = content + b"\0" * (len(content) % 2)
    document["PixelData"].VR = "OB"


def _picture(dataset: Dataset, frame: int) -> Picture:
    """A frame as it is shown: (rows, columns) or (rows, columns, 3) of 8 bits."""
    header = Dataset({element.tag: element for element in dataset if element.keyword != "PixelData"})
    try:
        with readable():
            layout = layout_of_dataset(dataset)
            cells, decoded = next(islice(decode_frames(cast(FileDataset, dataset), layout), frame - 1, None))
            return to_picture(cells, decoded, grey_of(render_attributes(header, ""), frame - 1), header)
    except Undecodable as error:
        raise ReadingFailed(f"an image can't be decoded: {error}") from error


def draw(picture: Picture, outlined: Sequence[tuple[Lesion, Region]], words: Sequence[str]) -> Picture:
    """The picture in colour with the words above it and the regions outlined: (rows, columns, 3)."""
    rows, columns = picture.shape[:2]
    scale = min(LONGEST_SIDE / max(rows, columns), 1.0)
    size = max(round(columns * scale), 1), max(round(rows * scale), 1)
    image = Image.fromarray(picture).convert("RGB").resize(size, Image.Resampling.BOX)
    height = max(round(size[1] * _LINE), _NARROWEST)
    strip = round(1.25 * height) * len(words)
    canvas = Image.new("RGB", (size[0], size[1] + strip), _BLACK)
    canvas.paste(image, (0, strip))
    pen = _Pen(ImageDraw.Draw(canvas), height, scale, strip)
    pen.write_strip(words)
    for lesion, region in outlined:
        pen.outline(region)
        pen.label(region, label_of(lesion), canvas.width)
    return np.asarray(canvas)


class _Pen:
    """Draws on a canvas on which the image lies scaled, below a strip."""

    def __init__(self, draw: ImageDraw.ImageDraw, height: int, scale: float, strip: int) -> None:
        self._draw = draw
        self._height = height
        self._scale = scale
        self._strip = strip
        self._font = ImageFont.load_default(height)
        self._width = max(round(height / 8), 1)

    def write_strip(self, words: Sequence[str]) -> None:
        """A line each, narrower where a line would not fit."""
        for row, line in enumerate(words):
            self._draw.text(
                (self._height // 4, round(1.25 * self._height) * row),
                line,
                font=self._fitting(line),
                fill=_YELLOW if row == 0 else _WHITE,
            )

    def outline(self, region: Region) -> None:
        points = [self._at(*point) for point in region.points]
        if len(points) == 1:
            self._draw.circle(points[0], self._height, outline=_YELLOW, width=self._width)
        else:
            self._draw.line(points, fill=_YELLOW, width=self._width, joint="curve")

    def label(self, region: Region, text: str, width: int) -> None:
        """Words above a region, kept within the canvas."""
        left, top, _, _ = region.box
        x, y = self._at(left, top)
        x = max(min(x, width - self._font.getlength(text) - self._width), 0)
        y = max(y - 1.5 * self._height, self._strip)
        self._draw.text(
            (x, y), text, font=self._font, fill=_YELLOW, stroke_width=self._width, stroke_fill=_BLACK
        )

    def _at(self, column: float, row: float) -> tuple[float, float]:
        return column * self._scale, row * self._scale + self._strip

    def _fitting(self, line: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        """A font in which a line is no longer than the canvas."""
        width = self._draw.im.size[0] - self._height / 2
        length = self._font.getlength(line)
        return self._font if length <= width else ImageFont.load_default(self._height * width / length)
