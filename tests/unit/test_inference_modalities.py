"""Ultrasound and MR: each study goes to a model of its modality, and to no other."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, UltrasoundImageStorage

from archive.findings import Findings, NotApplicable
from inference import installed
from inference.network import Graph
from inference.package import load, save
from inference.phantom_ultrasound import draw_image
from inference.pipeline import read_study
from inference.session import Session, open_session
from tests.unit.pictures import content

CLASSES = {"MR": MRImageStorage, "US": UltrasoundImageStorage}
MASS = {"label": "mass", "value": "4147007", "scheme": "SCT", "meaning": "Mass"}


def instance(modality: str, pixels: np.ndarray) -> bytes:
    """A Part 10 instance of 8 bits, 0.3 mm between its pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CLASSES[modality], "2.25.9"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, "2.25.9"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "2.25.7", "2.25.8", modality
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelSpacing = [0.3, 0.3]
    dataset.PixelData = pixels.astype(np.uint8).tobytes()
    dataset["PixelData"].VR = "OW"
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


@pytest.fixture(scope="module")
def ultrasound() -> Session:
    return open_session(load(Path(installed.__file__).parent / "models" / "phantom_ultrasound"), threads=1)


@pytest.fixture(scope="module")
def magnetic_resonance(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A made package: what is brighter than half of the range is a mass."""
    graph = Graph()
    logits = graph.add("Mul", [graph.add("Sub", ["image", graph.tensor(0.5)]), graph.tensor(20.0)])
    graph.add("Sigmoid", [logits], "mask")
    shape = ["n", 1, "rows", "columns"]
    network = graph.build("tiny", {"image": shape}, {"mask": shape})
    steps: list[dict[str, Any]] = [{"name": "unit"}, {"name": "stack"}]
    made = content("mask", {"modality": "MR", "preprocessing": steps}, {"classes": [MASS]})
    folder = tmp_path_factory.mktemp("models") / "mr"
    return open_session(
        save(folder, network, {key: made[key] for key in made if key != "network"}), threads=1
    )


def test_a_mass_in_ultrasound_is_outlined_and_measured(ultrasound: Session) -> None:
    image = draw_image(4_000_003, mass=True)
    found = read_study([instance("US", image.pixels)], ultrasound)
    assert isinstance(found, Findings)
    rows, columns = np.nonzero(image.mass)
    box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert found.lesions[0].regions[0].box == pytest.approx(box, abs=4)
    area = next(one.value for one in found.measurements if one.concept.meaning == "Area")
    assert area == pytest.approx(image.mass.sum() * 0.09, rel=0.25)


def test_a_lesion_in_magnetic_resonance(magnetic_resonance: Session) -> None:
    pixels = np.zeros((40, 48))
    pixels[10:20, 30:42] = 200
    found = read_study([instance("MR", pixels)], magnetic_resonance)
    assert isinstance(found, Findings)
    assert found.lesions[0].regions[0].box == pytest.approx((30, 10, 42, 20), abs=0.3)


def test_a_model_never_reads_another_modality(ultrasound: Session, magnetic_resonance: Session) -> None:
    pixels = np.zeros((40, 48))
    for modality, model in (("MR", ultrasound), ("US", magnetic_resonance)):
        found = read_study([instance(modality, pixels)], model)
        assert isinstance(found, NotApplicable) and model.package.passport.inputs.modality in found.reason
