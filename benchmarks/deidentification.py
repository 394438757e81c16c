"""De-identification, bytes to bytes on one core: CPU-ms an instance, beside memcpy, pydicom, public tools.

    python -m benchmarks.deidentification [--repeat N]

dicom-anonymizer, dicognito and deid are measured where they are installed (`pip install dicom-anonymizer
dicognito deid`, best in a virtual environment of their own) and named as left out where they are not.
"""

import argparse
import importlib
import io
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from benchmarks.exams import write_studies
from benchmarks.report import keep
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Keys

SIZES = {"17 MB": (3328, 2560), "256 x 256": (256, 256)}
Work = Callable[[bytes], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--repeat", type=int, default=20, help="instances of 17 MB; ten times as many small ones"
    )
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size, (height, width) in SIZES.items():
            instance = make_instance(Path(folder), height, width)
            repeat = arguments.repeat * (1 if len(instance) > 1 << 20 else 10)
            rows += measure(size, instance, repeat)
    keep("deidentification", rows)


def make_instance(folder: Path, rows: int, columns: int) -> bytes:
    """A mammogram with a header as long as a modality's: 190 elements on three levels, private ones too."""
    (path,) = write_studies(folder / f"{rows}", 1, 1, rows, columns)
    dataset = pydicom.dcmread(path)
    for keyword, value in HEADER.items():
        setattr(dataset, keyword, value)
    dataset.ViewCodeSequence = [coded("399162004", "SCT", "cranio-caudal")]
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = [coded("399161006", "SCT", "Cleavage")]
    dataset.AnatomicRegionSequence = [coded("76752008", "SCT", "Breast")]
    dataset.ProcedureCodeSequence = [coded("4711", "99CLINIC", "screening of both breasts")]
    dataset.SourceImageSequence = [reference("1.2.752.99.3.1")]
    dataset.RequestAttributesSequence = [request()]
    dataset.ReferencedPerformedProcedureStepSequence = [reference("1.2.752.99.4.1")]
    for group in (0x0019, 0x0045):
        block = dataset.private_block(group, "MODALITY PRIVATE", create=True)
        for element in range(24):
            block.add_new(element, "LO", f"private value {element}")
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    """A coded entry."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def reference(uid: str) -> Dataset:
    """A reference to a mammogram."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.2", uid
    return item


def request() -> Dataset:
    """What was ordered."""
    item = Dataset()
    item.AccessionNumber, item.RequestedProcedureID = "ACC000001", "RP1"
    item.ScheduledProcedureStepID, item.RequestedProcedureDescription = "SPS1", "Screening"
    return item


HEADER: dict[str, Any] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["ORIGINAL", "PRIMARY"],
    "InstanceCreationDate": "20260201",
    "InstanceCreationTime": "101501.25",
    "SeriesDate": "20260201",
    "AcquisitionDate": "20260201",
    "ContentDate": "20260201",
    "SeriesTime": "101502",
    "AcquisitionTime": "101503",
    "ContentTime": "101504",
    "Manufacturer": "HOLOGIC, Inc.",
    "InstitutionAddress": "Fictive Street 1",
    "StationName": "MAMMO1",
    "StudyDescription": "Screening Mammography",
    "SeriesDescription": "L CC",
    "InstitutionalDepartmentName": "Radiology",
    "PerformingPhysicianName": "Performer^Fictive",
    "OperatorsName": "Operator^Fictive",
    "ManufacturerModelName": "Selenia Dimensions",
    "OtherPatientIDs": "OTHER-1",
    "PatientAge": "065Y",
    "PatientSize": "1.68",
    "PatientWeight": "70",
    "PatientAddress": "Fictive Street 2",
    "PatientComments": "none",
    "BodyPartExamined": "BREAST",
    "KVP": "29",
    "DeviceSerialNumber": "81234567",
    "SoftwareVersions": ["1.8", "2.0"],
    "ProtocolName": "Routine",
    "DistanceSourceToDetector": "700",
    "DistanceSourceToPatient": "675",
    "EstimatedRadiographicMagnificationFactor": "1.037",
    "FieldOfViewShape": "RECTANGLE",
    "FieldOfViewDimensions": ["290", "240"],
    "ExposureTime": "1213",
    "XRayTubeCurrent": "100",
    "Exposure": "120",
    "ExposureInuAs": "120000",
    "RectificationType": "CONST POTENTIAL",
    "FilterType": "STRIP",
    "Grid": ["RECIPROCATING", "CROSSED"],
    "FocalSpots": "0.3",
    "AnodeTargetMaterial": "TUNGSTEN",
    "BodyPartThickness": "55",
    "CompressionForce": "98.5",
    "DateOfLastDetectorCalibration": "20260115",
    "TimeOfLastDetectorCalibration": "080000",
    "PositionerType": "MAMMOGRAPHIC",
    "PositionerPrimaryAngle": "0",
    "DetectorType": "DIRECT",
    "DetectorID": "DET12345",
    "DetectorTemperature": "29.1",
    "DetectorConditionsNominalFlag": "YES",
    "FilterMaterial": "RHODIUM",
    "FilterThicknessMinimum": "0.045",
    "FilterThicknessMaximum": "0.055",
    "ExposureControlMode": "AUTOMATIC",
    "ExposureStatus": "NORMAL",
    "AcquisitionNumber": "1",
    "FrameOfReferenceUID": "1.2.752.99.5.1",
    "ImageComments": "none",
    "PixelSpacing": [0.065, 0.065],
    "BreastImplantPresent": "NO",
    "WindowCenter": ["2047", "1800"],
    "WindowWidth": ["4096", "3000"],
    "RescaleIntercept": "0",
    "RescaleSlope": "1",
    "RescaleType": "US",
    "VOILUTFunction": "SIGMOID",
    "LossyImageCompression": "00",
    "PixelIntensityRelationship": "LOG",
    "PixelIntensityRelationshipSign": -1,
    "PresentationLUTShape": "IDENTITY",
    "RequestedProcedureDescription": "Screening",
    "PerformedProcedureStepStartDate": "20260201",
    "PerformedProcedureStepStartTime": "101400",
    "PerformedProcedureStepID": "PPS1",
    "OrganDose": "0.015",
    "EntranceDoseInmGy": "4.1",
    "PartialView": "NO",
}


def measure(size: str, instance: bytes, repeat: int) -> Iterator[dict[str, Any]]:
    """A row for each way, with its ratio to Senogate's."""
    ours = None
    for name, work in candidates(instance):
        spent = cpu_ms(work, instance, repeat if name not in SLOW else max(3, repeat // 20))
        ours = spent if ours is None else ours
        yield {"instance": size, "way": name, "cpu_ms": round(spent, 3), "times_ours": round(spent / ours, 2)}


def cpu_ms(work: Work, instance: bytes, repeat: int) -> float:
    """CPU milliseconds a call, the best of five rounds."""
    work(instance)
    rounds = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(repeat):
            work(instance)
        rounds.append((time.process_time() - began) / repeat)
    return min(rounds) * 1000


def candidates(instance: bytes) -> Iterator[tuple[str, Work]]:
    """What is measured, ours first."""
    deidentifier = Deidentifier(Keys.derive(bytes(range(32))), Profile.load("breast-screening"))
    stored = deidentifier.deidentify(instance).instance
    yield "senogate", deidentifier.deidentify
    yield "senogate, check of the header's proof", lambda _: deidentifier.carries_proof(stored)
    yield "memcpy", bytearray
    yield "pydicom, header only", read_header
    for name, (module, make) in SLOW.items():
        try:
            work = make(importlib.import_module(module))
        except ImportError:
            print(f"{name} is not installed: left out")
        else:
            yield name, work


def read_header(instance: bytes) -> pydicom.FileDataset:
    """Read every element but the pixel data."""
    dataset = pydicom.dcmread(io.BytesIO(instance), stop_before_pixels=True)
    for _ in dataset.iterall():
        pass
    return dataset


def with_dicom_anonymizer(module: Any) -> Work:
    """The tool as its command line runs it, without files."""
    return lambda instance: write(anonymized(module, pydicom.dcmread(io.BytesIO(instance))))


def anonymized(module: Any, dataset: pydicom.FileDataset) -> pydicom.FileDataset:
    """Anonymize in place."""
    module.anonymize_dataset(dataset)
    return dataset


def with_dicognito(module: Any) -> Work:
    """One anonymizer for all instances, as its documentation advises."""
    anonymizer = module.Anonymizer(seed="a seed")

    def anonymize(instance: bytes) -> bytes:
        dataset = pydicom.dcmread(io.BytesIO(instance))
        anonymizer.anonymize(dataset)
        return write(dataset)

    return anonymize


def with_deid(module: Any) -> Work:
    """Its default recipe on a dataset in memory."""
    recipe = importlib.import_module("deid.config").DeidRecipe()

    def replace(instance: bytes) -> bytes:
        dataset = pydicom.dcmread(io.BytesIO(instance))
        (replaced,) = module.replace_identifiers([dataset], deid=recipe, save=False, remove_private=True)
        return write(replaced)

    return replace


def write(dataset: pydicom.Dataset) -> bytes:
    """The dataset as a file in memory, with as much of its meta as the tool has left."""
    stream = io.BytesIO()
    dataset.save_as(stream, implicit_vr=False, little_endian=True)
    return stream.getvalue()


SLOW: dict[str, tuple[str, Callable[[Any], Work]]] = {
    "dicom-anonymizer": ("dicomanonymizer", with_dicom_anonymizer),
    "dicognito": ("dicognito.anonymizer", with_dicognito),
    "deid": ("deid.dicom", with_deid),
}


if __name__ == "__main__":
    main()
