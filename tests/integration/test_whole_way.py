"""From C-STORE to the report read back over WADO-RS, at a real site."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import generate_uid

from archive import audit_log
from archive.audit import Event
from archive.findings import from_json
from archive.settings import RESULTS
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Pseudonyms
from inference.demo import demo_exam
from inference.results.writers import write as write_results
from senogate.site_keys import keys_of
from tests.density_reports import read_density
from tests.integration.conftest import edit
from tests.live import LiveSite, eventually
from tests.unit.findings import lesion_findings

PUBLISHED = {"a": 0.0819444, "b": 0.78304, "c": 0.133503, "d": 0.00151265}
ANY = 'application/dicom; transfer-syntax="*"'
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
DICOM_JSON = {"Content-Type": "application/dicom+json"}


def write(folder: Path, instances: list[bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, instance in enumerate(instances):
        (folder / f"{number}.dcm").write_bytes(instance)
    return folder


def fetch(site: LiveSite, study: str) -> list[bytes]:
    """Every instance of a study as WADO-RS gives it (PS3.18 section 10.4)."""
    with site.client() as client:
        rows = client.get(f"/studies/{study}/instances").json()
        places = [row["00081190"]["Value"][0] for row in rows]
        answers = [client.get(place, headers={"Accept": ANY}) for place in places]
    return [answer.content for answer in answers]


def read_back(site: LiveSite, study: str) -> list[Dataset]:
    return [dcmread(DicomBytesIO(instance)) for instance in fetch(site, study)]


def modalities(client: httpx.Client, study: str, model: str) -> Counter[str]:
    """Of the instances that a model made."""
    metadata = client.get(f"/studies/{study}/metadata").json()
    made = [each for each in metadata if each.get("00081090", {}).get("Value") == [model]]
    return Counter(each["00080060"]["Value"][0] for each in made)


def places(client: httpx.Client, study: str) -> dict[str, str]:
    """Where each instance of a study is, by its SOP Instance UID."""
    rows = client.get(f"/studies/{study}/instances").json()
    return {row["00080018"]["Value"][0]: row["00081190"]["Value"][0] for row in rows}


def is_density(instance: Dataset) -> bool:
    """Whether it is the report of a density model."""
    return instance.Modality == "SR" and "density" in instance.SeriesDescription


class TestARealExam:
    @pytest.fixture(scope="class")
    @classmethod
    def sent(cls, new_home, free_ports, shared: Path, tmp_path_factory: pytest.TempPathFactory):
        """The four real mammograms at a site that reads with the published weights."""
        site = LiveSite(new_home(), free_ports(3), {"SENOGATE_RESULTS": " ".join(RESULTS)}).start()
        site.run("model", "import", "nyu-density", str(shared / "data" / "nyu-density" / "histogram_model.p"))
        exam = demo_exam(shared / "data" / "nyu-density")
        yield site, site.send(write(tmp_path_factory.mktemp("exam"), exam)), exam
        assert site.stop() == 0

    def test_density_agrees_with_the_published_answer(self, sent) -> None:
        site, answer, _ = sent
        (study,) = answer["studies"]
        instances = fetch(site, study["study_instance_uid"])
        name = study["reading"]["findings"]["findings"]["model"]["name"]
        headers = {each: dcmread(DicomBytesIO(each), stop_before_pixels=True) for each in instances}
        (report,) = [
            each
            for each, header in headers.items()
            if (header.get("ManufacturerModelName"), header.SOPClassUID) == (name, COMPREHENSIVE_3D_SR)
        ]
        density = read_density(report)
        assert density.probabilities == pytest.approx(PUBLISHED, abs=0.002)
        assert density.category == "b"

    def test_each_kind_of_result_lies_in_the_study_and_none_is_read(self, sent) -> None:
        site, answer, _ = sent
        study = answer["studies"][0]["study_instance_uid"]
        name = answer["studies"][0]["reading"]["findings"]["findings"]["model"]["name"]
        with site.client() as client:
            eventually(lambda: modalities(client, study, name) == Counter(SR=2, OT=4, PR=4))
        with site.database() as database:
            readings = database.execute(
                "select state, attempts from reading where task = 'density' and study_instance_uid = %s",
                [study],
            ).fetchall()
            images = database.execute(
                "select count(*) from instance where study_instance_uid = %s and is_image", [study]
            ).fetchone()
        assert (readings, images) == ([("done", 1)], (4,))

    def test_results_of_lesions_enter_by_the_door_and_come_back(self, sent) -> None:
        site, answer, _ = sent
        study = answer["studies"][0]["study_instance_uid"]
        images = {each.SeriesNumber: each for each in read_back(site, study) if each.Modality == "MG"}
        exam = [images[number] for number in sorted(images)]
        keys = keys_of(site.settings)
        door = Deidentifier(keys, Profile.load("breast-screening"))
        written = write_results(
            lesion_findings(exam), exam, ["sr", "cad-sr", "seg", "kos"], Pseudonyms(keys).uid
        )
        expected = {each.SOPInstanceUID: each for each in (dcmread(DicomBytesIO(one)) for one in written)}
        with site.orthanc() as orthanc:
            answers = [orthanc.post("/instances", content=door.prove(each)).json() for each in written]
        assert {each["Status"] for each in answers} == {"Success"}
        with site.client() as client:
            eventually(lambda: expected.keys() <= places(client, study).keys())
            for uid, place in places(client, study).items():
                if uid in expected:
                    content = client.get(place, headers={"Accept": ANY}).content
                    assert dcmread(DicomBytesIO(content)) == expected[uid]

    def test_pixels_come_back_as_they_went_in(self, sent) -> None:
        site, answer, exam = sent
        (study,) = answer["studies"]
        images = [each for each in read_back(site, study["study_instance_uid"]) if each.Modality == "MG"]
        expected = {dcmread(DicomBytesIO(each)).PixelData for each in exam}
        assert {each.PixelData for each in images} == expected

    def test_what_a_new_reading_does_not_give_is_removed(self, sent, tmp_path: Path) -> None:
        site, answer, exam = sent
        (study,) = answer["studies"]
        images = [each for each in read_back(site, study["study_instance_uid"]) if each.Modality == "MG"]
        findings = from_json(json.dumps(study["reading"]["findings"]))
        lesions = lesion_findings(sorted(images, key=lambda each: each.SeriesNumber)).lesions
        keys = keys_of(site.settings)
        (instance,) = write_results(replace(findings, lesions=lesions), images, ["kos"], Pseudonyms(keys).uid)
        selection = dcmread(DicomBytesIO(instance)).SOPInstanceUID
        door = Deidentifier(keys, Profile.load("breast-screening"))
        with site.orthanc() as orthanc, site.client() as client:
            assert orthanc.post("/instances", content=door.prove(instance)).is_success
            eventually(lambda: selection in places(client, study["study_instance_uid"]))
            more = edit(exam[0], lambda dataset: setattr(dataset, "SOPInstanceUID", generate_uid()))
            site.send(write(tmp_path, [more]))
            eventually(lambda: selection not in places(client, study["study_instance_uid"]))


@pytest.fixture(scope="module")
def phantoms(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path_factory: pytest.TempPathFactory
):
    """An exam of four phantom views, sent and read; what `senogate send` said, and the exam."""
    exam = phantom_exam()
    return site.send(write(tmp_path_factory.mktemp("phantoms"), exam)), exam


def test_send_names_the_pseudonymous_study(site: LiveSite, phantoms) -> None:
    answer, exam = phantoms
    original = dcmread(DicomBytesIO(exam[0])).StudyInstanceUID
    assert (answer["sent"], answer["refused"]) == (4, [])
    assert [each["study_instance_uid"] for each in answer["studies"]] == [site.pseudonyms().uid(original)]


def test_the_report_is_marked_research_use_only_and_phantom_trained(site: LiveSite, phantoms) -> None:
    study = phantoms[0]["studies"][0]
    (report,) = [each for each in read_back(site, study["study_instance_uid"]) if is_density(each)]
    assert report.SOPClassUID == COMPREHENSIVE_3D_SR
    assert "RESEARCH USE ONLY" in report.SeriesDescription
    assert "phantom" in study["reading"]["model"].lower()


def test_the_report_lies_in_the_study_that_was_read(site: LiveSite, phantoms) -> None:
    everything = read_back(site, phantoms[0]["studies"][0]["study_instance_uid"])
    assert len([each for each in everything if each.Modality == "MG" or is_density(each)]) == 5
    assert len({(each.StudyInstanceUID, each.PatientID) for each in everything}) == 1


def test_the_same_exam_again_changes_nothing(site: LiveSite, phantoms, tmp_path: Path) -> None:
    answer, exam = phantoms
    again = site.send(write(tmp_path, exam))
    assert again == answer
    everything = read_back(site, answer["studies"][0]["study_instance_uid"])
    assert len([each for each in everything if each.Modality == "MG" or is_density(each)]) == 5


def test_a_report_does_not_ask_for_a_reading_of_its_own(site: LiveSite, phantoms) -> None:
    study = phantoms[0]["studies"][0]["study_instance_uid"]
    with site.database() as database:
        (readings,) = database.execute(
            "select count(*) from reading where task = 'density' and study_instance_uid = %s", [study]
        ).fetchone()
        (jobs,) = database.execute(
            "select count(*) from procrastinate_jobs where args->>'study_instance_uid' = %s", [study]
        ).fetchone()
    assert (readings, jobs) == (1, 0)


def test_a_reading_is_in_the_audit_trail_with_its_model(site: LiveSite, phantoms) -> None:
    study = phantoms[0]["studies"][0]
    with site.database() as database:
        recorded = audit_log.entries(database, event=Event.INFERENCE_DONE)
        of_study = [each for each in recorded if each.study == study["study_instance_uid"]]
        (entry,) = [each for each in of_study if each.detail["task"] == "density"]
    assert (entry.subject, entry.detail["model"]) == ("site:worker", study["reading"]["model"])
    assert entry.detail["result_sop_instance_uid"].startswith("2.25.")


def test_two_of_four_views_are_not_applicable_and_it_says_why(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    answer = site.send(write(tmp_path, phantom_exam()[:2]))
    reading = answer["studies"][0]["reading"]
    assert reading["state"] == "not-applicable"
    assert "MLO" in reading["reason"]


def test_views_of_the_wrong_laterality_are_not_applicable(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    def turn_left(dataset: Dataset) -> None:
        dataset.ImageLaterality = "L"

    answer = site.send(write(tmp_path, [edit(each, turn_left) for each in phantom_exam()]))
    reading = answer["studies"][0]["reading"]
    assert reading["state"] == "not-applicable"
    assert reading["reason"]


def test_another_image_makes_a_new_report_in_the_place_of_the_old_one(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    exam = phantom_exam()
    first = site.send(write(tmp_path / "first", exam))
    more = edit(exam[0], lambda dataset: setattr(dataset, "SOPInstanceUID", generate_uid()))
    second = site.send(write(tmp_path / "second", [more]))
    assert not second["refused"]
    study = second["studies"][0]["study_instance_uid"]
    before, after = (answer["studies"][0]["reading"] for answer in (first, second))
    assert before["result_sop_instance_uid"] == after["result_sop_instance_uid"]
    assert before["findings"] != after["findings"]
    assert len([each for each in read_back(site, study) if is_density(each)]) == 1


def test_a_late_view_makes_the_study_read_again(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    exam = phantom_exam()
    first = site.send(write(tmp_path / "first", exam[:3]))
    assert first["studies"][0]["reading"]["state"] == "not-applicable"
    site.send(write(tmp_path / "second", exam[3:]))
    study = first["studies"][0]["study_instance_uid"]
    assert (
        json.loads(site.run("send", str(tmp_path), "--wait", "--json").stdout)["studies"][0]["reading"][
            "state"
        ]
        == "done"
    ), study


def test_a_workitem_asks_for_a_reading_and_is_completed_with_its_report(site: LiveSite, phantoms) -> None:
    """UPS-RS (PS3.18 chapter 11): what a program may do instead of waiting for a study to settle."""
    study = phantoms[0]["studies"][0]["study_instance_uid"]
    with site.client() as client:
        made = client.post("/workitems", json=_reading_workitem(study), headers=DICOM_JSON)
        assert made.status_code == 201
        address = made.headers["location"]
        eventually(lambda: client.get(address).json()[0]["00741000"]["Value"] == ["COMPLETED"])
        (found,) = client.get(address).json()
        (output,) = found["00741216"]["Value"][0]["00404033"]["Value"]
        (report,) = output["00081199"]["Value"]
        series, instance = output["0020000E"]["Value"][0], report["00081155"]["Value"][0]
        answer = client.get(f"/studies/{study}/series/{series}/instances/{instance}/metadata")
    assert answer.json()[0]["00080016"]["Value"] == report["00081150"]["Value"] == [COMPREHENSIVE_3D_SR]


def _reading_workitem(study: str) -> dict[str, Any]:
    code = {
        "00080100": {"vr": "SH", "Value": ["density"]},
        "00080102": {"vr": "SH", "Value": ["99SENOGATE"]},
        "00080104": {"vr": "LO", "Value": ["Breast density"]},
    }
    return {
        "00741000": {"vr": "CS", "Value": ["SCHEDULED"]},
        "00741200": {"vr": "CS", "Value": ["MEDIUM"]},
        "00741204": {"vr": "LO", "Value": ["Density"]},
        "00404005": {"vr": "DT", "Value": ["20260101"]},
        "00404041": {"vr": "CS", "Value": ["READY"]},
        "00404018": {"vr": "SQ", "Value": [code]},
        "00404021": {"vr": "SQ", "Value": [{"0020000D": {"vr": "UI", "Value": [study]}}]},
    }
