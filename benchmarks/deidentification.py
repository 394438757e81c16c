"""De-identification, bytes to bytes on one core, beside public tools and Orthanc's own anonymization, in one run.

    python -m benchmarks.deidentification

dicom-anonymizer, dicognito and deid run in a virtual environment of their own, `.venv-bench`, which is made of
benchmarks/peers.txt when it is not there. Orthanc is charged by its process.
"""

import io
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from benchmarks.exams import write_studies
from benchmarks.peers import measure
from benchmarks.report import cpu_seconds, keep
from benchmarks.servers import peer
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from tests.live import find_free_ports

SIZES = {"17 MB": (3328, 2560), "256 x 256": (256, 256)}
ENVIRONMENT = Path(__file__).resolve().parent.parent / ".venv-bench"
_ENCODERS: dict[UID, Callable[[np.ndarray], bytes]] = {
    JPEGLosslessSV1: lambda pixels: imagecodecs.ljpeg_encode(pixels, bitspersample=12),
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEG2000Lossless: lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True),
}
SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    *_ENCODERS,
]


def main() -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="senogate-bench-") as folder:
        files = {
            (size, syntax): write_file(Path(folder), height, width, syntax)
            for size, (height, width) in SIZES.items()
            for syntax in SYNTAXES
        }
        figures = with_senogate(list(files.values())) | with_orthanc(list(files.values()))
        figures |= with_public_tools(list(files.values()))
    keep("deidentification", [row for key, path in files.items() for row in compare(key, path, figures)])


def compare(key: tuple[str, UID], path: Path, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each way, with its ratio to Senogate's."""
    size, syntax = key
    ours = figures["senogate"][str(path)]["cpu_ms"]
    rows: list[dict[str, Any]] = []
    for name, measured in figures.items():
        row = {"instance": size, "transfer_syntax": syntax.name, "way": name}
        if spent := measured[str(path)]:
            row |= {name: round(value, 3) for name, value in spent.items()}
            row["times_ours"] = round(spent["cpu_ms"] / ours, 2)
        rows.append(row if spent else row | {"cpu_ms": "fails"})
    return rows


def write_file(folder: Path, rows: int, columns: int, syntax: UID) -> Path:
    """The mammogram in a transfer syntax; its pixels have the entropy of a detector's noise over a shape."""
    path = folder / f"{rows}-{syntax}"
    dataset = pydicom.dcmread(io.BytesIO(make_instance(folder, rows, columns)))
    shape = np.hypot(*np.mgrid[-1 : 1 : rows * 1j, 0 : 1 : columns * 1j])
    noise = np.random.default_rng(1).normal(0, 20, (rows, columns))
    pixels = np.clip(3000 * (1 - shape) + noise, 0, 4095).astype(np.uint16)
    dataset.PixelData = pixels.tobytes()
    if syntax in _ENCODERS:
        dataset.PixelData = encapsulate([_ENCODERS[syntax](pixels)])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    elif syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    return path


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


def with_senogate(files: list[Path]) -> dict[str, Any]:
    """Ours, its check of a proof alone, and what a copy in memory costs."""
    deidentifier = Deidentifier(Keys.derive(bytes(range(32))), Profile.load("breast-screening"))
    figures: dict[str, Any] = {"senogate": {}, "senogate, check of the header's proof": {}, "memcpy": {}}
    for path in files:
        instance = path.read_bytes()
        stored = deidentifier.deidentify(instance).instance
        figures["senogate"][str(path)] = measure(deidentifier.deidentify, instance)
        figures["senogate, check of the header's proof"][str(path)] = measure(
            deidentifier.carries_proof, stored
        )
        figures["memcpy"][str(path)] = measure(bytearray, instance)
    return figures


def with_public_tools(files: list[Path]) -> dict[str, Any]:
    """What benchmarks/peers.py measures in its own virtual environment."""
    here, python = Path(__file__).resolve().parent, ENVIRONMENT / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        subprocess.run([python, "-m", "pip", "install", "-qr", here / "peers.txt"], check=True)
    command = [python, here / "peers.py", *files]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def with_orthanc(files: list[Path]) -> dict[str, Any]:
    """POST /instances/{id}/anonymize of a bare Orthanc: from its storage to bytes, by the CPU of its process."""
    http, dicom = find_free_ports(2)
    figures: dict[str, Any] = {}
    with (
        peer([http, dicom]) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=120, trust_env=False) as client,
    ):
        for path in files:
            identifier = client.post("/instances", content=path.read_bytes()).json()["ID"]
            address = f"/instances/{identifier}/anonymize"
            if not client.post(address, json={}).is_success:
                figures[str(path)] = None
                continue
            calls, cpu, wall = 0, cpu_seconds(server.processes()), time.perf_counter()
            while time.perf_counter() - wall < 1:
                client.post(address, json={})
                calls += 1
            figures[str(path)] = {
                "cpu_ms": (cpu_seconds(server.processes()) - cpu) / calls * 1000,
                "wall_ms": (time.perf_counter() - wall) / calls * 1000,
            }
            client.delete(f"/instances/{identifier}")
    return {"Orthanc 1.12.7, anonymize": figures}


if __name__ == "__main__":
    main()
