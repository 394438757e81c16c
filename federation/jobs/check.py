"""The output check: a second look at what a job would let out, which knows nothing of how it was made.

Each rule says whether it holds, in words that name no value, for the steward who decides. What fails one never leaves.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from archive.job_questions import DIMENSIONS, FEATURES, LABELS, LEAST_PATIENTS
from federation.evaluation.scoring import LABELS as CATEGORIES
from federation.jobs import tables
from inference.manufacturers import KNOWN

MOST_BYTES = 256 * 1024
MOST_ROWS = 128
"""Entries of one list: curves of an evaluation have a hundred and one."""
MOST_DEPTH = 8
DIGITS = 7  # that count, of a number
_COUNTS = frozenset({"patients", "exams", "unread"})
_WORDS = {
    "kind", "evaluation", "features", "counts", "package", "task", "density", "lesions", "risk", "figures",
    "groups", "curves", "exams", "unread", "name", "value", "low", "high", "least", "most", "vendor",
    "age", "site", "here", "roc", "calibration", "answers", "patients", "mean", "sd", "histogram",
    "withheld", "least_squares", "slope", "intercept", "correlation", "slope_error", "by", "columns",
    "rows", "all", "another", "negative", "positive", "none", "marked",
    *FEATURES, *LABELS, *CATEGORIES, *KNOWN, tables.NOT_TOLD, "free response",
    "area under the curve", "calibration error", "quadratic kappa", "linear kappa", "accuracy",
    *(value for values in DIMENSIONS.values() for value in values),
}  # fmt: skip
_SAID = re.compile(
    r"sensitivity at [0-9.]{1,5} false marks an image"
    rf"|(groups|least squares) ({'|'.join((*DIMENSIONS, *LABELS))}): ({tables.FEW}|{tables.DIFFERS})"
    rf"|all: ({tables.FEW}|{tables.DIFFERS})"
)
_PHANTOM = re.compile(r"SENOGATE PHANTOM( [A-Z]{1,16})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found. `where` names places by words that may be told."""

    rule: str
    holds: bool
    where: str = ""


def check(text: str) -> list[Finding]:
    """Put all rules to an answer."""
    size = Finding("size", len(text.encode()) <= MOST_BYTES)
    try:
        content = json.loads(text, parse_constant=_refuse)
        found = list(_walk(content, ()))
    except (ValueError, RecursionError):
        return [size, Finding("form", False)]
    return [
        size,
        Finding("form", isinstance(content, dict) and all(len(path) <= MOST_DEPTH for path, _ in found)),
        _rule("cells", [path for path, value in found if _is_small(path, value, content)]),
        _rule("lists", [path for path, value in found if isinstance(value, list) and len(value) > MOST_ROWS]),
        _rule("words", [path for path, value in found if not _is_word(path, value)]),
        _rule("numbers", [path for path, value in found if not _is_number(value)]),
    ]


def plain(findings: list[Finding]) -> list[dict[str, Any]]:
    return [asdict(one) for one in findings]


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _rule(name: str, broken: list[tuple[str, ...]]) -> Finding:
    where = next((" ".join(one for one in path if is_known(one)) for path in broken), "")
    return Finding(name, not broken, where)


def _walk(content: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value with the names that lead to it; names are values of their own, behind a mark."""
    yield path, content
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield (*path, "name"), str(name)
            yield from _walk(value, (*path, str(name)))
    elif isinstance(content, list):
        for value in content:
            yield from _walk(value, path)


def _is_small(path: tuple[str, ...], value: Any, content: Any) -> bool:
    """Whether it counts some patients and yet too few. Of a histogram each run's third number counts."""
    if path[-1:] == ("histogram",) and isinstance(value, list) and value and isinstance(value[0], list):
        return any(len(run) != 3 or not _is_large(run[2]) or run[2] == 0 for run in value)
    if path[:1] == ("rows",) and isinstance(value, list):
        return not all(_is_large(one) and one % tables.STEP == 0 for one in value)
    if not path or path[-1] not in _COUNTS:
        return False
    if path[-1] == "unread" and isinstance(value, Mapping):
        return not all(one is None or _is_large(one) for one in value.values())
    return not (value is None or isinstance(value, (str, Mapping)) or _is_large(value))


def _is_large(value: Any) -> bool:
    return type(value) is int and (value == 0 or value >= LEAST_PATIENTS)


def _is_word(path: tuple[str, ...], value: Any) -> bool:
    if not isinstance(value, str):
        return True
    return is_known(value) or (path == ("package",) and bool(_SHA256.fullmatch(value)))


def is_known(text: str) -> bool:
    """Whether a text is of the words that answers are made of: groups that are told together are parted by `or`."""
    if text in _WORDS or _SAID.fullmatch(text):
        return True
    parts = text.split(" or ")
    return len(parts) <= len(KNOWN) + 4 and all(one in _WORDS or _PHANTOM.fullmatch(one) for one in parts)


def _is_number(value: Any) -> bool:
    """Finite, and of no more digits than are told of any: a long number could hold a name."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return not isinstance(value, bool)
    return (
        math.isfinite(value) and (isinstance(value, float) or abs(value) < 10**9) and _digits(value) <= DIGITS
    )


def _digits(value: float) -> int:
    mantissa = f"{value:.15g}".partition("e")[0]
    return len(mantissa.replace("-", "").replace(".", "").strip("0"))
