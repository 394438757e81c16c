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
LEAST, MOST = 1e-20, 1e9
"""Between which a number is that is not 0, for an exponent could hold something, too; what rounding leaves is above."""
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
    is_plain = isinstance(content, dict) and all(len(path) <= MOST_DEPTH for path, _ in found)
    return [
        size,
        Finding("form", is_plain and text == written(content)),
        _rule("cells", [path for path, value in found if _is_small(path, value)]),
        _rule("lists", [path for path, value in found if isinstance(value, list) and len(value) > MOST_ROWS]),
        _rule("words", [path for path, value in found if not _is_word(path, value)]),
        _rule("numbers", [path for path, value in found if not _is_number(value)]),
    ]


def written(content: Any) -> str:
    """The one way in which an answer is written: spaces, an order or names that come twice could hold something."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


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


def _is_small(path: tuple[str, ...], value: Any) -> bool:
    """Whether it counts some patients and yet too few: what lies below the name of a count, and of a histogram the
    third number of each run, beside edges that are no whole numbers.
    """
    if path[-1:] == ("histogram",):
        return not _is_of_histogram(value)
    if path[:1] == ("rows",):
        return _is_count(value) and not (_is_large(value) and value % tables.STEP == 0)
    return not _COUNTS.isdisjoint(path) and _is_count(value) and not _is_large(value)


def _is_of_histogram(value: Any) -> bool:
    """Whether it is a list of runs, a run, or a number of one."""
    if not isinstance(value, list):
        return isinstance(value, float) or (_is_large(value) and value != 0)
    return all(isinstance(one, list) for one in value) or (len(value) == 3 and type(value[2]) is int)


def _is_count(value: Any) -> bool:
    """Whether it is a value, and no list or names of values: these come by themselves."""
    return value is not None and not isinstance(value, (str, Mapping, list))


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
    return math.isfinite(value) and (value == 0 or LEAST <= abs(value) < MOST) and _digits(value) <= DIGITS


def _digits(value: float) -> int:
    """Of the number as it is written: seventeen, which tell any two apart, where it has so many."""
    mantissa = repr(value).partition("e")[0]
    return len(mantissa.replace("-", "").replace(".", "").strip("0"))
