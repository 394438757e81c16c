"""Text in the border bands of uncompressed mammograms, as the door finds it."""

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.uid import (
    BreastTomosynthesisImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
)

from deidentification.borders import Frame, shows_text
from deidentification.deidentify import Deidentifier, Pixels, Reason, Refused
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from inference.phantom import HELD_OUT, draw_exam
from tests.drawn_borders import Kind, draw, is_found
from tests.drawn_text import ultrasound

Picture = npt.NDArray[np.generic]
PLACES = [(300, 10), (300, 570), (8, 20), (600, 300)]


def breast(rows: int = 600, columns: int = 800) -> npt.NDArray[np.uint8]:
    down, across = np.mgrid[:rows, :columns]
    outline = 1 - (across / (0.4 * columns)) ** 2 - ((down - rows / 2) / (0.4 * rows)) ** 2
    return np.clip(160 * outline, 0, None).astype(np.uint8)


def with_text(
    picture: npt.NDArray[np.uint8], text: str = "MUSTERMANN^ERIKA", place: tuple[int, int] = (400, 10)
) -> npt.NDArray[np.uint8]:
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text(place, text, fill=230, font=ImageFont.load_default(18))
    return np.array(image)


def holds_text(picture: Picture, stored: int = 0) -> bool:
    (rows, columns), size = picture.shape, picture.dtype.itemsize
    return shows_text(Frame(memoryview(picture.tobytes()), 0, rows, columns, size, stored or 8 * size))


@pytest.fixture(scope="module")
def deidentifier() -> Deidentifier:
    return Deidentifier(Keys.derive(bytes(range(32))), Profile.load("breast-screening"))


def mammogram(frames: Picture, **values: object) -> bytes:
    sop_class = {"SOPClassUID": DigitalMammographyXRayImageStorageForPresentation, "Modality": "MG"}
    return ultrasound(frames, **sop_class | values)


def is_held(deidentifier: Deidentifier, instance: bytes) -> bool:
    try:
        deidentifier.deidentify(instance)
    except Refused as refused:
        return refused.reason is Reason.PIXELS_MAY_CARRY_TEXT
    return False


@pytest.mark.parametrize("place", PLACES)
def test_a_name_in_a_border_band_is_found(place: tuple[int, int]) -> None:
    assert holds_text(with_text(breast(), place=place))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("inverse", [False, True])
def test_it_is_found_whatever_the_depth_and_polarity(bits: int, inverse: bool) -> None:
    picture = with_text(breast()).astype(np.uint16) << (bits - 8)
    assert holds_text((1 << bits) - 1 - picture if inverse else picture, bits)


@pytest.mark.parametrize("seed", range(3))
def test_no_phantom_is_taken_for_text(seed: int) -> None:
    images = draw_exam(seed, variation=HELD_OUT, rows=832, columns=640).images.values()
    assert not any(holds_text(image, 12) for image in images)


@pytest.mark.parametrize("level", [0, 7, 255])
def test_a_uniform_picture_holds_none(level: int) -> None:
    assert not holds_text(np.full((600, 800), level, np.uint8))


def test_noise_holds_none() -> None:
    assert not holds_text(np.random.default_rng(1).integers(0, 4096, (600, 800), dtype=np.uint16), 12)


def test_a_tiny_picture_holds_none() -> None:
    assert not holds_text(with_text(np.zeros((40, 800), np.uint8)))


def test_a_large_marker_and_a_collimator_hold_none() -> None:
    picture = breast()
    picture[:8], picture[:, -9:], picture[40:80, 640:652], picture[68:80, 640:680] = 200, 200, 230, 230
    assert not holds_text(picture)


def test_a_mammogram_with_a_name_is_held(deidentifier: Deidentifier) -> None:
    assert is_held(deidentifier, mammogram(with_text(breast())))


def test_one_without_is_not(deidentifier: Deidentifier) -> None:
    assert not is_held(deidentifier, mammogram(breast()))


def test_no_burned_in_annotation_is_believed(deidentifier: Deidentifier) -> None:
    assert not is_held(deidentifier, mammogram(with_text(breast()), BurnedInAnnotation="NO"))


def test_what_was_looked_at_is_not_searched_again(deidentifier: Deidentifier) -> None:
    assert deidentifier.deidentify(mammogram(with_text(breast())), Pixels.ACCEPTED).instance


def test_the_last_frame_of_a_tomosynthesis_is_searched(deidentifier: Deidentifier) -> None:
    frames = np.stack([breast(), breast(), with_text(breast())])
    assert is_held(deidentifier, mammogram(frames, SOPClassUID=BreastTomosynthesisImageStorage))


def test_other_classes_are_not_searched(deidentifier: Deidentifier) -> None:
    assert not is_held(
        deidentifier,
        mammogram(with_text(breast()), SOPClassUID=CTImageStorage, Modality="CT", BodyPartExamined="BREAST"),
    )


@pytest.mark.parametrize("kind", [Kind(), Kind(upright=True), Kind(least=29, most=60)], ids=str)
def test_nearly_all_drawn_names_are_found(kind: Kind) -> None:
    """A few of the pictures of `benchmarks/borders.py`."""
    missed = [seed for seed in range(500, 512) if not is_found(*draw(seed, kind))]
    assert len(missed) <= 1


def test_a_column_of_tissue_at_the_side_is_no_upright_text() -> None:
    noise = np.random.default_rng(2).normal(0, 6, (600, 800))
    assert not holds_text(np.clip(breast() + noise, 0, 255).astype(np.uint8))
