"""What the headers of a study's instances tell: one frozen value an instance, read without its pixels."""

import io
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import config, dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from inference.errors import ReadingFailed

Part = bytes | Path

VIEW_CODES = {
    "CC": codes.SCT.CranioCaudal,
    "MLO": codes.SCT.MedioLateralObliqueProjection,
    "ML": codes.SCT.MedioLateralProjection,
    "LM": codes.SCT.LateroMedial,
    "LMO": codes.SCT.LateroMedialOblique,
    "FB": codes.SCT.CaudoCranial,
    "XCCL": codes.SCT.CranioCaudalExaggeratedLaterally,
    "XCCM": codes.SCT.CranioCaudalExaggeratedMedially,
    "SIO": codes.SCT.SuperolateralToInferomedialOblique,
    "ISO": codes.SCT.InferomedialToSuperolateralOblique,
    "specimen": codes.SCT.TissueSpecimenFromBreast,
}
"""PS3.16 CID 4014 by the abbreviations that View Position uses (PS3.3 C.8.11.7.1.2)."""

HARMLESS_MODIFIERS = (codes.SCT.NippleInProfile, codes.SCT.InfraMammaryFold)
"""Modifiers of PS3.16 CID 4015 that a standard view may carry."""

CONTACT_MAGNIFICATION = 1.3
"""A breast that lies on its detector is magnified less than this; magnification views, 1.5 times and more."""

_LEGACY_SCHEMES = {"SNM3", "99SDM"}
_DAMAGED = (
    BytesLengthException,
    InvalidDicomError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class Instance:
    """The header of one instance, as far as choosing views needs it. Absent attributes are empty.

    `view` and `code_view` are what View Position and View Code Sequence say, as abbreviations; `modified`
    tells that a view modifier makes it no standard view. `acquired` orders the images of one view in time. `age` is in
    years, None where Patient Age is absent or not in years; `spacing` is (between rows, between columns) in
    millimetres: Imager Pixel Spacing, at the detector, else Pixel Spacing; `implant` is Breast Implant Present;
    `patient_orientation` tells where rows and where columns lead (PS3.3 C.7.6.1.1.1). Laterality and spacing of an
    enhanced instance are those that its frames share.
    """

    part: Part
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    modality: str
    presentation_intent: str
    image_type: tuple[str, ...]
    image_laterality: str
    laterality: str
    view: str
    code_view: str
    modified: bool
    partial: bool
    quality_control: bool
    number_of_frames: int
    acquired: tuple[str, str, int]
    manufacturer: str = ""
    model_name: str = ""
    implant: str = ""
    age: int | None = None
    sex: str = ""
    spacing: tuple[float, float] | None = None
    patient_orientation: tuple[str, ...] = ()


@contextmanager
def readable() -> Iterator[None]:
    """Turn what a damaged dataset makes pydicom raise into ReadingFailed; keep its values out of warnings."""
    try:
        with warnings.catch_warnings(action="ignore"), config.disable_value_validation():
            yield
    except _DAMAGED as error:
        raise ReadingFailed("an instance is damaged or is not DICOM") from error


def read_dataset(part: Part, *, pixels: bool) -> FileDataset:
    """Read a Part 10 instance, with or without its pixels. Raises ReadingFailed."""
    with readable():
        source = io.BytesIO(part) if isinstance(part, bytes) else part
        return dcmread(source, stop_before_pixels=not pixels)


def read_instance(part: Part) -> Instance:
    """Read the header of a Part 10 instance. Raises ReadingFailed."""
    return describe(read_dataset(part, pixels=False), part)


def describe(dataset: Dataset, part: Part = b"") -> Instance:
    """The header of an instance that is read already; `part` is where its pixels are. Raises ReadingFailed."""
    with readable():
        views = dataset.get("ViewCodeSequence") or []
        return Instance(
            part=part,
            study_instance_uid=str(dataset.StudyInstanceUID),
            series_instance_uid=str(dataset.SeriesInstanceUID),
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
            modality=_text(dataset, "Modality"),
            presentation_intent=_text(dataset, "PresentationIntentType"),
            image_type=_texts(dataset, "ImageType"),
            image_laterality=_text(dataset, "ImageLaterality")
            or _text(_shared(dataset, "FrameAnatomySequence"), "FrameLaterality"),
            laterality=_text(dataset, "Laterality"),
            view=_text(dataset, "ViewPosition"),
            code_view=_code_view(views),
            modified=any(_is_modified(view) for view in views) or _is_magnified(dataset),
            partial=_text(dataset, "PartialView") == "YES",
            quality_control=_text(dataset, "QualityControlImage") == "YES",
            number_of_frames=int(dataset.get("NumberOfFrames") or 1),
            acquired=_acquired(dataset),
            manufacturer=_text(dataset, "Manufacturer"),
            model_name=_text(dataset, "ManufacturerModelName"),
            implant=_text(dataset, "BreastImplantPresent"),
            age=_age(dataset),
            sex=_text(dataset, "PatientSex"),
            spacing=_spacing(dataset) or _spacing(_shared(dataset, "PixelMeasuresSequence")),
            patient_orientation=_texts(dataset, "PatientOrientation"),
        )


def _shared(dataset: Dataset, keyword: str) -> Dataset:
    """The functional group that all frames of an enhanced instance share, else that of its first (C.7.6.16)."""
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for item in (dataset.get(groups) or [])[:1]:
            if found := item.get(keyword):
                return Dataset(found[0])
    return Dataset()


def _age(dataset: Dataset) -> int | None:
    """Patient Age in whole years (PS3.5 section 6.2, AS)."""
    digits, unit = _text(dataset, "PatientAge")[:-1], _text(dataset, "PatientAge")[-1:]
    return int(digits) if unit == "Y" and digits.isdecimal() else None


def _spacing(dataset: Dataset) -> tuple[float, float] | None:
    for keyword in ("ImagerPixelSpacing", "PixelSpacing"):
        value = dataset.get(keyword)
        if value and len(value) == 2 and all(math.isfinite(float(one)) and float(one) > 0 for one in value):
            return float(value[0]), float(value[1])
    return None


def _acquired(dataset: Dataset) -> tuple[str, str, int]:
    date, time = (
        _text(dataset, f"Acquisition{kind}") or _text(dataset, f"Content{kind}") for kind in ("Date", "Time")
    )
    return date, time, int(dataset.get("InstanceNumber") or 0)


def _text(dataset: Dataset, keyword: str) -> str:
    return "".join(_texts(dataset, keyword)[:1])


def _texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    value = dataset.get(keyword)
    values = value if isinstance(value, MultiValue | list) else [value]
    return tuple("" if one is None else str(one).strip().upper() for one in values)


def _code_view(views: list[Dataset]) -> str:
    for view in views:
        code = _code(view)
        for name, known in VIEW_CODES.items():
            if code == known:
                return name
    return ""


def _is_modified(view: Dataset) -> bool:
    modifiers = [_code(modifier) for modifier in view.get("ViewModifierCodeSequence") or []]
    return any(modifier not in HARMLESS_MODIFIERS for modifier in modifiers)


def _is_magnified(dataset: Dataset) -> bool:
    return float(dataset.get("EstimatedRadiographicMagnificationFactor") or 1) > CONTACT_MAGNIFICATION


def _code(item: Dataset) -> Code:
    """The code of an item. SNOMED's retired identifiers equal the present ones (PS3.16 section 8.1)."""
    scheme = str(item.get("CodingSchemeDesignator", ""))
    scheme = "SRT" if scheme in _LEGACY_SCHEMES else scheme
    return Code(str(item.get("CodeValue", "")), scheme, str(item.get("CodeMeaning", "")))
