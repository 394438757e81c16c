"""A passport: what a model is, on what it may be run, what it was trained on, and how well it did.

inference/passport_reading.py reads it of its TOML, of which docs/models.md describes every key.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from archive.findings import Code, Task
from inference.toml_table import Scalar

FORMAT = 2
PASSPORT = "passport.toml"
NAME = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(-[a-z0-9]+)*")
VERSION = re.compile(r"(?=.{1,64}\Z)[0-9]+\.[0-9]+\.[0-9]+([-+.][0-9A-Za-z.-]+)?")
MODALITIES = ("MG", "US", "MR")
STANDARD_VIEWS = {f"{laterality} {view}": (laterality, view) for laterality in "LR" for view in ("CC", "MLO")}
FOR_PRESENTATION = "FOR PRESENTATION"


class Kind(StrEnum):
    """What a model answers with."""

    CLASSES = "classes"
    REGRESSION = "regression"
    BOXES = "boxes"
    MASK = "mask"
    RISK = "risk"
    CRITERIA = "criteria"


class Per(StrEnum):
    """What one run of a model sees: all views of the exam, one view, or one image or frame."""

    EXAM = "exam"
    VIEW = "view"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Identity:
    name: str
    title: str
    version: str
    task: Task
    intended_use: str
    licence: str
    research_use_only: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A preprocessing step: its name, and its parameters by theirs."""

    name: str
    parameters: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the model reads, and on what it may be run.

    `views` are (laterality, view) in the order in which the network takes them; none stands for every image of the
    modality. `many_frames` tells that it reads instances of several frames, as tomosynthesis is. `required` tells that
    all views must be there; else any of them is enough. `spacing_mm` (smallest, largest) in millimetres between
    pixels and `ages` (youngest, oldest) in years are None where the model was made for any, and `manufacturers` empty.
    """

    modality: str
    presentation_intent: str
    views: tuple[tuple[str, str], ...]
    per: Per
    required: bool
    many_frames: bool
    manufacturers: tuple[str, ...]
    spacing_mm: tuple[float, float] | None
    accepts_implants: bool
    ages: tuple[float, float] | None
    features: tuple[str, ...]
    preprocessing: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class OutputClass:
    label: str
    code: Code
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a network's scores become probabilities: `temperature` divides logits by a; `platt` is a × logit + b."""

    kind: str = "none"
    a: float = 1.0
    b: float = 0.0


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the model answers: to which question (`concept`), with which classes in the network's order.

    `threshold` is the operating point, from 0 to 1. `parameters` are those of the function that makes an answer of
    the network's outputs.
    """

    kind: Kind
    concept: Code | None
    classes: tuple[OutputClass, ...]
    unit: Code | None
    threshold: float | None
    calibration: Calibration
    parameters: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Training:
    trained_on: str
    citation: str
    provenance: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure with its 95 % confidence interval and what it was measured on."""

    name: str
    value: float
    low: float
    high: float
    measured_on: str


@dataclass(frozen=True, slots=True)
class Method:
    """What measures in place of a network: `measured` criteria are functions of this program."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Signature:
    """`key` is the SHA-256 of the Ed25519 public key; `value` the signature in base64."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Passport:
    """`network_sha256` is empty where a method stands in place of a network.

    `half` is by how much answers of the network with 16 bits may differ; None: it runs with 32 everywhere.
    """

    identity: Identity
    inputs: Inputs
    outputs: Outputs
    training: Training
    metrics: tuple[Metric, ...]
    network_sha256: str
    half: float | None
    method: Method | None
    signature: Signature | None
