"""The ranges that a population's parameters are drawn from, uniformly."""

from dataclasses import dataclass, fields

import numpy as np

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Population:
    """Lengths are in millimetres.

    `depth`: from the chest wall to the nipple; `half_height`: from the nipple's level to the breast's edge;
    `thickness`: of the compressed breast; `roundness`: the exponent of its outline; `roughness`: that of the tissue's
    amplitude spectrum; `centring`: how much denser the breast is behind the nipple, in deviations of its noise;
    `texture`: fine structure, a share of the gland's; `pectoral`: the muscle's thickness, a share of the breast's;
    `noise`: of a pixel of 0.07 mm, a share of full scale; `mass_radius`; `mass_attenuation` and
    `speck_attenuation`: of a mass and of a calcification, per millimetre; `speck_radius`; `cluster_radius`.
    """

    depth: Range = (65, 115)
    half_height: Range = (55, 95)
    thickness: Range = (35, 70)
    roundness: Range = (1.9, 2.4)
    roughness: Range = (1.45, 1.75)
    centring: Range = (0.8, 2.2)
    texture: Range = (0.5, 1.0)
    pectoral: Range = (0.55, 0.85)
    noise: Range = (0.008, 0.016)
    mass_radius: Range = (4.0, 12.0)
    mass_attenuation: Range = (0.088, 0.106)
    speck_radius: Range = (0.12, 0.36)
    speck_attenuation: Range = (0.9, 1.4)
    cluster_radius: Range = (2.5, 7.0)


TRAINED = Population()
OTHER = Population(
    depth=(58, 122),
    half_height=(48, 98),
    thickness=(30, 75),
    roundness=(1.8, 2.6),
    roughness=(1.35, 1.85),
    centring=(0.5, 2.5),
    texture=(0.4, 1.2),
    pectoral=(0.5, 0.9),
    noise=(0.010, 0.020),
    mass_radius=(3.5, 14.0),
    mass_attenuation=(0.085, 0.106),
    speck_radius=(0.11, 0.40),
    cluster_radius=(2.0, 8.0),
)
"""Wider than what models are trained on, so that figures on it are not those of their training."""


@dataclass(frozen=True, slots=True)
class Breast:
    """One draw of a population; what lies in it has ranges of its own, which stay with `Population`."""

    depth: float
    half_height: float
    thickness: float
    roundness: float
    roughness: float
    centring: float
    texture: float
    pectoral: float
    noise: float

    @classmethod
    def draw(cls, random: np.random.Generator, population: Population) -> "Breast":
        return cls(*(float(random.uniform(*getattr(population, one.name))) for one in fields(cls)))
