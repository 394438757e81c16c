"""The sites' weights made one: checked one by one, combined in the order of the sites' names, in float64.

What comes of it depends on nothing but the weights, the numbers of examples and the server's state: on any machine a
round that is done again ends with the same weights.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from archive.errors import BadRequest
from federation.manifest import Aggregation, Manifest, Strategy
from federation.provenance.record import Reason, Refused
from federation.provenance.verification import MOST_EXAMPLES
from federation.training.weights import Vector, distance

Numbers = npt.NDArray[np.float64]
_AT_A_TIME = 1 << 18  # numbers of all sites that are sorted together

PARAMETERS: Mapping[str, tuple[float, float, float]] = {
    "proximal_mu": (0.01, 0.0, 1e6),
    "server_learning_rate": (1.0, 0.0, 100.0),
    "beta_1": (0.9, 0.0, 0.9999999),
    "beta_2": (0.99, 0.0, 0.9999999),
    "tau": (1e-3, 1e-12, 1.0),
    "trim": (0.2, 0.0, 0.4999999),
    "grace": (900.0, 0.0, 86_400.0),
    "timeout": (21_600.0, 10.0, 604_800.0),
}
"""What a manifest's `parameters` may have: the default, the least and the most of each. Times are in seconds."""
_ADAM_RATE = 0.01


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a site made of the weights, from how many examples."""

    site: str
    vector: Vector
    examples: int


@dataclass(frozen=True, slots=True)
class Optimiser:
    """What FedAdam keeps from round to round (Reddi et al., arXiv:2003.00295, algorithm 2); empty for the others."""

    momentum: Numbers = field(default_factory=lambda: np.zeros(0))
    velocity: Numbers = field(default_factory=lambda: np.zeros(0))


def check_parameters(manifest: Manifest) -> None:
    """Raises BadRequest for parameters that do not exist, or that can't have the value."""
    for name, value in manifest.parameters.items():
        if name not in PARAMETERS:
            raise BadRequest(f"there is no parameter {name[:40]!r}: they are {', '.join(PARAMETERS)}")
        _, least, most = PARAMETERS[name]
        if not least <= value <= most:
            raise BadRequest(f"{name} must be from {least:g} to {most:g}")


def parameter(manifest: Manifest, name: str) -> float:
    """A parameter of a run: what its manifest says, else the default."""
    default = PARAMETERS[name][0]
    if name == "server_learning_rate" and manifest.strategy == Strategy.FEDADAM:
        default = _ADAM_RATE
    return manifest.parameters.get(name, default)


def check_contribution(base: Vector, given: Contribution, norm_bound: float) -> None:
    """Raises Refused for weights that are not taken: not finite, too far from those that were sent, or of nothing.

    `norm_bound` bounds the Euclidean norm of the change; 0 is for none.
    """
    if given.vector.shape != base.shape or given.vector.dtype != np.float32:
        raise Refused(Reason.SHAPE, "the weights are not of the kind and size of the task's")
    if not np.isfinite(given.vector).all():
        raise Refused(Reason.NOT_FINITE, "the weights are not finite")
    if not 1 <= given.examples <= MOST_EXAMPLES:
        raise Refused(Reason.STATEMENT, "the number of examples can't be")
    if norm_bound and not distance(given.vector, base) <= norm_bound:
        raise Refused(Reason.NORM, "the change of the weights is beyond the norm bound")


def combine(given: Sequence[Contribution], aggregation: Aggregation, trim: float = 0.0) -> Numbers:
    """The weights of all sites as one, in float64. `trim` is the share that `TRIMMED` leaves out at either end.

    The mean is weighted by examples. Median and trimmed mean are by coordinate, and a site is a site: how many
    examples a hostile one says to have is of no use to it. Three sites or more are trimmed of one at either end at
    least. Raises ValueError for nothing.
    """
    ordered = sorted(given, key=lambda one: one.site)
    if not ordered:
        raise ValueError("there is nothing to combine")
    if aggregation == Aggregation.MEAN:
        return _mean(ordered)
    cut = 0 if aggregation == Aggregation.MEDIAN else _cut(len(ordered), trim)
    return _by_coordinate([one.vector for one in ordered], aggregation, cut)


def _mean(ordered: Sequence[Contribution]) -> Numbers:
    total = math.fsum(one.examples for one in ordered)
    mean = np.zeros(ordered[0].vector.shape)
    for one in ordered:
        mean += one.vector.astype(np.float64) * (one.examples / total)
    return mean


def _cut(sites: int, trim: float) -> int:
    least = 1 if sites >= 3 and trim else 0
    return min(max(math.floor(trim * sites), least), (sites - 1) // 2)


def _by_coordinate(vectors: Sequence[Vector], aggregation: Aggregation, cut: int) -> Numbers:
    """Part by part, so that memory does not grow with the number of sites."""
    combined = np.empty(vectors[0].shape)
    step = max(1, _AT_A_TIME // len(vectors))
    for start in range(0, combined.size, step):
        part = np.stack([vector[start : start + step] for vector in vectors]).astype(np.float64)
        if aggregation == Aggregation.MEDIAN:
            combined[start : start + step] = np.median(part, axis=0)
        else:
            combined[start : start + step] = np.sort(part, axis=0)[cut : len(vectors) - cut].mean(axis=0)
    return combined


def step(
    manifest: Manifest, base: Vector, combined: Numbers, optimiser: Optimiser
) -> tuple[Vector, Optimiser]:
    """The weights of the next round: the server's step from `base` towards what the sites made of it.

    Raises BadRequest where the weights that come of it are not finite in float32.
    """
    start, rate = base.astype(np.float64), parameter(manifest, "server_learning_rate")
    change = combined - start
    if manifest.strategy == Strategy.FEDADAM:
        optimiser = _moments(manifest, change, optimiser)
        change = optimiser.momentum / (np.sqrt(optimiser.velocity) + parameter(manifest, "tau"))
        made = start + rate * change
    else:
        made = combined if rate == 1.0 else start + rate * change
    with np.errstate(over="ignore"):
        vector = made.astype(np.float32)
    if not np.isfinite(vector).all():
        raise BadRequest("the weights that come of the round are not finite")
    return vector, optimiser


def _moments(manifest: Manifest, change: Numbers, before: Optimiser) -> Optimiser:
    beta_1, beta_2 = parameter(manifest, "beta_1"), parameter(manifest, "beta_2")
    momentum = before.momentum if before.momentum.size else np.zeros_like(change)
    velocity = (
        before.velocity if before.velocity.size else np.full_like(change, parameter(manifest, "tau") ** 2)
    )
    return Optimiser(
        beta_1 * momentum + (1 - beta_1) * change, beta_2 * velocity + (1 - beta_2) * change * change
    )
