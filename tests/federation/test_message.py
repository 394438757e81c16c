"""What hub and sites say to each other, there and back."""

import numpy as np
import pytest

from archive.errors import BadRequest

pytest.importorskip("flwr")

from flwr.app import Array, ArrayRecord, MetricRecord  # noqa: E402

from federation.message import (  # noqa: E402
    Question,
    Reply,
    question_record,
    read_question,
    read_reply,
    reply_record,
)

WEIGHTS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4, np.float32)}
MANY = "{'descr': '<f4', 'fortran_order': False, 'shape': (1" + 14 * "0" + ",), }"
REPLY = Reply({"loss": 0.5, "examples": 3}, b'{"run":"R"}', "c2ln", WEIGHTS)


def test_a_question_is_read_as_it_was_asked() -> None:
    asked = Question("R0", "ab", 3, WEIGHTS, (b"passport", b"network"))
    read = read_question(question_record(asked), WEIGHTS)
    assert (read.run, read.manifest, read.round, read.package) == ("R0", "ab", 3, (b"passport", b"network"))
    assert read.weights is not None
    assert {name: array.tolist() for name, array in read.weights.items()} == {
        name: array.tolist() for name, array in WEIGHTS.items()
    }


def test_a_reply_is_read_as_it_was_given() -> None:
    read = read_reply(reply_record(REPLY), WEIGHTS)
    assert (dict(read.metrics), read.statement, read.signature) == (REPLY.metrics, REPLY.statement, "c2ln")
    assert read.weights is not None
    assert read.weights["a"].tolist() == WEIGHTS["a"].tolist()


def test_all_weights_are_one_array_so_that_they_take_few_requests() -> None:
    assert len(reply_record(REPLY).array_records["weights"]) == 1


@pytest.mark.parametrize(
    "array",
    [
        Array(np.zeros(9, np.float32)),
        Array(np.zeros(11, np.float32)),
        Array(np.zeros((2, 5), np.float32)),
        Array(np.zeros(10, np.float64)),
        Array(np.zeros(10_000, np.float32)),
        Array("float32", (10,), "numpy.ndarray", b"no array"),
        Array("float32", (10,), "numpy.ndarray", b""),
        Array("float32", (10,), "pickle", b"x"),
        Array("float32", (10,), "numpy.ndarray", b"PK\x03\x04 no archive"),
        Array("float32", (10,), "numpy.ndarray", b"\x93NUMPY\x01\x00\x10\x00{'descr': (((((\n"),
        Array("float32", (10,), "numpy.ndarray", b"\x93NUMPY\x01\x00\x76\x00" + MANY.ljust(118).encode()),
    ],
)
def test_weights_of_another_shape_or_kind_are_refused(array: Array) -> None:
    record = reply_record(REPLY)
    record["weights"] = ArrayRecord({"all": array})
    with pytest.raises(BadRequest):
        read_reply(record, WEIGHTS)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, 2.0]])
def test_metrics_are_finite_numbers(value: object) -> None:
    record = reply_record(REPLY)
    record["metrics"] = MetricRecord({"loss": value})
    with pytest.raises(BadRequest):
        read_reply(record, WEIGHTS)


@pytest.mark.parametrize("part", ["metrics", "statement"])
def test_a_reply_without_a_part_is_refused(part: str) -> None:
    record = reply_record(REPLY)
    del record[part]
    with pytest.raises(BadRequest):
        read_reply(record, WEIGHTS)
