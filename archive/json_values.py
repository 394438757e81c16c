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
from functools import lru_cache
from typing import Any

import msgspec
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import VR

from archive.header import Elements, Unusual, read_items

Attribute = dict[str, Any]
"""`{"vr": …}` with Value, InlineBinary or BulkDataURI, or with none of them where it is empty."""
Attributes = dict[str, Attribute]
"""Attributes by tag, eight upper-case hexadecimal digits."""

INLINE_LIMIT = 1024
"""Bytes up to which a binary value is given inline; longer ones are given by reference."""

_encode = msgspec.json.Encoder().encode
_REPEATED = 64  # bytes of a value that is rendered once for all instances that have it
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
_REPEATED_VRS = frozenset(vr.value for vr in VR if " " not in vr.value) - _BINARY - {"SQ"}
_SPECIFIC_CHARACTER_SET, _PIXEL_REPRESENTATION = 0x00080005, 0x00280103


class Rendered(dict[str, Any]):
    """An attribute that many instances have, with its JSON text. It is changed by nobody."""

    __slots__ = ("text",)

    def __init__(self, attribute: Attribute) -> None:
        super().__init__(attribute)
        self.text = _encode(self).decode()

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[Attribute]]:
        return dict, (dict(self),)


_CHARACTER_SET, _UTF_8 = "00080005", Rendered({"vr": "CS", "Value": ["ISO_IR 192"]})


def to_json(attributes: Attributes) -> str:
    """JSON text of a data set, its attributes in ascending order of their tags (PS3.18 section F.2.2)."""
    texts = []
    for name in sorted(attributes):
        attribute = attributes[name]
        text = attribute.text if type(attribute) is Rendered else _encode(attribute).decode()
        texts.append(f'"{name}":{text}')
    return f"{{{','.join(texts)}}}"


def parse_json(text: str) -> Attributes:
    """The data set that `to_json` wrote."""
    return msgspec.json.decode(text)


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


def render_elements(
    elements: Elements, bulk_url: str, encodings: Sequence[str] = ("iso8859",), is_explicit: bool = True
) -> Attributes:
    """The same, of elements as `archive.header` reads them. Raises Unusual for items that are for another reader."""
    encodings = tuple(encodings)
    if _SPECIFIC_CHARACTER_SET in elements:
        kind, value = elements[_SPECIFIC_CHARACTER_SET]
        if kind != "CS" or not isinstance(value, bytes):
            raise Unusual
        encodings = _declared(value, encodings)
    rendered: Attributes = {}
    for number, (kind, value) in elements.items():
        name = _name(number)
        if not name:
            continue
        if kind == "SQ" or isinstance(value, list):
            rendered[name] = _render_items(value, f"{bulk_url}/{name}", encodings, is_explicit)
        elif kind in _REPEATED_VRS and len(value) <= _REPEATED:
            rendered[name] = _render_again(kind, value, encodings)
        else:
            kind = _chosen(kind, _is_signed(elements)) if " " in kind else kind
            rendered[name] = _render_value(kind, value, True, encodings, f"{bulk_url}/{name}")
    if _CHARACTER_SET in rendered:
        rendered[_CHARACTER_SET] = _UTF_8
    return rendered


def _render_items(
    value: "bytes | list[Elements]", url: str, encodings: tuple[str, ...], is_explicit: bool
) -> Attribute:
    if isinstance(value, bytes) and len(value) <= INLINE_LIMIT:  # none of its values is given by reference
        return _render_items_again(value, encodings, is_explicit)
    items = read_items(value, is_explicit) if isinstance(value, bytes) else value
    values = [
        render_elements(item, f"{url}/{index}", encodings, is_explicit) for index, item in enumerate(items)
    ]
    return {"vr": "SQ", "Value": values} if values else {"vr": "SQ"}


def _is_signed(elements: Elements) -> bool:
    return _PIXEL_REPRESENTATION in elements and elements[_PIXEL_REPRESENTATION][1] == b"\x01\x00"


@lru_cache(16_384)
def _name(number: int) -> str:
    """A tag as DICOM JSON names it; empty for what is no attribute of a data set."""
    return f"{number:08X}" if number & 0xFFFF and number >> 16 not in (0x0000, 0x0002, 0xFFFE) else ""


@lru_cache(16_384)
def _render_again(kind: str, value: bytes, encodings: tuple[str, ...]) -> Attribute:
    """Of a value that other instances may have as well. What it gives is theirs, too, and is changed by nobody."""
    return Rendered(_render_value(kind, value, True, encodings, ""))


@lru_cache(4096)
def _render_items_again(value: bytes, encodings: tuple[str, ...], is_explicit: bool) -> Attribute:
    """The same of items."""
    return Rendered(_render_items(read_items(value, is_explicit), "", encodings, is_explicit))


@lru_cache(64)
def _declared(value: bytes, inherited: tuple[str, ...]) -> tuple[str, ...]:
    """Python's names of the character sets that are declared; those inherited where the value can't be read."""
    try:
        names = value.decode("latin-1").rstrip("\0").split("\\")
        return tuple(convert_encodings([part.strip() for part in names]))
    except LookupError:
        return inherited


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
    return _render_value(kind, element.value or b"", element.is_little_endian, encodings, url)


def _render_value(
    kind: str, data: bytes, little_endian: bool, encodings: Sequence[str], url: str
) -> Attribute:
    if kind in _BINARY:
        return _binary(kind, data, url)
    values = _values(kind, data, little_endian, encodings)
    return {"vr": kind, "Value": values} if any(value is not None for value in values) else {"vr": kind}


def _vr(dataset: Dataset, number: BaseTag, encoded: str | None) -> str:
    """The VR that was encoded; where none was, or UN, the dictionary's, its choices decided as PS3.5 annex A says."""
    if encoded not in (None, "UN"):
        return str(encoded)
    try:
        kind = dictionary_VR(number)
    except KeyError:
        return "UN"
    return _chosen(kind, kind == "US or SS" and dataset.get("PixelRepresentation") == 1)


def _chosen(kind: str, is_signed: bool) -> str:
    if kind == "US or SS":
        return "SS" if is_signed else "US"
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


def _values(kind: str, data: bytes, little_endian: bool, encodings: Sequence[str]) -> list[Any]:
    """The value's parts, None for an empty one (PS3.18 section F.2.5)."""
    if kind in _NUMBERS:
        return _unpack(_NUMBERS[kind], data, little_endian)
    if kind == "AT":
        pairs = _unpack("H", data, little_endian)
        return [f"{group:04X}{member:04X}" for group, member in zip(pairs[::2], pairs[1::2], strict=False)]
    text = _text(data, encodings)
    if kind in _SINGLE_TEXT:
        return [text.rstrip() or None]
    parse = _PARSERS.get(kind, _strip)
    return [parse(part) if part.strip() else None for part in text.split("\\")]


def _text(data: bytes, encodings: Sequence[str]) -> str:
    """Without controls and the spaces at its end. What is printable ASCII is so in all character sets but one."""
    if data.isascii() and encodings[0] != "shift_jis":
        text = data.rstrip(b"\0").decode("ascii")
        if text.isprintable():
            return text.rstrip(" ")
    text = decode_bytes(data, list(encodings), _TEXT_DELIMITERS)
    return _ESCAPES.sub("", text).translate(_CONTROLS).rstrip(" ")


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
