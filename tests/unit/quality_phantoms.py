"""Mammograms drawn with a known nipple, muscle and outline, to measure image quality on."""

import io
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydicom import dcmread

from inference.demo import build_exam, to_part10
from inference.instance import read_instance
from inference.picture import Picture, View
from inference.pixels import read_picture

SPACING = 0.2
HEIGHT, WIDTH = 240.0, 170.0
Image = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Drawing:
    """Millimetres, from the upper corner at the chest wall; grey from 0 to 1.

    The breast is half an ellipse, `depth` deep and `half` high on either side of `level`; the nipple a bump of
    `nipple` on its tip. The muscle is `muscle` wide at the upper border, at `angle` degrees with the chest wall, and
    ends `muscle_end` down along its edge. `blur` is the deviation of a Gaussian.
    """

    view: View = ("L", "CC")
    depth: float = 110.0
    half: float = 90.0
    level: float = 120.0
    nipple: float = 4.0
    muscle: float = 0.0
    angle: float = 25.0
    muscle_end: float = 1000.0
    blur: float = 0.0
    gain: float = 1.0
    seed: int = 0

    @cache  # noqa: B019
    def draw(self) -> npt.NDArray[np.float32]:
        """Grey, chest wall on the left."""
        down, across = np.mgrid[: round(HEIGHT / SPACING), : round(WIDTH / SPACING)].astype(np.float32)
        down, across = (down + 0.5) * SPACING, (across + 0.5) * SPACING
        inside = np.clip(1 - ((down - self.level) / self.half) ** 2, 0, None)
        edge = self.depth * np.sqrt(inside)
        edge = edge + self.nipple * np.exp(-0.5 * ((down - self.level) / 3) ** 2)
        if self.view[1] == "MLO":
            edge = np.where(down < self.level, np.maximum(edge, self.muscle + 40), edge)
        tissue = 0.35 + 0.07 * texture(down.shape, self.seed)
        grey = np.where(across < edge, tissue * np.clip((edge - across) / 8, 0.45, 1), 0.0)
        muscle = np.clip((self._beside(across, down)) / 0.8 + 0.5, 0, 1)
        grey = grey * (1 - muscle) + muscle * (0.75 + 0.02 * texture(down.shape, self.seed + 1))
        if self.blur:
            grey = cv2.GaussianBlur(grey, (0, 0), self.blur / SPACING)
        noise = np.random.default_rng(self.seed).normal(0, 0.002, grey.shape)
        return np.clip(self.gain * grey + noise, 0, 1).astype(np.float32)

    def _beside(self, across: Any, down: Any) -> Any:
        """How far inside the muscle a point lies; its end is cut at a right angle."""
        sine, cosine = np.sin(np.deg2rad(self.angle)), np.cos(np.deg2rad(self.angle))
        sideways = (self.muscle - across) * cosine - down * sine
        along = -(across - self.muscle) * sine + down * cosine
        return np.minimum(sideways, self.muscle_end - along) if self.muscle else -1000.0 + 0 * across

    def with_(self, **changes: Any) -> "Drawing":
        return replace(self, **changes)


@cache
def texture(shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float32]:
    """Noise of deviation 1 whose power falls with the third power of frequency."""
    down, across = np.fft.fftfreq(shape[0])[:, np.newaxis], np.fft.rfftfreq(shape[1])[np.newaxis, :]
    amplitude = np.maximum(np.hypot(down, across), 2 / shape[0]) ** -1.5
    white = np.random.default_rng(seed + 100).standard_normal(shape, dtype=np.float32)
    noise = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=shape)
    return np.asarray(noise / noise.std(), np.float32)


def stored(grey: npt.NDArray[np.float32], view: View, bits: int = 12) -> Image:
    """Stored values, right breasts with their chest wall on the right."""
    values = np.rint(grey * ((1 << bits) - 1)).astype(np.uint16)
    return np.ascontiguousarray(values if view[0] == "L" else values[:, ::-1])


def to_part(image: Image, view: View, **attributes: Any) -> bytes:
    """An instance of this image. Its window spans the whole range of 12 bits unless told otherwise."""
    dataset = dcmread(io.BytesIO(build_exam({view: image}, seed=" ".join(view))[0]))
    dataset.ImagerPixelSpacing = dataset.PixelSpacing = [SPACING, SPACING]
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return to_part10(dataset)


def to_picture(image: Image, view: View, **attributes: Any) -> Picture:
    return read_picture(read_instance(to_part(image, view, **attributes)), view)


def picture(drawing: Drawing, **attributes: Any) -> Picture:
    return to_picture(stored(drawing.draw(), drawing.view), drawing.view, **attributes)
