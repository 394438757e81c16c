"""The demo exam: four mammograms as Digital Mammography X-Ray Images For Presentation (PS3.3 A.26).

Its person is made up and so is everything that names her: an identity that fills the attributes in which
hospitals keep theirs, so that a site shows what it removes.
"""

import hashlib
import io
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image as PngImage
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID, ExplicitVRLittleEndian

from inference.instance import VIEW_CODES
from inference.phantom import draw_exam
from inference.preprocess import Image
from inference.views import FOR_PRESENTATION, View

VIEWS: tuple[View, ...] = (("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO"))
PIXEL_SPACING = [0.1, 0.1]
IMPLEMENTATION = "2.25.302841953570112863475519426930171540221"
_DATE, _TIME = "20240229", "101500"


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
    uid = _uids(seed)
    return [
        to_part10(build_instance(image, view, number, uid))
        for number, (view, image) in enumerate(images.items(), 1)
    ]


def build_instance(image: Image, view: View, number: int, uid: Callable[[str], str]) -> FileDataset:
    """One mammogram. `uid` gives the UID of a name. Images of 8 bits stay so, others are taken as 12 bits."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION)
    meta.ImplementationVersionName = "SENOGATE"
    meta.MediaStorageSOPClassUID = UID(FOR_PRESENTATION)
    meta.MediaStorageSOPInstanceUID = UID(uid(f"instance {number}"))
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    _add_identity(dataset, uid)
    _add_series(dataset, uid, view)
    _add_mammography(dataset, view, number, uid)
    _add_pixels(dataset, image)
    _add_orientation(dataset, image, view)
    return dataset


def to_part10(dataset: FileDataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _uids(seed: str) -> Callable[[str], str]:
    """UIDs of names: UUIDs of version 8 from their hash, under 2.25 (PS3.5 B.2)."""

    def uid(name: str) -> str:
        digest = bytearray(hashlib.sha256(f"senogate demo\0{seed}\0{name}".encode()).digest()[:16])
        digest[6], digest[8] = digest[6] & 0x0F | 0x80, digest[8] & 0x3F | 0x80
        return f"2.25.{int.from_bytes(digest)}"

    return uid


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
    dataset.StudyDate, dataset.StudyTime = _DATE, _TIME
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
    dataset.SeriesDate, dataset.SeriesTime = _DATE, _TIME
    dataset.SeriesDescription = f"{' '.join(view)} E. Muster-Demo"
    dataset.PerformingPhysicianName = "Radiologin^Rita"
    dataset.OperatorsName = "Assistenz^Anton"
    dataset.PerformedProcedureStepID = "PPS-0815"
    dataset.PerformedProcedureStepStartDate, dataset.PerformedProcedureStepStartTime = _DATE, _TIME
    dataset.Manufacturer = "SENOGATE DEMO"
    dataset.ManufacturerModelName = "Demo Mammograph"
    dataset.InstitutionName = "Demo Hospital Nirgendwo"
    dataset.InstitutionAddress = "Klinikallee 1, 99999 Nirgendwo"
    dataset.InstitutionalDepartmentName = "Mammography"
    dataset.StationName = "MAMMO-ROOM-7"
    dataset.DeviceSerialNumber = "SN-99-0815"
    dataset.SoftwareVersions = "demo 1"


def _add_mammography(dataset: Dataset, view: View, number: int, uid: Callable[[str], str]) -> None:
    laterality, position = view
    dataset.SOPClassUID = FOR_PRESENTATION
    dataset.SOPInstanceUID = uid(f"instance {number}")
    dataset.InstanceNumber = number
    dataset.ImageType = ["DERIVED", "PRIMARY", ""]
    dataset.AcquisitionDate, dataset.AcquisitionTime = _DATE, f"1015{10 * number:02d}"
    dataset.ContentDate, dataset.ContentTime = _DATE, f"1015{10 * number:02d}"
    dataset.ImageComments = "Erika M., second visit this year"
    dataset.ImageLaterality = laterality
    dataset.ViewPosition = position
    dataset.ViewCodeSequence = [_item(VIEW_CODES[position], ViewModifierCodeSequence=[])]
    dataset.AnatomicRegionSequence = [_item(codes.SCT.Breast)]
    dataset.BodyPartExamined = "BREAST"
    dataset.OrganExposed = "BREAST"
    dataset.PositionerType = "MAMMOGRAPHIC"
    dataset.PositionerPrimaryAngle = 0 if position == "CC" else 45
    dataset.AcquisitionContextSequence = []
    dataset.PartialView = "NO"
    dataset.BreastImplantPresent = "NO"
    dataset.QualityControlImage = "NO"
    dataset.BurnedInAnnotation = "NO"
    dataset.ImagerPixelSpacing = PIXEL_SPACING
    dataset.PixelSpacing = PIXEL_SPACING
    dataset.EstimatedRadiographicMagnificationFactor = "1.0"
    dataset.DetectorType = "DIRECT"
    dataset.DetectorID = "DET-0815"
    dataset.KVP = "29"
    dataset.ExposureInuAs = 80000
    dataset.BodyPartThickness = "55"
    dataset.CompressionForce = "110"
    dataset.AnodeTargetMaterial = "TUNGSTEN"
    dataset.FilterMaterial = "RHODIUM"


def _item(code: Code, **attributes: object) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = (
        code.value,
        code.scheme_designator,
        code.meaning,
    )
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def _add_pixels(dataset: Dataset, image: Image) -> None:
    bits = 8 if image.dtype == np.uint8 else 12
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = image.shape
    dataset.BitsAllocated = 8 * image.dtype.itemsize
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.LossyImageCompression = "00"
    dataset.WindowCenter, dataset.WindowWidth = str(2 ** (bits - 1)), str(2**bits)
    content = np.ascontiguousarray(image.astype(f"<u{image.dtype.itemsize}")).tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OB" if image.dtype.itemsize == 1 else "OW"


def _add_orientation(dataset: Dataset, image: Image, view: View) -> None:
    """PS3.3 C.7.6.1.1.1: where rows lead (away from the chest wall is anterior), then where columns lead."""
    half = image.shape[1] // 2
    chest_wall_left = image[:, :half].sum(dtype=np.int64) >= image[:, -half:].sum(dtype=np.int64)
    medial = "R" if view[0] == "L" else "L"
    dataset.PatientOrientation = [
        "A" if chest_wall_left else "P",
        medial if view[1] == "CC" else f"F{medial}",
    ]
