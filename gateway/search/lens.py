"""Lens query trees: what EUCAIM's explorer asks, as a question.

    {"operand": "AND", "children": [{"key": "RID10311", "type": "EQUALS", "value": "RID10312"}, …]}

What is no such tree is refused. What is one but asks for something that this node does not know holds for no study:
no answer is ever wider than what was asked.
"""

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from archive.errors import BadRequest, Unprocessable
from gateway.search.interpretation import (
    NOTHING,
    all_of,
    any_of,
    contains,
    differs,
    equals,
    is_greater,
    is_lower,
    is_number,
    lies_between,
    one_of,
)
from gateway.search.question import EVERYTHING, Question, check
from gateway.search.vocabulary import find_field

DEEPEST, MOST_CHILDREN = 60, 1000
MOST_WRAPPINGS = 4


class InvalidTree(Unprocessable):
    """What was sent is no Lens query tree."""


def parse_tree(content: Any) -> Question:
    """The question that a tree asks. Raises InvalidTree, which tells what is wrong and no value."""
    if not isinstance(content, dict) or "operand" not in content:
        raise InvalidTree("an AST is an object with operand and children")
    question = EVERYTHING if _is_empty(content) else _read(content, 1)
    try:
        return check(question)
    except BadRequest as error:
        raise InvalidTree(str(error)) from None


def unwrap(content: Any) -> Any:
    """The tree of a request: under `ast`, or in base64 under `query` with the `lang` ast, as often as it is wrapped.

    Raises InvalidTree.
    """
    for _ in range(MOST_WRAPPINGS):
        if not isinstance(content, dict):
            raise InvalidTree("a request is an object with ast")
        if "ast" in content:
            return content["ast"]
        if "query" not in content or content.get("lang", "ast") != "ast":
            raise InvalidTree("a request is an object with ast, or with the lang ast and a query")
        content = _decode(content["query"])
    raise InvalidTree(f"a query is wrapped {MOST_WRAPPINGS} times at most")


def parse_json(text: bytes | str) -> Any:
    """JSON of RFC 8259, in which there is neither NaN nor infinity. Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError from None


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError
    return found


def _decode(text: Any) -> Any:
    if not isinstance(text, str):
        raise InvalidTree("query is a text")
    try:
        return parse_json(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        raise InvalidTree("query is JSON in base64") from None


def _is_empty(content: Mapping[str, Any]) -> bool:
    """The query that asks for whatever there is is an OR of nothing; anywhere else that is no study."""
    return content["operand"] in ("AND", "OR") and content.get("children") == []


def _read(content: Any, depth: int) -> Question:
    if depth > DEEPEST:
        raise InvalidTree(f"an AST is {DEEPEST} levels deep at most")
    if not isinstance(content, dict):
        raise InvalidTree("a node of an AST is an object")
    return _read_operation(content, depth) if "operand" in content else _read_condition(content)


def _read_operation(content: Mapping[str, Any], depth: int) -> Question:
    operand, children = content["operand"], content.get("children")
    if operand not in ("AND", "OR"):
        raise InvalidTree("operand is AND or OR")
    if not isinstance(children, list) or len(children) > MOST_CHILDREN:
        raise InvalidTree(f"children is a list of {MOST_CHILDREN} nodes at most")
    read = [_read(child, depth + 1) for child in children]
    return all_of(read) if operand == "AND" else any_of(read)


def _read_condition(content: Mapping[str, Any]) -> Question:
    key, operator = content.get("key"), content.get("type")
    if not isinstance(key, str):
        raise InvalidTree("a condition has a key, which is a text")
    if not isinstance(operator, str) or operator not in _OPERATORS:
        raise InvalidTree(f"type is one of: {', '.join(_OPERATORS)}")
    if "value" not in content:
        raise InvalidTree("a condition has a value")
    shape, meaning = _OPERATORS[operator]
    shape(operator, content["value"])
    criterion = find_field(key)
    return meaning(criterion, content["value"]) if criterion else NOTHING


def _check_scalar(operator: str, value: Any) -> None:
    if not isinstance(value, str | bool) and not is_number(value):
        raise InvalidTree(f"{operator} takes a text, a number or a boolean")


def _check_text(operator: str, value: Any) -> None:
    if not isinstance(value, str):
        raise InvalidTree(f"{operator} takes a text")


def _check_texts(operator: str, value: Any) -> None:
    if (
        not isinstance(value, list)
        or len(value) > MOST_CHILDREN
        or not all(isinstance(each, str) for each in value)
    ):
        raise InvalidTree(f"{operator} takes a list of {MOST_CHILDREN} texts at most")


def _check_range(operator: str, value: Any) -> None:
    if not isinstance(value, dict) or not value.keys() & {"min", "max"}:
        raise InvalidTree(f"{operator} takes an object with min and max")
    if not all(limit is None or isinstance(limit, str) or is_number(limit) for limit in _limits(value)):
        raise InvalidTree("min and max are numbers or texts")


def _check_limit(operator: str, value: Any) -> None:
    if isinstance(value, dict):
        return _check_range(operator, value)
    if not is_number(value):
        raise InvalidTree(f"{operator} takes a number or an object with min and max")
    return None


def _limits(value: Mapping[str, Any]) -> tuple[Any, Any]:
    return value.get("min"), value.get("max")


_Shape = Callable[[str, Any], None]
_Meaning = Callable[[str, Any], Question]
_OPERATORS: dict[str, tuple[_Shape, _Meaning]] = {
    "EQUALS": (_check_scalar, equals),
    "NOT_EQUALS": (_check_scalar, differs),
    "CONTAINS": (_check_text, contains),
    "IN": (_check_texts, one_of),
    "BETWEEN": (_check_range, lies_between),
    "LOWER_THAN": (_check_limit, is_lower),
    "GREATER_THAN": (_check_limit, is_greater),
}
