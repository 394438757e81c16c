"""What a network's outputs mean: one pure function for each kind of output, none of which knows a runtime."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from inference.answers.answer import Answer
from inference.errors import PackageError
from inference.passport import Kind, Passport
from inference.picture import Picture

Outputs = Mapping[str, Any]
Measure = Callable[[Sequence[Picture], Passport], Answer]


def find_answer(passport: Passport) -> Callable[[Outputs, Sequence[Picture], Passport], Answer]:
    """The function that makes an answer of outputs of the passport's kind. Raises PackageError where there is none."""
    kind = passport.outputs.kind
    if kind is Kind.CRITERIA:
        return _measure
    try:
        found: Callable[[Outputs, Sequence[Picture], Passport], Answer]
        found = import_module(f"inference.answers.{kind.value}").answer
    except ModuleNotFoundError as error:
        raise PackageError(f"a model whose outputs are {kind.value} can't be run here") from error
    return found


def _measure(outputs: Outputs, pictures: Sequence[Picture], passport: Passport) -> Answer:
    """Criteria that are measured on the pictures; there is no network and so no output."""
    answer: Measure = import_module("inference.quality.criteria").answer
    return answer(pictures, passport)
