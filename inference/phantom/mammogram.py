"""A mammogram as a Digital Mammography X-Ray Image For Presentation (PS3.3 A.26), apart from whose it is."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID, ExplicitVRLittleEndian

from inference.instance import VIEW_CODES
from inference.preprocess.levels import Image
from inference.views import FOR_PRESENTATION, View

DATE, TIME = "20240229", "101500"
IMPLEMENTATION = "2.25.302841953570112863475519426930171540221"
Uid = Callable[[str], str]


def begin_instance(number: int, uid: Uid, sop_class_uid: str = FOR_PRESENTATION) -> FileDataset:
    """An empty dataset with its File Meta Information. `uid` gives the UID of a name."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION)
    meta.ImplementationVersionName = "SENOGATE"
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(uid(f"instance {number}"))
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    return dataset


def to_part10(dataset: FileDataset) -> bytes:
    """The bytes of a dataset with its preamble and File Meta Information (PS3.10)."""
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def name_uids(seed: str) -> Uid:
    """UIDs of names: UUIDs of version 8 from their hash, under 2.25 (PS3.5 B.2)."""

    def uid(name: str) -> str:
        digest = bytearray(hashlib.sha256(f"senogate demo\0{seed}\0{name}".encode()).digest()[:16])
        digest[6], digest[8] = digest[6] & 0x0F | 0x80, digest[8] & 0x3F | 0x80
        return f"2.25.{int.from_bytes(digest)}"

    return uid


def add_mammography(dataset: Dataset, view: View, number: int, uid: Uid, spacing: list[float]) -> None:
    """What tells how a view was taken; `spacing` is in millimetres."""
    laterality, position = view
    dataset.SOPClassUID = FOR_PRESENTATION
    dataset.SOPInstanceUID = uid(f"instance {number}")
    dataset.InstanceNumber = number
    dataset.ImageType = ["DERIVED", "PRIMARY", ""]
    dataset.AcquisitionDate, dataset.AcquisitionTime = DATE, f"1015{10 * number:02d}"
    dataset.ContentDate, dataset.ContentTime = DATE, f"1015{10 * number:02d}"
    dataset.ImageLaterality = laterality
    dataset.ViewPosition = position
    dataset.ViewCodeSequence = [item(VIEW_CODES[position], ViewModifierCodeSequence=[])]
    dataset.AnatomicRegionSequence = [item(codes.SCT.Breast)]
    dataset.BodyPartExamined = "BREAST"
    dataset.OrganExposed = "BREAST"
    dataset.PositionerType = "MAMMOGRAPHIC"
    dataset.PositionerPrimaryAngle = 0 if position == "CC" else 45
    dataset.AcquisitionContextSequence = []
    dataset.PartialView = "NO"
    dataset.BreastImplantPresent = "NO"
    dataset.QualityControlImage = "NO"
    dataset.BurnedInAnnotation = "NO"
    dataset.ImagerPixelSpacing = spacing
    dataset.PixelSpacing = spacing
    dataset.EstimatedRadiographicMagnificationFactor = "1.0"
    dataset.DetectorType = "DIRECT"
    dataset.KVP = "29"
    dataset.ExposureInuAs = 80000
    dataset.BodyPartThickness = "55"
    dataset.CompressionForce = "110"
    dataset.AnodeTargetMaterial = "TUNGSTEN"
    dataset.FilterMaterial = "RHODIUM"


def item(code: Code, **attributes: object) -> Dataset:
    """An item of a code sequence, with further attributes."""
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator = code.value, code.scheme_designator
    made.CodeMeaning = code.meaning
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def add_pixels(dataset: Dataset, image: Image, bits: int) -> None:
    """Values of `bits` in MONOCHROME2 sense, shown over their whole range."""
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


def add_orientation(dataset: Dataset, image: Image, view: View) -> None:
    """PS3.3 C.7.6.1.1.1: where rows lead (away from the chest wall is anterior), then where columns lead."""
    half = image.shape[1] // 2
    chest_wall_left = image[:, :half].sum(dtype=np.int64) >= image[:, -half:].sum(dtype=np.int64)
    medial = "R" if view[0] == "L" else "L"
    dataset.PatientOrientation = [
        "A" if chest_wall_left else "P",
        medial if view[1] == "CC" else f"F{medial}",
    ]
