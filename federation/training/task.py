"""What is learnt across sites: the values that a task's training takes and gives, and the tasks there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from archive.errors import BadRequest
from inference.picture import Picture, View

Weights = dict[str, npt.NDArray[np.float32]]
"""A network's parameters by their names in torch, in the order of its state: what travels between sites."""

_TASKS = ("density", "lesions")


@dataclass(frozen=True, slots=True)
class Mark:
    """A lesion that a reader marked: its kind, and its box (left, top, right, bottom) in pixels of the stored image."""

    view: View
    kind: str  # as the task's classes are called
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Label:
    """What is known of an exam: `category` a to d for density, `marks` for lesions; where it comes from.

    `source` is one of `reader-sr`, `csv` and `accepted-finding`. An exam with no lesions has a label without marks.
    `share` is how much of the denser breast's area is dense, 0 to 1, where that was measured.
    """

    source: str
    category: str = ""
    marks: tuple[Mark, ...] = ()
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """An exam as a network takes it, with its label. `inputs` are of the task's own shape (`TrainingTask.prepare`)."""

    study_instance_uid: str
    patient_id: str
    inputs: Mapping[str, npt.NDArray[np.float32]]
    label: Label
    manufacturer: str = ""
    age: int | None = None


@dataclass(frozen=True, slots=True)
class Privacy:
    """Differentially private training (Abadi et al., arXiv:1607.00133), off where `noise_multiplier` is 0.

    `max_grad_norm` bounds what one patient's exams change in a step, and the noise's standard deviation is
    `noise_multiplier` times that.
    """

    noise_multiplier: float = 0.0
    max_grad_norm: float = 1.0
    delta: float = 1e-5

    @property
    def is_on(self) -> bool:
        return self.noise_multiplier > 0


@dataclass(frozen=True, slots=True)
class Local:
    """How a site trains in one round: the same settings, weights and examples give the same weights on one machine.

    `secret` is the site's own, of this run and round, and never told: the noise of private training comes from it, so
    that a round which is done again gives the same answer and tells no more. Where it is empty, noise is new each time.
    """

    epochs: int
    batch: int
    learning_rate: float
    seed: int  # of this site and round
    proximal_mu: float = 0.0  # FedProx (Li et al., arXiv:1812.06127)
    privacy: Privacy = field(default_factory=Privacy)
    secret: bytes = b""


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of it. `steps` and `sample_rate` are what an accountant of ε needs; `metrics` are finite numbers."""

    weights: Weights
    examples: int
    metrics: Mapping[str, float]
    steps: int = 0
    sample_rate: float = 0.0


class TrainingTask(Protocol):
    """One kind of model that sites can train together."""

    name: str
    steps: Sequence[tuple[str, Mapping[str, Any]]]
    """The preprocessing that its passport will name (`inference.preprocess`)."""

    def initial(self, seed: int) -> Weights:
        """Weights to begin with."""

    def prepare(self, pictures: Mapping[View, Picture], label: Label) -> Example | None:
        """Pictures that went through `steps`, as `inputs` (UID, patient and the rest left empty).

        None where views miss, or the label tells nothing that the task learns from.
        """

    def train(self, weights: Weights, examples: Sequence[Example], local: Local) -> Trained:
        """One round at one site. Raises BadRequest where there is too little to learn from."""

    def evaluate(self, weights: Weights, examples: Sequence[Example]) -> Mapping[str, float]:
        """Figures on examples; `loss`, and `primary`, by which runs are judged: larger is better."""

    def export(self, weights: Weights) -> tuple[bytes, Mapping[str, Any]]:
        """The network as ONNX, checked against torch on examples of its own, and the tables of its passport.

        The tables lack `training`, `identity.version` and `metrics`, which whoever registers it adds.
        """


def task_of(name: str) -> TrainingTask:
    """The task of this name. Raises BadRequest."""
    if name not in _TASKS:
        raise BadRequest(f"what sites can train together is {' or '.join(_TASKS)}")
    made: TrainingTask = import_module(f"federation.training.tasks.{name}").TASK
    return made
