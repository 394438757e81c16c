"""DICOM JSON (PS3.18 annex F): what the index holds of an instance, rendered once, when it is stored.

Bytes made here hold a NUL where the base URL of DICOMweb goes (`BASE`), which JSON text can't contain, so
that an answer is its rows' bytes joined and one replacement. Text is UTF-8, and Specific Character Set says
so. Bulk data are left out by reference: nothing here reads the pixels.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from pydicom import config, dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from archive.attributes import ATTRIBUTES, RETURNED, TYPE_2, Level, tag, vr
from archive.header import Elements, Unusual, read_header
from archive.json_values import Attribute, Attributes, render_attributes, render_elements, to_json
from archive.resource import is_uid

BASE = "\0"
"""Stands for the base URL of DICOMweb, without a trailing slash, in rendered bytes."""

PIXEL_DATA = (
    0x7FE00008,
    0x7FE00009,
    0x7FE00010,
)  # Float, Double Float, Pixel Data (PS3.3 section C.7.6.3, .24, .25)
# Values are rendered as they are, and pydicom's warnings about malformed ones would quote them.
config.settings.reading_validation_mode = config.IGNORE

_UNDEFINED_LENGTH = 0xFFFFFFFF
_MAXIMUM_INTEGER = 2**31 - 1
_STAND_IN = (
    "\x7f"  # of BASE until the text is encoded: no text keeps a control character and JSON doesn't escape it
)


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study as one of its instances tells it. Values are text, empty where absent."""

    study_instance_uid: str
    patient_id: str
    patient_name: str  # component groups joined by "=" (PS3.5 section 6.2.1)
    patient_birth_date: str
    patient_sex: str
    study_date: str
    study_time: str
    accession_number: str
    study_id: str
    referring_physician_name: str
    study_description: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A series as one of its instances tells it."""

    series_instance_uid: str
    study_instance_uid: str
    modality: str
    series_number: int | None
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """An instance: where its pixels lie in its file, its QIDO-RS answer and its metadata."""

    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    sop_class_uid: str
    instance_number: int | None
    number_of_frames: int
    transfer_syntax_uid: str
    pixel_offset: int | None  # of the value in the file; None: no pixels, or deflated
    pixel_length: int | None  # bytes of the value; None: encapsulated, or none
    has_pixels: bool
    attributes: Attributes  # those of its own that can be matched
    dicom_json: bytes
    metadata: bytes
    study: StudyRecord
    series: SeriesRecord


@dataclass(frozen=True, slots=True)
class _Pixels:
    tag: str
    vr: str
    offset: int | None
    length: int | None


def read_instance(part10: bytes | BinaryIO) -> InstanceRecord:
    """Read a Part 10 file up to its pixels.

    A file object is read from its beginning and not closed. Raises pydicom's InvalidDicomError where it is no
    Part 10 file, ValueError where a UID that identifies it is missing.
    """
    file = BytesIO(part10) if isinstance(part10, bytes) else part10
    try:
        return _read_quickly(file)
    except Unusual:
        return _read_patiently(file)


def _read_quickly(file: BinaryIO) -> InstanceRecord:
    """Raises Unusual for what the other way is for, a missing UID as well."""
    header = read_header(file)
    uids = [_uid(header.elements, number) for number in _IDENTIFIER_TAGS]
    if not all(map(is_uid, uids)):
        raise Unusual
    instance_url = _url(*uids[:3])
    attributes = render_elements(header.elements, f"{instance_url}/bulkdata", is_explicit=header.is_explicit)
    if header.pixels is None:
        return _record(attributes, None, header.transfer_syntax_uid)
    number, kind, offset, length = header.pixels
    pixels = _Pixels(f"{number:08X}", kind, offset, length)
    attributes[pixels.tag] = {"vr": pixels.vr, "BulkDataURI": f"{instance_url}/bulkdata/{pixels.tag}"}
    return _record(attributes, pixels, header.transfer_syntax_uid)


def _uid(elements: Elements, number: int) -> str:
    kind, value = elements.get(number, ("", b""))
    return value.decode("latin-1").strip(" \0") if kind == "UI" and isinstance(value, bytes) else ""


def _read_patiently(file: BinaryIO) -> InstanceRecord:
    dataset, pixels = _read(file)
    missing = [keyword for keyword in _IDENTIFIERS if not dataset.get(keyword)]
    if missing:
        raise ValueError(f"the instance has no {missing[0]}")
    instance_url = _url(*(str(dataset.get(keyword)) for keyword in _IDENTIFIERS[:3]))
    attributes = render_attributes(dataset, bulk_url=f"{instance_url}/bulkdata")
    if pixels:
        attributes[pixels.tag] = {"vr": pixels.vr, "BulkDataURI": f"{instance_url}/bulkdata/{pixels.tag}"}
    return _record(attributes, pixels, str(dataset.file_meta.TransferSyntaxUID))


_IDENTIFIERS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_IDENTIFIER_TAGS = tuple(int(tag(keyword), 16) for keyword in _IDENTIFIERS)


def _read(file: BinaryIO) -> tuple[FileDataset, _Pixels | None]:
    """The data set before the pixels, and where these are."""
    file.seek(0)
    dataset = dcmread(file, stop_before_pixels=True)
    if dataset.file_meta.get("TransferSyntaxUID") is None:
        raise ValueError("the instance has no TransferSyntaxUID")
    if dataset.file_meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
        return dataset, _locate_pixels(file, dataset)
    file.seek(0)
    dataset = dcmread(file)
    return dataset, _drop_pixels(dataset)


def _locate_pixels(file: BinaryIO, dataset: FileDataset) -> _Pixels | None:
    """Read the header of the element that the data set stopped before (PS3.5 section 7.1)."""
    header = file.read(12)
    number = int.from_bytes(header[0:2], "little") << 16 | int.from_bytes(header[2:4], "little")
    if len(header) < 8 or number not in PIXEL_DATA:
        return None
    if dataset.original_encoding[0]:
        kind, length, size = _implicit_pixel_vr(dataset, number), header[4:8], 8
    else:
        kind, length, size = header[4:6].decode("ascii", "replace"), header[8:12], 12
    value_length = int.from_bytes(length, "little")
    encapsulated = value_length == _UNDEFINED_LENGTH
    return _Pixels(
        tag=f"{number:08X}",
        vr=kind,
        offset=file.tell() - len(header) + size,
        length=None if encapsulated else value_length,
    )


def _implicit_pixel_vr(dataset: Dataset, number: int) -> str:
    return {0x7FE00008: "OF", 0x7FE00009: "OD"}.get(number, "OW")


def _drop_pixels(dataset: Dataset) -> _Pixels | None:
    """Take the pixels out of a data set that had to be read whole."""
    for number in PIXEL_DATA:
        if number in dataset:
            kind = dataset[number].VR
            del dataset[number]
            return _Pixels(tag=f"{number:08X}", vr=kind if len(kind) == 2 else "OW", offset=None, length=None)
    return None


def _record(attributes: Attributes, pixels: _Pixels | None, transfer_syntax_uid: str) -> InstanceRecord:
    study, series = _study(attributes), _series(attributes)
    sop_instance_uid = _text(attributes, "SOPInstanceUID")
    return InstanceRecord(
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=series.series_instance_uid,
        study_instance_uid=study.study_instance_uid,
        sop_class_uid=_text(attributes, "SOPClassUID"),
        instance_number=_integer(attributes, "InstanceNumber"),
        number_of_frames=max(_integer(attributes, "NumberOfFrames") or 1, 1),
        transfer_syntax_uid=transfer_syntax_uid,
        has_pixels=pixels is not None,
        pixel_offset=pixels.offset if pixels else None,
        pixel_length=pixels.length if pixels else None,
        attributes=_select(attributes, ATTRIBUTES[Level.INSTANCE]),
        dicom_json=_render_instance(attributes, transfer_syntax_uid),
        metadata=encode(attributes),
        study=study,
        series=series,
    )


def _study(attributes: Attributes) -> StudyRecord:
    return StudyRecord(
        study_instance_uid=_text(attributes, "StudyInstanceUID"),
        patient_id=_text(attributes, "PatientID"),
        patient_name=_text(attributes, "PatientName"),
        patient_birth_date=_text(attributes, "PatientBirthDate"),
        patient_sex=_text(attributes, "PatientSex"),
        study_date=_text(attributes, "StudyDate"),
        study_time=_text(attributes, "StudyTime"),
        accession_number=_text(attributes, "AccessionNumber"),
        study_id=_text(attributes, "StudyID"),
        referring_physician_name=_text(attributes, "ReferringPhysicianName"),
        study_description=_text(attributes, "StudyDescription"),
        attributes=_select(attributes, ATTRIBUTES[Level.STUDY]),
    )


def _series(attributes: Attributes) -> SeriesRecord:
    return SeriesRecord(
        series_instance_uid=_text(attributes, "SeriesInstanceUID"),
        study_instance_uid=_text(attributes, "StudyInstanceUID"),
        modality=_text(attributes, "Modality"),
        series_number=_integer(attributes, "SeriesNumber"),
        attributes=_select(attributes, (*ATTRIBUTES[Level.SERIES], tag("StudyInstanceUID"))),
    )


def render_study(
    attributes: Attributes,
    *,
    study_instance_uid: str,
    modalities: Iterable[str],
    sop_classes: Iterable[str],
    number_of_series: int,
    number_of_instances: int,
) -> bytes:
    """The answer to a search for studies (PS3.18 table 10.6.3-3)."""
    counted = {
        tag("ModalitiesInStudy"): _attribute("CS", *modalities),
        tag("SOPClassesInStudy"): _attribute("UI", *sop_classes),
        tag("NumberOfStudyRelatedSeries"): _attribute("IS", number_of_series),
        tag("NumberOfStudyRelatedInstances"): _attribute("IS", number_of_instances),
    }
    return encode(_returned(attributes, Level.STUDY) | counted | _place(_url(study_instance_uid)))


def render_series(attributes: Attributes, *, number_of_instances: int) -> bytes:
    """The answer to a search for series (PS3.18 table 10.6.3-4), from a SeriesRecord's attributes."""
    url = _url(_text(attributes, "StudyInstanceUID"), _text(attributes, "SeriesInstanceUID"))
    counted = {tag("NumberOfSeriesRelatedInstances"): _attribute("IS", number_of_instances)}
    return encode(_returned(attributes, Level.SERIES) | counted | _place(url))


def _render_instance(attributes: Attributes, transfer_syntax_uid: str) -> bytes:
    """The answer to a search for instances (PS3.18 table 10.6.3-5)."""
    identifiers = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    url = _url(*(_text(attributes, keyword) for keyword in identifiers))
    syntax = {tag("AvailableTransferSyntaxUID"): _attribute("UI", transfer_syntax_uid)}
    return encode(_returned(attributes, Level.INSTANCE) | syntax | _place(url))


def encode(attributes: Attributes) -> bytes:
    """JSON text of a data set, its attributes in ascending order of their tags (PS3.18 section F.2.2)."""
    return to_json(attributes).encode("utf-8").replace(_STAND_IN.encode(), BASE.encode())


def decode(rendered: bytes) -> Attributes:
    """The data set that `encode` rendered; BASE is kept, and `encode` takes it again."""
    return json.loads(rendered.replace(BASE.encode(), _STAND_IN.encode()))


def _returned(attributes: Attributes, level: Level) -> Attributes:
    empty: Attributes = {name: {"vr": vr(name)} for name in TYPE_2[level]}
    character_set = {tag("SpecificCharacterSet"): _attribute("CS", "ISO_IR 192")}
    return character_set | empty | _select(attributes, RETURNED[level])


def _place(url: str) -> Attributes:
    return {
        tag("InstanceAvailability"): _attribute("CS", "ONLINE"),
        tag("RetrieveURL"): _attribute("UR", url),
    }


def _url(study: str, series: str = "", instance: str = "") -> str:
    segments = [_STAND_IN, "studies", study]
    segments += ["series", series] if series else []
    segments += ["instances", instance] if instance else []
    return "/".join(segments)


def _attribute(kind: str, *values: object) -> Attribute:
    return {"vr": kind, "Value": list(values)} if values else {"vr": kind}


def _select(attributes: Attributes, tags: Iterable[str]) -> Attributes:
    return {name: attributes[name] for name in tags if name in attributes}


def _text(attributes: Mapping[str, Attribute], keyword: str) -> str:
    """The first value as text; a person's name as its component groups joined by "="."""
    values = attributes.get(tag(keyword), {}).get("Value") or [""]
    first = values[0]
    if isinstance(first, dict):
        groups = [str(first.get(group, "")) for group in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return "" if first is None else str(first)


def _integer(attributes: Mapping[str, Attribute], keyword: str) -> int | None:
    try:
        number = int(_text(attributes, keyword))
    except ValueError:
        return None
    return number if abs(number) <= _MAXIMUM_INTEGER else None
