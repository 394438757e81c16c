"""What lies in a breast besides its tissue: masses, calcifications and benign look-alikes, in three dimensions.

A body has a middle in the breast's own coordinates and parts at offsets in millimetres from it; compression moves
the middle and leaves the parts' sizes alone, as tumours are firmer than what is around them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from inference.phantom.population import Population
from inference.phantom.truth import SHAPES, Kind

Array = npt.NDArray[np.float64]


def _none(width: int = 4) -> Array:
    return np.zeros((0, width))


@dataclass(frozen=True, slots=True)
class Body:
    """`spheres` and `specks` are (n, 4): offset along a, p, q and radius; `lines` are (n, 8): two ends with radii.

    `attenuation` is per millimetre, of all its parts but specks, which have `speck_attenuation`. `hilum` tells that
    the spheres' middle is fat, as a lymph node's.
    """

    kind: Kind
    middle: tuple[float, float, float]
    shape: str = ""
    attenuation: float = 0.0
    speck_attenuation: float = 0.0
    spheres: Array = field(default_factory=_none)
    specks: Array = field(default_factory=_none)
    lines: Array = field(default_factory=lambda: _none(8))
    hilum: bool = False

    @property
    def reach(self) -> float:
        """How far from its middle the farthest of its spheres and specks goes, in millimetres."""
        parts = np.concatenate([self.spheres, self.specks])
        if not len(parts):
            return 0.0
        return float((np.linalg.norm(parts[:, :3], axis=1) + parts[:, 3]).max())


Middle = tuple[float, float, float]


def draw_body(random: np.random.Generator, kind: Kind, population: Population, middle: Middle) -> Body:
    """A body of a kind at a place."""
    return _DRAWN[kind](random, population, middle)


def draw_middle(random: np.random.Generator) -> Middle:
    """A place inside the breast, away from skin and chest wall."""
    a = random.uniform(0.25, 0.82)
    radius = np.sqrt(random.uniform(0, 1)) * 0.68 * np.sqrt(1 - a**2)
    angle = random.uniform(0, 2 * np.pi)
    return float(a), float(radius * np.cos(angle)), float(radius * np.sin(angle))


def _draw_mass(random: np.random.Generator, population: Population, middle: Middle) -> Body:
    shape = str(random.choice(SHAPES))
    radius = random.uniform(*population.mass_radius)
    count, spread, share = {
        "round": (4, 0.15, 0.9),
        "lobulated": (7, 0.75, 0.6),
        "spiculated": (9, 0.55, 0.55),
    }[shape]
    core = np.array([[0, 0, 0, 0.75 * radius]])
    around = _directions(random, count) * random.uniform(0.5, 1, (count, 1)) * spread * radius
    lobes = np.column_stack([around, random.uniform(0.7, 1, count) * share * radius])
    return Body(
        kind=Kind.MASS,
        middle=middle,
        shape=shape,
        attenuation=random.uniform(*population.mass_attenuation),
        spheres=np.concatenate([core, lobes]),
        lines=_draw_spicules(random, radius) if shape == "spiculated" else _none(8),
    )


def _draw_spicules(random: np.random.Generator, radius: float) -> Array:
    count = int(random.integers(14, 26))
    ways = _directions(random, count)
    ends = ways * random.uniform(1.5, 2.6, (count, 1)) * radius
    starts = 0.5 * radius * ways + random.normal(0, 0.06 * radius, (count, 3))
    thick = random.uniform(0.3, 0.7, (count, 1))
    return np.hstack([starts, thick, ends, 0.3 * thick])


def _draw_cluster(random: np.random.Generator, population: Population, middle: Middle) -> Body:
    count, radius = int(random.integers(6, 26)), random.uniform(*population.cluster_radius)
    places = _directions(random, count) * np.cbrt(random.uniform(0, 1, (count, 1))) * radius
    return Body(
        kind=Kind.CALCIFICATIONS,
        middle=middle,
        speck_attenuation=random.uniform(*population.speck_attenuation),
        specks=np.column_stack([places, random.uniform(*population.speck_radius, count)]),
    )


def _draw_node(random: np.random.Generator, population: Population, middle: Middle) -> Body:
    radius = random.uniform(3, 6)
    along = _directions(random, 1) * radius * 0.6
    spheres = np.array(
        [[*(along[0] * share), radius * (1 - 0.25 * abs(share))] for share in (-1, -0.5, 0, 0.5, 1)]
    )
    return Body(
        Kind.LYMPH_NODE, middle, attenuation=random.uniform(0.068, 0.078), spheres=spheres, hilum=True
    )


def _draw_macrocalcification(random: np.random.Generator, population: Population, middle: Middle) -> Body:
    speck = np.array([[0, 0, 0, random.uniform(0.7, 1.6)]])
    return Body(Kind.MACROCALCIFICATION, middle, speck_attenuation=random.uniform(0.5, 1.0), specks=speck)


def _draw_vessel(random: np.random.Generator, population: Population, middle: Middle) -> Body:
    """A wandering vessel, half of the time with calcified walls: two rows of faint specks."""
    steps = np.cumsum(_directions(random, 1) * 4 + random.normal(0, 0.9, (12, 3)), axis=0)
    steps -= steps.mean(axis=0)
    radius = random.uniform(0.6, 1.2)
    width = np.full((len(steps) - 1, 1), radius)
    lines = np.hstack([steps[:-1], width, steps[1:], width])
    specks = _none()
    if random.random() < 0.5:
        along = np.linspace(0, len(steps) - 1, 120)
        wall = np.column_stack([np.interp(along, np.arange(len(steps)), steps[:, axis]) for axis in range(3)])
        wall[:, 1:] += np.where(np.arange(120) % 2, radius, -radius)[:, np.newaxis]
        specks = np.column_stack([wall, np.full(120, 0.13)])
    return Body(Kind.VESSEL, middle, attenuation=0.08, speck_attenuation=0.6, lines=lines, specks=specks)


def _directions(random: np.random.Generator, count: int) -> Array:
    ways = random.standard_normal((count, 3))
    return np.asarray(ways / np.linalg.norm(ways, axis=1, keepdims=True), np.float64)


_DRAWN: Mapping[Kind, Callable[[np.random.Generator, Population, Middle], Body]] = {
    Kind.MASS: _draw_mass,
    Kind.CALCIFICATIONS: _draw_cluster,
    Kind.LYMPH_NODE: _draw_node,
    Kind.MACROCALCIFICATION: _draw_macrocalcification,
    Kind.VESSEL: _draw_vessel,
}
