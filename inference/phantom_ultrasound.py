"""A synthetic breast ultrasound image whose mass, if it shows one, is known pixel by pixel.

Layers (skin, fat, gland, muscle, chest wall) and a hypoechoic mass give an echo strength; speckle is that strength
times complex Gaussian scatterers seen through a point spread function; then attenuation, the shadow or enhancement
behind the mass, and log compression. It teaches a model the task, not patients: what was learned here says nothing of
how it does on them.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

ROWS, COLUMNS = 128, 160
DEPTH_MM = 40.0
"""How deep an image reaches; pixels are square."""

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Variation:
    """The ranges that an image's parameters are drawn from, uniformly.

    `fat`, `gland`: the lower border of these layers, as a share of the depth; `contrast`: a mass's echo strength
    against the gland; `radius`: half of its width, in millimetres; `flatness`: its height against its width;
    `roughness`: how far its border strays, as a share of its radius; `behind`: what is left of the echo behind it,
    under 1 a shadow; `attenuation`: nepers lost from top to bottom; `blur`: the point spread function's deviation
    across, in pixels; `decibels`: the dynamic range that is shown.
    """

    fat: tuple[float, float] = (0.12, 0.28)
    gland: tuple[float, float] = (0.60, 0.80)
    contrast: tuple[float, float] = (0.05, 0.25)
    radius: tuple[float, float] = (3.0, 9.0)
    flatness: tuple[float, float] = (0.55, 1.0)
    roughness: tuple[float, float] = (0.02, 0.15)
    behind: tuple[float, float] = (0.35, 1.6)
    attenuation: tuple[float, float] = (0.2, 1.0)
    blur: tuple[float, float] = (1.0, 1.8)
    decibels: tuple[float, float] = (48.0, 60.0)


TRAINING = Variation()
HELD_OUT = Variation(
    fat=(0.10, 0.32),
    gland=(0.55, 0.85),
    contrast=(0.04, 0.30),
    radius=(2.5, 11.0),
    flatness=(0.5, 1.2),
    roughness=(0.0, 0.2),
    behind=(0.25, 1.8),
    attenuation=(0.0, 1.2),
    blur=(0.9, 2.1),
    decibels=(44.0, 64.0),
)
"""Wider on both sides than what a model is trained on, so figures on it are not those of its training."""

SHARE_WITH_MASS = 0.75


@dataclass(frozen=True, slots=True)
class Image:
    """One image, 8 bits (rows, columns), and the truth: where the mass lies, nowhere in an image without one."""

    pixels: npt.NDArray[np.uint8]
    mass: Mask


def draw_image(
    seed: int,
    *,
    mass: bool | None = None,
    variation: Variation = TRAINING,
    rows: int = ROWS,
    columns: int = COLUMNS,
) -> Image:
    """Draw an image, the same one for the same arguments. Without `mass` that is drawn too."""
    random = np.random.default_rng(seed)
    values = {name: float(random.uniform(*getattr(variation, name))) for name in Variation.__slots__}
    shown = bool(random.random() < SHARE_WITH_MASS) if mass is None else mass
    echo = _layers(random, (rows, columns), values)
    place = _mass(random, (rows, columns), values) if shown else np.zeros((rows, columns), np.float32)
    echo = echo * (1 - place) + place * values["contrast"] * _texture(random, echo.shape, 6, 0.2)
    echo *= _behind(place, values["behind"]) * _ligaments(random, echo.shape)
    echo *= np.exp(-values["attenuation"] * _down(rows)).astype(np.float32)
    return Image(_show(_speckle(random, echo, values["blur"]), values["decibels"]), place > 0.5)


def _down(rows: int) -> Plane:
    """How deep each row lies, 0 to 1, as a column."""
    return np.asarray((np.arange(rows, dtype=np.float32) + 0.5) / rows, np.float32)[:, np.newaxis]


def _texture(random: np.random.Generator, shape: tuple[int, ...], blur: float, strength: float) -> Plane:
    """Smooth noise around 1, never under 0.05; `blur` in pixels, `strength` its deviation."""
    noise = cv2.GaussianBlur(random.standard_normal(shape, dtype=np.float32), (0, 0), blur)
    return np.asarray(np.maximum(1 + strength * noise / noise.std(), 0.05), np.float32)


def _border(random: np.random.Generator, columns: int, depth: float) -> Plane:
    """A layer's lower border: its depth at each column, 0 to 1, gently waved."""
    at = np.linspace(0, 2 * np.pi, columns, dtype=np.float32)
    waves = [
        random.normal(0, 0.02) * np.sin(one * at / 2 + random.uniform(0, 2 * np.pi)) for one in (1, 2, 3)
    ]
    return np.asarray(depth + sum(waves), np.float32)


def _layers(random: np.random.Generator, shape: tuple[int, int], values: dict[str, float]) -> Plane:
    """Echo strength of skin, fat, gland and muscle, (rows, columns); 1 is the gland's."""
    rows, columns = shape
    down = np.broadcast_to(_down(rows), shape)
    fat, gland = (_border(random, columns, values[name]) for name in ("fat", "gland"))
    echo = np.where(down < fat, 0.4 * _texture(random, shape, 4, 0.25), _texture(random, shape, 5, 0.22))
    muscle = 0.45 * _texture(random, shape, 3, 0.2) * (1 + 0.5 * np.sin(down * random.uniform(60, 110)))
    echo = np.where(down > gland, muscle, echo)
    lines = [np.exp(-(((down - one) / 0.008) ** 2)) for one in (fat, gland)]
    skin = np.where(down < random.uniform(0.03, 0.05), 1.8, 0)
    return np.asarray(echo + 0.8 * lines[0] + 1.2 * lines[1] + skin, np.float32)


def _mass(random: np.random.Generator, shape: tuple[int, int], values: dict[str, float]) -> Plane:
    """The mass, 1 inside and 0 outside with a soft border: an ellipse, tilted, whose radius strays."""
    rows, columns = shape
    pixel = DEPTH_MM / rows
    width = values["radius"] / pixel
    height = width * values["flatness"]
    row = random.uniform(
        values["fat"] * rows + height, max(values["gland"] * rows, values["fat"] * rows + height)
    )
    column = random.uniform(0.15, 0.85) * columns
    tilt = random.uniform(-0.4, 0.4)
    y, x = np.mgrid[:rows, :columns].astype(np.float32) + 0.5
    across = (x - column) * np.cos(tilt) + (y - row) * np.sin(tilt)
    along = (y - row) * np.cos(tilt) - (x - column) * np.sin(tilt)
    angle, radius = np.arctan2(along / height, across / width), np.hypot(along / height, across / width)
    stray = sum(
        random.normal(0, 1 / one) * np.cos(one * angle + random.uniform(0, 6.3)) for one in (2, 3, 4, 6, 9)
    )
    outside = (radius - 1 - values["roughness"] * stray) * height
    return np.asarray(1 / (1 + np.exp(np.clip(2 * outside, -30, 30))), np.float32)


def _behind(place: Plane, share: float) -> Plane:
    """What the mass leaves of the echo under it: `share` where it is thickest, 1 beside it."""
    above = np.cumsum(place, axis=0)
    thickness = above / max(float(above.max()), 1.0)
    left = 1 + (share - 1) * thickness * (1 - place)
    return np.asarray(cv2.GaussianBlur(left.astype(np.float32), (0, 0), 1.5), np.float32)


def _ligaments(random: np.random.Generator, shape: tuple[int, ...]) -> Plane:
    """Narrow shadows that no mass casts, such as those of Cooper's ligaments."""
    left = np.ones(shape, np.float32)
    for _ in range(random.integers(0, 3)):
        column, width = random.uniform(0, shape[1]), random.uniform(3, 8)
        dark = np.exp(-(((np.arange(shape[1]) - column) / width) ** 2)) * random.uniform(0.2, 0.6)
        left[int(random.uniform(0.1, 0.5) * shape[0]) :] *= (1 - dark).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(left, (0, 0), 2), np.float32)


def _speckle(random: np.random.Generator, echo: Plane, blur: float) -> Plane:
    """The envelope of scatterers of that strength seen through a Gaussian point spread function."""
    parts = [
        cv2.GaussianBlur(
            random.standard_normal(echo.shape, dtype=np.float32) * echo, (0, 0), blur, sigmaY=0.6
        )
        for _ in range(2)
    ]
    return np.asarray(np.hypot(*parts), np.float32)


def _show(envelope: Plane, decibels: float) -> npt.NDArray[np.uint8]:
    """Log compression of so many decibels under the brightest but for one in two hundred, to 8 bits."""
    top = float(np.percentile(envelope, 99.5))
    shown = 1 + 20 * np.log10(np.maximum(envelope / top, 1e-6)) / decibels
    return np.asarray(np.rint(255 * np.clip(shown, 0, 1)), np.uint8)
