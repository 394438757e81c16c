"""A study in, findings out: headers, images, gate, pixels, preprocessing, network, answer, findings."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import onnxruntime

from archive.findings import Evaluation, Findings, NotApplicable, Source
from inference.answers import find_answer
from inference.answers.answer import Answer
from inference.applicability import gate
from inference.exam import Chosen, select
from inference.features import lay_out
from inference.instance import Instance, Part, read_instance
from inference.passport import Inputs, Kind, Passport, Per
from inference.picture import Picture
from inference.pictures import prepared
from inference.preprocess import assemble
from inference.session import Measured, Session, Tensor
from inference.trace import Trace

TOGETHER = 8
"""Pictures of one study that are put to a network at once, where it takes any number."""

Outputs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Means:
    """What a reading is done with: threads that decode, how the network is run, and what its log is told; and what
    the site's density model told of the same study, for models that read that.

    Without them it is done in the caller's thread, by the session itself.
    """

    pool: Executor | None = None
    run: Callable[[Tensor], Mapping[str, Tensor]] | None = None
    trace: Trace = field(default_factory=Trace)
    density: tuple[Evaluation, ...] = ()


def read_study(
    parts: Iterable[Part],
    model: Session | Measured,
    *,
    created_at: datetime | None = None,
    means: Means | None = None,
) -> Findings | NotApplicable:
    """Run a model on the instances of one study (Part 10, as bytes or as paths, in any order).

    NotApplicable says why the model was not made for this study. Raises ReadingFailed where it was and yet
    could not read it: an instance is damaged, or the network fails on it.
    """
    means = means or Means()
    passport = model.package.passport
    with means.trace.part("headers"):
        instances = [read_instance(part) for part in parts]
        chosen = gate(passport, instances) or select(instances, passport.inputs)
    if isinstance(chosen, NotApplicable):
        return chosen
    if passport.inputs.features:
        features = lay_out(passport.inputs.features, instances, means.density)
        if isinstance(features, NotApplicable):
            return features
        pictures, outputs = _run_on_features(features, chosen, model, means)
    else:
        pictures, outputs = _run(chosen, model, means)
    with means.trace.part("answer"):
        answer = find_answer(passport)(outputs, pictures, passport)
    return _findings(answer, chosen, model, created_at or datetime.now(UTC))


def _run(chosen: Chosen, model: Session | Measured, means: Means) -> tuple[Sequence[Picture], Outputs]:
    inputs = model.package.passport.inputs
    steps = [(step.name, step.parameters) for step in inputs.preprocessing]
    pictures = prepared(chosen, steps, means.trace, means.pool)
    if isinstance(model, Measured):
        return list(pictures), {}
    run = means.run or model.run

    def timed(some: Sequence[Picture]) -> Mapping[str, Tensor]:
        with means.trace.part("preprocess"):
            tensor = assemble(some, steps)
        with means.trace.part("network"):
            return run(tensor)

    if inputs.per is Per.EXAM:
        everything = list(pictures)
        return everything, timed(everything)
    return _each(pictures, timed, model)


def _run_on_features(
    features: Tensor, chosen: Chosen, model: Session | Measured, means: Means
) -> tuple[Sequence[Picture], Outputs]:
    """Without pictures: the headers tell all that is read of the instances."""
    for one, _ in chosen:
        means.trace.read(one.sop_instance_uid, one.part)
    with means.trace.part("network"):
        return (), {} if isinstance(model, Measured) else model.run(features)


def _each(
    pictures: Iterable[Picture],
    run: Callable[[Sequence[Picture]], Mapping[str, Tensor]],
    session: Session,
) -> tuple[Sequence[Picture], Outputs]:
    """Run on each picture by itself, or on a few of equal size at once."""
    seen: list[Picture] = []
    outputs: list[Mapping[str, Tensor]] = []
    for some in _groups(pictures, TOGETHER if session.takes_batches else 1):
        seen += some
        outputs.append(run(some))
    is_ragged = session.package.passport.outputs.kind is Kind.BOXES
    return seen, {name: _joined([one[name] for one in outputs], is_ragged) for name in outputs[0]}


def _groups(pictures: Iterable[Picture], most: int) -> Iterator[list[Picture]]:
    """Neighbours of equal size, at most so many."""
    group: list[Picture] = []
    for picture in pictures:
        if group and (len(group) >= most or picture.pixels.shape != group[0].pixels.shape):
            yield group
            group = []
        group.append(picture)
    if group:
        yield group


def _joined(values: Sequence[Tensor], is_ragged: bool) -> Tensor | tuple[Tensor, ...]:
    """One array with a leading axis for the pictures; a tuple with an entry each for boxes, and where sizes differ."""
    if is_ragged:
        return tuple(values)
    if len({one.shape[1:] for one in values}) == 1:
        return np.concatenate(values)
    return tuple(row for one in values for row in one)


def _findings(answer: Answer, chosen: Chosen, model: Session | Measured, created_at: datetime) -> Findings:
    passport = model.package.passport
    return Findings(
        task=passport.identity.task,
        study_instance_uid=chosen[0][0].study_instance_uid,
        model=model.package.model,
        evaluations=answer.evaluations,
        measurements=answer.measurements,
        lesions=answer.lesions,
        operating_point=_operating_point(passport),
        sources=tuple(_source(one, view) for one, view in chosen),
        created_at=created_at,
        applicability=_applicability(passport.inputs),
        facts=_facts(model),
    )


def _source(one: Instance, view: tuple[str, str]) -> Source:
    return Source(*view, one.sop_class_uid, one.series_instance_uid, one.sop_instance_uid)


def _operating_point(passport: Passport) -> str:
    outputs = passport.outputs
    own = [f"{one.threshold:g} ({one.label})" for one in outputs.classes if one.threshold is not None]
    common = [] if outputs.threshold is None else [f"{outputs.threshold:g}"]
    return f"threshold {', '.join(common + own)}" if common or own else ""


def _applicability(inputs: Inputs) -> str:
    views = ", ".join(f"{laterality} {view}" for laterality, view in inputs.views)
    kind = f"{inputs.modality} {inputs.presentation_intent}".strip()
    return f"{kind} with the views {views}" if views else kind


def _facts(model: Session | Measured) -> dict[str, str]:
    passport = model.package.passport
    facts = {
        "preprocessing": ", ".join(_step(one.name, one.parameters) for one in passport.inputs.preprocessing)
    }
    if isinstance(model, Session):
        facts |= {"provider": model.providers[0], "runtime": f"onnxruntime {onnxruntime.__version__}"}
        facts |= {"precision": "16 bits"} if model.is_half else {}
    if passport.method:
        facts["method"] = f"{passport.method.name} {passport.method.version}"
    return {name: value for name, value in facts.items() if value}


def _step(name: str, parameters: Mapping[str, Any]) -> str:
    told = ", ".join(f"{key} {value}" for key, value in sorted(parameters.items()))
    return f"{name} ({told})" if told else name
