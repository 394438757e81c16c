"""Small labelled exams of a hospital, as it would send them: phantoms of a vendor's look and a mix of densities."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.uid import UID

from inference.demo import build_exam
from inference.phantom import THRESHOLDS, draw_exam
from inference.phantom.mammogram import to_part10
from inference.phantom.vendor import VENDORS, Vendor
from tests.live import LiveSite, eventually

FRACTIONS = {"a": 0.12, "b": 0.38, "c": 0.62, "d": 0.85}
ROWS, COLUMNS = 208, 160


@dataclass(frozen=True, slots=True)
class Drawn:
    """An exam as it is sent: its UID and its patient's ID are the hospital's own, not the site's pseudonyms."""

    study_instance_uid: str
    patient_id: str
    category: str
    instances: Sequence[bytes]


def draw_exams(
    vendor: str,
    categories: str,
    *,
    patients: int | None = None,
    seed: int = 0,
    of: Callable[[str], bool] = lambda _: True,
) -> list[Drawn]:
    """An exam for each letter of `categories`, of a patient each, or of so many patients in turn.

    The same arguments give the same exams, another `seed` others. Vendors are those of `inference.phantom.vendor`.
    `of` tells by a Patient ID whether the patient is one of those who are wanted.
    """
    named = (f"{vendor.upper()}-{seed}-{number}" for number in count())
    wanted = list(islice(filter(of, named), patients or len(categories)))
    return [
        _draw(VENDORS[vendor], category, wanted[number % len(wanted)], 1000 * seed + number)
        for number, category in enumerate(categories)
    ]


def write_exams(folder: Path, exams: Sequence[Drawn]) -> Path:
    """Each instance as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    for exam in exams:
        for number, one in enumerate(exam.instances):
            (folder / f"{exam.study_instance_uid}-{number}.dcm").write_bytes(one)
    return folder


def send_exams(site: LiveSite, folder: Path, exams: Sequence[Drawn]) -> None:
    """C-STORE them, and return when the site's index has all of them."""
    assert not site.send(write_exams(folder, exams), wait=False)["refused"]
    studies = [site.pseudonyms().uid(one.study_instance_uid) for one in exams]
    wanted = sum(len(one.instances) for one in exams)
    statement = (
        "select count(*) from instance where study_instance_uid = any(%s) and is_image"  # not models' reports
    )

    def is_there() -> bool:
        with site.database() as database:
            row = database.execute(statement, [studies]).fetchone()
        return row is not None and row[0] == wanted

    eventually(is_there)


def labels(exams: Sequence[Drawn]) -> str:
    """What is known of them, as the hospital's own file of labels."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["StudyInstanceUID", "Density"])
    rows.writerows([one.study_instance_uid, one.category] for one in exams)
    return text.getvalue()


def _draw(vendor: Vendor, category: str, patient: str, seed: int) -> Drawn:
    exam = draw_exam(seed, glandular_fraction=FRACTIONS[category], rows=ROWS, columns=COLUMNS)
    assert exam.glandular_fraction < THRESHOLDS[category]
    images = {view: _stored(image, vendor) for view, image in exam.images.items()}
    datasets = [dcmread(io.BytesIO(one)) for one in build_exam(images, seed=f"{vendor.name} {seed}")]
    for one in datasets:
        one.PatientID, one.PatientName = (
            patient,
            f"Phantom^{patient}",
        )
        one.StudyID, one.AccessionNumber = str(seed), f"{vendor.name.upper()}{seed}"
        one.Manufacturer, one.ManufacturerModelName = vendor.manufacturer, vendor.model
        one.file_meta.MediaStorageSOPInstanceUID = UID(one.SOPInstanceUID)
        del one.OtherPatientIDsSequence, one.IssuerOfPatientID
    first = datasets[0]
    return Drawn(str(first.StudyInstanceUID), first.PatientID, category, [to_part10(one) for one in datasets])


def _stored(image: npt.NDArray[np.uint16], vendor: Vendor) -> npt.NDArray[np.uint16]:
    """With the vendor's curve in it, 12 bits as the phantom's."""
    return np.asarray(np.rint((image / 4095) ** vendor.gamma * 4095), np.uint16)
