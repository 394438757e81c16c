"""The work of one message at a site: load examples, judge the weights that came, train, and say what came of it.

It is done in a process of its own (`federation.site.warm`), by the installed program; whoever began it has decided
that it may be done, and decides again before anything of it leaves the site.
"""

import hashlib
import hmac
import math
from collections.abc import Mapping

import numpy as np
from flwr.app import Message
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from archive import federation_keys
from archive.errors import BadRequest
from federation.examples.data import Loaded, TooFewPatients, load_examples
from federation.manifest import Kind
from federation.message import EVALUATE, MOST_METRICS, TRAIN, read_question
from federation.site.assessing import assess
from federation.site.work import Figures, Order, Outcome
from federation.training.learning import annealed
from federation.training.task import Local, TrainingTask, Weights, task_of
from federation.training.weights import weights_hash


def work(order: Order) -> list[bytes]:
    """Do what is ordered. Raises SenogateError."""
    manifest = order.manifest
    message = inflate_object_from_contents(order.head, dict(order.contents))
    if not isinstance(message, Message) or not message.has_content():
        raise BadRequest("this is no question of a hub")
    is_training = manifest.kind == Kind.TRAINING
    like = task_of(manifest.task).initial(manifest.seed) if is_training else None
    question = read_question(message.content, like)
    if (question.run, question.manifest, question.round) != (manifest.run, manifest.sha256, order.round):
        raise BadRequest("the question is of another run or round than its message")
    if order.kind == EVALUATE and question.package is not None and not is_training:
        return assess(order, question.package).to_parts()
    task = task_of(manifest.task)
    if order.kind == TRAIN and question.weights is not None:
        return _train(order, task, question.weights).to_parts()
    if order.kind == EVALUATE and question.weights is not None:
        return _evaluate(order, task, question.weights).to_parts()
    raise BadRequest("the message asks for nothing that a site does")


def _train(order: Order, task: TrainingTask, weights: Weights) -> Outcome:
    """Judge the weights that came, then train them."""
    loaded = _load(order, task, held_out=False)
    metrics = _judge(task, weights, _held_out(order, task))
    weights_in = weights_hash(weights)
    trained = task.train(weights, loaded.examples, _local(order, weights_in, loaded))
    if {name: one.shape for name, one in trained.weights.items()} != {
        name: one.shape for name, one in weights.items()
    } or not all(np.isfinite(one).all() for one in trained.weights.values()):
        raise BadRequest("the training did not end with finite weights")
    metrics |= {f"train_{name}": value for name, value in trained.metrics.items()}
    metrics["examples"] = float(trained.examples)
    figures = Figures(
        metrics=_finite(metrics),
        weights_in=weights_in,
        weights_out=weights_hash(trained.weights),
        dataset_version=loaded.dataset_version,
        cohort=loaded.cohort,
        opt_outs=loaded.opt_outs,
        studies=loaded.studies,
        patients=loaded.patient_ids,
        number_of_patients=loaded.patients,
        shapes=[(name, one.shape) for name, one in trained.weights.items()],
        steps=trained.steps,
        sample_rate=trained.sample_rate,
    )
    return Outcome(figures, trained.weights)


def _evaluate(order: Order, task: TrainingTask, weights: Weights) -> Outcome:
    """Judge the weights, and no more. Raises TooFewPatients."""
    loaded = _load(order, task, held_out=True)
    return Outcome(_figures(_judge(task, weights, loaded), weights_hash(weights), loaded))


def _figures(metrics: Mapping[str, float], weights: str, loaded: Loaded) -> Figures:
    """Of what learns from nobody."""
    return Figures(
        metrics=_finite(metrics),
        weights_in=weights,
        weights_out=weights,
        dataset_version=loaded.dataset_version,
        cohort=loaded.cohort,
        opt_outs=loaded.opt_outs,
        studies=loaded.studies,
        patients=(),
        number_of_patients=loaded.patients,
    )


def _load(order: Order, task: TrainingTask, *, held_out: bool) -> Loaded:
    manifest = order.manifest
    return load_examples(
        order.settings,
        task,
        manifest.dataset,
        order.permit,
        purpose=manifest.purpose,
        hub=manifest.hub,
        held_out=held_out,
    )


def _held_out(order: Order, task: TrainingTask) -> Loaded | None:
    """None where there are too few patients to tell anything of."""
    try:
        return _load(order, task, held_out=True)
    except TooFewPatients:
        return None


def _judge(task: TrainingTask, weights: Weights, loaded: Loaded | None) -> dict[str, float]:
    if loaded is None:
        return {"held_out": 0.0}
    return {**task.evaluate(weights, loaded.examples), "held_out": float(len(loaded.examples))}


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Those that are numbers: a figure that can't be told for want of a class is left out."""
    told = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
    return dict(sorted(told.items())[:MOST_METRICS])


def _local(order: Order, weights_in: str, loaded: Loaded) -> Local:
    """The settings of this site and round. What is done again comes out the same, and its noise too.

    The noise is another as soon as anything else is trained on: the same noise on two cohorts that differ in a patient,
    or in one label of hers, would tell of her.
    """
    manifest = order.manifest
    named = f"{manifest.seed} {order.site} {order.round}".encode()
    told = (
        *(manifest.sha256, order.round, weights_in),
        *(loaded.dataset_version, loaded.cohort, loaded.opt_outs, loaded.made_of),
    )
    key = federation_keys.federation_key(order.settings).private_bytes_raw()
    secret = b"senogate private training 1\0" + " ".join(map(str, told)).encode()
    return Local(
        epochs=manifest.epochs,
        batch=manifest.batch,
        learning_rate=annealed(manifest.learning_rate, order.round, manifest.rounds),
        seed=int.from_bytes(hashlib.sha256(named).digest()[:8]) >> 1,
        proximal_mu=manifest.parameters.get("proximal_mu", 0.0),
        privacy=manifest.privacy,
        secret=hmac.digest(key, secret, "sha256"),
    )
