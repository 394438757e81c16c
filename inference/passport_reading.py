"""Reads a passport of its TOML, key by key; every error names the key. docs/models.md describes them."""

import math
import re

from archive.findings import Code, Task
from inference.passport import (
    FOR_PRESENTATION,
    FORMAT,
    MODALITIES,
    NAME,
    PASSPORT,
    STANDARD_VIEWS,
    VERSION,
    Calibration,
    Identity,
    Inputs,
    Kind,
    Method,
    Metric,
    OutputClass,
    Outputs,
    Passport,
    Per,
    Signature,
    Step,
    Training,
)
from inference.toml_table import Table, read_toml

_SHA256 = re.compile(r"[0-9a-f]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{86}==")  # of 64 bytes

_ROOT = ("format", "identity", "inputs", "outputs", "training", "metrics", "network", "method", "signature")
_IDENTITY = ("name", "title", "version", "task", "intended_use", "licence", "research_use_only")
_INPUTS = (
    *("modality", "presentation_intent", "frames", "views", "per", "required"),
    *("manufacturers", "spacing_mm", "implants", "ages", "features", "preprocessing"),
)
_OUTPUTS = ("kind", "concept", "classes", "unit", "threshold", "calibration", "parameters")
_ASKING = (Kind.CLASSES, Kind.REGRESSION, Kind.RISK)  # one question with one answer
_LEAST_CLASSES = {Kind.CLASSES: 2, Kind.BOXES: 1, Kind.MASK: 1}


def parse_passport(text: bytes) -> Passport:
    """Read a passport. Raises PackageError, which names the key that is missing, wrong or unknown.

    A signature is read and not verified.
    """
    return read_passport(read_toml(text, PASSPORT))


def read_passport(root: Table) -> Passport:
    """As `parse_passport`, of the root table."""
    _check_format(root)
    root.only(*_ROOT)
    outputs = _outputs(root.table("outputs"))
    measured = outputs.kind is Kind.CRITERIA
    stranger = "network" if measured else "method"
    if root.has(stranger):
        raise root.wrong(stranger, f"does not go with outputs.kind {outputs.kind}")
    return Passport(
        identity=_identity(root.table("identity")),
        inputs=_inputs(root.table("inputs"), outputs.kind),
        outputs=outputs,
        training=_training(root.table("training")),
        metrics=tuple(map(_metric, root.tables("metrics"))) if root.has("metrics") else (),
        network_sha256="" if measured else _network(root.table("network")),
        half=None if measured else _half(root.table("network")),
        method=_method(root.table("method")) if measured else None,
        signature=_signature(root.table("signature")) if root.has("signature") else None,
    )


def _check_format(root: Table) -> None:
    number = root.get("format", int)
    if number == 1:
        raise root.wrong("format", "1 has no signature and does not run: import the model again")
    if number != FORMAT:
        raise root.wrong("format", f"must be {FORMAT}")


def _identity(table: Table) -> Identity:
    table.only(*_IDENTITY)
    return Identity(
        name=table.matching("name", NAME, "lower-case letters, digits and hyphens, 64 at most"),
        title=table.get("title", str),
        version=table.matching("version", VERSION, "a version such as 1.0.0"),
        task=Task(table.one_of("task", tuple(Task))),
        intended_use=table.get("intended_use", str),
        licence=table.get("licence", str),
        research_use_only=table.get("research_use_only", bool),
    )


def _inputs(table: Table, kind: Kind) -> Inputs:
    table.only(*_INPUTS)
    modality = table.one_of("modality", MODALITIES)
    per = Per(table.one_of("per", tuple(Per))) if table.has("per") else Per.EXAM
    features = table.texts("features") if table.has("features") else ()
    if features and kind is not Kind.RISK:
        raise table.wrong("features", f"goes with outputs.kind {Kind.RISK} only")
    return Inputs(
        modality=modality,
        presentation_intent=_intent(table, modality),
        views=_views(table, modality, per),
        per=per,
        required=not table.has("required") or table.get("required", bool) or per is Per.EXAM,
        many_frames=table.has("frames") and table.one_of("frames", ("one", "many")) == "many",
        manufacturers=table.texts("manufacturers") if table.has("manufacturers") else (),
        spacing_mm=table.pair("spacing_mm", 0, math.inf) if table.has("spacing_mm") else None,
        accepts_implants=table.has("implants") and table.one_of("implants", ("refuse", "accept")) == "accept",
        ages=table.pair("ages", 0, 150) if table.has("ages") else None,
        features=features,
        preprocessing=_preprocessing(table, needed=kind is not Kind.CRITERIA and not features),
    )


def _intent(table: Table, modality: str) -> str:
    """A mammogram is read For Presentation alone; other modalities have no presentation intent."""
    return table.one_of("presentation_intent", (FOR_PRESENTATION,) if modality == "MG" else ("",))


def _views(table: Table, modality: str, per: Per) -> tuple[tuple[str, str], ...]:
    views = table.texts("views")
    if any(view not in STANDARD_VIEWS for view in views) or (views and modality != "MG"):
        raise table.wrong("views", f"must be of a mammogram and among {', '.join(STANDARD_VIEWS)}")
    if per is Per.VIEW and not views:
        raise table.wrong("views", "must name the views of which each is read by itself")
    return tuple(STANDARD_VIEWS[view] for view in views)


def _preprocessing(table: Table, *, needed: bool) -> tuple[Step, ...]:
    steps = table.tables("preprocessing") if table.has("preprocessing") else ()
    if needed and not steps:
        raise table.wrong("preprocessing", "is missing: it names the steps in their order")
    return tuple(Step(step.get("name", str), step.scalars("name")) for step in steps)


def _outputs(table: Table) -> Outputs:
    table.only(*_OUTPUTS)
    kind = Kind(table.one_of("kind", tuple(Kind)))
    return Outputs(
        kind=kind,
        concept=_code(table.table("concept")) if table.has("concept") or kind in _ASKING else None,
        classes=_classes(table, kind),
        unit=_code(table.table("unit")) if table.has("unit") or kind is Kind.REGRESSION else None,
        threshold=table.number("threshold", 0, 1) if table.has("threshold") else None,
        calibration=_calibration(table.table("calibration")) if table.has("calibration") else Calibration(),
        parameters=table.table("parameters").scalars() if table.has("parameters") else {},
    )


def _classes(table: Table, kind: Kind) -> tuple[OutputClass, ...]:
    least = _LEAST_CLASSES.get(kind, 0)
    classes = tuple(map(_class, table.tables("classes"))) if least or table.has("classes") else ()
    if len(classes) < least or len({one.code for one in classes}) != len(classes):
        raise table.wrong("classes", f"must hold {least} or more, each once")
    return classes


def _class(table: Table) -> OutputClass:
    threshold = table.number("threshold", 0, 1) if table.has("threshold") else None
    return OutputClass(table.get("label", str), _code(table, "label", "threshold"), threshold)


def _code(table: Table, *others: str) -> Code:
    table.only("value", "scheme", "meaning", *others)
    return Code(table.get("value", str), table.get("scheme", str), table.get("meaning", str))


def _calibration(table: Table) -> Calibration:
    table.only("kind", "a", "b")
    kind = table.one_of("kind", ("none", "temperature", "platt"))
    a = table.number("a") if table.has("a") else 1.0
    if kind == "temperature" and a <= 0:
        raise table.wrong("a", "must be greater than 0: it is a temperature")
    return Calibration(kind, a, table.number("b") if table.has("b") else 0.0)


def _training(table: Table) -> Training:
    table.only("trained_on", "citation", "provenance")
    provenance = table.table("provenance") if table.has("provenance") else None
    found = {key: provenance.get(key, str) for key in provenance.content} if provenance else {}
    return Training(table.get("trained_on", str), table.get("citation", str), found)


def _metric(table: Table) -> Metric:
    table.only("name", "value", "low", "high", "measured_on")
    value, low, high = (table.number(key) for key in ("value", "low", "high"))
    if not low <= value <= high:
        raise table.wrong("value", "must lie between low and high")
    return Metric(table.get("name", str), value, low, high, table.get("measured_on", str))


def _network(table: Table) -> str:
    table.only("sha256", "half")
    return table.matching("sha256", _SHA256, "64 hexadecimal digits in lower case")


def _half(table: Table) -> float | None:
    return table.number("half", 0, 0.1) if table.has("half") else None


def _method(table: Table) -> Method:
    table.only("name", "version")
    return Method(
        table.matching("name", NAME, "lower-case letters, digits and hyphens"), table.get("version", str)
    )


def _signature(table: Table) -> Signature:
    table.only("key", "value")
    return Signature(
        key=table.matching("key", _SHA256, "64 hexadecimal digits in lower case"),
        value=table.matching("value", _BASE64, "an Ed25519 signature in base64"),
    )
