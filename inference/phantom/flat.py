"""A synthetic breast phantom: four mammograms For Presentation whose glandular fraction is known.

A view is a breast outline against the chest wall, in the MLO views with a pectoral muscle; inside it
fibroglandular tissue where correlated noise (a power law in spatial frequency, as breast parenchyma shows)
exceeds a threshold, denser behind the nipple, in fat; then a compressed thickness, quantum noise and a
display curve. It teaches a model the task, not patients: what was learned here says nothing of how it does on
them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

View = tuple[str, str]
Plane = npt.NDArray[np.float32]

VIEWS: tuple[View, ...] = (("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO"))
ROWS, COLUMNS = 1664, 1280
BITS = 12
THRESHOLDS = {"a": 0.25, "b": 0.50, "c": 0.75, "d": 1.01}
"""An exam's category: the first whose bound its glandular fraction lies under (quarters, as in BI-RADS 4)."""


@dataclass(frozen=True, slots=True)
class Variation:
    """The ranges that a population's parameters are drawn from, uniformly.

    `depth`, `height`: the breast's extent, in image widths and heights; `roundness`: the exponent of its
    outline; `roughness`: the exponent of the tissue's amplitude spectrum; `centring`: how much denser it is
    behind the nipple, in standard deviations of the noise; `contrast`: gland against fat; `gamma`: the
    display curve; `noise`: quantum noise at full signal; `pectoral`: the muscle's brightness.
    """

    depth: tuple[float, float] = (0.55, 0.85)
    height: tuple[float, float] = (0.38, 0.47)
    roundness: tuple[float, float] = (1.8, 2.3)
    roughness: tuple[float, float] = (1.3, 1.7)
    centring: tuple[float, float] = (0.5, 2.0)
    contrast: tuple[float, float] = (0.45, 0.75)
    gamma: tuple[float, float] = (0.85, 1.2)
    noise: tuple[float, float] = (0.005, 0.02)
    pectoral: tuple[float, float] = (0.75, 1.0)


TRAINING = Variation()
HELD_OUT = Variation(
    depth=(0.50, 0.90),
    height=(0.35, 0.48),
    roundness=(1.7, 2.5),
    roughness=(1.2, 1.8),
    centring=(0.3, 2.3),
    contrast=(0.40, 0.80),
    gamma=(0.80, 1.3),
    noise=(0.010, 0.03),
    pectoral=(0.65, 1.1),
)
"""Wider on both sides than what a model is trained on, so figures on it are not those of its training."""


@dataclass(frozen=True, slots=True)
class Exam:
    """Four views (rows, columns) of 12 bits in 16; the truth: the glandular share of the breasts' area."""

    images: Mapping[View, npt.NDArray[np.uint16]]
    glandular_fraction: float

    @property
    def category(self) -> str:
        return next(label for label, bound in THRESHOLDS.items() if self.glandular_fraction < bound)


def draw_exam(
    seed: int,
    *,
    glandular_fraction: float | None = None,
    variation: Variation = TRAINING,
    rows: int = ROWS,
    columns: int = COLUMNS,
) -> Exam:
    """Draw an exam, the same one for the same arguments.

    Without a glandular fraction that is drawn too, from 0.05 to 0.95.
    """
    random = np.random.default_rng(seed)
    fraction = float(random.uniform(0.05, 0.95) if glandular_fraction is None else glandular_fraction)
    breast = _Breast.draw(random, variation)
    images, truths = {}, []
    for view in VIEWS:
        image, truth = _draw_view(random, breast, view, (rows, columns), fraction)
        images[view] = image
        truths.append(truth)
    return Exam(images, float(np.mean(truths)))


@dataclass(frozen=True, slots=True)
class _Breast:
    """One draw of `Variation`."""

    depth: float
    height: float
    roundness: float
    roughness: float
    centring: float
    contrast: float
    gamma: float
    noise: float
    pectoral: float

    @classmethod
    def draw(cls, random: np.random.Generator, variation: Variation) -> "_Breast":
        return cls(**{name: float(random.uniform(*getattr(variation, name))) for name in cls.__slots__})


def _draw_view(
    random: np.random.Generator, breast: _Breast, view: View, shape: tuple[int, int], fraction: float
) -> tuple[npt.NDArray[np.uint16], float]:
    laterality, position = view
    across, down = _grid(shape)
    centre = 0.5 if position == "CC" else 0.56
    radius = _radius(across, np.abs(down - centre), breast)
    muscle = _muscle(across, down, random) if position == "MLO" else np.zeros(shape, np.float32)
    behind_nipple = np.hypot(across - 0.45 * breast.depth, down - centre) / breast.height
    score = _parenchyma(random, shape, breast.roughness) - breast.centring * (
        behind_nipple + 2 * _shell(radius, 0.2)
    )
    gland, truth = _glands(random, score, (radius < 1) & (muscle < 0.5), fraction)
    fat = 0.22 + 0.03 * _parenchyma(random, shape, 1.0) + 0.25 * _shell(radius, 0.015)
    tissue = fat + breast.contrast * gland
    signal = np.sqrt(np.clip((1 - radius) / 0.2, 0, 1)) * tissue
    signal = (1 - muscle) * signal + muscle * (breast.pectoral + 0.15 * signal)
    image = _expose(random, breast, np.clip(signal, 0, None).astype(np.float32))
    return np.ascontiguousarray(image if laterality == "L" else image[:, ::-1]), truth


def _grid(shape: tuple[int, int]) -> tuple[Plane, Plane]:
    """Pixel centres from the chest wall (0 to 1) and from top to bottom (0 to 1)."""
    rows, columns = shape
    across = (np.arange(columns) + 0.5) / columns
    down = (np.arange(rows) + 0.5) / rows
    return across[np.newaxis, :].astype(np.float32), down[:, np.newaxis].astype(np.float32)


def _radius(across: Plane, sideways: Plane, breast: _Breast) -> Plane:
    """How far out a pixel lies: 0 at the middle of the chest wall, 1 on the skin."""
    outward, aside = across / breast.depth, sideways / breast.height
    return np.asarray(
        (outward**breast.roundness + aside**breast.roundness) ** (1 / breast.roundness), np.float32
    )


def _shell(radius: Plane, thickness: float) -> Plane:
    """1 on the skin, falling to 0 at a depth of `thickness` (a share of the radius) under it; 0 outside."""
    return np.where(radius < 1, np.clip(1 - (1 - radius) / thickness, 0, 1), 0)


def _muscle(across: Plane, down: Plane, random: np.random.Generator) -> Plane:
    """The pectoral muscle of an oblique view, 0 to 1: convex, in the upper corner at the chest wall."""
    width, height = random.uniform(0.25, 0.4), random.uniform(0.45, 0.65)
    outside = (across / width) ** 1.2 + (down / height) ** 1.2 - 1
    return np.asarray(1 / (1 + np.exp(np.clip(80 * outside, -30, 30))), np.float32)


def _glands(
    random: np.random.Generator, score: Plane, area: npt.NDArray[np.bool_], fraction: float
) -> tuple[Plane, float]:
    """How glandular each pixel is, 0 to 1, and the share of the area in which it is more than half."""
    wanted = np.clip(fraction + random.normal(0, 0.015), 0.01, 0.99)
    threshold = np.quantile(score[area], 1 - wanted)
    gland = 1 / (1 + np.exp(np.clip(-7 * (score - threshold), -30, 30)))
    return np.asarray(gland, np.float32), float(np.mean(score[area] > threshold))


def _parenchyma(random: np.random.Generator, shape: tuple[int, ...], roughness: float) -> Plane:
    """Correlated noise of mean 0, deviation 1: amplitude falls with frequency to the power `roughness`."""
    rows, columns = shape
    down, across = np.fft.fftfreq(rows, 1 / rows), np.fft.rfftfreq(columns, 1 / columns)
    frequency = np.hypot(down[:, np.newaxis], across * (rows / columns)).astype(np.float32)
    amplitude = np.maximum(frequency, 2.0) ** -np.float32(roughness)
    spectrum = np.fft.rfft2(random.standard_normal(shape, dtype=np.float32)) * amplitude
    noise = np.fft.irfft2(spectrum, s=(rows, columns))
    return np.asarray((noise - noise.mean()) / noise.std(), np.float32)


def _expose(random: np.random.Generator, breast: _Breast, signal: Plane) -> npt.NDArray[np.uint16]:
    """Quantum noise that grows with the root of the signal, then the display curve, then 12 bits."""
    grain = random.standard_normal(signal.shape, dtype=np.float32) * breast.noise
    noisy = np.clip(signal + grain * np.sqrt(signal) + np.abs(grain) * 0.1, 0, 1.2) / 1.2
    return np.asarray(np.rint(noisy**breast.gamma * (2**BITS - 1)), np.uint16)
