"""WADO-RS over files that were damaged after they were written: a problem at worst, never a failure of the server."""

import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from archive.dicom_json import read_instance
from archive.pixels.layout import DAMAGED
from archive.pixels.syntaxes import JPEG_2000, RLE
from archive.resource import is_uid
from deidentification.refusal import Refused
from tests.unit.dicom_files import prove
from tests.unit.fake_site import PROOF_KEY

pytestmark = pytest.mark.filterwarnings("ignore")

NAMES = (
    *("MR_small_RLE.dcm", "JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm", "JPGExtended.dcm", "examples_palette.dcm"),
    *("SC_rgb_jpeg_gdcm.dcm", "MR_small_jpeg_ls_lossless.dcm", "image_dfl.dcm", "MR_small_implicit.dcm"),
)
SYNTAXES = ("", "; transfer-syntax=*", f"; transfer-syntax={JPEG_2000}", f"; transfer-syntax={RLE}")


def damage(name: str, number: int) -> bytes:
    """The file under a UID of its own with eight bytes changed, half of them in its header; or cut short."""
    path = Path(get_testdata_file(name))
    uid = str(dcmread(path, stop_before_pixels=True).SOPInstanceUID).encode()
    data = bytearray(path.read_bytes().replace(uid, uid[:-3] + b"%d%02d" % (NAMES.index(name) + 1, number)))
    chance = random.Random(f"{name}{number}")
    if number == 0:
        return bytes(data[: len(data) * 3 // 4])
    for place in range(8):
        data[chance.randrange(400, 1500 if place % 2 else len(data))] = chance.randrange(256)
    return bytes(data)


def instances() -> list[bytes]:
    """Those that can be proven and that the index can read."""
    found: dict[str, bytes] = {}
    for data in (damage(name, number) for name in NAMES for number in range(16)):
        try:
            found.setdefault(read_instance(prove(data, PROOF_KEY)).sop_instance_uid, data)
        except (OSError, Refused, *DAMAGED):
            continue
    return list(found.values())


@pytest.fixture(scope="module")
def client(serve_instances) -> Iterator[httpx.Client]:
    with serve_instances(instances()) as gateway, gateway.client() as opened:
        yield opened


@pytest.fixture(scope="module")
def paths(client) -> list[str]:
    names = ("0020000D", "0020000E", "00080018")
    found = client.get(
        "/instances", params={"limit": "1000"}, headers={"Accept": "application/dicom+json"}
    ).json()
    addresses = ([each[name]["Value"][0] for name in names] for each in found)
    whole = [uids for uids in addresses if all(map(is_uid, uids))]
    return ["/studies/{}/series/{}/instances/{}".format(*uids) for uids in whole]


@pytest.mark.parametrize(
    "below", ["/rendered", "/thumbnail", "/frames/1", "/frames/1/rendered", "/bulkdata/7FE00010"]
)
def test_pixels(client, paths, below):
    assert len(paths) > 30
    answers = {path: client.get(path + below).status_code for path in paths}
    assert not {path: status for path, status in answers.items() if status >= 500}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_instances(client, paths, syntax):
    headers = {"Accept": f"application/dicom{syntax}"}
    answers = {path: client.get(path, headers=headers).status_code for path in paths}
    assert not {path: status for path, status in answers.items() if status >= 500}
