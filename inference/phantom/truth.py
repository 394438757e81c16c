"""What is known of a phantom: its glandular fractions, and where its lesions lie in each view."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

Points = tuple[tuple[float, float], ...]
View = tuple[str, str]


class Kind(StrEnum):
    """What can be put into a phantom. The last three are benign and no detector's business."""

    MASS = "mass"
    CALCIFICATIONS = "calcifications"
    LYMPH_NODE = "lymph-node"
    MACROCALCIFICATION = "macrocalcification"
    VESSEL = "vessel"


LESIONS = (Kind.MASS, Kind.CALCIFICATIONS)
SHAPES = ("round", "lobulated", "spiculated")
"""Of a mass."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A finding in one view; columns and rows of the stored image, (0, 0) its top left corner.

    `outline` is a polygon whose last point is its first: of a mass its body without spicules, of a cluster the convex
    hull of its calcifications, 1 mm wider. `points` are the middles of a cluster's calcifications.
    """

    view: View
    outline: Points
    points: Points = ()

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        columns, rows = zip(*self.outline, strict=True)
        return min(columns), min(rows), max(columns), max(rows)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of a breast in every view of it. `diameter` is in millimetres; `shape` is empty but for masses."""

    name: str
    laterality: str
    kind: Kind
    shape: str
    diameter: float
    seen: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class ViewTruth:
    """What is known of one view.

    `dense_share` is the share of the breast's area (without pectoral muscle) whose tissue is more than a quarter
    gland, `glandular_fraction` the gland's share of the tissue there. `nipple` is (column, row); `pectoral` the
    muscle's edge from the image's top to the chest wall, empty in CC.
    """

    view: View
    dense_share: float
    glandular_fraction: float
    nipple: tuple[float, float]
    pectoral: Points = ()


@dataclass(frozen=True, slots=True)
class Truth:
    """`dense_share` and `glandular_fraction` are means over the views; `volumetric_fraction` is by side."""

    seed: int
    category: str
    dense_share: float
    glandular_fraction: float
    volumetric_fraction: Mapping[str, float]
    views: tuple[ViewTruth, ...]
    findings: tuple[Finding, ...]

    @property
    def lesions(self) -> tuple[Finding, ...]:
        """The findings that a detector should mark."""
        return tuple(one for one in self.findings if one.kind in LESIONS)

    def seen(self, view: View) -> tuple[tuple[Finding, Seen], ...]:
        """The lesions that a view shows, and where."""
        return tuple((one, seen) for one in self.lesions for seen in one.seen if seen.view == view)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return content
