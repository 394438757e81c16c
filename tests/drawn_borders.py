"""Mammograms with a name or a view marker in a border band, drawn with a seed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from deidentification.borders import Frame, shows_text
from tests.drawn_text import FONTS, MARKERS

Picture = npt.NDArray[np.unsignedinteger]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
BITS = (8, 12, 13)


@dataclass(frozen=True)
class Kind:
    """What is drawn: letters of `least` to `most` pixels, `contrast` and `noise` in levels of 256."""

    least: int = 14
    most: int = 28
    contrast: tuple[int, int] = (100, 256)
    noise: float = 0.0
    upright: bool = False
    short: bool = False  # 5 to 8 letters, else 9 to 25
    marker: bool = False  # a view marker, which names nobody

    def __str__(self) -> str:
        low, high = self.contrast
        parts = [f"{self.least} to {self.most} px", f"contrast {low} to {high - 1}"]
        parts += [f"noise {self.noise:g}"] if self.noise else []
        return ", ".join(
            parts
            + ["upright"] * self.upright
            + ["5 to 8 letters"] * self.short
            + ["view marker"] * self.marker
        )


def breast(random: np.random.Generator, rows: int, columns: int) -> npt.NDArray[np.float32]:
    """A breast at the left edge, in levels of 256; around it, air."""
    down, across = np.mgrid[:rows, :columns].astype(np.float32)
    high, wide = random.uniform(0.25, 0.38), random.uniform(0.3, 0.6)
    outline = 1 - (across / (wide * columns)) ** 2 - ((down / rows - 0.5) / high) ** 2
    return np.clip(150 * outline, 0, None)


def draw(seed: int, kind: Kind, rows: int = 1400, columns: int = 1100) -> tuple[Picture, int]:
    """A picture with a name in one of its four bands, and its BitsStored."""
    random = np.random.default_rng(seed)
    grey = breast(random, rows, columns)
    label = _label(random, kind)
    mask = _placed(random, label, grey.shape)
    level = float(random.integers(*kind.contrast))
    grey = np.where(mask > 0, grey + (level - grey) * mask / 255, grey)
    return _stored(random, grey, kind)


def is_found(picture: Picture, stored: int) -> bool:
    """Whether the door would hold the picture for its border bands."""
    rows, columns = picture.shape
    return shows_text(Frame(memoryview(picture.tobytes()), 0, rows, columns, picture.dtype.itemsize, stored))


def _label(random: np.random.Generator, kind: Kind) -> npt.NDArray[np.uint8]:
    size, name = int(random.integers(kind.least, kind.most + 1)), FONTS[int(random.integers(len(FONTS)))]
    font = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    count = int(random.integers(5, 9) if kind.short else random.integers(9, 26))
    text = str(random.choice(MARKERS)) if kind.marker else "".join(random.choice(list(LETTERS), count))
    left, top, right, bottom = map(int, font.getbbox(text))
    image = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(image).text((1 - left, 1 - top), text, fill=255, font=font)
    label = np.array(image)
    return np.rot90(label, int(random.choice([1, 3]))) if kind.upright else label


def _placed(
    random: np.random.Generator, label: npt.NDArray[np.uint8], shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """The label, cut to what fits, somewhere in a band: above or below, upright on the side that the breast leaves."""
    rows, columns = shape
    high, wide = max(128, rows // 10), max(128, columns // 10)
    if label.shape[0] > label.shape[1]:
        area = 0, rows, columns - wide, columns
    else:
        area = ((0, high, 0, columns), (rows - high, rows, 0, columns))[int(random.integers(2))]
    label = label[: area[1] - area[0] - 4, : area[3] - area[2] - 4]
    top = int(random.integers(area[0] + 2, area[1] - label.shape[0] - 1))
    left = int(random.integers(area[2] + 2, area[3] - label.shape[1] - 1))
    mask = np.zeros(shape, np.float32)
    mask[top : top + label.shape[0], left : left + label.shape[1]] = label
    return mask


def _stored(random: np.random.Generator, grey: npt.NDArray[np.float32], kind: Kind) -> tuple[Picture, int]:
    """Levels of 256 as stored values of 8, 12 or 13 bits, every second picture reversed."""
    stored = int(random.choice(BITS))
    noisy = grey + random.normal(0, kind.noise, grey.shape) if kind.noise else grey
    values = np.clip(noisy, 0, 255) * (((1 << stored) - 1) / 255)
    if random.random() < 0.5:
        values = (1 << stored) - 1 - values
    return np.round(values).astype(np.uint8 if stored == 8 else np.uint16), stored
