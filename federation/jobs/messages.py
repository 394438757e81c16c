"""What goes between the worker and a job's process: an order, then an answer for each exam, or why there is none."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

from federation.training.task import Label, Mark

LARGEST = 1024**2  # bytes of an answer
_ABSURD = 10.0**12
_CELL = re.compile("-?[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Work:
    """An exam: the files of its images, and what is known of it where a package is evaluated."""

    paths: Sequence[str]
    label: Label | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A job: of each exam the features that are measured; none where a package runs."""

    exams: Sequence[Work]
    features: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one exam, in the order of the exams; None where nothing did."""

    told: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Failure:
    """The job could not be done, as an error of ours of this kind says."""

    kind: str
    message: str


def send_order(connection: Connection, order: Order) -> None:
    connection.send_bytes(json.dumps(asdict(order)).encode())


def read_order(connection: Connection) -> Order:
    """Raises EOFError where nobody orders any more."""
    told = json.loads(connection.recv_bytes())
    return Order([Work(one["paths"], _label(one["label"])) for one in told["exams"]], told["features"])


def send(connection: Connection, message: Answer | Failure) -> None:
    connection.send_bytes(json.dumps({type(message).__name__: asdict(message)}).encode())


def receive(connection: Connection) -> Answer | Failure:
    """Raises EOFError where the process has ended, OSError and ValueError for what is no answer."""
    try:
        match json.loads(connection.recv_bytes(LARGEST), parse_constant=_refuse):
            case {"Answer": {"told": told}} if told is None or _is_told(told):
                return Answer(told)
            case {"Failure": {"kind": str(kind), "message": str(message)}}:
                return Failure(kind, message)
    except RecursionError:
        pass
    raise ValueError("this is no answer")


def _is_told(told: object) -> bool:
    """Whether it is numbers, or counts by cell, by names."""
    values = told.values() if isinstance(told, dict) else [None]
    return all(_is_number(one) or (isinstance(one, dict) and _are_counts(one)) for one in values)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and abs(value) < _ABSURD


def _are_counts(cells: dict[str, object]) -> bool:
    return all(_CELL.fullmatch(name) and type(one) is int and _is_number(one) for name, one in cells.items())


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _label(told: Mapping[str, Any] | None) -> Label | None:
    if told is None:
        return None
    marks = tuple(
        Mark((one["view"][0], one["view"][1]), one["kind"], tuple(one["box"])) for one in told["marks"]
    )
    return Label(**{**told, "marks": marks})
