"""The attributes of a data set as DICOM JSON values (PS3.18 sections F.2.2 to F.2.7).

Values are read as they were encoded, not as they should have been: a number that is none is given as text,
text that can't be decoded with replacement characters, and the value of one attribute never makes the whole
instance unreadable.
"""

import base64
import math
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

Attribute = dict[str, Any]
"""`{"vr": …}` with Value, InlineBinary or BulkDataURI, or with none of them where it is empty."""
Attributes = dict[str, Attribute]
"""Attributes by tag, eight upper-case hexadecimal digits."""

INLINE_LIMIT = 1024
"""Bytes up to which a binary value is given inline; longer ones are given by reference."""

_SAFE_INTEGER = 2**53  # beyond, JSON readers lose digits (RFC 8259 section 6)
_TEXT_DELIMITERS = {
    0x09,
    0x0A,
    0x0C,
    0x0D,
}  # where a character set falls back to the first (PS3.5 section 6.1.2.5.3)
_ESCAPES = re.compile(r"\x1b(?:\$[()]?|[()\-.])[@-J]")  # of ISO 2022, where a decoder left them in the text
_CONTROLS = dict.fromkeys((*range(0x09), 0x0B, *range(0x0E, 0x20), 0x7F))
_NUMBERS = {"FL": "f", "FD": "d", "OF": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_SINGLE_TEXT = frozenset({"LT", "ST", "UT", "UR"})
_SPECIFIC_CHARACTER_SET = 0x00080005


def render_attributes(dataset: Dataset, bulk_url: str, encodings: Sequence[str] = ("iso8859",)) -> Attributes:
    """The data set's attributes, items of sequences included; group lengths are left out (PS3.18 section
    F.2.2).

    `bulk_url` begins the address of a long binary value: a tag follows, and before it, for one in an item,
    the sequence's tag and the item's number from 0.
    """
    encodings = _encodings(dataset, encodings)
    rendered: Attributes = {}
    for number in list(dataset.keys()):
        if number.element == 0 or number.group in (0x0000, 0x0002, 0xFFFE):
            continue
        name = f"{number:08X}"
        rendered[name] = _render(dataset, number, encodings, f"{bulk_url}/{name}")
    return rendered


def _encodings(dataset: Dataset, inherited: Sequence[str]) -> Sequence[str]:
    if _SPECIFIC_CHARACTER_SET not in dataset:
        return inherited
    declared = dataset[_SPECIFIC_CHARACTER_SET].value
    try:
        return convert_encodings(declared)
    except LookupError:
        return inherited


def _render(dataset: Dataset, number: BaseTag, encodings: Sequence[str], url: str) -> Attribute:
    element = dataset.get_item(number)
    kind = _vr(dataset, number, element.VR)
    if kind == "SQ":
        items = dataset[number].value or ()
        values = [render_attributes(item, f"{url}/{index}", encodings) for index, item in enumerate(items)]
        return {"vr": "SQ", "Value": values} if values else {"vr": "SQ"}
    if number == _SPECIFIC_CHARACTER_SET:
        return {"vr": "CS", "Value": ["ISO_IR 192"]}
    if isinstance(element, DataElement):
        return _render_converted(element, kind)
    data = element.value or b""
    if kind in _BINARY:
        return _binary(kind, data, url)
    values = _values(kind, data, element, encodings)
    return {"vr": kind, "Value": values} if any(value is not None for value in values) else {"vr": kind}


def _vr(dataset: Dataset, number: BaseTag, encoded: str | None) -> str:
    """The VR that was encoded; where none was, or UN, the dictionary's, its choices decided as PS3.5 annex A says."""
    if encoded not in (None, "UN"):
        return str(encoded)
    try:
        kind = dictionary_VR(number)
    except KeyError:
        return "UN"
    if kind == "US or SS":
        return "SS" if dataset.get("PixelRepresentation") == 1 else "US"
    return "OW" if "OW" in kind else kind


def _render_converted(element: DataElement, kind: str) -> Attribute:
    """An element that pydicom has converted already, as it does with a few to read the rest."""
    values = element.value if isinstance(element.value, (list, tuple)) or element.VM > 1 else [element.value]
    present = [value for value in values if value not in (None, "")]
    parse: Callable[[Any], Any] = (
        _finite if kind in _NUMBERS else lambda value: _PARSERS.get(kind, _strip)(str(value))
    )
    return {"vr": kind, "Value": [parse(value) for value in present]} if present else {"vr": kind}


def _binary(kind: str, data: bytes, url: str) -> Attribute:
    if not data:
        return {"vr": kind}
    if len(data) > INLINE_LIMIT:
        return {"vr": kind, "BulkDataURI": url}
    return {"vr": kind, "InlineBinary": base64.b64encode(data).decode("ascii")}


def _values(kind: str, data: bytes, element: RawDataElement, encodings: Sequence[str]) -> list[Any]:
    """The value's parts, None for an empty one (PS3.18 section F.2.5)."""
    if kind in _NUMBERS:
        return _unpack(_NUMBERS[kind], data, element.is_little_endian)
    if kind == "AT":
        pairs = _unpack("H", data, element.is_little_endian)
        return [f"{group:04X}{member:04X}" for group, member in zip(pairs[::2], pairs[1::2], strict=False)]
    text = decode_bytes(data, list(encodings), _TEXT_DELIMITERS)
    text = _ESCAPES.sub("", text).translate(_CONTROLS).rstrip(" ")
    if kind in _SINGLE_TEXT:
        return [text.rstrip() or None]
    parse = _PARSERS.get(kind, _strip)
    return [parse(part) if part.strip() else None for part in text.split("\\")]


def _unpack(code: str, data: bytes, little_endian: bool) -> list[Any]:
    count = len(data) // struct.calcsize(code)
    order = "<" if little_endian else ">"
    numbers = struct.unpack_from(f"{order}{count}{code}", data)
    return [_finite(number) for number in numbers]


def _finite(number: float) -> float | str:
    """A number as JSON can tell it, else text (PS3.18 table F.2.3-1)."""
    if isinstance(number, int):
        return number if abs(number) < _SAFE_INTEGER else str(number)
    if math.isnan(number):
        return "NaN"
    return number if math.isfinite(number) else ("Infinity" if number > 0 else "-Infinity")


def _strip(text: str) -> str:
    return text.strip(" \0")


def _number(text: str) -> int | float | str:
    """A decimal or integer string as a number where it is one and JSON keeps it (PS3.18 section F.2.3.1)."""
    text = text.strip(" \0")
    for parse in (int, float):
        try:
            number = parse(text) if "_" not in text else None
        except ValueError:
            continue
        if number is not None and math.isfinite(number) and abs(number) < _SAFE_INTEGER:
            return number
    return text


def _person_name(text: str) -> dict[str, str]:
    """The component groups that have a value (PS3.18 section F.2.2 and PS3.5 section 6.2.1)."""
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), text.split("="), strict=False)
    return {name: group.strip() for name, group in groups if group.strip()}


_PARSERS: dict[str, Callable[[str], Any]] = {"DS": _number, "IS": _number, "PN": _person_name}
