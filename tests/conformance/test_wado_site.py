"""WADO-RS through the whole of a site: what came by the door is decoded, recoded and rendered (PS3.18 section 10.4)."""

import io
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from archive.pixels.syntaxes import HTJ2K_LOSSLESS, JPEG_2000_LOSSLESS, JPEG_LOSSLESS_SV1
from tests.live import LiveSite, eventually

pytestmark = pytest.mark.filterwarnings("ignore")

MAMMOGRAMS = ("hologic_dbt_j2k_4frames.dcm", "siemens_mammomat_lcc_jpeg_lossless.dcm")


@pytest.fixture(scope="module", params=MAMMOGRAMS)
def mammogram(site: LiveSite, shared, request) -> Iterator[tuple[httpx.Client, str]]:
    """A client, and the address of a mammogram that it has stored."""
    part = (shared / "data" / "dicom" / "mg" / request.param).read_bytes()
    headers = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
    with site.client() as client:
        answer = client.post("/studies", content=part, headers=headers)
        address = answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]
        eventually(lambda: client.get(f"{address}/metadata").status_code == 200)
        yield client, address


def read(client: httpx.Client, address: str, syntax: str):
    answer = client.get(address, headers={"Accept": f"application/dicom; transfer-syntax={syntax}"})
    assert answer.status_code == 200, answer.text
    return dcmread(DicomBytesIO(answer.content))


def test_every_frame_in_other_transfer_syntaxes(mammogram):
    client, address = mammogram
    stored = read(client, address, "*")
    for syntax in (JPEG_LOSSLESS_SV1, JPEG_2000_LOSSLESS, HTJ2K_LOSSLESS, "1.2.840.10008.1.2.1"):
        recoded = read(client, address, syntax)
        assert recoded.file_meta.TransferSyntaxUID == syntax
        assert np.array_equal(recoded.pixel_array, stored.pixel_array)


def test_what_is_recoded_carries_no_proof(mammogram):
    """The proof is of the stored bytes (docs/adr/0001)."""
    client, address = mammogram
    assert "PrivateInformation" in read(client, address, "*").file_meta
    assert "PrivateInformation" not in read(client, address, "1.2.840.10008.1.2.1").file_meta


def test_a_picture_and_a_thumbnail(mammogram):
    client, address = mammogram
    whole, small = (
        Image.open(io.BytesIO(client.get(f"{address}/{each}").content)) for each in ("rendered", "thumbnail")
    )
    stored = read(client, address, "*")
    assert whole.size == (stored.Columns, stored.Rows)
    assert max(small.size) == 128
