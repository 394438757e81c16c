"""What structured reports that readers wrote say of an exam's density and assessment, for counting.

A report counts where a person wrote it and completed it: a device's does not (PS3.16 TID 1002), nor one that names an
algorithm anywhere. Of two breasts the denser and the more suspicious one counts.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

REPORTS = (
    "1.2.840.10008.5.1.4.1.1.88.11",  # Basic Text SR
    "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR
    "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
    "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
    "1.2.840.10008.5.1.4.1.1.88.35",  # Extensible SR
)
_COMPOSITIONS = {"a": "129716005", "b": "129717001", "c": "129718006", "d": "129719003"}  # CID 6001
_CATEGORIES = (
    "397138000",
    "397140005",
    "397141009",
    "397143007",
    "397144001",
    "397145000",
)  # CID 6026, 0 to 5
_PROVEN = ("111125", "DCM")  # known biopsy proven malignancy, which is category 6
MOST_SUSPICIOUS = (1, 2, 3, 0, 4, 5, 6)
_CONCEPT, _VALUE, _CONTENT = "0040A043", "0040A168", "0040A730"
_DEVICE, _ALGORITHM = ("121007", "DCM"), ("111001", "DCM")
_ASSESSMENT = ("111005", "DCM")
_CATEGORY = re.compile(r"(?:category|bi-?rads)\s*:?\s*([0-6])", re.IGNORECASE)
_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class Reported:
    """What is said of the whole exam: its density, a to d, and its BI-RADS assessment; None is what is not told."""

    density: str | None = None
    assessment: int | None = None


def newest(reports: Sequence[bytes]) -> Reported:
    """What reports say, given as DICOM JSON (PS3.18 annex F): verified ones first, of these the last written first."""
    read = [found for text in reports if (found := _read(text))]
    read.sort(key=lambda one: one[0], reverse=True)
    density = next((told.density for _, told in read if told.density is not None), None)
    assessment = next((told.assessment for _, told in read if told.assessment is not None), None)
    return Reported(density, assessment)


def _read(text: bytes) -> tuple[tuple[bool, str, str, str], Reported] | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or _text(content, "0040A491") == "PARTIAL":
        return None
    items = list(_walk(content, 0))
    values = [code for item in items if (code := _code(item, _VALUE))]
    if _DEVICE in values or any(_code(item, _CONCEPT) == _ALGORITHM for item in items):
        return None
    density = max((name for name, term in _COMPOSITIONS.items() if (term, "SCT") in values), default=None)
    assessed = [told for item in items if (told := _assessment(item)) is not None]
    assessment = max(assessed, key=MOST_SUSPICIOUS.index, default=None)
    order = _text(content, "0040A493") == "VERIFIED", _text(content, "00080023"), _text(content, "00080033")
    return (*order, _text(content, "00080018")), Reported(density, assessment)


def _assessment(item: dict[str, Any]) -> int | None:
    """The category by its code, or by what a code that is not known means beside the name Assessment Category."""
    code = _code(item, _VALUE)
    if code == _PROVEN:
        return 6
    if code and code[0] in _CATEGORIES and code[1] == "SCT":
        return _CATEGORIES.index(code[0])
    if code and _code(item, _CONCEPT) == _ASSESSMENT:
        found = _CATEGORY.search(_text(_values(item, _VALUE)[0], "00080104"))
        return int(found[1]) if found else None
    return None


def _walk(content: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    yield content
    for item in _values(content, _CONTENT) if depth < _DEEPEST else ():
        if isinstance(item, dict):
            yield from _walk(item, depth + 1)


def _code(content: dict[str, Any], tag: str) -> tuple[str, str] | None:
    values = _values(content, tag)
    if not values or not isinstance(values[0], dict):
        return None
    value, scheme = _text(values[0], "00080100"), _text(values[0], "00080102")
    if scheme in ("SRT", "SNM3", "99SDM"):  # SNOMED's retired identifiers
        return _snomed().get(value, value), "SCT"
    return value, scheme


@cache
def _snomed() -> dict[str, str]:
    from pydicom.sr._snomed_dict import mapping

    return mapping["SRT"]


def _text(content: dict[str, Any], tag: str) -> str:
    values = _values(content, tag)
    return values[0] if values and isinstance(values[0], str) else ""


def _values(content: dict[str, Any], tag: str) -> list[Any]:
    element = content.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []
