"""Planes of a structured phantom as a Breast Tomosynthesis Image (PS3.3 A.55): what lies in a plane is sharp.

Written as vendors do, For Presentation and with all planes of one view in an instance.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from inference.instance import VIEW_CODES
from inference.phantom.geometry import ANGLES
from inference.phantom.instances import add_nobody, add_series, phantom_uids
from inference.phantom.mammogram import DATE, TIME, Uid, begin_instance, item, to_part10
from inference.phantom.study import Planes, Study
from inference.phantom.truth import View

TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
_ORGANISATION = 174920385517293846501927365482910473625
_FRAME_TYPE = ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "NONE"]


def write_tomosynthesis(
    study: Study, planes: Iterator[tuple[View, Planes]]
) -> Iterator[tuple[View, str, bytes]]:
    """Each view's planes as an instance of the study, with its SOP Instance UID and its Part 10 bytes."""
    uid = phantom_uids(study)
    for number, (view, stack) in enumerate(planes, 101):
        dataset = begin_instance(number, uid, TOMOSYNTHESIS)
        add_nobody(dataset, study, uid)
        add_series(dataset, study.vendor, (view[0], f"{view[1]} DBT"), number, uid)
        del dataset.DetectorID
        _add_image(dataset, stack, view, number, uid)
        _add_groups(dataset, study, stack, view)
        yield view, str(dataset.SOPInstanceUID), to_part10(dataset)


def _add_groups(dataset: Dataset, study: Study, stack: Planes, view: View) -> None:
    """The functional groups of all planes and of each, and their order (PS3.3 C.7.6.16, C.7.6.17)."""
    shared = Dataset()
    shared.PixelMeasuresSequence = [_group(PixelSpacing=[stack.spacing] * 2, SliceThickness=stack.apart)]
    shared.PlaneOrientationSequence = [_group(ImageOrientationPatient=[*_along(view)])]
    shared.FrameAnatomySequence = [
        _group(FrameLaterality=view[0], AnatomicRegionSequence=[item(codes.SCT.Breast)])
    ]
    shared.PixelValueTransformationSequence = [
        _group(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")
    ]
    shared.FrameVOILUTSequence = [_group(WindowCenter="2048", WindowWidth="4096")]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [_plane(at, stack, view) for at in range(len(stack.values))]
    organisation = f"2.25.{_ORGANISATION}"
    dataset.DimensionOrganizationSequence = [_group(DimensionOrganizationUID=organisation)]
    pointer = _group(DimensionOrganizationUID=organisation)
    pointer.DimensionIndexPointer = tag_for_keyword("InStackPositionNumber")
    pointer.FunctionalGroupPointer = tag_for_keyword("FrameContentSequence")
    dataset.DimensionIndexSequence = [pointer]


def _along(view: View) -> npt.NDArray[np.float64]:
    """Where rows and then columns lead, (6,), in the patient's axes left, posterior, head (PS3.3 C.7.6.2.1.1)."""
    side = 1.0 if view[0] == "L" else -1.0
    angle = np.deg2rad(ANGLES[view[1]])
    down = (-side * np.cos(angle), 0.0, -np.sin(angle))
    return np.round(np.array([0.0, -side, 0.0, *down]), 6) + 0.0


def _plane(at: int, stack: Planes, view: View) -> Dataset:
    """Planes lie one above the other, against the normal of their rows and columns."""
    normal = np.cross(_along(view)[:3], _along(view)[3:])
    position = np.round(-normal * at * stack.apart, 3) + 0.0
    made = Dataset()
    made.XRay3DFrameTypeSequence = [_frame_type()]
    made.FrameContentSequence = [
        _group(StackID="1", InStackPositionNumber=at + 1, DimensionIndexValues=[at + 1])
    ]
    made.PlanePositionSequence = [_group(ImagePositionPatient=[*position])]
    return made


def _frame_type() -> Dataset:
    return _group(
        FrameType=_FRAME_TYPE,
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="TOMOSYNTHESIS",
        PixelPresentation="MONOCHROME",
    )


def _group(**attributes: object) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def _add_image(dataset: Dataset, stack: Planes, view: View, number: int, uid: Uid) -> None:
    dataset.SOPClassUID, dataset.SOPInstanceUID = TOMOSYNTHESIS, uid(f"instance {number}")
    dataset.InstanceNumber = number
    dataset.ImageType, dataset.VolumetricProperties = _FRAME_TYPE, "VOLUME"
    dataset.VolumeBasedCalculationTechnique = "TOMOSYNTHESIS"
    dataset.ContentDate, dataset.ContentTime = DATE, TIME
    dataset.FrameOfReferenceUID = uid(f"frame of reference {' '.join(view)}")
    dataset.PositionReferenceIndicator = ""
    dataset.AcquisitionContextSequence = []
    dataset.ContentQualification, dataset.PixelPresentation = "RESEARCH", "MONOCHROME"
    dataset.BurnedInAnnotation, dataset.LossyImageCompression = "NO", "00"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.PresentationLUTShape, dataset.BreastImplantPresent = "IDENTITY", "NO"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = stack.values.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.ViewCodeSequence = [item(VIEW_CODES[view[1]], ViewModifierCodeSequence=[])]
    dataset.PixelData = stack.values.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
