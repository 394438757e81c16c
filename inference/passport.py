"""A passport: what a model is, on what it may be run, what it was trained on, and how well it did.

docs/models.md describes every key of its TOML.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archive.findings import Code, Task
from inference.errors import PackageError

FORMAT = 1
PASSPORT = "passport.toml"
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
VERSION = re.compile(r"\d+\.\d+\.\d+([-+.][0-9A-Za-z.-]+)?")


@dataclass(frozen=True, slots=True)
class Identity:
    name: str
    title: str
    version: str
    task: Task
    intended_use: str
    licence: str
    research_use_only: bool


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the model reads. `views` are (laterality, view) in the order in which the network takes them."""

    modality: str
    presentation_intent: str
    views: tuple[tuple[str, str], ...]
    preprocessing: str
    parameters: Mapping[str, int | float | str]


@dataclass(frozen=True, slots=True)
class OutputClass:
    label: str
    code: Code


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the model answers: a probability for each class, in this order."""

    concept: Code
    classes: tuple[OutputClass, ...]


@dataclass(frozen=True, slots=True)
class Training:
    trained_on: str
    citation: str


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure with its 95 % confidence interval and what it was measured on."""

    name: str
    value: float
    low: float
    high: float
    measured_on: str


@dataclass(frozen=True, slots=True)
class Passport:
    identity: Identity
    inputs: Inputs
    outputs: Outputs
    training: Training
    metrics: tuple[Metric, ...]
    network_sha256: str


def parse_passport(text: bytes) -> Passport:
    """Read a passport. Raises PackageError, which names the key that is missing or wrong."""
    try:
        content = tomllib.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise PackageError(f"{PASSPORT} is not valid TOML: {error}") from error
    root = _Table(content, "")
    if root.get("format", int) != FORMAT:
        raise PackageError(f"{PASSPORT}: format must be {FORMAT}")
    passport = Passport(
        identity=_identity(root.table("identity")),
        inputs=_inputs(root.table("inputs")),
        outputs=_outputs(root.table("outputs")),
        training=_training(root.table("training")),
        metrics=tuple(_metric(table) for table in root.tables("metrics")),
        network_sha256=root.table("network").get("sha256", str),
    )
    if not re.fullmatch(r"[0-9a-f]{64}", passport.network_sha256):
        raise PackageError(f"{PASSPORT}: network.sha256 must be 64 hexadecimal digits")
    return passport


def _identity(table: "_Table") -> Identity:
    return Identity(
        name=table.matching("name", NAME, "lower-case letters, digits and hyphens"),
        title=table.get("title", str),
        version=table.matching("version", VERSION, "a version such as 1.0.0"),
        task=Task(table.one_of("task", tuple(Task))),
        intended_use=table.get("intended_use", str),
        licence=table.get("licence", str),
        research_use_only=table.get("research_use_only", bool),
    )


def _inputs(table: "_Table") -> Inputs:
    preprocessing = table.table("preprocessing")
    return Inputs(
        modality=table.one_of("modality", ("MG",)),
        presentation_intent=table.one_of("presentation_intent", ("FOR PRESENTATION",)),
        views=_views(table),
        preprocessing=preprocessing.get("name", str),
        parameters={key: value for key, value in preprocessing.content.items() if key != "name"},
    )


def _views(table: "_Table") -> tuple[tuple[str, str], ...]:
    views = table.get("views", list)
    known = {f"{laterality} {view}": (laterality, view) for laterality in "LR" for view in ("CC", "MLO")}
    if not views or any(view not in known for view in views) or len(set(views)) != len(views):
        raise PackageError(f"{PASSPORT}: inputs.views must name, each once, views among {', '.join(known)}")
    return tuple(known[view] for view in views)


def _outputs(table: "_Table") -> Outputs:
    classes = tuple(OutputClass(one.get("label", str), _code(one)) for one in table.tables("classes"))
    if len(classes) < 2 or len({one.code for one in classes}) != len(classes):
        raise PackageError(f"{PASSPORT}: outputs.classes must hold at least two classes, each once")
    return Outputs(concept=_code(table.table("concept")), classes=classes)


def _code(table: "_Table") -> Code:
    return Code(table.get("value", str), table.get("scheme", str), table.get("meaning", str))


def _training(table: "_Table") -> Training:
    return Training(trained_on=table.get("trained_on", str), citation=table.get("citation", str))


def _metric(table: "_Table") -> Metric:
    value, low, high = (float(table.get(name, (int, float))) for name in ("value", "low", "high"))
    if not low <= value <= high:
        raise PackageError(f"{PASSPORT}: {table.path}: value must lie between low and high")
    return Metric(table.get("name", str), value, low, high, table.get("measured_on", str))


@dataclass(frozen=True, slots=True)
class _Table:
    """A TOML table that knows where it stands, so that an error can say which key is meant."""

    content: dict[str, Any]
    path: str

    def get(self, key: str, kind: type | tuple[type, ...]) -> Any:
        value = self.content.get(key)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if type(value) not in kinds or value == "":
            raise PackageError(f"{PASSPORT}: {self._at(key)} is missing or not of type {kinds[-1].__name__}")
        return value

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str:
        value: str = self.get(key, str)
        if value not in allowed:
            raise PackageError(f"{PASSPORT}: {self._at(key)} must be one of {', '.join(allowed)}")
        return value

    def matching(self, key: str, pattern: re.Pattern[str], meaning: str) -> str:
        value: str = self.get(key, str)
        if not pattern.fullmatch(value):
            raise PackageError(f"{PASSPORT}: {self._at(key)} must be {meaning}")
        return value

    def table(self, key: str) -> "_Table":
        return _Table(self.get(key, dict), self._at(key))

    def tables(self, key: str) -> "list[_Table]":
        items = self.get(key, list)
        if not all(isinstance(item, dict) for item in items):
            raise PackageError(f"{PASSPORT}: {self._at(key)} must be an array of tables")
        return [_Table(item, f"{self._at(key)}[{index}]") for index, item in enumerate(items)]

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def to_toml(content: Mapping[str, Any], path: str = "") -> str:
    """TOML of a mapping of plain values, mappings, lists of strings, and lists of mappings."""
    plain, nested = [], []
    for key, value in content.items():
        at = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            nested.append(f"\n[{at}]\n{to_toml(value, at)}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            nested.extend(f"\n[[{at}]]\n{to_toml(item, at)}" for item in value)
        else:
            plain.append(f"{key} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join(plain + nested)
