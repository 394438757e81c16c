"""`senogate phantom` without a site."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from senogate.cli import app

SMALL = ["--spacing", "0.8", "--vendor", "beta"]


@pytest.fixture(scope="module")
def exams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "new"
    order = ["--exams", "2", "--seed", "7", "--lesions", "mass,calcifications"]
    assert CliRunner().invoke(app, ["phantom", *order, *SMALL, str(folder)]).exit_code == 0
    return folder


def test_an_exam_is_written_for_each_seed(exams: Path) -> None:
    names = sorted(path.relative_to(exams).as_posix() for path in exams.rglob("*.dcm"))
    views = ("L-CC", "L-MLO", "R-CC", "R-MLO")
    assert names == [f"exam-{seed}/{view}.dcm" for seed in (7, 8) for view in views]


def test_the_truth_names_the_instances_that_lie_beside_it(exams: Path) -> None:
    for exam in json.loads((exams / "truth.json").read_text())["exams"]:
        for instance in exam["instances"]:
            dataset = dcmread(exams / instance["file"], stop_before_pixels=True)
            assert dataset.SOPInstanceUID == instance["sop_instance_uid"]


def test_exams_are_of_different_studies_and_patients(exams: Path) -> None:
    datasets = [dcmread(path, stop_before_pixels=True) for path in exams.rglob("*.dcm")]
    assert len({one.StudyInstanceUID for one in datasets}) == len({one.PatientID for one in datasets}) == 2


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dicom3tools is not installed")
@pytest.mark.parametrize("vendor", ["alpha", "beta", "gamma", "delta"])
def test_dciodvfy_finds_no_error(vendor: str, tmp_path: Path) -> None:
    """PS3.3 A.26."""
    order = ["phantom", "--spacing", "0.8", "--vendor", vendor, str(tmp_path / "new")]
    assert CliRunner().invoke(app, order).exit_code == 0
    for path in (tmp_path / "new").rglob("*.dcm"):
        answer = subprocess.run(["dciodvfy", path], capture_output=True, text=True, timeout=60)
        assert "Error" not in answer.stdout + answer.stderr


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planes") / "new"
    assert CliRunner().invoke(app, ["phantom", "--tomosynthesis", *SMALL, str(folder)]).exit_code == 0
    return folder / "exam-0"


def test_tomosynthesis_lies_in_the_study_of_its_mammograms(planes: Path) -> None:
    """PS3.4 B.5: Breast Tomosynthesis Image Storage."""
    mammogram, stack = (dcmread(planes / name) for name in ("L-CC.dcm", "L-CC-DBT.dcm"))
    assert stack.SOPClassUID == "1.2.840.10008.5.1.4.1.1.13.1.3"
    assert stack.StudyInstanceUID == mammogram.StudyInstanceUID
    assert len(stack.pixel_array) == len(stack.PerFrameFunctionalGroupsSequence) == stack.NumberOfFrames > 4


@pytest.mark.parametrize(("view", "down"), [("L-CC", [-1, 0, 0]), ("R-CC", [1, 0, 0])])
def test_columns_of_tomosynthesis_lead_to_the_midline(planes: Path, view: str, down: list[int]) -> None:
    """PS3.3 C.7.6.2.1.1: the patient's left is positive."""
    shared = dcmread(planes / f"{view}-DBT.dcm").SharedFunctionalGroupsSequence[0]
    assert list(shared.PlaneOrientationSequence[0].ImageOrientationPatient)[3:] == down


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_error_in_tomosynthesis(planes: Path) -> None:
    for path in planes.glob("*-DBT.dcm"):
        answer = subprocess.run(["dciodvfy", path], capture_output=True, text=True, timeout=60)
        assert "Error" not in answer.stdout + answer.stderr


@pytest.mark.parametrize("lesions", ["cyst", "mass,", "vessel"])
def test_an_unknown_lesion_is_wrong_usage(lesions: str, tmp_path: Path) -> None:
    order = ["phantom", "--lesions", lesions, str(tmp_path / "new")]
    assert CliRunner().invoke(app, order).exit_code == 2


def test_a_folder_that_holds_something_is_left_alone(exams: Path) -> None:
    assert CliRunner().invoke(app, ["phantom", *SMALL, str(exams)]).exit_code == 1
