"""What Orthanc removes leaves the index by itself, and is gone for who asks (PS3.18 table 8.5-1)."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.integration.conftest import edit, is_answering
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually

Rows = list[tuple[str, str]]


@pytest.fixture
def study(site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path) -> str:
    """The pseudonymous UID of a study of four views and a report."""
    return site.send(write(tmp_path, phantom_exam()))["studies"][0]["study_instance_uid"]


def rows(site: LiveSite, study: str) -> Rows:
    """Orthanc's identifiers and the UIDs of a study's instances in the index."""
    statement = (
        "select orthanc_id, sop_instance_uid from instance where study_instance_uid = %s order by is_image"
    )
    with site.database() as database:
        return database.execute(statement, [study]).fetchall()


def remove(site: LiveSite, identifiers: list[str]) -> None:
    with site.orthanc() as orthanc:
        for identifier in identifiers:
            assert orthanc.delete(f"/instances/{identifier}").status_code == 200


def test_an_instance_that_orthanc_removed_is_gone_and_no_longer_counted(site: LiveSite, study: str) -> None:
    identifier, uid = rows(site, study)[0]  # the report
    with site.client() as client:
        (found,) = client.get(f"/studies/{study}/instances", params={"SOPInstanceUID": uid}).json()
        remove(site, [identifier])
        eventually(lambda: client.get(found["00081190"]["Value"][0]).status_code == 410)
        (left,) = client.get("/studies", params={"StudyInstanceUID": study}).json()
    assert (left["00201208"]["Value"], left["00080061"]["Value"]) == ([4], ["MG"])


def test_a_study_of_which_nothing_is_left_is_gone(site: LiveSite, study: str) -> None:
    remove(site, [identifier for identifier, _ in rows(site, study)])
    with site.client() as client:
        eventually(lambda: client.get(f"/studies/{study}").status_code == 410)
        assert client.get("/studies", params={"StudyInstanceUID": study}).json() == []


def test_an_image_less_is_another_study_to_read(site: LiveSite, study: str) -> None:
    fingerprint = "select fingerprint from reading where state <> 'due' and study_instance_uid = %s"
    with site.database() as database:
        before = database.execute(fingerprint, [study]).fetchone()
        remove(site, [rows(site, study)[-1][0]])
        eventually(lambda: database.execute(fingerprint, [study]).fetchone() not in (before, None))


def test_what_went_without_a_note_is_found_out_when_orthanc_starts_again(site: LiveSite, study: str) -> None:
    """Notes that the worker never sees are as good as never made."""
    worker = site.child("worker")
    os.kill(worker, signal.SIGSTOP)
    try:
        remove(site, [identifier for identifier, _ in rows(site, study)])
        with site.database() as database:
            database.execute("delete from removal")
    finally:
        os.kill(worker, signal.SIGCONT)
    assert len(rows(site, study)) == 5
    os.kill(site.child("orthanc"), signal.SIGKILL)
    eventually(lambda: rows(site, study) == [])
    with httpx.Client(base_url=site.base_url, trust_env=False) as anybody:
        eventually(lambda: is_answering(anybody, "/health/ready"))


def test_a_patient_id_that_was_corrected_is_that_of_the_study(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    """The same UIDs under another Patient ID: one study, of who was named last."""
    exam = phantom_exam()
    study = site.send(write(tmp_path, exam))["studies"][0]["study_instance_uid"]
    with site.client() as client:
        (before,) = client.get("/studies", params={"StudyInstanceUID": study}).json()
        corrected = [edit(each, lambda dataset: setattr(dataset, "PatientID", "CORRECTED")) for each in exam]
        site.send(write(tmp_path, corrected))
        (after,) = client.get("/studies", params={"StudyInstanceUID": study}).json()
        (told,) = {each["00100020"]["Value"][0] for each in client.get(f"/studies/{study}/metadata").json()
                   if each["00080060"]["Value"] == ["MG"]}  # fmt: skip
        assert after["00100020"]["Value"] == [told] != before["00100020"]["Value"]
        former = {"PatientID": before["00100020"]["Value"][0], "StudyInstanceUID": study}
        assert client.get("/studies", params=former).json() == []
