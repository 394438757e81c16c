"""A study in, findings out: headers, views, pixels, preprocessing, network, findings."""

from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import onnxruntime

from archive.findings import EXAM, Evaluation, Findings, Likelihood, NotApplicable, Source
from inference.errors import PackageError
from inference.instance import Instance, Part, read_dataset, read_instance
from inference.package import Package
from inference.passport import Inputs, Step
from inference.pixels import decode
from inference.preprocess import find_step
from inference.session import Session
from inference.views import choose


def read_study(
    parts: Iterable[Part], session: Session, *, created_at: datetime | None = None
) -> Findings | NotApplicable:
    """Run a model on the instances of one study (Part 10, as bytes or as paths, in any order).

    NotApplicable says why the model was not made for this study. Raises ReadingFailed where it was and yet
    could not read it: an instance is damaged, or the network fails on it.
    """
    passport = session.package.passport
    chosen = choose((read_instance(part) for part in parts), passport.inputs.views)
    if isinstance(chosen, NotApplicable):
        return chosen
    images = [decode(read_dataset(one.part, pixels=True)) for one in chosen]
    last = passport.inputs.preprocessing[-1]
    features = find_step(last.name).apply(images, last.parameters)
    probabilities = session.run(features)[0]
    return Findings(
        task=passport.identity.task,
        study_instance_uid=chosen[0].study_instance_uid,
        model=session.package.model,
        evaluations=(_evaluate(probabilities, session.package),),
        sources=tuple(_source(one, view) for one, view in zip(chosen, passport.inputs.views, strict=True)),
        created_at=created_at or datetime.now(UTC),
        applicability=_applicability(passport.inputs),
        facts=_facts(session),
    )


def _evaluate(probabilities: npt.NDArray[np.float32], package: Package) -> Evaluation:
    outputs = package.passport.outputs
    if outputs.concept is None:
        raise PackageError(f"{package.folder} does not say which question it answers")
    likelihoods = tuple(
        Likelihood(one.label, one.code, min(float(probability), 1.0))
        for one, probability in zip(outputs.classes, probabilities, strict=True)
    )
    best = max(likelihoods, key=lambda one: one.probability)
    return Evaluation(EXAM, outputs.concept, best.code, likelihoods)


def _source(one: Instance, view: tuple[str, str]) -> Source:
    return Source(*view, one.sop_class_uid, one.series_instance_uid, one.sop_instance_uid)


def _applicability(inputs: Inputs) -> str:
    views = ", ".join(f"{laterality} {view}" for laterality, view in inputs.views)
    return f"{inputs.modality} {inputs.presentation_intent} with the views {views}"


def _facts(session: Session) -> dict[str, str]:
    inputs = session.package.passport.inputs
    return {
        "preprocessing": ", ".join(map(_describe, inputs.preprocessing)),
        "provider": session.providers[0],
        "runtime": f"onnxruntime {onnxruntime.__version__}",
    }


def _describe(step: Step) -> str:
    parameters = ", ".join(f"{name} {value}" for name, value in sorted(step.parameters.items()))
    return f"{step.name} ({parameters})"
