"""A breast in three dimensions: where it is gland, where fat, and its ducts.

Its own coordinates have no unit: `a` from the chest wall (0) to the nipple (1), `p` towards the head and `q` away from
the midline, both from −1 to 1; the breast is the half ball a² + p² + q² ≤ 1. A view gives them millimetres.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from inference.phantom.noise import Plane, Volume, draw_volume_noise
from inference.phantom.population import Breast

SHAPE = (72, 128, 128)
"""Voxels along a, p, q: about 1 to 1.5 mm each."""

DENSE_SHARE = 0.25
"""A place of a view is dense where more than this share of the tissue above it is gland."""

Point = tuple[float, float, float]
Path = npt.NDArray[np.float32]
_SOFTNESS = 7.0
_DUCTS = 9


@dataclass(frozen=True, slots=True)
class Tissue:
    """`gland` is the share of gland in each voxel, (a, p, q); `ducts` are paths (points, 3) from the nipple inwards."""

    gland: Volume
    ducts: tuple[Path, ...]

    @property
    def volumetric_fraction(self) -> float:
        return float(self.gland[_ball()].mean())

    def shares(self, angle: float, depth: float | None = None) -> Plane:
        """The share of gland above each place (a, w) of a view; w, across, runs from −1 to 1.

        `angle` (degrees) turns the compression about the axis to the nipple: 0 sees the breast from above. `depth`,
        from −1 to 1, is a tomosynthesis plane: what lies near it counts most.
        """
        gland, ball = _turned(self.gland, angle), _ball().astype(np.float32)
        ball = ball * _focus(depth)[:, np.newaxis]
        return np.asarray((gland * ball).sum(1) / np.maximum(ball.sum(1), 1e-3), np.float32)

    def dense_share(self, angles: tuple[float, ...]) -> float:
        """The share of the breast's area that is dense, over the views from `angles`."""
        seen = _ball().any(axis=1)
        return float(np.mean([(self.shares(angle)[seen] > DENSE_SHARE).mean() for angle in angles]))


def draw_tissue(
    random: np.random.Generator, breast: Breast, dense_share: float, angles: tuple[float, ...]
) -> Tissue:
    """Tissue that is dense over about `dense_share` of the breast's area as seen from `angles`."""
    ducts = _draw_ducts(random)
    score = draw_volume_noise(random, SHAPE, breast.roughness) + _affinity(breast, ducts)
    inside = np.sort(score[_ball()])
    low, high = 0.0, 0.98
    for _ in range(8):
        fraction = (low + high) / 2
        tissue = Tissue(_glands(score, inside, fraction), ducts)
        low, high = (fraction, high) if tissue.dense_share(angles) < dense_share else (low, fraction)
    return tissue


def _glands(score: Volume, inside: Volume, fraction: float) -> Volume:
    threshold = inside[int((1 - fraction) * (len(inside) - 1))]
    return np.asarray(1 / (1 + np.exp(np.clip(_SOFTNESS * (threshold - score), -20, 20))), np.float32)


@cache
def _coordinates() -> tuple[Volume, Volume, Volume]:
    a = (np.arange(SHAPE[0], dtype=np.float32) + 0.5) / SHAPE[0]
    p = (np.arange(SHAPE[1], dtype=np.float32) + 0.5) / SHAPE[1] * 2 - 1
    q = (np.arange(SHAPE[2], dtype=np.float32) + 0.5) / SHAPE[2] * 2 - 1
    planes = (a[:, np.newaxis, np.newaxis], p[:, np.newaxis], q)
    first, second, third = (np.asarray(one, np.float32) for one in planes)
    return first, second, third


@cache
def _ball() -> npt.NDArray[np.bool_]:
    a, p, q = _coordinates()
    return np.asarray(a**2 + p**2 + q**2 <= 1)


def _affinity(breast: Breast, ducts: tuple[Path, ...]) -> Volume:
    """How much rather than elsewhere gland lies here: behind the nipple, at lobules, not under skin or at the chest."""
    a, p, q = _coordinates()
    radius = np.sqrt(a**2 + p**2 + q**2)
    behind_nipple = np.sqrt((a - 0.5) ** 2 + p**2 + (q - 0.1) ** 2)
    fat = 3 * np.clip((radius - 0.86) / 0.14, 0, 1) + 1.5 * np.clip((0.12 - a) / 0.12, 0, 1)
    lobules = np.zeros(SHAPE, np.float32)
    for duct in ducts:
        end = duct[-1]
        lobules += np.exp(-((a - end[0]) ** 2 + (p - end[1]) ** 2 + (q - end[2]) ** 2) / 0.02)
    return np.asarray(0.8 * lobules - breast.centring * behind_nipple - fat, np.float32)


def _draw_ducts(random: np.random.Generator) -> tuple[Path, ...]:
    """Ducts that fan out from the nipple and wander."""
    steps = np.linspace(0, 1, 24, dtype=np.float32)[:, np.newaxis]
    nipple = np.array([0.97, 0, 0], np.float32)
    ducts = []
    for _ in range(_DUCTS):
        across = random.uniform(-0.6, 0.6, 2)
        end = np.array([random.uniform(0.25, 0.6), *across], np.float32)
        wander = np.cumsum(random.normal(0, 0.02, (24, 3)), axis=0).astype(np.float32) * steps
        ducts.append(np.asarray((1 - steps) * nipple + steps * end + wander, np.float32))
    return tuple(ducts)


def turn(points: npt.NDArray[np.floating], angle: float) -> npt.NDArray[np.float64]:
    """Points (…, 3) of a, p, q as a, depth, across of a view from `angle`: depth runs along the compression."""
    radians = np.deg2rad(angle)
    a, p, q = np.moveaxis(np.asarray(points, np.float64), -1, 0)
    depth = p * np.cos(radians) - q * np.sin(radians)
    return np.stack([a, depth, p * np.sin(radians) + q * np.cos(radians)], axis=-1)


def _turned(gland: Volume, angle: float) -> Volume:
    """The volume with its second axis along the compression and its third across the view."""
    return gland if angle == 0 else gland.reshape(SHAPE[0], -1)[:, _turned_cells(angle)]


@cache
def _turned_cells(angle: float) -> npt.NDArray[np.intp]:
    _, p, q = _coordinates()
    depth, across = np.meshgrid(p[:, 0], q, indexing="ij")
    radians = np.deg2rad(angle)
    head = depth * np.cos(radians) + across * np.sin(radians)
    aside = across * np.cos(radians) - depth * np.sin(radians)
    rows, columns = (
        np.clip(((one + 1) / 2 * SHAPE[1]).astype(int), 0, SHAPE[1] - 1) for one in (head, aside)
    )
    return np.asarray(rows * SHAPE[2] + columns, np.intp)


def _focus(depth: float | None) -> npt.NDArray[np.float32]:
    """How much each layer along the compression counts."""
    if depth is None:
        return np.ones(SHAPE[1], np.float32)
    layers = _coordinates()[1][:, 0]
    return np.asarray(np.exp(-(((layers - depth) / 0.12) ** 2)) + 0.08, np.float32)
