"""A patient who opts out at a real site: her studies are as if they had never come, until she withdraws."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import generate_uid

from tests.integration.conftest import edit, send_stow
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually

ABSENT = "2.25.1"


@pytest.fixture
def sent(site: LiveSite, exam: list[bytes], tmp_path: Path) -> str:
    """Her study, by its pseudonym, once it has been read."""
    return site.send(write(tmp_path, exam))["studies"][0]["study_instance_uid"]


def optout(site: LiveSite, *arguments: str) -> Any:
    return json.loads(site.run("optout", *arguments, "--json").stdout)


def answers(site: LiveSite, study: str) -> list[Any]:
    """What the site says about a study, in every way of asking."""
    paths = [f"/studies/{study}", f"/studies/{study}/metadata", f"/studies/{study}/rendered"]
    searches = [f"/studies?StudyInstanceUID={study}", f"/instances?StudyInstanceUID={study}"]
    with site.client() as client:
        found = [client.get(path) for path in [*paths, *searches, f"/studies/{study}/series"]]
    return [(each.status_code, each.content.replace(study.encode(), b"")) for each in found]


class TestAnOptOut:
    def test_hides_and_withdrawal_restores_exactly(self, site: LiveSite, sent: str, patient_id: str) -> None:
        with site.client() as client:
            before = client.get(f"/studies/{sent}/metadata"), client.get(f"/studies?StudyInstanceUID={sent}")
            optout(site, "add", patient_id)
            assert answers(site, sent) == answers(site, ABSENT)
            site.run("optout", "withdraw", patient_id)
            after = client.get(f"/studies/{sent}/metadata"), client.get(f"/studies?StudyInstanceUID={sent}")
        assert [each.content for each in after] == [each.content for each in before]
        assert before[0].status_code == 200

    def test_withholds_what_comes_later(
        self, site: LiveSite, exam: list[bytes], patient_id: str, tmp_path: Path
    ) -> None:
        """It is stored, for the clinic's own archive, and not read by any model."""
        optout(site, "add", patient_id)
        answer = site.send(write(tmp_path, exam))
        (study,) = answer["studies"]
        assert (answer["sent"], answer["refused"], study["reading"]) == (4, [], None)
        assert answers(site, study["study_instance_uid"]) == answers(site, ABSENT)
        site.run("optout", "withdraw", patient_id)
        eventually(
            lambda: json.loads(_search(site, study["study_instance_uid"]))[0]["00080061"]["Value"][-1] == "SR"
        )

    def test_takes_no_annotation_into_a_withheld_study(
        self, site: LiveSite, sent: str, patient_id: str
    ) -> None:
        """As into a study that was never here."""
        with site.client() as client:
            (header,) = client.get(f"/studies/{sent}/metadata?limit=1").json()[:1]
        capture = _annotation(header)
        optout(site, "add", patient_id)
        stored = site.stored_instances()
        assert send_stow(site, capture) == "409"
        assert site.stored_instances() == stored

    def test_says_which_models_learnt_from_her(self, site: LiveSite, patient_id: str) -> None:
        with site.database() as database:
            database.execute(
                "insert into training_use (patient_id, model, version, run) values (%s, 'density', '1.0', 'r1')",
                [site.pseudonyms().patient_id(patient_id)],
            )
        (trained,) = optout(site, "add", patient_id)["trained"]
        assert (trained["model"], trained["version"], trained["run"]) == ("density", "1.0", "r1")

    def test_of_another_issuer_is_another_patients(self, site: LiveSite, sent: str, patient_id: str) -> None:
        (row,) = optout(site, "add", patient_id, "--issuer", "ELSEWHERE")["opt_outs"]
        assert row["studies"] == 0
        assert json.loads(_search(site, sent))

    def test_is_in_the_audit_trail_and_its_patient_nowhere(self, site: LiveSite, patient_id: str) -> None:
        said = [site.run("optout", name, patient_id).stdout for name in ("add", "status", "withdraw")]
        pseudonym = site.pseudonyms().patient_id(patient_id)
        with site.database() as database:
            rows = database.execute(
                "select content from audit where content::jsonb ->> 'patient' = %s order by number",
                [pseudonym],
            )
            events = [json.loads(content)["event"] for (content,) in rows]
        assert events == ["optout.added", "optout.withdrawn"]
        assert pseudonym in said[0]
        assert patient_id not in "".join(said) + site.output
        logs = site.home / "logs"
        assert not [path for path in logs.iterdir() if patient_id in path.read_text("utf-8", "replace")]

    def test_reads_the_patient_id_from_standard_input(self, site: LiveSite, patient_id: str) -> None:
        done = site.run("optout", "add", "--json", stdin=patient_id + "\n")
        (row,) = json.loads(done.stdout)["opt_outs"]
        assert row["patient_id"] == site.pseudonyms().patient_id(patient_id)

    def test_that_was_never_added_is_not_withdrawn(self, site: LiveSite, patient_id: str) -> None:
        done = site.run("optout", "withdraw", patient_id, check=False)
        assert (done.returncode, patient_id in done.stderr) == (1, False)


def test_a_study_of_two_patients_is_withheld_for_either(
    site: LiveSite, exam: list[bytes], patient_id: str, tmp_path: Path
) -> None:
    """A Patient ID is corrected while the exam is sent: it is one study still."""
    corrected = edit(exam[1], lambda dataset: setattr(dataset, "PatientID", patient_id + "B"))
    (study,) = site.send(write(tmp_path, [exam[0], corrected]))["studies"]
    for each in (patient_id, patient_id + "B"):
        optout(site, "add", each)
        assert answers(site, study["study_instance_uid"]) == answers(site, ABSENT)
        site.run("optout", "withdraw", each)


def _search(site: LiveSite, study: str) -> bytes:
    with site.client() as client:
        return client.get(f"/studies?StudyInstanceUID={study}").content


def _annotation(header: dict[str, Any]) -> bytes:
    """A key object that says that it belongs to the study."""
    from tests.unit.dicom_files import dataset, part10

    uids = {name: Dataset.from_json(header)[name].value for name in ("StudyInstanceUID", "PatientID")}
    made = dataset(
        **uids, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.59", Modality="KO",
        SOPInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid(),
    )  # fmt: skip
    assert dcmread(DicomBytesIO(part10(made))).PatientID == uids["PatientID"]
    return part10(made)
