"""What a trainer orders of the process that does the work of a round, and what comes of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from archive.settings import Settings
from federation.manifest import Manifest
from federation.training.task import Weights
from federation.training.weights import flatten, unflatten

PRELOADED = (
    "torch",
    "federation.site.client",
    "federation.training.tasks.density",
    "federation.training.tasks.lesions",
)
"""What a warm client has loaded before there is work."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done: a message's parts by their hashes as the hub sent them, `head` the hash of the whole."""

    settings: Settings
    manifest: Manifest
    site: str
    permit: str
    kind: str
    round: int
    head: str
    contents: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it, but for the weights. `patients` are those that were learnt from: they stay at the site.

    `shapes` are names and shapes of the weights, none where nothing was trained.
    """

    metrics: Mapping[str, float]
    weights_in: str
    weights_out: str
    dataset_version: str
    cohort: str
    opt_outs: str
    studies: int
    patients: Sequence[str]
    number_of_patients: int
    shapes: Sequence[tuple[str, Sequence[int]]] = ()
    steps: int = 0
    sample_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `release` is what may be told of a package."""

    figures: Figures
    weights: Weights | None = None
    release: bytes = b""

    def to_parts(self) -> list[bytes]:
        """As it goes from process to process."""
        vector = b"" if self.weights is None else flatten(self.weights).tobytes()
        return [json.dumps(asdict(self.figures)).encode(), vector, self.release]


def read_outcome(parts: Sequence[bytes]) -> Outcome:
    """What `Outcome.to_parts` made."""
    told, vector, release = parts
    figures = Figures(**json.loads(told))
    like = {name: np.empty(shape, np.float32) for name, shape in figures.shapes}
    weights = unflatten(np.frombuffer(vector, "<f4"), like) if like else None
    return Outcome(figures, weights, release)
