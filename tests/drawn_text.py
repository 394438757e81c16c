"""Frames with text that the tests draw: names over speckle as an ultrasound has it, and view markers over a breast."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    MPEG4HP41,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
    VideoEndoscopicImageStorage,
    generate_uid,
)

Grey = npt.NDArray[np.uint8]

NAMES = (
    *(
        "MUSTERMANN^ERIKA",
        "Smith, John",
        "DOB 1961-03-04",
        "ID 40404040404",
        "Garcia Lopez Maria",
        "12.05.1958",
    ),
    *(
        "St. Mary Hospital",
        "ACC 2020-118834",
        "Nguyen Thi",
        "Dr. Hausarzt",
        "PAT: O'NEILL",
        "F 63Y",
        "MRN 77120934",
    ),
)
MARKERS = (
    "L-CC",
    "R-CC",
    "L-MLO",
    "R-MLO",
    "LCC",
    "RCC",
    "LMLO",
    "RMLO",
    "L CC",
    "R MLO",
    "R",
    "L",
    "RML",
    "LLM",
    "RXCCL",
)
FONTS = (None, *sorted(map(str, Path("/usr/share/fonts/truetype/dejavu").glob("*.ttf")))[:6])


@dataclass(frozen=True)
class Drawn:
    """A text, its size in pixels, and the pixels that drawing it changed."""

    text: str
    size: int
    ink: npt.NDArray[np.bool_]

    @property
    def box(self) -> tuple[slice, slice]:
        rows, columns = np.nonzero(self.ink)
        return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


def speckle(random: np.random.Generator, rows: int, columns: int, level: float, strength: float) -> Grey:
    """Multiplicative noise of Rayleigh's distribution, grains of two pixels, around a grey level."""
    grains = random.rayleigh(1, (rows // 2 + 1, columns // 2 + 1)).repeat(2, 0).repeat(2, 1)[:rows, :columns]
    return np.clip(level * (1 - strength + strength * grains / grains.mean()), 0, 255).astype(np.uint8)


def tissue(random: np.random.Generator, rows: int, columns: int) -> Grey:
    """Bright, dense breast: clouds of 100 to 200 grey levels with a grain of their own."""
    clouds = np.zeros((rows, columns))
    for size in (128, 48, 16):
        coarse = random.normal(0, 1, (rows // size + 2, columns // size + 2)).astype(np.float32)
        clouds += size**0.5 * np.array(
            Image.fromarray(coarse).resize((columns, rows), Image.Resampling.BICUBIC)
        )
    clouds = (clouds - clouds.min()) / np.ptp(clouds)
    return np.clip(100 + 100 * clouds + random.normal(0, 4, (rows, columns)), 0, 255).astype(np.uint8)


def draw_names(seed: int, *, light: bool, rows: int = 768, columns: int = 1024) -> tuple[Grey, list[Drawn]]:
    """A frame of speckle with names of 12 to 28 pixels that do not touch one another."""
    random = np.random.default_rng(seed)
    background = speckle(
        random, rows, columns, 45 if light else 190, float(random.choice([0.2, 0.5, 0.7]) if light else 0.25)
    )
    levels = (190, 256) if light else (0, 40)
    return _draw_names(random, background, lambda around: int(random.integers(*levels)))


def draw_faint_names(
    seed: int, *, light: bool, rows: int = 768, columns: int = 1024
) -> tuple[Grey, list[Drawn]]:
    """The same over bright tissue, with a contrast of 40 to 80 grey levels."""
    random = np.random.default_rng(seed)
    sign = 1 if light else -1

    def level(around: Grey) -> int:
        return int(np.clip(around.mean() + sign * random.integers(40, 81), 0, 255))

    return _draw_names(random, tissue(random, rows, columns), level)


def _draw_names(
    random: np.random.Generator, background: Grey, level: Callable[[Grey], int]
) -> tuple[Grey, list[Drawn]]:
    rows, columns = background.shape
    frame, drawn, taken = Image.fromarray(background), [], np.zeros((rows, columns), bool)
    for name in NAMES:
        font, size = _font(random, 12, 28)
        for _ in range(50):
            place = int(random.integers(5, columns - 300)), int(random.integers(5, rows - 45))
            left, top, right, bottom = map(int, ImageDraw.Draw(frame).textbbox(place, name, font=font))
            around = slice(max(0, top - 12), bottom + 12), slice(max(0, left - 25), right + 25)
            if right < columns and not taken[around].any():
                grey = level(background[top:bottom, left:right])
                drawn.append(Drawn(name, size, _draw(frame, place, name, font, grey)))
                taken[top:bottom, left:right] = True
                break
    return np.array(frame), drawn


def draw_markers(seed: int, rows: int = 600, columns: int = 800) -> tuple[Grey, list[Drawn]]:
    """A breast with four view markers of 14 to 60 pixels; every third frame is dark on light."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[:rows, :columns]
    breast = np.clip(
        120 * (1 - (across / (0.6 * columns)) ** 2 - ((down - rows / 2) / (0.45 * rows)) ** 2), 0, None
    )
    values = np.clip(breast + random.normal(0, 4, (rows, columns)), 0, 255).astype(np.uint8)
    inverse = seed % 3 == 2
    frame, drawn = Image.fromarray(255 - values if inverse else values), []
    for place in ((20, 20), (520, 20), (500, 520), (520, 250)):
        font, size = _font(random, 14, 60)
        marker = MARKERS[int(random.integers(len(MARKERS)))]
        level = int(random.integers(0, 50) if inverse else random.integers(200, 256))
        drawn.append(Drawn(marker, size, _draw(frame, place, marker, font, level)))
    return np.array(frame), drawn


def ultrasound(frames: Grey, **values: object) -> bytes:
    """An ultrasound of a person in explicit VR little endian; `frames` is rows × columns, or more of them."""
    dataset = Dataset()
    dataset.SOPClassUID = UltrasoundImageStorage
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (
        generate_uid() for _ in range(3)
    )
    dataset.PatientName, dataset.PatientID = "Mustermann^Erika", "PAT-40404"
    dataset.StudyDate, dataset.StudyTime, dataset.Modality = "20200410", "101010", "US"
    dataset.AccessionNumber = "ACC-118834"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.Rows, dataset.Columns = frames.shape[-2:]
    if frames.ndim == 3:
        dataset.NumberOfFrames = len(frames)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = frames.tobytes()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = DicomBytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def document() -> bytes:
    """An encapsulated document of the same person: nothing in it can be looked through."""
    dataset = dcmread(
        DicomBytesIO(ultrasound(np.zeros((2, 2), np.uint8), SOPClassUID=EncapsulatedPDFStorage))
    )
    for keyword in [element.keyword for element in dataset if element.tag.group in (0x0028, 0x7FE0)]:
        delattr(dataset, keyword)
    dataset.EncapsulatedDocument, dataset.MIMETypeOfEncapsulatedDocument = (
        b"%PDF Mustermann ",
        "application/pdf",
    )
    buffer = DicomBytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def video() -> bytes:
    """A clip of the same person, as it is named: there is no stream in it."""
    dataset = dcmread(
        DicomBytesIO(ultrasound(np.zeros((2, 2), np.uint8), SOPClassUID=VideoEndoscopicImageStorage))
    )
    dataset.PixelData = encapsulate([bytes(100)])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = MPEG4HP41
    buffer = DicomBytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def _font(random: np.random.Generator, least: int, most: int) -> tuple[ImageFont.ImageFont, int]:
    size, name = int(random.integers(least, most + 1)), FONTS[int(random.integers(len(FONTS)))]
    return (ImageFont.truetype(name, size) if name else ImageFont.load_default(size)), size


def _draw(frame: Image.Image, place: tuple[int, int], text: str, font, level: int) -> npt.NDArray[np.bool_]:
    before = np.array(frame)
    ImageDraw.Draw(frame).text(place, text, fill=level, font=font)
    return np.array(frame) != before
