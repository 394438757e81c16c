"""What every result has in common: whose it is, where it belongs, what made it, and that it is deterministic.

A result's dates are those of its sources. The sources' dates are shifted, so the day of the reading beside
them would tell by how much.
"""

import io
from collections.abc import Callable, Sequence

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.coding import Code as Coded
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MammographyCADSRStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from archive.findings import Code, Findings

Uid = Callable[[str], str]

RESEARCH_USE_ONLY = "RESEARCH USE ONLY"
IMPLEMENTATION_CLASS_UID = "2.25.302841953570112863475519426930171540221"

_REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "ReferringPhysicianName",
)
_OPTIONAL = (
    "IssuerOfPatientID",
    "StudyDescription",
    "PatientAge",
    "TimezoneOffsetFromUTC",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
)


_SERIES_NUMBERS = {
    Comprehensive3DSRStorage: 9001,
    MammographyCADSRStorage: 9002,
    SecondaryCaptureImageStorage: 9003,
    SegmentationStorage: 9004,
    GrayscaleSoftcopyPresentationStateStorage: 9005,
    KeyObjectSelectionDocumentStorage: 9006,
}


def name_of(findings: Findings, sop_class_uid: str = Comprehensive3DSRStorage) -> str:
    """The name that the results of one SOP class have: of study, task, model, version and class."""
    model = findings.model
    return "\0".join((findings.study_instance_uid, findings.task, model.name, model.version, sop_class_uid))


def series_uids(findings: Findings, uid: Uid) -> list[str]:
    """The series of all kinds of results of these findings."""
    return [uid(f"result series\0{name_of(findings, sop_class_uid)}") for sop_class_uid in _SERIES_NUMBERS]


def start_document(
    findings: Findings,
    sources: Sequence[Dataset],
    sop_class_uid: str,
    modality: str,
    uid: Uid,
    *,
    number: int = 1,
    part: str = "",
) -> FileDataset:
    """An instance without content in the study of its sources (headers of the instances that were read).

    `uid` maps a name to a UID, always the same. The names are those of study, task, model, version and SOP
    class, so that reading a study again gives the same instance again. Where there are several instances of one
    class, in one series, `part` names each and `number` counts them.
    """
    model = findings.model
    name = name_of(findings, sop_class_uid)
    document = start_instance(
        sources[0], sop_class_uid, uid("\0".join(filter(None, ("result instance", name, part))))
    )
    document.Modality = modality
    document.SeriesInstanceUID = uid(f"result series\0{name}")
    document.SeriesNumber = _SERIES_NUMBERS[UID(sop_class_uid)]
    document.InstanceNumber = number
    caution = f"{RESEARCH_USE_ONLY}: " if model.research_use_only else ""
    document.SeriesDescription = f"{caution}{model.title}"[:64]
    document.ContentDate, document.ContentTime = moment_of(findings, sources)
    document.SeriesDate, document.SeriesTime = document.ContentDate, document.ContentTime
    _add_equipment(document, findings)
    return document


def start_instance(source: Dataset, sop_class_uid: str, sop_instance_uid: str) -> FileDataset:
    """An instance without series and content, of the patient and in the study of a header."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = "SENOGATE"
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    document = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    _copy_context(document, source)
    document.SOPClassUID = sop_class_uid
    document.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    return document


def to_part10(document: FileDataset) -> bytes:
    """The document's bytes, Explicit VR Little Endian: the same for the same document."""
    file = io.BytesIO()
    document.save_as(file, enforce_file_format=True)
    return file.getvalue()


def code_item(code: Code | Coded) -> Dataset:
    """A code as an item of a code sequence (PS3.3 section 8.8)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme if isinstance(code, Code) else code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def add_compression(document: Dataset, source: Dataset) -> None:
    """Whether the pixels that an image was made from were ever compressed with a loss (PS3.3 C.7.6.1.1.5)."""
    document.LossyImageCompression = source.get("LossyImageCompression") or "00"
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in source:
            document[keyword] = source[keyword]


def _copy_context(document: Dataset, source: Dataset) -> None:
    """The patient's and the study's attributes (PS3.3 C.7.1.1, C.7.2.1), in UTF-8 whatever the source is in.

    Those that every instance must have are empty where the source has none.
    """
    document.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _REQUIRED:
        setattr(document, keyword, str(source.get(keyword) or ""))
    for keyword in _OPTIONAL:
        if keyword in source:
            document[keyword] = source[keyword]


def moment_of(findings: Findings, sources: Sequence[Dataset]) -> tuple[str, str]:
    """The date and the time that a result has: the latest of its sources, as these were shifted."""
    for kind in ("Content", "Acquisition", "Series", "Study"):
        moments = [(str(one.get(f"{kind}Date") or ""), str(one.get(f"{kind}Time") or "")) for one in sources]
        if all(date for date, _ in moments):
            date, time = max(moments)
            return date, time or "000000"
    return findings.created_at.strftime("%Y%m%d"), findings.created_at.strftime("%H%M%S")


def _add_equipment(document: Dataset, findings: Findings) -> None:
    """Enhanced General Equipment (PS3.3 C.7.5.2): the model is the device; its hash is its serial number."""
    document.Manufacturer = "Senogate"
    document.ManufacturerModelName = findings.model.name[:64]
    document.SoftwareVersions = findings.model.version[:64]
    document.DeviceSerialNumber = findings.model.sha256
