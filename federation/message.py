"""What hub and sites say to each other in a round, as Flower's records.

All weights travel as one array: each array takes requests of its own, each way, through both gateways.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from numpy.lib.format import write_array_header_1_0

from archive.errors import BadRequest
from federation.provenance.record import Reason, Refused
from federation.training.task import Weights
from federation.training.weights import flatten, unflatten

TRAIN, EVALUATE = "train", "evaluate"
"""The types of messages. To train is also to evaluate the weights that come, before they are trained."""
LARGEST_STATEMENT = 16_384  # characters
MOST_METRICS = 200
LARGEST_RELEASE = 1 << 20  # bytes
_KIND = "numpy.ndarray"  # as Flower calls what numpy wrote


@dataclass(frozen=True, slots=True)
class Question:
    """What a site is asked: in `TRAIN` to train weights, in `EVALUATE` to evaluate them, or a package.

    `manifest` is the SHA-256 of the run's. `package` are the texts of a passport, and of the network.
    """

    run: str
    manifest: str
    round: int
    weights: Weights | None = None
    package: tuple[bytes, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a site answers. `metrics` has the figures of the weights that came, on what the site holds out.

    `held_out` is the number of examples that those are of, `examples` that of those trained on, and figures of the
    training begin with `train_`. `weights` are None where nothing was trained. `release` is what is told of a package
    (`federation.evaluation.packages`), empty where none was evaluated.
    """

    metrics: Mapping[str, float]
    statement: bytes
    signature: str
    weights: Weights | None = None
    release: bytes = b""


def question_record(question: Question) -> RecordDict:
    """The question as it is sent."""
    asked = {"run": question.run, "manifest": question.manifest, "round": question.round}
    record = RecordDict({"round": ConfigRecord(asked)})
    if question.weights is not None:
        record["weights"] = _pack(question.weights)
    if question.package is not None:
        passport, network = question.package
        record["package"] = ConfigRecord({"passport": passport, "network": network})
    return record


def read_question(record: RecordDict, like: Weights | None) -> Question:
    """What is asked; `like` has the names and shapes of the task's weights. Raises BadRequest."""
    try:
        asked = record.config_records["round"]
        run, manifest, number = str(asked["run"]), str(asked["manifest"]), asked["round"]
        if not isinstance(number, int):
            raise BadRequest("the number of a round is whole")
        package = None
        if "package" in record.config_records:
            sent = record.config_records["package"]
            package = _bytes(sent["passport"]), _bytes(sent["network"])
        return Question(run, manifest, number, _unpack(record, like), package)
    except (KeyError, TypeError) as error:
        raise BadRequest("this is no question of a hub") from error


def reply_record(reply: Reply) -> RecordDict:
    """The answer as it is sent."""
    statement = {"text": reply.statement.decode(), "signature": reply.signature}
    metrics = {name: float(value) for name, value in reply.metrics.items()}
    record = RecordDict({"metrics": MetricRecord(metrics), "statement": ConfigRecord(statement)})
    if reply.weights is not None:
        record["weights"] = _pack(reply.weights)
    if reply.release:
        record["release"] = ConfigRecord({"text": reply.release})
    return record


def read_reply(record: RecordDict, like: Weights | None) -> Reply:
    """What was answered, by a site that is not trusted. Raises BadRequest, for weights Refused.

    The weights are of the right shapes, but may be anything; metrics are finite.
    """
    try:
        said, sent = record.config_records["statement"], record.metric_records["metrics"]
        text, signature = said["text"], said["signature"]
        if not isinstance(text, str) or not isinstance(signature, str) or len(text) > LARGEST_STATEMENT:
            raise BadRequest("this is no statement")
        if len(sent) > MOST_METRICS:
            raise BadRequest("there are too many metrics")
        metrics = {name: _number(value) for name, value in sent.items()}
        return Reply(metrics, text.encode(), signature, _unpack(record, like), _release(record))
    except (KeyError, TypeError, UnicodeEncodeError) as error:
        raise BadRequest("this is no answer of a site") from error


def _pack(weights: Weights) -> ArrayRecord:
    return ArrayRecord({"all": Array(flatten(weights))})


def _unpack(record: RecordDict, like: Weights | None) -> Weights | None:
    if "weights" not in record.array_records or like is None:
        return None
    sent = record.array_records["weights"]
    head, size = _head(like), 4 * sum(array.size for array in like.values())
    if set(sent) != {"all"} or sent["all"].stype != _KIND:
        raise Refused(Reason.SHAPE, "the weights are not of the kind and size of the task's")
    data = sent["all"].data
    if len(data) != len(head) + size or not data.startswith(head):
        raise Refused(Reason.SHAPE, "the weights are not of the kind and size of the task's")
    return unflatten(np.frombuffer(data, "<f4", offset=len(head)).copy(), like)


def _head(like: Weights) -> bytes:
    """What stands before the numbers in the one form that they are sent in: nothing else of a sender is parsed."""
    head = BytesIO()
    shape = (sum(array.size for array in like.values()),)
    write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return head.getvalue()


def _release(record: RecordDict) -> bytes:
    if "release" not in record.config_records:
        return b""
    text = _bytes(record.config_records["release"]["text"])
    if len(text) > LARGEST_RELEASE:
        raise BadRequest("a site tells too much of a package")
    return text


def _number(value: object) -> float:
    if not isinstance(value, int | float) or not math.isfinite(number := float(value)):
        raise BadRequest("metrics are finite numbers")
    return number


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise BadRequest("a package is bytes")
    return value
