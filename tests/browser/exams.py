"""Exams whose pixels say what they show, and how they come to lie in a site with what a model found in them."""

import io
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset

from archive.findings import Lesion, Region, Shape
from archive.settings import RESULTS
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from inference.demo import build_exam
from inference.phantom.mammogram import add_pixels, begin_instance, name_uids, to_part10
from inference.results.writers import write as write_results
from senogate.site_keys import keys_of
from tests.integration.test_whole_way import places, read_back
from tests.live import LiveSite, eventually
from tests.unit.findings import MASS, lesion_findings, without_lesions

View = tuple[str, str]
VIEWS: tuple[View, ...] = (("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO"))
ROWS, COLUMNS = 832, 640
SIZE = 80  # pixels of a square that is brighter than all else
AWAY = 120  # pixels from the chest wall to the square
ROW = {
    ("L", "CC"): 200,
    ("R", "CC"): 300,
    ("L", "MLO"): 400,
    ("R", "MLO"): 500,
}  # the square's first in each view
FORM = 'multipart/related; type="application/dicom"; boundary=x'


def draw(view: View, chest_wall: str | None = None) -> np.ndarray:
    """A breast of even grey with a bright square, the chest wall at the edge where a view has it, or at another."""
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    inside = ((rows - ROWS / 2) / (ROWS * 0.42)) ** 2 + (columns / (COLUMNS * 0.7)) ** 2 < 1
    image = np.where(inside, 1500, 0).astype(np.uint16)
    image[ROW[view] : ROW[view] + SIZE, AWAY : AWAY + SIZE] = 4000
    return image if (chest_wall or {"L": "left", "R": "right"}[view[0]]) == "left" else image[:, ::-1].copy()


def exam(chest_wall: str | None = None, **values: object) -> list[bytes]:
    """Four views of somebody of her own, as one study; `values` are of all of them."""
    instances = build_exam({view: draw(view, chest_wall) for view in VIEWS}, seed=uuid.uuid4().hex)
    patient_id = uuid.uuid4().hex[:12]
    return [changed(each, PatientID=patient_id, **values) for each in instances]


def changed(part10: bytes, **values: Any) -> bytes:
    """An instance with other values; None removes an attribute."""
    dataset: FileDataset = dcmread(io.BytesIO(part10))
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            delattr(dataset, keyword)
    return to_part10(dataset)


def later(instances: Iterable[bytes], date: str) -> list[bytes]:
    """The same exam of the same patient at another date."""
    seed = uuid.uuid4().hex
    uids: Callable[[str], str] = lambda uid: f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, seed + uid).int}"  # noqa: E731
    dated = dict.fromkeys(("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"), date)
    made = []
    for each in instances:
        dataset = dcmread(io.BytesIO(each))
        names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        new: dict[str, Any] = {name: uids(str(dataset[name].value)) for name in names}
        made.append(changed(each, **new, **dated))
    return made


def store(site: LiveSite, instances: Sequence[bytes]) -> str:
    """Store a study by STOW-RS and wait until it can be asked for; the UID that it has in the site."""
    study = site.pseudonyms().uid(
        str(dcmread(io.BytesIO(instances[0]), stop_before_pixels=True).StudyInstanceUID)
    )
    body = b"".join(b"--x\r\nContent-Type: application/dicom\r\n\r\n" + each + b"\r\n" for each in instances)
    with site.client() as client:
        answer = client.post("/studies", content=body + b"--x--\r\n", headers={"Content-Type": FORM})
        assert answer.status_code == 200, answer.text
        eventually(lambda: _count(client.get(f"/studies/{study}/instances")) >= len(instances))
    return study


def add_lesions(site: LiveSite, study: str) -> None:
    """Put a model's results into a study of `exam`, of every kind: the square of each view is a mass."""
    keys = keys_of(site.settings)
    door = Deidentifier(keys, Profile.load("breast-screening"))
    images = [each for each in read_back(site, study) if each.Modality == "MG"]
    images.sort(key=lambda each: VIEWS.index((each.ImageLaterality, each.ViewPosition)))
    findings = replace(
        without_lesions(lesion_findings(images)), lesions=tuple(_mass(each) for each in images)
    )
    results = write_results(findings, images, RESULTS, site.pseudonyms().uid)
    with site.orthanc() as orthanc:
        assert all(orthanc.post("/instances", content=door.prove(each)).is_success for each in results)
    uids = {
        str(dcmread(io.BytesIO(each), specific_tags=["SOPInstanceUID"]).SOPInstanceUID) for each in results
    }
    with site.client() as client:
        eventually(lambda: uids <= places(client, study).keys())


def _mass(header: Dataset) -> Lesion:
    view = (header.ImageLaterality, header.ViewPosition)
    _, columns = np.nonzero(draw(view) == 4000)
    left, top = float(columns.min()), float(ROW[view])
    box = ((left, top), (left + SIZE, top), (left + SIZE, top + SIZE), (left, top + SIZE), (left, top))
    region = Region(str(header.SOPInstanceUID), Shape.POLYGON, box)
    return Lesion("".join(view), view[0], MASS, 0.9, (region,))


def _count(answer: Any) -> int:
    return len(answer.json()) if answer.status_code == 200 else 0


def shared_study(path: Path, **values: object) -> list[bytes]:
    """A real instance as a study of its own."""
    new = {
        name: f"2.25.{uuid.uuid4().int}"
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    }
    return [changed(path.read_bytes(), PatientID=uuid.uuid4().hex[:12], **new, **values)]


def pixels_of(part10: bytes) -> np.ndarray:
    return dcmread(io.BytesIO(part10)).pixel_array


def picture(sop_class_uid: str, modality: str, pixels: np.ndarray) -> bytes:
    """One instance of 8 bits, or of 12, of somebody of her own."""
    uid = name_uids(uuid.uuid4().hex)
    dataset = begin_instance(1, uid, sop_class_uid)
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, uid("instance 1")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid("study"), uid("series")
    dataset.Modality, dataset.PatientID, dataset.InstanceNumber = modality, uuid.uuid4().hex[:12], 1
    dataset.StudyDate, dataset.StudyTime, dataset.ImageType = "20240229", "101500", ["ORIGINAL", "PRIMARY"]
    dataset.BurnedInAnnotation = "NO"
    add_pixels(dataset, pixels, bits=8 if pixels.dtype == np.uint8 else 12)
    return to_part10(dataset)
