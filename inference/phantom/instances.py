"""Structured phantoms as DICOM instances, of nobody: the person's name and ID say that they are phantoms."""

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset

from inference.phantom.mammogram import (
    DATE,
    TIME,
    Uid,
    add_mammography,
    add_orientation,
    add_pixels,
    begin_instance,
    name_uids,
    to_part10,
)
from inference.phantom.study import Study
from inference.phantom.truth import View
from inference.phantom.vendor import Vendor

NOTICE = "Synthetic phantom, no patient"


def write_instances(study: Study) -> Iterator[tuple[View, str, bytes]]:
    """Each view with its SOP Instance UID and its Part 10 bytes. The same study gives the same bytes."""
    uid = phantom_uids(study)
    for number, view in enumerate(study.images, 1):
        dataset = begin_instance(number, uid)
        add_nobody(dataset, study, uid)
        add_series(dataset, study.vendor, view, number, uid)
        add_mammography(dataset, view, number, uid, [study.spacing, study.spacing])
        dataset.BodyPartThickness = str(round(study.thickness[view]))
        image = study.images[view]
        add_pixels(dataset, image, study.vendor.bits)
        bright = study.vendor.top - image if study.vendor.photometric == "MONOCHROME1" else image
        add_orientation(dataset, np.asarray(bright, np.uint16), view)
        _add_display(dataset, study.vendor)
        yield view, str(dataset.SOPInstanceUID), to_part10(dataset)


def phantom_uids(study: Study) -> Uid:
    """The UIDs of a study's instances, by name."""
    return name_uids(f"phantom {study.truth.seed} {study.vendor.name} {study.spacing}")


def add_nobody(dataset: Dataset, study: Study, uid: Uid) -> None:
    """The person, who is a phantom, and the study."""
    seed = study.truth.seed
    dataset.PatientName = f"Phantom^{seed}"
    dataset.PatientID = f"PHANTOM-{seed}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "F"
    dataset.PatientAge = f"{40 + seed % 35:03d}Y"
    dataset.PatientComments = NOTICE
    dataset.StudyInstanceUID = uid("study")
    dataset.StudyID = str(seed)[-16:]
    dataset.StudyDate, dataset.StudyTime = DATE, TIME
    dataset.AccessionNumber = ""
    dataset.StudyDescription = NOTICE
    dataset.ReferringPhysicianName = ""


def add_series(dataset: Dataset, vendor: Vendor, view: View, number: int, uid: Uid) -> None:
    """A series for one view, and the equipment."""
    dataset.Modality = "MG"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.SeriesInstanceUID = uid(f"series {' '.join(view)}")
    dataset.SeriesNumber = number
    dataset.SeriesDate, dataset.SeriesTime = DATE, TIME
    dataset.SeriesDescription = f"{' '.join(view)} phantom"
    dataset.Manufacturer = vendor.manufacturer
    dataset.ManufacturerModelName = vendor.model
    dataset.DeviceSerialNumber = "0"
    dataset.SoftwareVersions = "1"
    dataset.InstitutionName = ""
    dataset.DetectorID = "0"


def _add_display(dataset: Dataset, vendor: Vendor) -> None:
    """The photometric interpretation and the VOI of a vendor (PS3.3 C.7.6.3.1.2, C.11.2)."""
    dataset.PhotometricInterpretation = vendor.photometric
    inverted = vendor.photometric == "MONOCHROME1"
    dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    dataset.PixelIntensityRelationshipSign = 1 if inverted else -1
    if vendor.voi == "TABLE":
        del dataset.WindowCenter, dataset.WindowWidth
        dataset.VOILUTSequence = [_table(vendor, inverted)]
        return
    linear = vendor.voi == "LINEAR"
    centre = vendor.top * (1 - vendor.centre if inverted else vendor.centre)
    dataset.WindowCenter = f"{centre + 0.5 * linear:.2f}"
    dataset.WindowWidth = f"{vendor.top * vendor.width + linear:.2f}"
    dataset.VOILUTFunction = vendor.voi


def _table(vendor: Vendor, inverted: bool) -> Dataset:
    """The curve for every stored value; under MONOCHROME1 its answer is inverted once more when shown."""
    values = np.arange(vendor.top + 1, dtype=np.float64)
    shown = np.rint(vendor.curve(values) * vendor.top).astype("<u2")
    shown = vendor.top - shown[::-1] if inverted else shown
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), 0, vendor.bits])
    item.add_new("LUTData", "OW", shown.astype("<u2").tobytes())
    return item
