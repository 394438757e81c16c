"""A data set that comes as XML, in the Native DICOM Model (PS3.19 section A.1) → DICOM JSON.

A document is small and of any origin: a document type, and with it every entity, is refused, and so is what is nested
too deeply.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from archive.errors import BadRequest, PayloadTooLarge
from archive.json_values import Attribute, Attributes
from gateway.native_model import COMPONENTS, NAMESPACE

MAXIMUM = 16 * 1024 * 1024  # bytes; bulk data come beside a document
DEEPEST = 16  # levels of sequences
_PREFIX = f"{{{NAMESPACE}}}"
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_VR = re.compile(r"[A-Z]{2}")
_NUMBERS: dict[str, Callable[[str], int | float]] = {
    **dict.fromkeys(("IS", "SL", "SS", "SV", "UL", "US", "UV"), int),
    **dict.fromkeys(("DS", "FD", "FL"), float),
}
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_MOST_VALUES = 100_000  # of one attribute


class _Builder(TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise BadRequest("an XML payload has a document type, which is not taken")


def parse_native_model(document: bytes) -> Attributes:
    """The attributes of a document. Raises BadRequest, which tells no value, and PayloadTooLarge."""
    if len(document) > MAXIMUM:
        raise PayloadTooLarge(f"an XML payload has at most {MAXIMUM} bytes")
    parser = XMLParser(target=_Builder())  # noqa: S314 (what makes it unsafe needs a document type)
    try:
        parser.feed(document)
        root = parser.close()
    except (ParseError, ValueError, LookupError):
        raise BadRequest("an XML payload is not well-formed") from None
    if root.tag != f"{_PREFIX}NativeDicomModel":
        raise BadRequest("an XML payload is no NativeDicomModel of PS3.19")
    return _attributes(root, DEEPEST)


def _attributes(parent: Element, depth: int) -> Attributes:
    if not depth:
        raise BadRequest(f"an XML payload nests sequences deeper than {DEEPEST}")
    found: Attributes = {}
    for each in parent:
        name, kind = each.get("tag", ""), each.get("vr", "")
        if each.tag != f"{_PREFIX}DicomAttribute" or not _TAG.fullmatch(name) or not _VR.fullmatch(kind):
            raise BadRequest("an XML payload has something else than a DicomAttribute with its tag and vr")
        found[name.upper()] = {"vr": kind} | _content(each, kind, depth)
    return found


def _content(attribute: Element, kind: str, depth: int) -> Attribute:
    """What an attribute has besides its VR; nothing where it is empty."""
    values: dict[int, Any] = {}
    for child in attribute:
        match child.tag.removeprefix(_PREFIX):
            case "BulkData":
                return {"BulkDataURI": child.get("uri") or child.get("uuid", "")}
            case "InlineBinary":
                return {"InlineBinary": "".join((child.text or "").split())}
            case "Item":
                values[_number(child)] = _attributes(child, depth - 1)
            case "PersonName":
                values[_number(child)] = dict(_name(child))
            case "Value":
                values[_number(child)] = _value(kind, child.text)
            case _:
                raise BadRequest("an XML payload has an element that the Native DICOM Model has not")
    return {"Value": [values.get(at) for at in range(1, max(values) + 1)]} if values else {}


def _number(child: Element) -> int:
    """Values are numbered from 1, and may leave numbers out (PS3.19 table A.1.5-2)."""
    number = child.get("number", "")
    if not re.fullmatch("[1-9][0-9]{0,5}", number) or int(number) > _MOST_VALUES:
        raise BadRequest("an XML payload has a value without its number")
    return int(number)


def _value(kind: str, text: str | None) -> Any:
    if not text or kind not in _NUMBERS:
        return text
    try:
        return _NUMBERS[kind](text)
    except ValueError:
        raise BadRequest("an XML payload has a number that is none") from None


def _name(person: Element) -> Iterator[tuple[str, str]]:
    """The component groups of a name, each written as PS3.5 section 6.2 does."""
    for group in _GROUPS:
        components = [
            person.findtext(f"{_PREFIX}{group}/{_PREFIX}{component}") or "" for component in COMPONENTS
        ]
        if name := "^".join(components).rstrip("^"):
            yield group, name
