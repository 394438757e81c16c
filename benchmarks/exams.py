"""Mammograms to measure with: of any size, full of made-up identity, quick to make in numbers."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MG_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
VIEWS = (("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO"))


def write_studies(folder: Path, studies: int, instances: int, rows: int, columns: int) -> list[Path]:
    """Write `studies` studies of `instances` mammograms of rows×columns, 16 bit; the paths of the files."""
    noise = np.random.default_rng(1).integers(0, 4096, rows * columns, dtype=np.uint16).tobytes()
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for study in range(studies):
        study_uid, series_uid = generate_uid(), generate_uid()
        for number in range(instances):
            path = folder / f"{study:05d}-{number:03d}.dcm"
            _mammogram(study, number, study_uid, series_uid, rows, columns, noise).save_as(
                path, enforce_file_format=True
            )
            paths.append(path)
    return paths


def _mammogram(
    study: int, number: int, study_uid: str, series_uid: str, rows: int, columns: int, pixels: bytes
) -> Dataset:
    laterality, view = VIEWS[number % 4]
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = MG_FOR_PRESENTATION, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, series_uid
    dataset.PatientName, dataset.PatientID = f"Bench^Patient{study:05d}", f"BENCH-{study:05d}"
    dataset.PatientBirthDate, dataset.PatientSex = "19610203", "F"
    dataset.StudyDate, dataset.StudyTime = f"2026{1 + study % 12:02d}{1 + study % 28:02d}", "101500"
    dataset.AccessionNumber, dataset.StudyID = f"ACC{study:06d}", "1"
    dataset.ReferringPhysicianName, dataset.InstitutionName = "Referrer^Fictive", "Fictive Hospital"
    dataset.Modality, dataset.PresentationIntentType = "MG", "FOR PRESENTATION"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number + 1
    dataset.ImageLaterality, dataset.ViewPosition = laterality, view
    dataset.PatientOrientation = ["A", "F"]
    dataset.BurnedInAnnotation = "NO"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.ImagerPixelSpacing = [0.07, 0.07]
    dataset.PixelData = pixels
    return dataset
