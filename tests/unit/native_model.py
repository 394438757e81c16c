"""The Native DICOM Model read back as DICOM JSON, for tests to compare."""

import json
from typing import Any
from xml.etree import ElementTree

from gateway.native_model import _NO_CHARACTERS, NAMESPACE

_NS = "{" + NAMESPACE + "}"
_NUMBERS = {"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"}


def read_native_model(document: bytes) -> dict[str, Any]:
    root = ElementTree.fromstring(document)
    assert root.tag == f"{_NS}NativeDicomModel"
    return _attributes(root)


def comparable(attributes: dict[str, Any]) -> dict[str, Any]:
    """DICOM JSON without what XML can't tell: empty values at the end, numbers apart from their text."""
    return json.loads(json.dumps({name: _comparable(each) for name, each in attributes.items()}))


def _comparable(attribute: dict[str, Any]) -> dict[str, Any]:
    if "Value" not in attribute:
        return attribute
    values = [_comparable_value(attribute["vr"], value) for value in attribute["Value"]]
    while values and values[-1] is None:
        values.pop()
    return attribute | {"Value": values} if values else {"vr": attribute["vr"]}


def _comparable_value(kind: str, value: Any) -> Any:
    if kind == "SQ":
        return comparable(value)
    if kind == "PN" and isinstance(value, dict):
        return {group: _name(text) for group, text in value.items() if _name(text)} or None
    return value if value is None else _NO_CHARACTERS.sub("", str(value)) or None


def _name(text: str) -> str:
    return _NO_CHARACTERS.sub("", "^".join(text.split("^")[:5])).rstrip("^")


def _attributes(parent: ElementTree.Element) -> dict[str, Any]:
    return {each.attrib["tag"]: _attribute(each) for each in parent}


def _attribute(element: ElementTree.Element) -> dict[str, Any]:
    kind, values = element.attrib["vr"], {}
    for child in element:
        match child.tag.removeprefix(_NS):
            case "BulkData":
                return {"vr": kind, "BulkDataURI": child.attrib["uri"]}
            case "InlineBinary":
                return {"vr": kind, "InlineBinary": child.text}
            case "Item":
                values[int(child.attrib["number"])] = _attributes(child)
            case "PersonName":
                names = {group.tag.removeprefix(_NS): _components(group) for group in child}
                values[int(child.attrib["number"])] = {
                    key: name for key, name in names.items() if name
                } or None
            case "Value":
                values[int(child.attrib["number"])] = child.text or None
    last = max((number for number, value in values.items() if value is not None), default=0)
    return {"vr": kind, "Value": [values.get(at) for at in range(1, last + 1)]} if last else {"vr": kind}


def _components(group: ElementTree.Element) -> str:
    names = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
    return "^".join(group.findtext(_NS + name, "") for name in names).rstrip("^")
