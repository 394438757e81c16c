"""What a model found in a study: one pure value, from which every result (SR, page, message) is written.

An evaluation says what was found, where (`Target`: the exam, a breast, one view, or a lesion in it) and how
likely each alternative was; a measurement says how much. A lesion lies in one or more views of a breast. Everything
is coded, so that no reader has to parse words.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

FORMAT = 2
_READ = (1, 2)  # format 1 had neither measurements nor lesions


class Task(StrEnum):
    """The tasks a site can run a model for."""

    QUALITY = "quality"
    DENSITY = "density"
    LESIONS = "lesions"
    RISK = "risk"


class Level(StrEnum):
    """How much of an exam an evaluation speaks about."""

    EXAM = "exam"
    BREAST = "breast"
    VIEW = "view"
    LESION = "lesion"


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 section 8.8): value, designator of its scheme, meaning in English."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Target:
    """What an answer is about; laterality (`L`, `R`), instance, and the lesion's name are empty where unneeded."""

    level: Level
    laterality: str = ""
    sop_instance_uid: str = ""
    lesion: str = ""


EXAM = Target(Level.EXAM)


@dataclass(frozen=True, slots=True)
class Likelihood:
    """One alternative answer: its short label, its code, its probability from 0 to 1."""

    label: str
    code: Code
    probability: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.probability) and 0 <= self.probability <= 1):
            raise ValueError("a probability must lie between 0 and 1")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The answer to one question: `concept` asks, `value` answers, `likelihoods` tell all alternatives."""

    target: Target
    concept: Code
    value: Code
    likelihoods: tuple[Likelihood, ...] = ()

    @property
    def label(self) -> str:
        """The short label of the answer, empty where the alternatives have none."""
        return next((one.label for one in self.likelihoods if one.code == self.value), "")


class Shape(StrEnum):
    """How the points of a region are meant (PS3.3 C.18.6.1.2, Graphic Type); a polygon's last point is its first."""

    POINT = "POINT"
    POLYLINE = "POLYLINE"
    POLYGON = "POLYGON"


@dataclass(frozen=True, slots=True)
class Region:
    """A place in one frame of an image.

    Points are (column, row) in pixels of the stored image, (0, 0) its top left corner and (0.5, 0.5) the middle of
    its first pixel, as in PS3.3 C.18.6.1.1. `frame` counts from 1.
    """

    sop_instance_uid: str
    shape: Shape
    points: tuple[tuple[float, float], ...]
    frame: int = 1

    def __post_init__(self) -> None:
        if not self.points or not all(math.isfinite(value) for point in self.points for value in point):
            raise ValueError("a region needs points, and they must be finite")

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The first and last column and row that it reaches: (left, top, right, bottom)."""
        columns, rows = zip(*self.points, strict=True)
        return min(columns), min(rows), max(columns), max(rows)


@dataclass(frozen=True, slots=True)
class Measurement:
    """How much of what: a number with its unit (UCUM), and where it was measured."""

    target: Target
    concept: Code
    value: float
    unit: Code
    regions: tuple[Region, ...] = ()

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError("a measurement must be finite")


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion of a breast: its name (unique in its findings), its most likely kind, a score from 0 to 1.

    `regions` are its outlines, one for each view (or frame) that shows it. More about it is told by the evaluations
    and measurements whose target is its name.
    """

    name: str
    laterality: str
    kind: Code
    score: float
    regions: tuple[Region, ...]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.score) and 0 <= self.score <= 1):
            raise ValueError("a score must lie between 0 and 1")
        if not self.regions:
            raise ValueError("a lesion needs a region")


@dataclass(frozen=True, slots=True)
class Source:
    """An instance that was read, as the view it stands for (`L`/`R`, `CC`/`MLO`); both empty where it is no view."""

    laterality: str
    view: str
    sop_class_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Model:
    """Which model answered, and how far it may be trusted."""

    name: str
    title: str
    version: str
    sha256: str
    trained_on: str
    research_use_only: bool = True


@dataclass(frozen=True, slots=True)
class Findings:
    """What one model found in one study.

    `facts` are operating facts (preprocessing, execution provider, library versions); `applicability` says
    why the model was allowed to read this study; `operating_point` tells the threshold that lesions and yes-or-no
    answers were taken at. `created_at` carries its time zone.
    """

    task: Task
    study_instance_uid: str
    model: Model
    evaluations: tuple[Evaluation, ...]
    sources: tuple[Source, ...]
    created_at: datetime
    applicability: str
    facts: Mapping[str, str] = field(default_factory=dict)
    measurements: tuple[Measurement, ...] = ()
    lesions: tuple[Lesion, ...] = ()
    operating_point: str = ""

    def __post_init__(self) -> None:
        if self.created_at.tzinfo is None:
            raise ValueError("created_at must carry a time zone")

    def of(self, level: Level) -> tuple[Evaluation, ...]:
        """The evaluations that speak about a level."""
        return tuple(one for one in self.evaluations if one.target.level is level)


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """Why a model does not answer for a study: an outcome, not a failure. Trying again changes nothing."""

    reason: str


def to_json(findings: Findings | NotApplicable) -> str:
    """Write findings as JSON text, the same text for the same findings."""
    if isinstance(findings, NotApplicable):
        return json.dumps({"format": FORMAT, "not_applicable": findings.reason})
    content = asdict(findings) | {
        "created_at": findings.created_at.isoformat(),
        "facts": dict(findings.facts),
    }
    return json.dumps({"format": FORMAT, "findings": content}, sort_keys=True, allow_nan=False)


def from_json(text: str | bytes) -> Findings | NotApplicable:
    """Read what `to_json` wrote. Raises ValueError for anything else."""
    try:
        content = json.loads(text)
        if content["format"] not in _READ:
            raise ValueError("findings are of a format that this version does not read")
        if "not_applicable" in content:
            return NotApplicable(str(content["not_applicable"]))
        return _findings(content["findings"])
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("the text does not hold findings") from error


def _findings(content: dict[str, Any]) -> Findings:
    return Findings(
        task=Task(content["task"]),
        study_instance_uid=content["study_instance_uid"],
        model=Model(**content["model"]),
        evaluations=tuple(_evaluation(one) for one in content["evaluations"]),
        measurements=tuple(_measurement(one) for one in content.get("measurements", ())),
        lesions=tuple(_lesion(one) for one in content.get("lesions", ())),
        operating_point=content.get("operating_point", ""),
        sources=tuple(Source(**one) for one in content["sources"]),
        created_at=datetime.fromisoformat(content["created_at"]),
        applicability=content["applicability"],
        facts=dict(content["facts"]),
    )


def _evaluation(content: dict[str, Any]) -> Evaluation:
    return Evaluation(
        target=_target(content["target"]),
        concept=Code(**content["concept"]),
        value=Code(**content["value"]),
        likelihoods=tuple(
            Likelihood(one["label"], Code(**one["code"]), one["probability"])
            for one in content["likelihoods"]
        ),
    )


def _measurement(content: dict[str, Any]) -> Measurement:
    return Measurement(
        target=_target(content["target"]),
        concept=Code(**content["concept"]),
        value=content["value"],
        unit=Code(**content["unit"]),
        regions=_regions(content["regions"]),
    )


def _lesion(content: dict[str, Any]) -> Lesion:
    kind, regions = Code(**content["kind"]), _regions(content["regions"])
    return Lesion(content["name"], content["laterality"], kind, content["score"], regions)


def _target(content: dict[str, str]) -> Target:
    others = {name: value for name, value in content.items() if name != "level"}
    return Target(Level(content["level"]), **others)


def _regions(content: list[dict[str, Any]]) -> tuple[Region, ...]:
    return tuple(
        Region(
            sop_instance_uid=one["sop_instance_uid"],
            shape=Shape(one["shape"]),
            points=tuple((float(column), float(row)) for column, row in one["points"]),
            frame=one["frame"],
        )
        for one in content
    )
