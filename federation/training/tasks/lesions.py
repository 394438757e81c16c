"""Lesions across sites: the built-in detector, learnt from the boxes that readers marked.

An exam shows one of its views in each step, more often one with lesions. Its network normalises groups of channels of
each view by themselves, so that it means the same wherever it was trained.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydicom.sr.codedict import codes

from archive.errors import BadRequest
from federation.training.learning import Loss, balanced, fit, repeatable, restore, uniform, weights_of
from federation.training.parity import check_parity
from federation.training.privacy import fit_privately
from federation.training.tables import tables
from federation.training.task import Example, Label, Local, Trained, Weights
from inference.evaluation import Detections, average_precision, sensitivity_at
from inference.phantom import VIEWS
from inference.picture import Picture, View
from inference.training.lesion_figures import look
from inference.training.lesion_images import KINDS, MULTIPLE, PREPROCESSING, SPACING, STEPS, Mark
from inference.training.lesion_images import Example as Shot
from inference.training.lesion_learning import assemble, see
from inference.training.lesion_learning import loss as distance
from inference.training.lesion_network import Detector
from inference.training.running import draw, runner

NAME = "federated-lesions"
CODES = {"mass": codes.SCT.Mass, "calcification cluster": codes.SCT.CalcificationCluster}

_WITH_LESIONS = 0.75
_CORNERS = 24
_RATE = 1.0
"""False positives an image at which the sensitivity is told."""

Tensor = npt.NDArray[np.float32]


class Lesions:
    """Implements `federation.training.task.TrainingTask`.

    An example's `inputs` are, for each view that it has, such as `L CC`, its pixels (rows, columns), and as
    `L CC marks` (k, 5) its lesions: the kind's number, and left, top, right and bottom in those pixels. Where
    `is_balanced`, exams with kinds of lesions that are rare at the site are shown more often.
    """

    name = "lesions"
    steps = STEPS

    def __init__(self, *, is_balanced: bool = True) -> None:
        self.is_balanced = is_balanced

    def initial(self, seed: int) -> Weights:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return weights_of(Detector())

    def prepare(self, pictures: Mapping[View, Picture], label: Label) -> Example | None:
        there = {view: picture for view, picture in pictures.items() if view in VIEWS}
        if not there or any(one.kind not in KINDS for one in label.marks):
            return None
        inputs: dict[str, Tensor] = {}
        for view, picture in there.items():
            inputs[" ".join(view)] = picture.pixels.astype(np.float32)
            inputs[_marks_of(view)] = np.array(
                [_own(picture, one.kind, one.box) for one in label.marks if one.view == view], np.float32
            ).reshape(-1, 5)
        return Example("", "", inputs, label)

    def train(self, weights: Weights, examples: Sequence[Example], local: Local) -> Trained:
        kinds = [_kinds(one) for one in examples]
        if not any(kinds):
            raise BadRequest("lesions are learnt from exams some of which show one")
        with repeatable():
            network = _network(weights)
            loss = _loss(network, examples)
            if local.privacy.is_on:
                learnt = fit_privately(network, loss, [one.patient_id for one in examples], local)
            else:
                shares = balanced(kinds) if self.is_balanced else uniform(len(examples))
                learnt = fit(network, loss, shares, local)
        metrics = {} if learnt.loss is None else {"loss": learnt.loss}
        return Trained(weights_of(network), len(examples), metrics, learnt.steps, learnt.sample_rate)

    def evaluate(self, weights: Weights, examples: Sequence[Example]) -> Mapping[str, float]:
        shots = [_shot(one, at, view) for at, one in enumerate(examples) for view in _views(one)]
        if not shots:
            raise BadRequest("there is no view to find lesions in")
        with repeatable(), torch.no_grad():
            network = _network(weights)
            far = [_far(network, [shot], np.random.default_rng(0)) for shot in shots]
            seen = look(runner(network.to_onnx()), shots)
        figures = {"loss": float(np.mean(far))}
        return figures | _found([one.both for one in seen], len(shots) / len(seen))

    def export(self, weights: Weights) -> tuple[bytes, Mapping[str, Any]]:
        with repeatable():
            network = _network(weights)
            content = network.to_onnx()
            check_parity(content, 2 * draw((1, 1, 4 * MULTIPLE, 3 * MULTIPLE)), network.answers)
        return content, _tables()


def _marks_of(view: View) -> str:
    return f"{' '.join(view)} marks"


def _own(picture: Picture, kind: str, box: tuple[float, float, float, float]) -> tuple[float, ...]:
    """The kind's number, and the box in the picture's own pixels."""
    left, top, right, bottom = box
    corners = np.array(picture.placement.own([(left, top), (right, bottom)]))
    (least_x, least_y), (most_x, most_y) = corners.min(axis=0), corners.max(axis=0)
    return [one.value for one in KINDS].index(kind), least_x, least_y, most_x, most_y


def _kinds(example: Example) -> tuple[str, ...]:
    return tuple(sorted({one.kind for one in example.label.marks}))


def _views(example: Example) -> list[View]:
    return [one for one in VIEWS if " ".join(one) in example.inputs]


def _shot(example: Example, exam: int, view: View) -> Shot:
    """A view of an example as the detector's training knows it."""
    marks = tuple(_mark(*row) for row in example.inputs[_marks_of(view)])
    return Shot(exam, "", view, example.inputs[" ".join(view)].astype(np.float16), marks)


def _mark(kind: float, left: float, top: float, right: float, bottom: float) -> Mark:
    """The ellipse in a box: what lies in its corners is seldom the lesion."""
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    x = (left + right) / 2 + (right - left) / 2 * np.cos(angles)
    y = (top + bottom) / 2 + (bottom - top) / 2 * np.sin(angles)
    return Mark(int(kind), np.stack([x, y], axis=1).astype(np.float32))


def _loss(network: Detector, examples: Sequence[Example]) -> Loss:
    def loss(chosen: Sequence[int], random: np.random.Generator) -> torch.Tensor:
        return _far(network, [_choose(examples[one], one, random) for one in chosen], random)

    return loss


def _choose(example: Example, exam: int, random: np.random.Generator) -> Shot:
    views = _views(example)
    with_lesions = [one for one in views if len(example.inputs[_marks_of(one)])]
    some = with_lesions if with_lesions and random.random() < _WITH_LESIONS else views
    return _shot(example, exam, some[int(random.integers(len(some)))])


def _far(network: Detector, shots: Sequence[Shot], random: np.random.Generator) -> torch.Tensor:
    """How far what the network tells of views is from what they show."""
    inputs, targets = assemble(random, [see(one) for one in shots])
    return distance(network(inputs), targets)


def _found(exams: Sequence[Detections], views: float) -> dict[str, float]:
    """Figures of exams of so many views; of those with lesions alone where there are any."""
    if not any(one.lesions for one in exams):
        return {"primary": 0.0}
    precision = average_precision(exams)
    found, _, _ = sensitivity_at(exams, _RATE * views, rounds=1)
    return {"primary": precision, "average precision": precision, "sensitivity at 1 false positive": found}


def _network(weights: Weights) -> Detector:
    network = Detector()
    restore(network, weights)
    return network


def _tables() -> dict[str, Any]:
    inputs = {
        "required": False,
        "implants": "refuse",
        "spacing_mm": [0.04, SPACING],
        "preprocessing": PREPROCESSING,
    }
    classes = [
        {"label": label, "value": one.value, "scheme": one.scheme_designator, "meaning": one.meaning}
        for label, one in CODES.items()
    ]
    outputs = {"kind": "boxes", "classes": classes}
    return tables(NAME, "Lesion detector trained across sites", "lesions", inputs, outputs)


TASK = Lesions()
