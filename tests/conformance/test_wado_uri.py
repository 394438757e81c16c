"""WADO-URI: the URI Service (PS3.18 section 9)."""

import io
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from tests.conformance.test_wado_rendered import RAMP, exams, linear

EXPLICIT, JPEG_LS = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.80"


@pytest.fixture(scope="module")
def client(serve_instances) -> Iterator[httpx.Client]:
    with serve_instances(exams()) as gateway, gateway.client() as opened:
        opened.base_url = gateway.settings.public_url
        yield opened


def ask(client: httpx.Client, study: str = "3.1", number: int = 1, **parameters: str) -> httpx.Response:
    uids = {"studyUID": study, "seriesUID": f"{study}.1", "objectUID": f"{study}.1.{number}"}
    return client.get("/wado", params={"requestType": "WADO", **uids, **parameters})


def png(client: httpx.Client, **parameters: str) -> np.ndarray:
    answer = ask(client, contentType="image/png", **parameters)
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)), int)


class TestMediaTypes:
    """Sections 9.4 and 9.5."""

    @pytest.mark.parametrize(
        ("study", "kind"), [("3.1", "image/jpeg"), ("3.3", "application/dicom"), ("3.4", "application/dicom")]
    )
    def test_the_default_is_what_the_instance_is(self, client, study, kind):
        assert ask(client, study).headers["content-type"].startswith(kind)

    def test_a_file(self, client):
        answer = ask(client, contentType="application/dicom")
        assert dcmread(DicomBytesIO(answer.content)).file_meta.TransferSyntaxUID == EXPLICIT

    @pytest.mark.parametrize(
        ("asked", "expected"), [(JPEG_LS, JPEG_LS), ("1.2.3", EXPLICIT), ("*", EXPLICIT)]
    )
    def test_its_transfer_syntax(self, client, asked, expected):
        """Where it can't be had, the default is sent."""
        answer = ask(client, contentType="application/dicom", transferSyntax=asked)
        assert dcmread(DicomBytesIO(answer.content)).file_meta.TransferSyntaxUID == expected

    def test_what_is_not_made_is_406(self, client):
        assert ask(client, contentType="video/mpeg").status_code == 406


class TestPictures:
    """Section 9.1.2.2."""

    def test_a_window(self, client):
        assert np.array_equal(png(client, windowCenter="1000", windowWidth="500"), linear(RAMP, 1000, 500))

    def test_a_size_keeps_the_aspect(self, client):
        assert png(client, rows="20").shape == (20, 30)
        assert png(client, rows="20", columns="15").shape == (10, 15)

    def test_a_region_is_in_parts_of_the_frame(self, client):
        assert np.array_equal(png(client, region="0.5,0,1,0.5"), linear(RAMP, 1200, 800)[:20, 30:])

    def test_a_frame(self, client):
        first, third = (png(client, study="3.3", frameNumber=number) for number in ("1", "3"))
        assert first.shape == third.shape and not np.array_equal(first, third)

    def test_quality(self, client):
        low, high = (len(ask(client, imageQuality=quality).content) for quality in ("5", "100"))
        assert low < high


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"requestType": "X"}, 400), ({"studyUID": "x"}, 400), ({"objectUID": ""}, 400), ({"objectUID": "9"}, 404),
        ({"windowCenter": "1"}, 400), ({"rows": "0"}, 400), ({"region": "0,0,2,1"}, 400), ({"region": "1,1"}, 400),
        ({"frameNumber": "2"}, 404), ({"frameNumber": "x"}, 400), ({"frameNumber": "1,1"}, 400),
        ({"imageQuality": "0"}, 400), ({"contentType": "application/dicom", "rows": "5"}, 400),
        ({"presentationUID": "1.2"}, 400), ({"contentType": "x"}, 400),
    ],
)  # fmt: skip
def test_what_is_refused(client, parameters, status):
    """Section 9.1.3."""
    answer = ask(client, **parameters)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_a_token_is_needed(client):
    assert (
        httpx.get(f"{client.base_url}/wado", params={"requestType": "WADO"}, trust_env=False).status_code
        == 401
    )
