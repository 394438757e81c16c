"""DICOM JSON as the Native DICOM Model in XML (PS3.19 section A.1, PS3.18 annex F table F.3.1-1)."""

import re
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from pydicom.datadict import keyword_for_tag

from archive.json_values import Attribute, Attributes

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_HEAD = f'<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_NO_CHARACTERS = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 section 2.2


def render_native_model(attributes: Attributes) -> bytes:
    """An XML document of a data set. Characters that XML can't hold are left out."""
    parts = [_HEAD, *_attributes(attributes), "</NativeDicomModel>"]
    return "".join(parts).encode("utf-8")


def _attributes(attributes: Attributes) -> Iterator[str]:
    for name, attribute in attributes.items():
        yield f"<DicomAttribute tag={_quote(name)} vr={_quote(attribute['vr'])}{_names(name, attributes)}>"
        yield from _content(attribute)
        yield "</DicomAttribute>"


def _names(name: str, attributes: Attributes) -> str:
    """The keyword of an attribute of the standard, the creator of a private one."""
    number = int(name, 16)
    if number >> 16 & 1:
        creator = attributes.get(f"{name[:4]}00{name[4:6]}", {}).get("Value", [None])[0]
        return f" privateCreator={_quote(str(creator))}" if creator and number & 0xFF00 else ""
    keyword = keyword_for_tag(number)
    return f' keyword="{keyword}"' if keyword else ""


def _content(attribute: Attribute) -> Iterator[str]:
    """The values, numbered from 1; an empty one is left out and its number with it."""
    if "BulkDataURI" in attribute:
        yield f"<BulkData uri={_quote(attribute['BulkDataURI'])}/>"
    if "InlineBinary" in attribute:
        yield f"<InlineBinary>{attribute['InlineBinary']}</InlineBinary>"
    for number, value in enumerate(attribute.get("Value", ()), 1):
        if value is not None:
            yield from _value(attribute["vr"], number, value)


def _value(kind: str, number: int, value: Any) -> Iterator[str]:
    if kind == "SQ":
        yield f'<Item number="{number}">'
        yield from _attributes(value)
        yield "</Item>"
    elif kind == "PN" and isinstance(value, dict):
        yield f'<PersonName number="{number}">'
        for group, text in value.items():
            yield f"<{group}>{''.join(_name_components(text))}</{group}>"
        yield "</PersonName>"
    else:
        yield f'<Value number="{number}">{_escape(str(value))}</Value>'


def _name_components(text: str) -> Iterator[str]:
    for component, part in zip(COMPONENTS, text.split("^"), strict=False):
        if part:
            yield f"<{component}>{_escape(part)}</{component}>"


def _escape(text: str) -> str:
    return escape(_NO_CHARACTERS.sub("", text), {"\r": "&#13;"})


def _quote(text: str) -> str:
    return quoteattr(_NO_CHARACTERS.sub("", text))
