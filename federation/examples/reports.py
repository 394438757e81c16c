"""What readers' reports say of an exam: structured reports by TID 1500 or TID 4200 (PS3.16), and others like them.

A report counts where a person wrote it and completed it: a device's does not (TID 1002), nor one that names an
algorithm anywhere. Density is a code of CID 6001 anywhere in the tree, the denser one where breasts differ. A lesion is
an area (SCOORD, PS3.3 C.18.6) with a coded finding beside or above it. That a mammogram shows no lesion is said by the
assessment BI-RADS 1 alone.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from archive.reported import REPORTS
from inference.density import CATEGORIES

MASS, CALCIFICATIONS, OTHER = "mass", "calcifications", "other"
KINDS: tuple[tuple[Code, str], ...] = (
    (codes.SCT.Mass, MASS),
    (codes.SCT.MammographicBreastMass, MASS),
    (codes.SCT.CalcificationCluster, CALCIFICATIONS),
    (codes.SCT.CalcificationOfBreast, CALCIFICATIONS),
    (codes.SCT.MicrocalcificationsOfTheBreast, CALCIFICATIONS),
    (codes.SCT.LymphNode, OTHER),
    (codes.SCT.IntramammaryLymphNode, OTHER),
    (codes.SCT.AxillaryLymphNode, OTHER),
    (codes.DCM.Macrocalcifications, OTHER),
    (codes.SCT.VascularCalcificationRadiographicFinding, OTHER),
    (codes.SCT.SkinLesion, OTHER),
    (codes.SCT.Nipple, OTHER),
)
"""What findings are called here; `OTHER` is benign and no task's business. Of any other code nothing is known."""

_FINDING = codes.DCM.Finding
_DEVICE = codes.DCM.Device
_ALGORITHM = codes.DCM.AlgorithmName
_NEGATIVE = codes.SCT.MammographyAssessmentCategory1Negative
_ASSESSMENTS = tuple(
    getattr(codes.SCT, name) for name in dir(codes.SCT) if name.startswith("MammographyAssessmentCategory")
)
_DENSITIES = {name: Code(one.value, one.scheme, one.meaning) for name, one in CATEGORIES.items()}
_DEEPEST = 64
_LEGACY = {"SNM3": "SRT", "99SDM": "SRT"}


@dataclass(frozen=True, slots=True)
class Area:
    """An area that was marked in an image; `kind` is empty where no code that is known says what it is."""

    sop_instance_uid: str
    kind: str
    box: tuple[float, float, float, float]
    is_flat: bool  # a point or a line, which no detector learns from


@dataclass(frozen=True, slots=True)
class Report:
    """What one report says; `areas` are None where it says nothing of lesions."""

    density: str | None
    areas: tuple[Area, ...] | None
    is_verified: bool
    written: tuple[str, str]  # Content Date and Time: all dates of a patient were shifted alike
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class _Item:
    """A content item, and the finding that the items above it speak of."""

    content: Dataset
    kind: str


def read_report(dataset: Dataset) -> Report | None:
    """What a reader's report says; None for what is none, or says nothing of density or lesions."""
    if dataset.get("SOPClassUID") not in REPORTS or dataset.get("CompletionFlag") == "PARTIAL":
        return None
    items = list(_walk(dataset, "", 0))
    values = [value for item in items if (value := _value(item.content))]
    if _DEVICE in values or any(_is_named(item.content, _ALGORITHM) for item in items):
        return None
    density, areas = _density(values), _areas(items)
    told = areas if areas or _is_negative(values) else None
    if density is None and told is None:
        return None
    return Report(
        density,
        told,
        dataset.get("VerificationFlag") == "VERIFIED",
        (str(dataset.get("ContentDate") or ""), str(dataset.get("ContentTime") or "")),
        str(dataset.get("SOPInstanceUID", "")),
    )


def newest(reports: Sequence[Report]) -> list[Report]:
    """The reports in the order in which they count: verified ones first, of these the last written first."""
    return sorted(reports, key=lambda one: (one.is_verified, one.written, one.sop_instance_uid), reverse=True)


def kind_of(code: Code) -> str:
    """What a finding of this code is called here; empty for one that is not known."""
    return next((kind for known, kind in KINDS if known == code), "")


def _walk(content: Dataset, kind: str, depth: int) -> Iterator[_Item]:
    """Items in their order. A container is about the finding that an item in it names, a code about itself."""
    if depth > _DEEPEST:
        return
    below = list(content.get("ContentSequence") or [])
    own = _value(content)
    if own is not None:
        kind = kind_of(own) or kind
    named = [value for each in below if _is_named(each, _FINDING) and (value := _value(each))]
    if named:
        kind = kind_of(named[0])
    yield _Item(content, kind)
    for each in below:
        yield from _walk(each, kind, depth + 1)


def _density(values: Sequence[Code]) -> str | None:
    return max((name for name, code in _DENSITIES.items() if code in values), default=None)


def _is_negative(values: Sequence[Code]) -> bool:
    assessed = [value for value in values if value in _ASSESSMENTS]
    return bool(assessed) and all(value == _NEGATIVE for value in assessed)


def _areas(items: Sequence[_Item]) -> tuple[Area, ...]:
    """Each area once: measurements name that of their group again."""
    found: dict[tuple[str, tuple[float, ...]], Area] = {}
    for item in items:
        if item.content.get("ValueType") == "SCOORD" and (area := _area(item)):
            key = area.sop_instance_uid, area.box
            if key not in found or found[key].kind == "":
                found[key] = area
    return tuple(found.values())


def _area(item: _Item) -> Area | None:
    points = _points(item.content)
    shape = str(item.content.get("GraphicType") or "")
    images = [
        str(image.get("ReferencedSOPInstanceUID", ""))
        for each in item.content.get("ContentSequence") or []
        for image in each.get("ReferencedSOPSequence") or []
    ]
    if not points or len(set(images)) != 1:
        return None
    return Area(images[0], item.kind, _box(shape, points), shape in ("POINT", "MULTIPOINT"))


def _points(content: Dataset) -> list[tuple[float, float]]:
    data = content.get("GraphicData")
    numbers = [float(one) for one in (data if isinstance(data, Sequence) else [])]
    if not numbers or len(numbers) % 2 or not all(map(math.isfinite, numbers)):
        return []
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _box(shape: str, points: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a graphic (PS3.3 C.18.6.1.2)."""
    if shape == "CIRCLE" and len(points) == 2:
        (x, y), edge = points[0], math.dist(*points)
        return x - edge, y - edge, x + edge, y + edge
    if shape == "ELLIPSE" and len(points) == 4:
        return _ellipse(points)
    columns, rows = zip(*points, strict=True)
    return min(columns), min(rows), max(columns), max(rows)


def _ellipse(points: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    """By the ends of its long axis, then those of its short one."""
    (left, top), (right, bottom) = points[0], points[1]
    x, y = (left + right) / 2, (top + bottom) / 2
    width, height = (
        math.hypot((points[1][axis] - points[0][axis]) / 2, (points[3][axis] - points[2][axis]) / 2)
        for axis in (0, 1)
    )
    return x - width, y - height, x + width, y + height


def _is_named(content: Dataset, concept: Code) -> bool:
    name = _code(content.get("ConceptNameCodeSequence"))
    return name is not None and name == concept


def _value(content: Dataset) -> Code | None:
    return _code(content.get("ConceptCodeSequence"))


def _code(sequence: Sequence[Dataset] | None) -> Code | None:
    """The code of the only item. SNOMED's retired identifiers equal the present ones (PS3.16 section 8.1)."""
    if not sequence:
        return None
    one = sequence[0]
    scheme = str(one.get("CodingSchemeDesignator", ""))
    return Code(
        str(one.get("CodeValue", "")), _LEGACY.get(scheme, scheme), str(one.get("CodeMeaning", "") or "-")
    )
