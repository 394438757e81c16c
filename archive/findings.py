"""What a model found in a study: one pure value, from which every result (SR, page, message) is written.

An evaluation says what was found, where (`Target`: the exam, a breast, one view, or a lesion in it) and how
likely each alternative was. Everything is coded, so that no reader has to parse words.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

FORMAT = 1


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
    """What an evaluation is about. Laterality (`L`, `R`) and instance are empty where they do not apply."""

    level: Level
    laterality: str = ""
    sop_instance_uid: str = ""


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


@dataclass(frozen=True, slots=True)
class Source:
    """An instance that was read, as the view it stands for (`L`/`R`, `CC`/`MLO`)."""

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
    why the model was allowed to read this study. `created_at` carries its time zone.
    """

    task: Task
    study_instance_uid: str
    model: Model
    evaluations: tuple[Evaluation, ...]
    sources: tuple[Source, ...]
    created_at: datetime
    applicability: str
    facts: Mapping[str, str] = field(default_factory=dict)

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
        if content["format"] != FORMAT:
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
        sources=tuple(Source(**one) for one in content["sources"]),
        created_at=datetime.fromisoformat(content["created_at"]),
        applicability=content["applicability"],
        facts=dict(content["facts"]),
    )


def _evaluation(content: dict[str, Any]) -> Evaluation:
    target = content["target"]
    return Evaluation(
        target=Target(Level(target["level"]), target["laterality"], target["sop_instance_uid"]),
        concept=Code(**content["concept"]),
        value=Code(**content["value"]),
        likelihoods=tuple(
            Likelihood(one["label"], Code(**one["code"]), one["probability"])
            for one in content["likelihoods"]
        ),
    )
