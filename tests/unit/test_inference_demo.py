"""The demo exam: Digital Mammography X-Ray Images For Presentation (PS3.3 A.26) with an identity made up."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset

from inference.demo import VIEWS, build_exam, demo_exam, read_images
from inference.phantom import draw_exam


@pytest.fixture(scope="module")
def datasets() -> list[FileDataset]:
    return [dcmread(io.BytesIO(part)) for part in demo_exam()]


def test_the_same_seed_gives_the_same_bytes() -> None:
    images = draw_exam(1, rows=32, columns=24).images
    assert build_exam(images, seed="one") == build_exam(images, seed="one")


def test_no_seed_gives_an_exam_of_its_own() -> None:
    uids = {dcmread(io.BytesIO(demo_exam(seed=None)[0])).StudyInstanceUID for _ in range(2)}
    assert len(uids) == 2


def test_the_four_views_are_of_one_study(datasets: list[FileDataset]) -> None:
    assert [(one.ImageLaterality, one.ViewPosition) for one in datasets] == list(VIEWS)
    assert len({one.StudyInstanceUID for one in datasets}) == 1


def test_uids_are_unique_and_well_formed(datasets: list[FileDataset]) -> None:
    uids = [one.SOPInstanceUID for one in datasets] + [one.SeriesInstanceUID for one in datasets]
    assert len(set(uids)) == 8
    assert all(uid.is_valid for uid in uids)


@pytest.mark.parametrize(
    "keyword",
    [
        "PatientName",
        "PatientID",
        "PatientAddress",
        "OtherPatientIDsSequence",
        "ReferringPhysicianName",
        "RequestAttributesSequence",
    ],
)
def test_it_is_full_of_a_made_up_identity(datasets: list[FileDataset], keyword: str) -> None:
    assert all(one.get(keyword) for one in datasets)


def test_it_has_private_elements(datasets: list[FileDataset]) -> None:
    assert all(any(element.tag.is_private for element in one) for one in datasets)


@pytest.mark.parametrize("index", range(4))
def test_dciodvfy_finds_no_error(index: int, tmp_path: Path) -> None:
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy (Debian's dicom3tools) is not installed")
    part = build_exam(draw_exam(1, rows=32, columns=24).images, seed="x")[index]
    (tmp_path / "mg").write_bytes(part)
    answer = subprocess.run(["dciodvfy", tmp_path / "mg"], capture_output=True, text=True)
    assert "Error" not in answer.stderr + answer.stdout


@pytest.mark.parametrize(
    ("index", "orientation"), list(enumerate((["A", "R"], ["P", "L"], ["A", "FR"], ["P", "FL"])))
)
def test_orientation_follows_the_chest_wall(
    datasets: list[FileDataset], index: int, orientation: list[str]
) -> None:
    assert list(datasets[index].PatientOrientation) == orientation


def test_eight_bit_values_are_kept(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (21, 13)).astype(np.uint8)
    for laterality, view in VIEWS:
        Image.fromarray(pixels).save(tmp_path / f"{laterality}-{view}.png")
    assert all(np.array_equal(image, pixels) for image in read_images(tmp_path).values())
    first = dcmread(io.BytesIO(demo_exam(tmp_path)[0]))
    np.testing.assert_array_equal(first.pixel_array, pixels)
