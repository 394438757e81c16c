"""A view of a breast: what the X-rays met on their way, as a processed signal (1: all gland), without a vendor's curve.

Attenuation per millimetre at 20 keV after Johns and Yaffe, Phys. Med. Biol. 32 (1987) 675.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inference.phantom.anatomy import DENSE_SHARE, Tissue
from inference.phantom.contents import Body
from inference.phantom.geometry import Geometry
from inference.phantom.noise import Plane, draw_plane_noise
from inference.phantom.population import Breast

FAT, GLAND = 0.0456, 0.0802
SKIN = 1.5
_COARSE = 0.5  # millimetres; the grid on which what varies slowly is computed
_MARGIN = 9.0
_RESIDUAL = 0.12  # of the thickness' own shadow, what processing leaves


@dataclass(frozen=True, slots=True)
class Projection:
    """`signal` begins at the chest wall; `breast` is True inside; the rest is what its truth needs."""

    signal: Plane
    breast: npt.NDArray[np.bool_]
    dense_share: float
    glandular_fraction: float


def project(
    random: np.random.Generator,
    breast: Breast,
    tissue: Tissue,
    bodies: tuple[Body, ...],
    geometry: Geometry,
    *,
    spacing: float,
    rows: int,
    depth: float | None = None,
) -> Projection:
    """One view, (rows, as many columns as the breast needs), at `spacing` millimetres.

    `depth`, from −1 to 1, makes it a tomosynthesis plane: what lies elsewhere along the compression is faint.
    """
    shape = (rows, int((geometry.depth + _MARGIN) / spacing))
    inside, skin_distance = _draw_outline(geometry, shape, spacing)
    thickness = _thickness(skin_distance, geometry.thickness)
    share, muscle = _slow(tissue, geometry, shape, spacing, depth)
    fine = _texture(random, share, breast, tissue, geometry, spacing)
    gland = thickness * ((1 - muscle) * fine + muscle * breast.pectoral * (0.9 + 0.2 * fine))
    attenuation = np.asarray((GLAND - FAT) * gland + _RESIDUAL * FAT * thickness, np.float32)
    attenuation += 0.12 * np.clip(1 - skin_distance / SKIN, 0, 1) * inside
    for body in bodies:
        add_body(attenuation, body, geometry, fine, spacing, depth)
    full = (GLAND - FAT + _RESIDUAL * FAT) * geometry.thickness * 0.9
    tissue_alone = inside & (muscle < 0.5)
    return Projection(
        signal=np.where(inside, attenuation / np.float32(full), 0).astype(np.float32),
        breast=inside,
        dense_share=float((share[tissue_alone] > DENSE_SHARE).mean()),
        glandular_fraction=float((share * thickness)[tissue_alone].sum() / thickness[tissue_alone].sum()),
    )


def _draw_outline(
    geometry: Geometry, shape: tuple[int, int], spacing: float
) -> tuple[npt.NDArray[np.bool_], Plane]:
    """Where the breast with its nipple is, and how far inside the skin, in millimetres."""
    x, y = _grid(shape, spacing)
    inside = x < geometry.outline(y)
    aside = (x - geometry.depth + 1.5) ** 2 + (y - geometry.level) ** 2
    inside = np.asarray(inside | (aside < 5.5**2))
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
    return inside, np.asarray(distance * np.float32(spacing), np.float32)


def _grid(shape: tuple[int, int], spacing: float) -> tuple[Plane, Plane]:
    """Millimetres of the pixels' middles: x (1, columns), y (rows, 1)."""
    x, y = ((np.arange(size, dtype=np.float32) + 0.5) * np.float32(spacing) for size in shape[::-1])
    return x[np.newaxis, :], y[:, np.newaxis]


def _thickness(skin_distance: Plane, thickness: float) -> Plane:
    """The breast's thickness: full but for its rounded edge."""
    edge = np.float32(0.4 * thickness)
    return np.asarray(thickness * np.sqrt(1 - (1 - np.clip(skin_distance / edge, 0, 1)) ** 2), np.float32)


def _slow(
    tissue: Tissue, geometry: Geometry, shape: tuple[int, int], spacing: float, depth: float | None
) -> tuple[Plane, Plane]:
    """The share of gland, and that of muscle, at each pixel: both vary slowly."""
    cells = tuple(max(int(size * spacing / _COARSE), 2) for size in shape)
    y, x = (
        (np.arange(count) + 0.5) / count * size * spacing for count, size in zip(cells, shape, strict=True)
    )
    x, y = x[np.newaxis, :], y[:, np.newaxis]
    shares = tissue.shares(geometry.angle, depth)
    along = geometry.along(x, y) * shares.shape[0] - 0.5
    across = np.broadcast_to((geometry.across(y) + 1) / 2 * shares.shape[1] - 0.5, along.shape)
    share = cv2.remap(
        shares,
        across.astype(np.float32),
        along.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    muscle = geometry.muscle_share(x, y)
    return _enlarged(np.asarray(share, np.float32), shape), _enlarged(np.asarray(muscle, np.float32), shape)


def _enlarged(plane: Plane, shape: tuple[int, int]) -> Plane:
    return np.asarray(cv2.resize(plane, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _texture(
    random: np.random.Generator,
    share: Plane,
    breast: Breast,
    tissue: Tissue,
    geometry: Geometry,
    spacing: float,
) -> Plane:
    """The share of gland with lobules, ligaments and ducts, from 0 to 1."""
    shape = (share.shape[0], share.shape[1])
    grain = draw_plane_noise(random, shape, tuple(mm / spacing for mm in (0.3, 0.8, 2.0, 5.0)), 0.5)
    webs = draw_plane_noise(random, shape, tuple(mm / spacing for mm in (3.0, 7.0, 14.0)), 0.8)
    ligaments = np.exp(-((webs / np.float32(0.08)) ** 2))
    ducts = _draw_ducts(tissue, geometry, shape, spacing)
    amount = np.float32(breast.texture)
    fine = share * (1 + np.float32(0.10) * amount * grain) + np.float32(0.012) * grain
    fine += (np.float32(0.06) * ligaments + np.float32(0.10) * ducts) * amount * (1 - share)
    return np.asarray(np.clip(fine, 0, 1), np.float32)


def _draw_ducts(tissue: Tissue, geometry: Geometry, shape: tuple[int, int], spacing: float) -> Plane:
    canvas = np.zeros(shape, np.uint8)
    paths = []
    for duct in tissue.ducts:
        points = np.array([geometry.place(point, np.zeros((1, 3)))[0][0] for point in duct]) / spacing
        paths.append(np.rint(points * 16).astype(np.int32).reshape(-1, 1, 2))
    cv2.polylines(canvas, paths, False, 255, max(round(0.9 / spacing), 1), cv2.LINE_AA, 4)
    return np.asarray(canvas / np.float32(255), np.float32)


def add_body(
    attenuation: Plane,
    body: Body,
    geometry: Geometry,
    share: Plane,
    spacing: float,
    depth: float | None = None,
) -> None:
    """Add what a body attenuates more than the tissue it replaces, in place."""
    if len(body.spheres):
        places, depths = geometry.place(np.asarray(body.middle), body.spheres[:, :3])
        radii = body.spheres[:, 3] * np.sqrt(_sharpness(depths, depth))
        _add_spheres(attenuation, places, radii, body, share, spacing)
    if len(body.lines):
        _add_lines(attenuation, body, geometry, spacing)
    if len(body.specks):
        places, depths = geometry.place(np.asarray(body.middle), body.specks[:, :3])
        amounts = 4 / 3 * np.pi * body.specks[:, 3] ** 3 * body.speck_attenuation * _sharpness(depths, depth)
        for (x, y), radius, amount in zip(places, body.specks[:, 3], amounts, strict=True):
            _add_speck(attenuation, x / spacing, y / spacing, radius / spacing, amount / spacing**2)


def _sharpness(depths: npt.NDArray[np.floating], depth: float | None) -> npt.NDArray[np.floating]:
    return np.ones_like(depths) if depth is None else np.exp(-(((depths - depth) / 0.15) ** 2))


def _add_spheres(
    attenuation: Plane,
    places: npt.NDArray[np.floating],
    radii: npt.NDArray[np.floating],
    body: Body,
    share: Plane,
    spacing: float,
) -> None:
    window = _window(places, radii, spacing, attenuation.shape)
    y, x = np.mgrid[window].astype(np.float32)
    x, y = (x + 0.5) * spacing, (y + 0.5) * spacing
    height = np.zeros(x.shape, np.float32)
    for (at_x, at_y), radius in zip(places, radii, strict=True):
        square = np.clip(radius**2 - (x - at_x) ** 2 - (y - at_y) ** 2, 0, None)
        np.maximum(height, 2 * np.sqrt(square), out=height)
    if body.hilum:
        middle = places.mean(axis=0)
        near = np.hypot(x - middle[0], y - middle[1]) / (0.45 * radii.max())
        height *= 1 - 0.8 * np.exp(-(near**2))
    more = body.attenuation - FAT - (GLAND - FAT) * share[window]
    attenuation[window] += np.maximum(more, 0.002).astype(np.float32) * height


def _window(
    places: npt.NDArray[np.floating], radii: npt.NDArray[np.floating], spacing: float, shape: tuple[int, ...]
) -> tuple[slice, slice]:
    low = np.floor((places - radii[:, np.newaxis]).min(axis=0) / spacing).astype(int) - 1
    high = np.ceil((places + radii[:, np.newaxis]).max(axis=0) / spacing).astype(int) + 1
    (left, top), (right, bottom) = np.maximum(low, 0), np.minimum(high, shape[::-1])
    return slice(top, max(bottom, top)), slice(left, max(right, left))


def _add_lines(attenuation: Plane, body: Body, geometry: Geometry, spacing: float) -> None:
    canvas = np.zeros(attenuation.shape, np.uint8)
    starts, _ = geometry.place(np.asarray(body.middle), body.lines[:, :3])
    ends, _ = geometry.place(np.asarray(body.middle), body.lines[:, 4:7])
    widths = body.lines[:, 3] + body.lines[:, 7]
    for start, end, width in zip(starts, ends, widths, strict=True):
        (x0, y0), (x1, y1) = (tuple(int(value * 16 / spacing) for value in point) for point in (start, end))
        cv2.line(canvas, (x0, y0), (x1, y1), 255, max(round(width / spacing), 1), cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(canvas, (0, 0), max(0.2 / spacing, 0.5)).astype(np.float32) / 255
    attenuation += soft * np.float32(float(widths.mean()) * 2.5 * (body.attenuation - FAT))


def _add_speck(attenuation: Plane, x: float, y: float, radius: float, amount: float) -> None:
    """A blurred ball: `amount` is its attenuation summed over pixels; lengths are in pixels."""
    spread = np.hypot(radius / 1.7, 0.45)
    reach = int(3 * spread) + 1
    column, row = int(x), int(y)
    top, left = max(row - reach, 0), max(column - reach, 0)
    rows = np.arange(top, min(row + reach + 1, attenuation.shape[0]))[:, np.newaxis] + 0.5
    columns = np.arange(left, min(column + reach + 1, attenuation.shape[1])) + 0.5
    if not rows.size or not columns.size:
        return
    bell = (
        np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * spread**2)) * amount / (2 * np.pi * spread**2)
    )
    attenuation[top : top + rows.shape[0], left : left + columns.size] += bell.astype(np.float32)
