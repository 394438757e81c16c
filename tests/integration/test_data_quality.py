"""Exams are looked at by the site's keeper, and stewards see what is wrong: by pages, the API and commands."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pydicom
import pytest

from archive import instances
from archive.pool import connect
from archive.quality.exams import look
from tests.integration.conftest import edit
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually


def send(site: LiveSite, folder: Path, exam: list[bytes]) -> str:
    folder.mkdir()
    return str(site.send(write(folder, exam))["studies"][0]["study_instance_uid"])


def report(site: LiveSite, study: str) -> dict[str, dict[str, object]]:
    """What was found in an exam, once it has been looked at and nothing came since."""
    with httpx.Client(base_url=site.base_url, trust_env=False, timeout=60) as client:
        headers = {"Authorization": f"Bearer {site.token()}"}

        def looked_at() -> dict[str, object] | None:
            answer = client.get(f"/api/exams/{study}/quality", headers=headers).json()
            return answer if answer["checked_at"] and not is_due(site, study) else None

        return {one["check"]: one for one in eventually(looked_at)["findings"]}


def is_due(site: LiveSite, study: str) -> bool:
    with site.database() as database:
        return bool(
            database.execute("select from quality_due where study_instance_uid = %s", [study]).rowcount
        )


def unseen(site: LiveSite, study: str) -> Path:
    """The file of an image of an exam, none of which counts as seen any more."""
    with site.database() as database:
        (place,) = database.execute(
            "select place from instance where study_instance_uid = %s and is_image limit 1", [study]
        ).fetchone()
        database.execute("delete from image_quality where study_instance_uid = %s", [study])
    return instances.path(site.settings.storage, place)


@pytest.fixture
def study(site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path) -> str:
    return send(site, tmp_path / "exam", phantom_exam())


def test_the_keeper_looks_at_what_comes(site: LiveSite, study: str) -> None:
    assert "undecodable" not in report(site, study)


def test_a_picture_of_another_patient_is_found_in_both(
    site: LiveSite, study: str, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    """The same pixels under other UIDs and another name."""

    def another(dataset: pydicom.Dataset) -> None:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(dataset, keyword, f"{getattr(dataset, keyword)}.7")
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.PatientID = f"{dataset.PatientID}7"

    exam = phantom_exam()
    first = send(site, tmp_path / "first", exam)
    second = send(site, tmp_path / "second", [edit(one, another) for one in exam])
    assert report(site, second)["pixels-of-another-patient"]["instances"] == len(exam)
    assert report(site, first)["pixels-of-another-patient"]["dimension"] == "uniqueness"


def test_pixels_that_do_not_decode_are_found(site: LiveSite, study: str) -> None:
    """A file that is damaged where it lies; what was seen before is not seen again, so it is looked at anew."""
    report(site, study)
    file = unseen(site, study)
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:-1000])
        told = json.loads(site.run("quality", "exam", study, "--json").stdout)
        assert [
            (one["check"], one["instances"]) for one in told["findings"] if one["dimension"] == "integrity"
        ] == [("undecodable", 1)]
    finally:
        file.write_bytes(whole)


def test_a_file_that_was_gone_is_looked_for_again(site: LiveSite, study: str) -> None:
    """As where the disk with the files was not there for a while."""
    report(site, study)
    file = unseen(site, study)
    away = file.rename(file.with_suffix(".away"))
    try:
        gone = site.run("quality", "exam", study, "--json").stdout
    finally:
        away.rename(file)
    assert "file-missing" in gone
    assert "file-missing" not in site.run("quality", "exam", study, "--json").stdout


def test_who_opted_out_is_not_looked_at(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    study = send(site, tmp_path / "exam", phantom_exam())
    report(site, study)
    with site.database() as database:
        database.execute("update study set withheld = true where study_instance_uid = %s", [study])
        database.execute("insert into quality_due values (%s)", [study])
    with connect(site.settings.database_url, autocommit=True) as connection:
        while look(connection, site.settings.storage):
            pass
    assert is_due(site, study)
    with site.database() as database:
        database.execute("update study set withheld = false where study_instance_uid = %s", [study])
    eventually(lambda: not is_due(site, study))


def test_a_dataset_has_a_report(site: LiveSite, study: str) -> None:
    told = json.loads(site.run("quality", "report", "everything", "--now", "--json").stdout)
    assert told["checked"] == told["studies"] > 0
    assert set(told["dimensions"]) == {"completeness", "validity", "consistency", "uniqueness", "integrity"}
    assert told["anonymity"]["patients"] > 0


def test_no_value_is_in_a_report(site: LiveSite, study: str) -> None:
    """Attributes are named, and what they hold is not told."""
    with site.database() as database:
        patients = database.execute("select patient_id from study").fetchall()
    text = site.run("quality", "report", "everything", "--json").stdout
    assert not [patient for (patient,) in patients if patient in text]


def test_the_keeper_gives_signs_of_life(site: LiveSite) -> None:
    """Asked where each who looks after a site looks: by its health, its state and what runs it."""

    def alive() -> bool:
        return bool(
            httpx.get(f"{site.base_url}/health/ready", trust_env=False).json()["parts"]["keeper"]["ok"]
        )

    eventually(alive)
    assert site.run("alive", "keeper").returncode == 0
    told = {one["name"]: one for one in json.loads(site.run("status", "--json").stdout)["state"]}
    assert told["keeper"]["level"] == "fine"


def test_the_keeper_makes_reports(site: LiveSite, study: str) -> None:
    """What a page shows is what it made last."""
    with httpx.Client(base_url=site.base_url, trust_env=False, timeout=60) as client:
        headers = {"Authorization": f"Bearer {site.token()}"}

        def made() -> dict[str, object] | None:
            answer = client.get("/api/datasets/everything/quality", headers=headers).json()
            return answer if answer["made_at"] and answer["studies"] else None

        assert eventually(made)["dataset"] == "everything"
