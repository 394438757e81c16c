"""WADO-RS: every file of the test data in every transfer syntax that is offered (PS3.18 section 8.7.3)."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.pixels import pixel_array
from pydicom.uid import ExplicitVRBigEndian

from archive.pixels.syntaxes import DCT, ENCODED, EXPLICIT, JPEG_LOSSLESS_SV1, LOSSY

pytestmark = pytest.mark.filterwarnings("ignore")

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "dicom"
OWN = Path(pydicom.__file__).parent / "data" / "test_files"
LARGEST = 600_000  # bytes of a file that is put into every transfer syntax; larger ones into three
UNDECODABLE = {"JPEG2000-embedded-sequence-delimiter.dcm", "MR_truncated.dcm", "badVR.dcm"}
ONLY_NATIVE = (1, 32)  # BitsAllocated that compression is not defined for, or not had


def read_file(path: Path) -> Dataset | None:
    """The file with an address of its own; None for one without pixels or in big endian, which the door turns round."""
    try:
        dataset = dcmread(path)
        syntax = dataset.file_meta.TransferSyntaxUID
        if "PixelData" not in dataset or syntax == ExplicitVRBigEndian:
            return None
    except (pydicom.errors.InvalidDicomError, AttributeError):
        return None
    return dataset


def write_file(number: int, dataset: Dataset) -> bytes:
    """The file; none where it can't be written, being in another encoding than it says or of no class."""
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.{number}", f"1.{number}.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.{number}.1.1"
    buffer = DicomBytesIO()
    try:
        dataset.save_as(buffer, enforce_file_format=True)
    except (TypeError, AttributeError, ValueError):
        return b""
    return buffer.getvalue()


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    FILES = {
        path.name: number
        for number, path in enumerate(sorted([*OWN.glob("*.dcm"), *SHARED.glob("*/*")]), 1)
        if (dataset := read_file(path)) and write_file(number, dataset)
    }
PATHS = {path.name: path for path in [*OWN.glob("*.dcm"), *SHARED.glob("*/*")]}


@pytest.fixture(scope="module")
def client(serve_instances) -> Iterator[httpx.Client]:
    """A client of a gateway that holds all of them."""
    parts = [write_file(number, read_file(PATHS[name])) for name, number in FILES.items()]
    with serve_instances(parts) as gateway, gateway.client() as opened:
        yield opened


def address(name: str) -> str:
    number = FILES[name]
    return f"/studies/1.{number}/series/1.{number}.1/instances/1.{number}.1.1"


def retrieve(client: httpx.Client, name: str, syntax: str) -> httpx.Response:
    accept = f"application/dicom; transfer-syntax={syntax}"
    return client.get(address(name), headers={"Accept": accept})


def read(answer: httpx.Response) -> Dataset:
    assert answer.status_code == 200, answer.text
    dataset = dcmread(DicomBytesIO(answer.content))
    kind = f"application/dicom; transfer-syntax={dataset.file_meta.TransferSyntaxUID}"
    assert answer.headers["content-type"] == kind
    return dataset


def decoded(dataset: Dataset, like: Dataset) -> np.ndarray:
    """All frames as pydicom decodes them, in the colour space that `like` is in."""
    was, wanted = dataset.PhotometricInterpretation, like.PhotometricInterpretation
    return pixel_array(dataset, raw=not (was.startswith("YBR") and wanted == "RGB"))


def is_decoded_by_pydicom(dataset: Dataset) -> bool:
    try:
        pixel_array(dataset)
    except (RuntimeError, NotImplementedError):
        return False
    return True


@pytest.mark.parametrize("name", sorted(set(FILES) - UNDECODABLE))
class TestEveryFile:
    """Section 8.7.3.4: no more is lost than was, and each answer is what it says it is."""

    def test_decoded_as_pydicom_decodes_it(self, client, name):
        stored, native = read(retrieve(client, name, "*")), read(retrieve(client, name, EXPLICIT))
        assert native.file_meta.TransferSyntaxUID == EXPLICIT
        if is_decoded_by_pydicom(stored):
            tolerance = 1 if stored.file_meta.TransferSyntaxUID in DCT else 0
            difference = decoded(native, native).astype(float) - decoded(stored, native)
            assert np.abs(difference).max() <= tolerance

    def test_without_loss_in_every_transfer_syntax(self, client, name):
        native = read(retrieve(client, name, EXPLICIT))
        for syntax in ENCODED if PATHS[name].stat().st_size < LARGEST else ENCODED[:3]:
            answer = retrieve(client, name, syntax)
            if native.BitsAllocated in ONLY_NATIVE and answer.status_code == 406:
                continue
            recoded = read(answer)
            assert recoded.file_meta.TransferSyntaxUID == syntax
            assert np.array_equal(decoded(recoded, native), decoded(native, native)), syntax

    def test_frames_are_those_of_the_instance(self, client, name):
        """Section 10.4.1.1.6; octets are the default of table 8.7.3-4."""
        native = read(retrieve(client, name, EXPLICIT))
        if native.BitsAllocated == 1:
            pytest.skip("frames of single bits are had as they are stored")
        answer = client.get(
            f"{address(name)}/frames/{native.get('NumberOfFrames') or 1}",
            headers={"Accept": "application/octet-stream"},
        )
        assert answer.status_code == 200, answer.text
        assert native.PixelData.rstrip(b"\0").endswith(answer.content.rstrip(b"\0"))


@pytest.mark.parametrize("name", sorted(UNDECODABLE & set(FILES)))
class TestUndecodable:
    """Pixels that can't be decoded are sent as they are stored, and as nothing else."""

    def test_named_transfer_syntaxes_are_406(self, client, name):
        assert retrieve(client, name, JPEG_LOSSLESS_SV1).status_code == 406

    def test_where_none_is_named_they_come_as_stored(self, client, name):
        stored = read(retrieve(client, name, "*"))
        answer = client.get(address(name), headers={"Accept": "application/dicom"})
        assert read(answer).PixelData == stored.PixelData


class TestLossy:
    """What loses is another instance with a UID of its own (PS3.3 section C.12.4.1.1), so it is not made."""

    @pytest.mark.parametrize("syntax", sorted(DCT))
    def test_it_is_not_made_of_what_is_not_stored_so(self, client, syntax):
        assert retrieve(client, "CT_small.dcm", syntax).status_code == 406

    @pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "JPGExtended.dcm"])
    def test_it_is_had_where_it_is_stored(self, client, name):
        stored = dcmread(PATHS[name])
        syntax = stored.file_meta.TransferSyntaxUID
        assert read(retrieve(client, name, syntax)).PixelData == stored.PixelData

    def test_frames_of_its_media_type_come_as_stored(self, client):
        """Section 8.7.3: the default of image/jpeg is lossless, which lossy pixels are not made to look like."""
        name = "SC_rgb_jpeg_dcmtk.dcm"
        answer = client.get(f"{address(name)}/frames/1", headers={"Accept": "image/jpeg"})
        (frame,) = generate_frames(dcmread(PATHS[name]).PixelData, number_of_frames=1)
        assert (answer.content, answer.headers["content-type"].split("=")[1] in LOSSY) == (frame, True)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("resource", ["rendered", "thumbnail"])
def test_every_file_is_a_picture_or_a_problem(client, name, resource):
    """Section 10.4.3: whatever lies in the pixels, no answer is a failure of the server."""
    answer = client.get(f"{address(name)}/{resource}")
    assert answer.status_code == (406 if name in UNDECODABLE else 200), answer.text
