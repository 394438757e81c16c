"""The demo exam: four mammograms as Digital Mammography X-Ray Images For Presentation (PS3.3 A.26).

Its person is made up and so is everything that names her: an identity that fills the attributes in which
hospitals keep theirs, so that a site shows what it removes.
"""

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image as PngImage
from pydicom.dataset import Dataset, FileDataset

from inference.phantom import draw_exam
from inference.phantom.mammogram import (
    DATE,
    TIME,
    add_mammography,
    add_orientation,
    add_pixels,
    begin_instance,
    name_uids,
    to_part10,
)
from inference.preprocess import Image
from inference.views import View

VIEWS: tuple[View, ...] = (("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO"))
PIXEL_SPACING = [0.1, 0.1]


def demo_exam(folder: Path | None = None, *, seed: str | None = "demo") -> list[bytes]:
    """The demo exam as four Part 10 instances.

    Its pixels are the PNGs `L-CC`, `R-CC`, `L-MLO` and `R-MLO` of a folder, value for value, or else those of
    the phantom. The same seed gives the same bytes; None gives an exam with UIDs of its own.
    """
    images = read_images(folder) if folder else draw_exam(seed=1, glandular_fraction=0.35).images
    return build_exam(images, seed=uuid.uuid4().hex if seed is None else seed)


def read_images(folder: Path) -> dict[View, Image]:
    """The four views of a folder of 8-bit greyscale PNGs."""
    images = {}
    for laterality, view in VIEWS:
        with PngImage.open(folder / f"{laterality}-{view}.png") as image:
            images[laterality, view] = np.asarray(image.convert("L"))
    return images


def build_exam(images: Mapping[View, Image], *, seed: str) -> list[bytes]:
    """Each image as an instance of one study and series, Explicit VR Little Endian. `seed` makes the UIDs."""
    uid = name_uids(seed)
    return [
        to_part10(build_instance(image, view, number, uid))
        for number, (view, image) in enumerate(images.items(), 1)
    ]


def build_instance(image: Image, view: View, number: int, uid: Callable[[str], str]) -> FileDataset:
    """One mammogram. `uid` gives the UID of a name. Images of 8 bits stay so, others are taken as 12 bits."""
    dataset = begin_instance(number, uid)
    _add_identity(dataset, uid)
    _add_series(dataset, uid, view)
    add_mammography(dataset, view, number, uid, PIXEL_SPACING)
    dataset.ImageComments = "Erika M., second visit this year"
    add_pixels(dataset, image, bits=8 if image.dtype == np.uint8 else 12)
    add_orientation(dataset, image, view)
    return dataset


def _add_identity(dataset: Dataset, uid: Callable[[str], str]) -> None:
    dataset.PatientName = "Muster-Demo^Erika^Rosa^Dr."
    dataset.PatientID = "DEMO-4711-0815"
    dataset.IssuerOfPatientID = "SENOGATE DEMO HOSPITAL"
    dataset.PatientBirthDate = "19641112"
    dataset.PatientSex = "F"
    dataset.PatientAge = "059Y"
    dataset.PatientBirthName = "Beispiel^Erika"
    dataset.PatientMotherBirthName = "Vorlage^Anna"
    dataset.OtherPatientNames = "Muster^Rosa"
    dataset.PatientAddress = "Musterweg 12, 99999 Nirgendwo"
    dataset.PatientTelephoneNumbers = "+49 000 0000000"
    dataset.Occupation = "Lighthouse guard"
    dataset.PatientComments = "Erika Muster-Demo prefers calls in the morning"
    dataset.AdditionalPatientHistory = "Sister Rosa Muster, born 1961-01-02, treated at Demo Hospital"
    dataset.StudyInstanceUID = uid("study")
    dataset.StudyID = "S-2024-000815"
    dataset.StudyDate, dataset.StudyTime = DATE, TIME
    dataset.AccessionNumber = "ACC20240229815"
    dataset.StudyDescription = "Screening mammography of Erika Muster-Demo"
    dataset.ReferringPhysicianName = "Hausarzt^Hannes^^Dr."
    dataset.ReferringPhysicianAddress = "Praxisgasse 3, 99999 Nirgendwo"
    dataset.ReferringPhysicianTelephoneNumbers = "+49 000 1111111"
    dataset.PhysiciansOfRecord = "Radiologin^Rita"
    dataset.NameOfPhysiciansReadingStudy = "Befund^Bernd"
    dataset.RequestAttributesSequence = [_request(uid)]
    dataset.OtherPatientIDsSequence = [_other_id()]
    private = dataset.private_block(0x0099, "SENOGATE DEMO VENDOR", create=True)
    private.add_new(0x01, "LO", "Erika Muster-Demo 1964-11-12")
    private.add_new(0x02, "SQ", [_other_id()])


def _request(uid: Callable[[str], str]) -> Dataset:
    item = Dataset()
    item.RequestedProcedureID = "RP-0815"
    item.ScheduledProcedureStepID = "SPS-0815"
    item.ScheduledProcedureStepDescription = "Screening of Mrs Muster-Demo"
    item.StudyInstanceUID = uid("study")
    item.RequestedProcedureComments = "Call Dr. Hausarzt, +49 000 1111111"
    return item


def _other_id() -> Dataset:
    item = Dataset()
    item.PatientID = "INS-123456789"
    item.IssuerOfPatientID = "DEMO INSURANCE"
    item.TypeOfPatientID = "TEXT"
    return item


def _add_series(dataset: Dataset, uid: Callable[[str], str], view: View) -> None:
    dataset.Modality = "MG"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.SeriesInstanceUID = uid(f"series {' '.join(view)}")
    dataset.SeriesNumber = 1 + VIEWS.index(view)
    dataset.SeriesDate, dataset.SeriesTime = DATE, TIME
    dataset.SeriesDescription = f"{' '.join(view)} E. Muster-Demo"
    dataset.PerformingPhysicianName = "Radiologin^Rita"
    dataset.OperatorsName = "Assistenz^Anton"
    dataset.PerformedProcedureStepID = "PPS-0815"
    dataset.PerformedProcedureStepStartDate, dataset.PerformedProcedureStepStartTime = DATE, TIME
    dataset.Manufacturer = "SENOGATE DEMO"
    dataset.ManufacturerModelName = "Demo Mammograph"
    dataset.InstitutionName = "Demo Hospital Nirgendwo"
    dataset.InstitutionAddress = "Klinikallee 1, 99999 Nirgendwo"
    dataset.InstitutionalDepartmentName = "Mammography"
    dataset.StationName = "MAMMO-ROOM-7"
    dataset.DetectorID = "DET-0815"
    dataset.DeviceSerialNumber = "SN-99-0815"
    dataset.SoftwareVersions = "demo 1"
