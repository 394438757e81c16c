"""What jobs can be asked: kinds, features, groups and filters of a fixed catalogue, read strictly.

A question holds nothing free: names of the catalogue alone, and the hash of a package. Equal questions have one
canonical form, whoever writes them.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from archive.errors import BadRequest

LEAST_PATIENTS = 5
"""Patients of whom anything is told, and by whom any two cells that are told differ."""
MOST_FEATURES, MOST_FILTERS, MOST_GROUPINGS = 12, 2, 2
AGES = ("under 40", "40 to 49", "50 to 59", "60 to 69", "70 and over")
DENSITIES = ("a", "b", "c", "d")
LESIONS = ("none", "marked")
DIMENSIONS: Mapping[str, Sequence[str]] = {
    "vendor": (),
    "age": AGES,
    "density": DENSITIES,
    "lesions": LESIONS,
}
"""What patients are grouped and filtered by; vendors are those that the program knows, by their names in capitals."""
LABELS = ("density", "lesions", "age")
"""What features are held against: categories a to d as 1 to 4, a marked lesion as 1, years."""
_SHA256 = re.compile("[0-9a-f]{64}")
_VENDOR = re.compile("[A-Z0-9][A-Z0-9 ]{1,63}|another|not told")


class JobKind(StrEnum):
    """What a job does; each is a part of this program."""

    EVALUATION = "evaluation"
    FEATURES = "features"
    COUNTS = "counts"


@dataclass(frozen=True, slots=True)
class Feature:
    """A number of an exam: what it is of, its unit (UCUM), and the cells of its histogram, which no data decide.

    `of_pixels`: it is measured on the images; the others are said by headers.
    """

    name: str
    meaning: str
    unit: str
    low: float
    high: float
    cells: int
    of_pixels: bool = False

    def cell(self, value: float) -> int:
        """The cell of a value; what lies outside is in the first or the last."""
        place = int((value - self.low) / (self.high - self.low) * self.cells)
        return min(max(place, 0), self.cells - 1)

    def edge(self, cell: int) -> float:
        """Where a cell begins."""
        return round(self.low + (self.high - self.low) * cell / self.cells, 6)


FEATURES: Mapping[str, Feature] = {
    one.name: one
    for one in (
        Feature("age", "Patient's Age", "a", 30, 90, 12),
        Feature("views", "standard views that the exam has", "1", 0, 5, 5),
        Feature("pixel_spacing", "Imager Pixel Spacing between rows", "mm", 0, 0.25, 25),
        Feature("compression_thickness", "Body Part Thickness", "mm", 0, 150, 15),
        Feature("compression_force", "Compression Force", "N", 0, 250, 25),
        Feature("organ_dose", "Organ Dose, of an image", "mGy", 0, 6, 24),
        Feature("breast_area", "area of the breast, pectoral muscle included", "cm2", 0, 400, 20, True),
        Feature(
            "brightness", "mean grey of the breast as it is shown, 0 black to 1 white", "1", 0, 1, 20, True
        ),
        Feature("brightness_quartile_1", "first quartile of that grey", "1", 0, 1, 20, True),
        Feature("brightness_median", "median of that grey", "1", 0, 1, 20, True),
        Feature("brightness_quartile_3", "third quartile of that grey", "1", 0, 1, 20, True),
        Feature(
            "bright_fraction", "share of the breast brighter than Otsu's threshold in it", "1", 0, 1, 20, True
        ),
    )
}
"""Each of a patient is the mean over the standard views of one exam."""


@dataclass(frozen=True, slots=True)
class JobQuestion:
    """A question. Of `kind` depends which of the rest there is; `package` is the SHA-256 of a passport's text."""

    kind: JobKind
    package: str = ""
    features: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Canonical: what there is, in order."""
        parts: dict[str, Any] = {"kind": str(self.kind)}
        for name in ("package", "features", "labels", "groups"):
            if value := getattr(self, name):
                parts[name] = value if isinstance(value, str) else list(value)
        if self.filters:
            parts["filters"] = {name: list(values) for name, values in sorted(self.filters.items())}
        return parts

    def sha256(self, dataset: str) -> str:
        """Of the question on a dataset."""
        text = json.dumps([dataset, self.to_json()], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


_MEMBERS = {
    JobKind.EVALUATION: {"package"},
    JobKind.FEATURES: {"features", "labels", "groups", "filters"},
    JobKind.COUNTS: {"groups", "filters"},
}


def read_question(members: Mapping[str, Any]) -> JobQuestion:
    """A question of JSON's members. Raises BadRequest, which names what is wrong and no value."""
    text = members.get("kind")
    if text not in list(JobKind):
        raise BadRequest("kind is one of: %(values)s", values=", ".join(JobKind))
    kind = JobKind(text)
    if strange := sorted(str(name) for name in set(members) - _MEMBERS[kind] - {"kind"}):
        known = ", ".join(sorted(_MEMBERS[kind]))
        raise BadRequest(
            "a job of this kind takes %(known)s, and %(others)s other members are there",
            known=known,
            others=len(strange),
        )
    package = members.get("package", "")
    if kind is JobKind.EVALUATION and not (isinstance(package, str) and _SHA256.fullmatch(package)):
        raise BadRequest("package is the SHA-256 of a passport, in 64 hexadecimal digits")
    question = JobQuestion(
        kind,
        package,
        _names(members, "features", FEATURES, MOST_FEATURES),
        _names(members, "labels", LABELS, len(LABELS)),
        _names(members, "groups", DIMENSIONS, MOST_GROUPINGS),
        _filters(members.get("filters", {})),
    )
    if kind is JobKind.FEATURES and not question.features:
        raise BadRequest("features names one feature at least")
    if kind is JobKind.COUNTS and not question.groups:
        raise BadRequest("groups names what is counted by: one, or two")
    return question


def _names(members: Mapping[str, Any], name: str, known: Any, most: int) -> tuple[str, ...]:
    found = members.get(name, [])
    if not isinstance(found, list) or len(found) > most or not all(isinstance(one, str) for one in found):
        raise BadRequest("%(name)s is a list of %(most)s names at most", name=name, most=most)
    if not set(found) <= set(known):
        raise BadRequest("%(name)s takes %(values)s", name=name, values=", ".join(known))
    return tuple(sorted(set(found)))


def _filters(found: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(found, dict) or len(found) > MOST_FILTERS or not set(found) <= set(DIMENSIONS):
        raise BadRequest(
            "filters names %(most)s at most of: %(values)s", most=MOST_FILTERS, values=", ".join(DIMENSIONS)
        )
    return {name: _values(name, values) for name, values in sorted(found.items())}


def _values(name: str, values: Any) -> tuple[str, ...]:
    known = DIMENSIONS[name]
    if not isinstance(values, list) or not 0 < len(values) <= 20:
        raise BadRequest("a filter of %(name)s is a list of values", name=name)
    for one in values:
        is_known = isinstance(one, str) and (one in known if known else _VENDOR.fullmatch(one))
        if not is_known and known:
            raise BadRequest("a filter of %(name)s takes %(values)s", name=name, values=", ".join(known))
        if not is_known:
            raise BadRequest("a filter of %(name)s takes names of vendors in capitals", name=name)
    return tuple(sorted(set(values)))
