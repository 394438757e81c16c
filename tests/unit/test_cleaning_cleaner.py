"""Whole instances cleaned: the text is gone, the rest is as it was, and the layout is kept (PS3.15 E.3.1)."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from inference.cleaning import frames as frames_module
from inference.cleaning.cleaner import clean, cover
from inference.cleaning.frames import decode
from inference.cleaning.mask import Box
from inference.cleaning.text import Finder, Text
from inference.cleaning.unsure import Doubt, Unsure
from tests.drawn_text import document, draw_names, ultrasound


class Told(Finder):
    """Finds what it is told, once in each frame."""

    def __init__(self, *texts: Text) -> None:
        self.texts = texts

    def find(self, light, dark, around=None) -> list[Text]:
        return [] if around is not None else list(self.texts)


BOX = Box(10, 20, 50, 40)
NAME, MARKER = Text(BOX, False), Text(Box(40, 20, 60, 40), True)


@pytest.fixture(scope="module")
def finder() -> Finder:
    return Finder()


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(1).integers(1, 255, (3, 64, 96), np.uint8)


def read(instance: bytes) -> Dataset:
    return dcmread(DicomBytesIO(instance))


def legible(finder: Finder, frame: np.ndarray) -> list[str]:
    """What can still be read: three letters and more, or digits."""
    boxes = [text.box for text in finder.find(frame, 255 - frame)]
    read = [finder.read(frame[box.top : box.bottom, box.left : box.right]) for box in boxes]
    return [text for text, score in read if score > 0.6 and len(re.sub("[^A-Za-z0-9]", "", text)) > 2]


def triples(*texts: str) -> set[str]:
    """Every three letters or digits that follow one another in one of the texts."""
    plain = [re.sub("[^A-Z0-9]", "", text.upper()) for text in texts]
    return {text[start : start + 3] for text in plain for start in range(len(text) - 2)}


def recoded(instance: bytes, syntax: str, **values: object) -> bytes:
    dataset = read(instance)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OW" if syntax == ImplicitVRLittleEndian else "OB"
    dataset["PixelData"].is_undefined_length = UID(syntax).is_compressed
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    dataset.save_as(buffer, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    return buffer.getvalue()


@pytest.mark.parametrize("light", [True, False], ids=["light on dark", "dark on light"])
@pytest.mark.parametrize("seed", [11, 12])
def test_no_name_of_14_pixels_and_more_can_be_read_afterwards(finder: Finder, seed: int, light: bool) -> None:
    frame, drawn = draw_names(seed, light=light)
    cleaned = read(clean(ultrasound(frame), finder).instance).pixel_array
    for each in drawn:
        if each.size >= 14:
            assert np.unique(cleaned[each.box]).size == 1, (each.text, each.size)
    # Speckle reads as letters now and then; it must not read as three in a row of what was drawn.
    assert not triples(*legible(finder, cleaned)) & triples(*(each.text for each in drawn))


def test_what_is_not_masked_is_as_it_was(values: np.ndarray) -> None:
    cleaned = read(clean(ultrasound(values), Told(NAME)).instance).pixel_array
    assert (cleaned[:, 20:40, 10:50] == values.min(axis=(1, 2))[:, None, None]).all()
    cleaned = cleaned.copy()
    cleaned[:, 20:40, 10:50] = values[:, 20:40, 10:50]
    assert (cleaned == values).all()


def test_a_marker_is_left_where_a_name_overlaps_it(values: np.ndarray) -> None:
    cleaned = read(clean(ultrasound(values), Told(NAME, MARKER)).instance).pixel_array
    assert (cleaned[:, 20:40, 40:60] == values[:, 20:40, 40:60]).all()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_native_keeps_its_transfer_syntax(values: np.ndarray, syntax: str) -> None:
    cleaned = read(clean(recoded(ultrasound(values), syntax), Told(NAME)).instance)
    assert cleaned.file_meta.TransferSyntaxUID == syntax


def encode_j2k(frame: np.ndarray) -> bytes:
    return imagecodecs.jpeg2k_encode(frame, level=0, reversible=True, codecformat="j2k")


@pytest.mark.parametrize(
    ("syntax", "compress"), [(JPEGLSLossless, imagecodecs.jpegls_encode), (JPEG2000Lossless, encode_j2k)]
)
def test_compressed_frames_become_native_without_a_loss(
    values: np.ndarray, syntax: str, compress: Callable[[np.ndarray], bytes]
) -> None:
    content = encapsulate([bytes(compress(frame)) for frame in values])
    cleaned = read(clean(recoded(ultrasound(values), syntax, PixelData=content), Told(NAME)).instance)
    assert cleaned.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (cleaned.pixel_array[:, 40:] == values[:, 40:]).all()
    assert np.unique(cleaned.pixel_array[0, 20:40, 10:50]).size == 1


def test_run_lengths_of_colours_become_native_without_a_loss() -> None:
    """PS3.5 annex G."""
    colours = np.random.default_rng(4).integers(1, 9, (64, 96, 3), np.uint8)
    dataset = read(colour(colours, planar=0))
    dataset.compress(RLELossless, generate_instance_uid=False)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    cleaned = read(clean(buffer.getvalue(), Told(NAME)).instance)
    assert (cleaned.pixel_array[40:] == colours[40:]).all()
    assert (cleaned.pixel_array[20:40, 10:50] == 0).all()


def test_lossy_colour_is_stored_as_it_was_decoded() -> None:
    """PS3.5 section 8.2.1: what the header calls YBR_FULL_422 comes out of the codec as RGB."""
    colours = np.full((64, 96, 3), (200, 40, 90), np.uint8)
    stream = bytes(imagecodecs.jpeg8_encode(colours, 95))
    compressed = recoded(
        colour(colours, planar=0), JPEGBaseline8Bit, PixelData=encapsulate([stream]),
        PhotometricInterpretation="YBR_FULL_422",
    )  # fmt: skip
    cleaned = read(clean(compressed, Told(NAME)).instance)
    assert cleaned.PhotometricInterpretation == "RGB"
    assert np.abs(cleaned.pixel_array[40:].astype(int) - colours[40:]).max() < 8
    assert np.unique(cleaned.pixel_array[20:40, 10:50]).size == 1


def colour(colours: np.ndarray, planar: int) -> bytes:
    stored = np.ascontiguousarray(np.moveaxis(colours, 2, 0)) if planar else colours
    values = {"SamplesPerPixel": 3, "PlanarConfiguration": planar, "PhotometricInterpretation": "RGB"}
    return ultrasound(np.zeros(colours.shape[:2], np.uint8), **values, PixelData=stored.tobytes())


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_keeps_its_planes(planar: int) -> None:
    colours = np.random.default_rng(2).integers(1, 255, (64, 96, 3), np.uint8)
    cleaned = read(clean(colour(colours, planar), Told(NAME)).instance)
    assert cleaned.PlanarConfiguration == planar
    assert (cleaned.pixel_array[20:40, 10:50] == 0).all()
    assert (cleaned.pixel_array[40:] == colours[40:]).all()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("signed", [0, 1])
def test_masks_with_the_darkest_value_of_twelve_bits(photometric: str, signed: int) -> None:
    values = np.random.default_rng(3).integers(-2000 * signed, 2000, (64, 96)).astype("<i2")
    instance = ultrasound(
        np.zeros((64, 96), np.uint8), BitsAllocated=16, BitsStored=12, HighBit=11, PixelRepresentation=signed,
        PhotometricInterpretation=photometric, PixelData=values.tobytes(),
    )  # fmt: skip
    cleaned = read(clean(instance, Told(NAME)).instance).pixel_array
    darkest = values.max() if photometric == "MONOCHROME1" else values.min()
    assert (cleaned[20:40, 10:50] == darkest).all()
    assert (cleaned[40:] == values[40:]).all()


def test_beside_ultrasound_regions_nothing_is_left(values: np.ndarray) -> None:
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 10
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 95, 63
    cleaned = read(
        clean(ultrasound(values, SequenceOfUltrasoundRegions=[region]), Told()).instance
    ).pixel_array
    assert (cleaned[:, 10:] == values[:, 10:]).all()
    assert all(np.unique(frame[:10]).size == 1 for frame in cleaned)


@pytest.mark.parametrize(
    "instance",
    [
        ultrasound(np.random.default_rng(5).integers(1, 255, (3, 64, 96), np.uint8)),
        colour(np.random.default_rng(6).integers(1, 255, (64, 96, 3), np.uint8), planar=1),
        ultrasound(np.zeros((64, 96), np.uint8), BitsAllocated=16, BitsStored=12, HighBit=11,
                   PixelData=np.random.default_rng(7).integers(1, 2000, (64, 96), np.uint16).tobytes()),
    ],
    ids=["frames", "colour", "twelve bits"],
)  # fmt: skip
def test_masking_its_boxes_gives_the_same_bytes(instance: bytes) -> None:
    """So that what a person releases is what the cleaning showed."""
    cleaned = clean(instance, Told(NAME, MARKER))
    assert cover(instance, cleaned.boxes) == cleaned.instance


def test_where_nothing_was_found_there_are_no_boxes(values: np.ndarray) -> None:
    assert clean(ultrasound(values), Told()).boxes == []


def test_a_person_masks_boxes_also_beyond_the_frame(values: np.ndarray) -> None:
    cleaned = read(cover(ultrasound(values), [Box(0, 0, 1000, 5), Box(90, 0, 96, 64)])).pixel_array
    assert np.unique(cleaned[0, :5]).size == 1
    assert (cleaned[:, 5:, :90] == values[:, 5:, :90]).all()


class TestUnsure:
    def doubt(self, instance: bytes, finder: Finder) -> Doubt:
        with pytest.raises(Unsure) as unsure:
            clean(instance, finder)
        return unsure.value.doubt

    def test_a_document_is_no_image(self) -> None:
        assert self.doubt(document(), Told()) is Doubt.NOT_AN_IMAGE

    @pytest.mark.parametrize(
        "changed", [{"Rows": 65}, {"BitsAllocated": 1}, {"PhotometricInterpretation": "HSV"}]
    )
    def test_pixels_that_are_not_as_described(self, values: np.ndarray, changed: dict) -> None:
        assert self.doubt(ultrasound(values, **changed), Told()) is Doubt.PIXELS_UNREADABLE

    def test_a_codestream_that_is_broken(self, values: np.ndarray) -> None:
        frames = encapsulate([b"\xff\xd8\xff" + bytes(100)] * 3)
        instance = recoded(ultrasound(values), JPEGLSLossless, PixelData=frames)
        assert self.doubt(instance, Told()) is Doubt.PIXELS_UNREADABLE

    def test_more_frames_than_are_looked_through(
        self, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(frames_module, "MOST_FRAMES", 2)
        assert self.doubt(ultrasound(values), Told()) is Doubt.TOO_MANY_FRAMES

    def test_a_page_of_text_is_no_picture(self, values: np.ndarray) -> None:
        assert self.doubt(ultrasound(values), Told(Text(Box(0, 0, 96, 40), False))) is Doubt.TOO_MUCH_TEXT

    def test_text_that_comes_again_wherever_it_is_masked(self, values: np.ndarray) -> None:
        class Restless(Told):
            def find(self, light, dark, around=None) -> list[Text]:
                self.row = getattr(self, "row", 0) + 4
                return [Text(Box(0, self.row, 8, self.row + 4), False)]

        assert self.doubt(ultrasound(values[0]), Restless()) is Doubt.TEXT_REMAINS


class TestRealUltrasounds:
    """Names and dates that scanners burned in."""

    @pytest.mark.parametrize("name", ["greyscale_burned_in", "rgb_burned_in", "gdcm-US-ALOKA-16"])
    def test_nothing_can_be_read_afterwards(self, shared: Path, finder: Finder, name: str) -> None:
        original = (shared / "data" / "dicom" / "us" / f"{name}.dcm").read_bytes()
        cleaned = clean(original, finder).instance
        light, _ = frames_module.looks(decode(read(cleaned)), 0)
        assert not legible(finder, light)

    def test_the_banner_with_the_name_is_dark_and_the_picture_is_there(
        self, shared: Path, finder: Finder
    ) -> None:
        original = (shared / "data" / "dicom" / "us" / "rgb_burned_in.dcm").read_bytes()
        before, after = read(original).pixel_array, read(clean(original, finder).instance).pixel_array
        assert before[:60].max() > 200 and after[:60].max() == 0
        assert (before[60:, :1009] == after[60:, :1009]).mean() > 0.8
