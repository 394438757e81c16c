"""Draws a screening exam of a structured phantom: its four views as stored, and all that is known of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from inference.phantom.anatomy import Tissue, draw_tissue
from inference.phantom.contents import Body, draw_body, draw_middle
from inference.phantom.flat import THRESHOLDS, VIEWS
from inference.phantom.geometry import ANGLES, Geometry, draw_geometry
from inference.phantom.noise import Plane
from inference.phantom.population import TRAINED, Breast, Population, Range
from inference.phantom.projection import project
from inference.phantom.truth import Finding, Kind, Points, Seen, Truth, View, ViewTruth
from inference.phantom.vendor import VENDORS, Vendor

DENSE_SHARES = {"a": (0.05, 0.22), "b": (0.28, 0.47), "c": (0.53, 0.72), "d": (0.78, 0.90)}
"""The shares of dense area that a category is drawn from."""

_ASKED = DENSE_SHARES | {"c": (0.57, 0.72), "d": (0.87, 0.95)}
"""The same where a category is asked for: views show a tail of fat besides, and must not fall under its bound."""

_BENIGN = (Kind.LYMPH_NODE, Kind.MACROCALCIFICATION, Kind.VESSEL)
_NOISE_SPACING = 0.07
PLANES_SPACING, PLANES_APART = 0.2, 5.0


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted of an exam. None lets the seed decide.

    `lesions` are put into one breast or the other; without them the seed decides on none to two. `spacing`
    (millimetres) draws the vendor's detector in coarser pixels.
    """

    lesions: tuple[Kind, ...] | None = None
    benign: bool = True
    category: str | None = None
    vendor: str | None = None
    spacing: float | None = None
    population: Population = TRAINED
    views: tuple[View, ...] = VIEWS


@dataclass(frozen=True, slots=True)
class Study:
    """Views (rows, columns) as stored, of `vendor` at `spacing` millimetres, with their truth.

    `thickness` is each view's compressed thickness in millimetres.
    """

    images: Mapping[View, npt.NDArray[np.uint16]]
    vendor: Vendor
    spacing: float
    thickness: Mapping[View, float]
    truth: Truth


@dataclass(frozen=True, slots=True)
class Planes:
    """Tomosynthesis planes of a view: `values` (planes, rows, columns), 12 bits; lengths are in millimetres."""

    values: npt.NDArray[np.uint16]
    spacing: float
    apart: float


@dataclass(frozen=True, slots=True)
class _Side:
    """One breast, and how it is positioned in each view."""

    breast: Breast
    tissue: Tissue
    bodies: tuple[Body, ...]
    geometries: Mapping[str, Geometry]


def draw_study(seed: int, order: Order = Order()) -> Study:  # noqa: B008 (frozen)
    """Draw an exam, the same one for the same arguments."""
    random = np.random.default_rng(seed)
    vendor, shares = _draw_kind(random, order)
    spacing = order.spacing or vendor.spacing
    sides = draw_sides(random, order, shares, vendor)
    images, thickness, truths = {}, {}, []
    for view in order.views:
        side = sides[view[0]]
        images[view], truth = _draw_view(random, side, view, vendor, spacing)
        thickness[view] = side.geometries[view[1]].thickness
        truths.append(truth)
    findings = tuple(_find(sides, order.views, vendor, spacing))
    return Study(images, vendor, spacing, thickness, _truth(seed, sides, tuple(truths), findings))


def draw_planes(seed: int, order: Order, apart: float = PLANES_APART) -> Iterator[tuple[View, Planes]]:
    """The same breasts in tomosynthesis planes, `apart` millimetres of compressed thickness, view by view."""
    random = np.random.default_rng(seed)
    vendor, shares = _draw_kind(random, order)
    sides = draw_sides(random, order, shares, vendor)
    spacing = max(order.spacing or 0.0, PLANES_SPACING)
    for number, view in enumerate(order.views):
        side = sides[view[0]]
        count = int(side.geometries[view[1]].thickness / apart)
        depths = (np.arange(count) + 0.5) / count * 2 - 1
        planes = [_draw_plane((seed, number), side, view, vendor, spacing, depth) for depth in depths]
        yield view, Planes(np.stack(planes), spacing, apart)


def _draw_plane(
    seed: tuple[int, int], side: _Side, view: View, vendor: Vendor, spacing: float, depth: float
) -> npt.NDArray[np.uint16]:
    """One plane, 12 bits in MONOCHROME2 sense; texture and noise are those of the view's other planes."""
    random, geometry = np.random.default_rng(seed), side.geometries[view[1]]
    rows, columns = (round(size / spacing) for size in vendor.field)
    seen = project(
        random, side.breast, side.tissue, side.bodies, geometry, spacing=spacing, rows=rows, depth=depth
    )
    plane = replace(vendor, bits=12, photometric="MONOCHROME2")
    image = expose(random, side.breast, seen.signal, seen.breast, plane, spacing, columns)
    return np.ascontiguousarray(image if view[0] == "L" else image[:, ::-1])


def _draw_kind(random: np.random.Generator, order: Order) -> tuple[Vendor, Range]:
    """The make of mammograph, and the range of shares of dense area."""
    vendor = VENDORS[order.vendor or str(random.choice(list(VENDORS)))]
    category = order.category or str(random.choice(list(DENSE_SHARES)))
    return vendor, (_ASKED if order.category else DENSE_SHARES)[category]


def draw_sides(random: np.random.Generator, order: Order, shares: Range, vendor: Vendor) -> dict[str, _Side]:
    """The breasts of an exam: alike, each with tissue and findings of its own."""
    breast = Breast.draw(random, order.population)
    share = float(random.uniform(*shares))
    wanted = _draw_wanted(random, order)
    sides = {}
    for laterality in sorted({view[0] for view in order.views}):
        geometries = {one: draw_geometry(random, breast, one, vendor.field[0]) for one in ANGLES}
        tissue = draw_tissue(random, breast, share, tuple(ANGLES.values()))
        bodies = _draw_bodies(random, wanted[laterality], order.population, geometries)
        sides[laterality] = _Side(breast, tissue, bodies, geometries)
    return sides


def _draw_wanted(random: np.random.Generator, order: Order) -> dict[str, list[Kind]]:
    lesions: Sequence[Kind]
    if order.lesions is None:
        count = int(random.choice(3, p=(0.4, 0.4, 0.2)))
        lesions = [Kind(one) for one in random.choice((Kind.MASS, Kind.CALCIFICATIONS), count)]
    else:
        lesions = order.lesions
    sides = sorted({view[0] for view in order.views})
    wanted: dict[str, list[Kind]] = {"L": [], "R": []}
    for kind in lesions:
        wanted[str(random.choice(sides))].append(kind)
    if order.benign:
        for kind in random.choice(_BENIGN, int(random.integers(0, 4))):
            wanted[str(random.choice(sides))].append(Kind(kind))
    return wanted


def _draw_bodies(
    random: np.random.Generator,
    kinds: Sequence[Kind],
    population: Population,
    geometries: Mapping[str, Geometry],
) -> tuple[Body, ...]:
    """Bodies whose places fit into all views and that keep apart from each other."""
    bodies: list[Body] = []
    for kind in kinds:
        for _ in range(40):
            body = draw_body(random, kind, population, draw_middle(random))
            if all(_fits(body, bodies, geometry) for geometry in geometries.values()):
                bodies.append(body)
                break
    return tuple(bodies)


def _fits(body: Body, others: Sequence[Body], geometry: Geometry) -> bool:
    x, y = _middle(body, geometry)
    reach = body.reach + 2
    clear = reach < x < float(geometry.outline(np.asarray(y))) - reach
    clear = clear and float(geometry.muscle_share(np.asarray(x - reach), np.asarray(y - reach))) < 0.5
    return clear and all(
        np.hypot(x - at_x, y - at_y) > reach + other.reach + 2
        for other in others
        for at_x, at_y in [_middle(other, geometry)]
    )


def _middle(body: Body, geometry: Geometry) -> tuple[float, float]:
    ((x, y),), _ = geometry.place(np.asarray(body.middle), np.zeros((1, 3)))
    return float(x), float(y)


def _draw_view(
    random: np.random.Generator, side: _Side, view: View, vendor: Vendor, spacing: float
) -> tuple[npt.NDArray[np.uint16], ViewTruth]:
    geometry = side.geometries[view[1]]
    rows, columns = (round(size / spacing) for size in vendor.field)
    seen = project(random, side.breast, side.tissue, side.bodies, geometry, spacing=spacing, rows=rows)
    image = expose(random, side.breast, seen.signal, seen.breast, vendor, spacing, columns)
    place = _Stored(view[0], spacing, columns)
    truth = ViewTruth(
        view,
        seen.dense_share,
        seen.glandular_fraction,
        place.points([(geometry.depth, geometry.level)])[0],
        place.points(geometry.muscle_edge()),
    )
    return np.ascontiguousarray(image if view[0] == "L" else image[:, ::-1]), truth


def expose(
    random: np.random.Generator,
    breast: Breast,
    signal: Plane,
    inside: npt.NDArray[np.bool_],
    vendor: Vendor,
    spacing: float,
    columns: int,
) -> npt.NDArray[np.uint16]:
    """A whole detector's stored values, chest wall on the left: quantum noise, enhancement, the vendor's curve.

    A coarser pixel collects more quanta, so its noise is less in proportion.
    """
    grain = random.standard_normal(signal.shape, dtype=np.float32) * np.float32(
        breast.noise * _NOISE_SPACING / spacing
    )
    noisy = signal + grain * (np.float32(0.6) + np.float32(0.4) * signal)
    processed = np.where(inside, np.maximum(vendor.enhance(noisy, spacing), 0), 0)
    image = np.zeros((signal.shape[0], columns), np.float32)
    width = min(columns, signal.shape[1])
    image[:, :width] = processed[:, :width]
    return vendor.store(image)


@dataclass(frozen=True, slots=True)
class _Stored:
    """Turns millimetres into columns and rows of the stored image."""

    laterality: str
    spacing: float
    columns: int

    def points(self, places: npt.ArrayLike) -> Points:
        found = np.asarray(places, np.float64).reshape(-1, 2) / self.spacing
        if self.laterality == "R":
            found[:, 0] = self.columns - found[:, 0]
        return tuple((round(float(x), 2), round(float(y), 2)) for x, y in found)


def _find(
    sides: Mapping[str, _Side], views: Sequence[View], vendor: Vendor, spacing: float
) -> Iterator[Finding]:
    columns = round(vendor.field[1] / spacing)
    for laterality, side in sides.items():
        for number, body in enumerate(side.bodies, 1):
            seen = tuple(
                _see(
                    body,
                    side.geometries[position],
                    (laterality, position),
                    _Stored(laterality, spacing, columns),
                )
                for _, position in sorted(view for view in views if view[0] == laterality)
            )
            name = f"{laterality}{number}"
            yield Finding(name, laterality, body.kind, body.shape, _diameter(body), seen)


def _diameter(body: Body) -> float:
    ends = [body.lines[:, :3], body.lines[:, 4:7]] if body.kind is Kind.VESSEL else []
    farthest = max((float(np.linalg.norm(one, axis=1).max()) for one in ends), default=0.0)
    return round(2 * max(body.reach, farthest), 1)


def _see(body: Body, geometry: Geometry, view: View, stored: _Stored) -> Seen:
    specks = body.kind in (Kind.CALCIFICATIONS, Kind.MACROCALCIFICATION)
    middle = np.asarray(body.middle)
    if body.kind is Kind.VESSEL:
        parts = np.concatenate([body.lines[:, :4], body.lines[:, 4:]])
    else:
        parts = body.specks if specks else body.spheres
    places, _ = geometry.place(middle, parts[:, :3])
    radii = parts[:, 3] + (1.0 if body.kind is Kind.CALCIFICATIONS else 0.0)
    hull = specks or body.kind is Kind.VESSEL
    outline = _hull(places, radii) if hull else _union(places, radii)
    return Seen(
        view, stored.points(outline), stored.points(places) if body.kind is Kind.CALCIFICATIONS else ()
    )


def _hull(places: npt.NDArray[np.floating], radii: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The closed convex hull of discs, in millimetres."""
    turns = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    points = (
        (places[:, np.newaxis] + radii[:, np.newaxis, np.newaxis] * ring).reshape(-1, 2).astype(np.float32)
    )
    hull = cv2.convexHull(points)[:, 0]
    return np.asarray(np.concatenate([hull, hull[:1]]), np.float64)


def _union(places: npt.NDArray[np.floating], radii: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The closed outline of discs that overlap, in millimetres, found on a grid of 0.1 mm."""
    corner = (places - radii[:, np.newaxis]).min(axis=0) - 1
    size = np.ceil(((places + radii[:, np.newaxis]).max(axis=0) + 1 - corner) * 10).astype(int)
    canvas = np.zeros((size[1], size[0]), np.uint8)
    for (x, y), radius in zip((places - corner) * 10, radii * 10, strict=True):
        cv2.circle(canvas, (round(x * 16), round(y * 16)), round(radius * 16), 255, -1, cv2.LINE_8, 4)
    contours, _ = cv2.findContours(canvas, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = cv2.approxPolyDP(max(contours, key=cv2.contourArea), 1.0, True)[:, 0]
    points = (outline + 0.5) / 10 + corner
    return np.asarray(np.concatenate([points, points[:1]]), np.float64)


def _truth(
    seed: int, sides: Mapping[str, _Side], views: tuple[ViewTruth, ...], findings: tuple[Finding, ...]
) -> Truth:
    share = float(np.mean([one.dense_share for one in views]))
    return Truth(
        seed=seed,
        category=next(label for label, bound in THRESHOLDS.items() if share < bound),
        dense_share=share,
        glandular_fraction=float(np.mean([one.glandular_fraction for one in views])),
        volumetric_fraction={name: side.tissue.volumetric_fraction for name, side in sides.items()},
        views=views,
        findings=findings,
    )
