"""Exams to send, the three ways in, and a site that can be broken on purpose."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import generate_uid

from inference.demo import build_exam
from inference.phantom import draw_exam
from senogate import scu
from tests.live import LiveSite

Send = Callable[[LiveSite, bytes], str]


@pytest.fixture(scope="session")
def phantom_exam() -> Callable[[], list[bytes]]:
    """A callable that makes an exam of four phantom views with UIDs of its own; they are drawn once."""
    images = draw_exam(seed=1, glandular_fraction=0.35).images
    return lambda: build_exam(images, seed=uuid.uuid4().hex)


@pytest.fixture
def instance(phantom_exam: Callable[[], list[bytes]]) -> bytes:
    """One mammogram that no site has seen."""
    return phantom_exam()[0]


def edit(instance: bytes, change: Callable[[Dataset], None]) -> bytes:
    """The instance with `change` made to its data set."""
    dataset = dcmread(DicomBytesIO(instance))
    change(dataset)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = DicomBytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


@pytest.fixture
def patient_id() -> str:
    """Of a patient whom no other test has."""
    return f"TEST-{generate_uid()[-12:]}"


@pytest.fixture
def exam(phantom_exam: Callable[[], list[bytes]], patient_id: str) -> list[bytes]:
    """Four views of her."""
    return [edit(each, lambda dataset: setattr(dataset, "PatientID", patient_id)) for each in phantom_exam()]


def send_c_store(site: LiveSite, instance: bytes) -> str:
    """The DIMSE status that the site answers with, in hexadecimal; "stored" for success."""
    path = site.home / f"{uuid.uuid4().hex}.dcm"
    path.write_bytes(instance)
    outcomes: list[scu.Outcome] = []
    receiver = scu.Receiver("127.0.0.1", site.settings.dicom_port, site.settings.dicom_aet)
    scu.send(scu.find_items([path]), receiver, 1, outcomes.append)
    path.unlink()
    (outcome,) = outcomes
    return "stored" if outcome.is_stored else f"{outcome.status:04X}" if outcome.status else outcome.reason


def send_rest(site: LiveSite, instance: bytes) -> str:
    """Orthanc's own HTTP status; "stored" when it names an instance."""
    with site.orthanc() as orthanc:
        answer = orthanc.post("/instances", content=instance)
    return "stored" if answer.status_code == 200 and answer.json()["ID"] else str(answer.status_code)


def send_stow(site: LiveSite, instance: bytes) -> str:
    """The gateway's HTTP status; "stored" when every instance was."""
    body = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + instance + b"\r\n--x--\r\n"
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
    with site.client() as client:
        answer = client.post("/studies", content=body, headers=headers)
    return "stored" if answer.status_code == 200 else str(answer.status_code)


WAYS: dict[str, Send] = {"C-STORE": send_c_store, "REST": send_rest, "STOW-RS": send_stow}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Send:
    """Each way an instance can come in."""
    return WAYS[request.param]


SABOTAGE = """
import pathlib
from deidentification.deidentify import Deidentifier

order = pathlib.Path(__file__).with_name("order")
deidentify = Deidentifier.deidentify

def sabotaged(self, part10, *rest):
    match order.read_text() if order.exists() else "":
        case "raise": raise KeyError("made to raise")
        case "exit": raise SystemExit(1)
        case "none": return None
        case "original":
            import dataclasses
            return dataclasses.replace(deidentify(self, part10, *rest), instance=bytes(part10))
        case "text":
            import dataclasses
            return dataclasses.replace(deidentify(self, part10, *rest), instance="not bytes")
    return deidentify(self, part10, *rest)

Deidentifier.deidentify = sabotaged

from archive import instances
write = instances.write

def full(storage, place, data):
    is_report = b"1.2.840.10008.5.1.4.1.1.88." in data[:1000]
    told = order.read_text() if order.exists() else ""
    if told == "no room" or told == "full" and is_report: raise OSError(28, "no space left")
    return write(storage, place, data)

instances.write = full
"""


@pytest.fixture(scope="session")
def sabotaged(
    new_home: Callable[[], Path], free_ports: Callable[[int], list[int]]
) -> Iterator[tuple[LiveSite, Path]]:
    """A site that fails as the file orders.

    De-identification: raise, exit, none, original or text. The disk: full, for reports, or "no room"
    for anything.
    """
    home = new_home()
    folder = home.parent / "sabotage"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SABOTAGE)
    own = Path(__file__).resolve().parents[2] / ".orthanc-python"
    wheels = os.environ.get("SENOGATE_ORTHANC_PYTHON", str(own))
    live = LiveSite(home, free_ports(3), {"SENOGATE_ORTHANC_PYTHON": f"{folder}:{wheels}"}).start()
    yield live, folder / "order"
    assert live.stop() == 0


def is_answering(client: httpx.Client, path: str) -> bool:
    """Whether a server answers a request with success."""
    try:
        return client.get(path).is_success
    except httpx.HTTPError:
        return False
