"""Instances put together from their attributes and the bulk data beside them (PS3.18 sections 8.7.1, 10.5.2).

Each instance is written as soon as all that it refers to has come, so that no more than one request's unfinished
bulk data is held.
"""

import json
import math
import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset, dcmwrite
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import VR, format_number_as_ds
from pydicom.values import convert_value

from archive.errors import BadRequest, PayloadTooLarge
from archive.media_type import MediaType, parse_media_type
from gateway.multipart import Part

DEEPEST = 16  # levels of sequences
_PIXEL_DATA = "7FE00010"
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
# The transfer syntax of bulk pixel data whose Content-Type names none (PS3.18 tables 8.7.3-2 and 8.7.3-5).
_COMPRESSED = {
    "image/jpeg": "1.2.840.10008.1.2.4.70",
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/jp2": "1.2.840.10008.1.2.4.90",
    "image/jpx": "1.2.840.10008.1.2.4.92",
    "image/jphc": "1.2.840.10008.1.2.4.201",
    "video/mpeg": "1.2.840.10008.1.2.4.100",
    "video/mp4": "1.2.840.10008.1.2.4.102",
}
# What odd attributes can raise on their way through pydicom.
_UNWRITABLE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
    ArithmeticError,
    RecursionError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class Bulk:
    """One part of bulk data."""

    content_type: MediaType
    value: bytes


@dataclass(slots=True)
class Pending:
    """The attributes of an instance in the DICOM JSON Model, and how many parts it waits for from each address."""

    attributes: dict[str, Any]
    awaited: dict[str, int]


class Assembly:
    """Takes the parts of one request in their order."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._pending: list[Pending] = []
        self._bulk: defaultdict[str, list[Bulk]] = defaultdict(list)
        self._held = 0

    @property
    def unfinished(self) -> int:
        """The number of instances to which bulk data are still missing."""
        return len(self._pending)

    def describe(self, text: bytes) -> None:
        """Take a part of attributes: one instance, or an array of them. Raises BadRequest."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise BadRequest("a part of the type application/dicom+json is no JSON") from None
        instances = found if isinstance(found, list) else [found]
        if not all(isinstance(instance, dict) for instance in instances):
            raise BadRequest("a part of the type application/dicom+json is no array of instances")
        self.expect(instances)

    def expect(self, instances: list[dict[str, Any]]) -> None:
        """Take the attributes of instances in the DICOM JSON Model. Raises BadRequest."""
        self._pending += [Pending(instance, _awaited(instance)) for instance in instances]

    def add(self, part: Part) -> None:
        """Take a part of bulk data. Raises BadRequest, and PayloadTooLarge where too much waits for more."""
        address = part.headers.get("content-location", "")
        if not address:
            raise BadRequest("a part of bulk data has no Content-Location")
        content_type = parse_media_type(part.headers.get("content-type", "application/octet-stream"))
        self._bulk[address].append(Bulk(content_type, part.body))
        self._held += len(part.body)
        if self._held > self._maximum:
            raise PayloadTooLarge(
                f"bulk data of instances that are not whole yet exceed the {self._maximum} bytes that are taken: "
                "send those of one instance one after the other"
            )

    def completed(self) -> Iterator[bytes]:
        """Part 10 instances of which nothing is missing any more; empty for one that can't be written."""
        ready: list[Pending] = []
        waiting: list[Pending] = []
        for each in self._pending:
            (ready if self._is_complete(each) else waiting).append(each)
        self._pending = waiting
        for each in ready:
            bulk = {address: self._bulk[address] for address in each.awaited}
            try:
                yield _write(each.attributes, bulk)
            except _UNWRITABLE:
                yield b""
        wanted = {address for each in self._pending for address in each.awaited}
        for address in {address for each in ready for address in each.awaited} - wanted:
            self._held -= sum(len(each.value) for each in self._bulk.pop(address, []))

    def _is_complete(self, pending: Pending) -> bool:
        for address, number in pending.awaited.items():
            parts = self._bulk.get(address, [])
            is_image = bool(parts) and parts[0].content_type.type == "image"
            if len(parts) < (number if is_image else 1):
                return False
        return True


def _awaited(attributes: dict[str, Any]) -> dict[str, int]:
    """The addresses of an instance's bulk data; compressed pixels come in one part for each frame."""
    awaited = dict.fromkeys(_addresses(attributes, DEEPEST), 1)
    if pixels := _address(attributes.get(_PIXEL_DATA)):
        awaited[pixels] = _number_of_frames(attributes)
    return awaited


def _address(element: object) -> str:
    """Where an element's bulk data are; empty for one that has none."""
    found = element.get("BulkDataURI") if isinstance(element, dict) else None
    return found if isinstance(found, str) else ""


def _number_of_frames(attributes: dict[str, Any]) -> int:
    try:
        return max(int(attributes["00280008"]["Value"][0]), 1)
    except (KeyError, IndexError, TypeError, ValueError):
        return 1


def _addresses(attributes: dict[str, Any], depth: int) -> Iterator[str]:
    if depth == 0:
        raise BadRequest(f"an instance nests sequences deeper than {DEEPEST}")
    for element in attributes.values():
        if address := _address(element):
            yield address
        for item in _items(element):
            yield from _addresses(item, depth - 1)


def _items(element: object) -> list[dict[str, Any]]:
    """The items of a sequence; none of what is no sequence."""
    values = element.get("Value") if isinstance(element, dict) and element.get("vr") == "SQ" else None
    return [item for item in values if isinstance(item, dict)] if isinstance(values, list) else []


def _write(attributes: dict[str, Any], bulk: dict[str, list[Bulk]]) -> bytes:
    """A Part 10 instance. Raises one of `_UNWRITABLE`."""
    transfer_syntax = _transfer_syntax(attributes, bulk)
    dataset = _dataset(attributes, bulk)
    dataset.SpecificCharacterSet = "ISO_IR 192"  # the DICOM JSON Model is UTF-8 (PS3.18 section F.2)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta = meta
    if "PixelData" in dataset and meta.TransferSyntaxUID.is_encapsulated:
        dataset["PixelData"].is_undefined_length = True
    buffer = DicomBytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def _transfer_syntax(attributes: dict[str, Any], bulk: dict[str, list[Bulk]]) -> str:
    """That of the pixel data; everything else is Explicit VR Little Endian."""
    parts = bulk.get(_address(attributes.get(_PIXEL_DATA)))
    if not parts or parts[0].content_type.type not in ("image", "video"):
        return str(ExplicitVRLittleEndian)
    kind = parts[0].content_type
    return kind.parameter("transfer-syntax") or _COMPRESSED[kind.essence]


def _dataset(attributes: dict[str, Any], bulk: dict[str, list[Bulk]]) -> Dataset:
    plain: dict[str, Any] = {}
    dataset = Dataset()
    for tag, element in attributes.items():
        if not _TAG.fullmatch(tag):
            raise ValueError("no tag")
        if int(tag[:4], 16) <= 2 or tag[4:] == "0000":
            continue
        if element["vr"] == "SQ":
            dataset.add_new(Tag(tag), "SQ", [_dataset(item, bulk) for item in _items(element)])
        elif address := _address(element):
            _add_bulk(dataset, tag, element["vr"], bulk[address])
        else:
            plain[tag] = _rounded(element)
    dataset.update(Dataset.from_json(plain))
    return dataset


def _add_bulk(dataset: Dataset, tag: str, vr: str, parts: list[Bulk]) -> None:
    value = parts[0].value
    if parts[0].content_type.type in ("image", "video"):
        if tag != _PIXEL_DATA:
            raise ValueError("only pixel data are compressed")
        value = encapsulate([part.value for part in parts])
    value += b"\0" * (len(value) % 2)
    raw = RawDataElement(Tag(tag), VR(vr), len(value), value, 0, False, True)
    dataset.add_new(Tag(tag), vr, convert_value(vr, raw, ["utf_8"]))


def _rounded(element: dict[str, Any]) -> dict[str, Any]:
    """Decimal strings come as numbers, which may have more digits than the 16 characters of a DS hold."""
    if element["vr"] != "DS":
        return element
    return element | {"Value": [_decimal_string(value) for value in element.get("Value") or ()]}


def _decimal_string(value: object) -> object:
    if isinstance(value, float) and math.isfinite(value) and len(repr(value)) > 16:
        return format_number_as_ds(value)
    return value
