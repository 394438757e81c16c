"""Erasure at a real site: nothing of an exam is left but what says that it was erased."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import generate_uid

from archive.instances import path as place_of
from tests.drawn_text import document
from tests.integration.conftest import edit
from tests.integration.test_whole_way import DICOM_JSON, _reading_workitem, write
from tests.live import LiveSite, eventually


@pytest.fixture
def sent(site: LiveSite, exam: list[bytes], tmp_path: Path) -> str:
    """A study that has been read, by its pseudonym."""
    return site.send(write(tmp_path, exam))["studies"][0]["study_instance_uid"]


def original(exam: list[bytes]) -> str:
    return str(dcmread(DicomBytesIO(exam[0]), stop_before_pixels=True).StudyInstanceUID)


def erase(site: LiveSite, *arguments: str) -> Any:
    return json.loads(site.run("erase", *arguments, "--reason", "a test").stdout)["statement"]


def rows_with(site: LiveSite, text: str) -> set[str]:
    """The tables of which a row has the text in it."""
    with site.database() as database:
        names = [
            name
            for (name,) in database.execute("select tablename from pg_tables where schemaname = 'public'")
        ]
        query = 'select exists (select from "{}" t where position(%s in t::text) > 0)'
        return {name for name in names if database.execute(query.format(name), [text]).fetchone()[0]}


def _is_read(site: LiveSite, study: str) -> bool:
    """Whether the reading that a workitem asked for has ended, and its report is in the index."""
    with site.database() as database:
        rows = database.execute("select state from reading where study_instance_uid = %s", [study]).fetchall()
        statement = "select count(*) from instance where study_instance_uid = %s"
        (instances,) = database.execute(statement, [study]).fetchone() or (0,)
    return {state for (state,) in rows} == {"done"} and instances == 5


class TestAStudy:
    def test_is_gone_from_everywhere_but_the_records_of_it(
        self, site: LiveSite, sent: str, exam: list[bytes]
    ) -> None:
        with site.database() as database:
            rows = database.execute(
                "select place from instance where study_instance_uid = %s", [sent]
            ).fetchall()
        files = [place_of(site.settings.storage, place) for (place,) in rows]
        with site.client() as client:
            assert (
                client.post("/workitems", json=_reading_workitem(sent), headers=DICOM_JSON).status_code == 201
            )
        assert (len(files), all(file.exists() for file in files)) == (5, True)
        eventually(lambda: _is_read(site, sent))
        statement = erase(site, "study", original(exam))
        assert not any(file.exists() for file in files)
        assert rows_with(site, sent) <= {"audit", "erasure"}
        removed = statement["removed"]
        assert [
            removed[name] for name in ("stored_instances", "instances", "studies", "readings", "workitems")
        ] == [*(5, 5, 1, 1, 1)]
        assert (
            removed["identities"] >= 6
        )  # of the study, its series and its images; a report stands for nobody
        with site.client() as client:
            assert client.get(f"/studies/{sent}").status_code == 404

    def test_sent_again_is_new(self, site: LiveSite, sent: str, exam: list[bytes], tmp_path: Path) -> None:
        erase(site, "study", sent)
        (study,) = site.send(write(tmp_path / "again", exam))["studies"]
        assert (study["study_instance_uid"], study["reading"]["state"]) == (sent, "done")
        with site.database() as database:
            kinds = database.execute(
                "select kind, count(*) from crosswalk where study_instance_uid = %s group by kind order by kind",
                [sent],
            ).fetchall()
        assert [kind for kind, _ in kinds] == ["instance", "series", "study"]

    def test_that_is_held_in_the_spool_is_overwritten(self, site: LiveSite, tmp_path: Path) -> None:
        held = document()
        (entry,) = site.send(write(tmp_path, [held]))["held"]
        with site.database() as database:
            ((identifier, study),) = database.execute(
                "select id, study_instance_uid from spool where sop_instance_uid = %s",
                [entry["sop_instance_uid"]],
            ).fetchall()
        assert (site.settings.spool / identifier).exists()
        assert erase(site, "study", study)["removed"]["spooled"] == 1
        assert not (site.settings.spool / identifier).exists()
        assert rows_with(site, study) <= {"audit", "erasure"}

    def test_that_is_not_here_has_a_receipt_of_nothing(self, site: LiveSite) -> None:
        assert set(erase(site, "study", generate_uid())["removed"].values()) <= {0}


class TestAPatient:
    def test_is_gone_with_all_studies(
        self,
        site: LiveSite,
        sent: str,
        phantom_exam: Callable[[], list[bytes]],
        patient_id: str,
        tmp_path: Path,
    ) -> None:
        second = [
            edit(each, lambda dataset: setattr(dataset, "PatientID", patient_id)) for each in phantom_exam()
        ]
        (other,) = site.send(write(tmp_path / "second", second))["studies"]
        with site.database() as connection:
            connection.execute(
                "insert into training_use (patient_id, model, version, run) "
                "select patient_id, 'federated', '1.0', 'r' from study where study_instance_uid = %s",
                [sent],
            )
        statement = erase(site, "patient", patient_id)
        assert [one["model"] for one in statement["models_that_learnt_from_the_patient"]] == ["federated"]
        assert statement["studies"] == sorted([sent, other["study_instance_uid"]])
        assert statement["removed"]["stored_instances"] == 10
        assert rows_with(site, site.pseudonyms().patient_id(patient_id)) <= {"audit", "erasure"}
        assert patient_id not in json.dumps(statement)

    def test_leaves_what_a_study_holds_of_another(
        self, site: LiveSite, exam: list[bytes], patient_id: str, tmp_path: Path
    ) -> None:
        other = edit(exam[1], lambda dataset: setattr(dataset, "PatientID", patient_id + "B"))
        (study,) = site.send(write(tmp_path, [exam[0], other]))["studies"]
        removed = erase(site, "patient", patient_id)["removed"]
        assert (removed["stored_instances"], removed["studies"]) == (1, 1)
        with site.client() as client:
            (kept,) = client.get(f"/studies/{study['study_instance_uid']}/metadata").json()
        issuer = dcmread(DicomBytesIO(other), stop_before_pixels=True).IssuerOfPatientID
        assert kept["00100020"]["Value"] == [site.pseudonyms().patient_id(patient_id + "B", issuer)]


class TestTheReceipt:
    def test_is_signed(self, site: LiveSite, tmp_path: Path) -> None:
        receipt = tmp_path / "receipt.json"
        receipt.write_text(site.run("erase", "study", generate_uid()).stdout)
        assert site.run("erase", "verify", str(receipt)).returncode == 0
        receipt.write_text(receipt.read_text().replace('"kind": "study"', '"kind": "patient"'))
        assert site.run("erase", "verify", str(receipt), check=False).returncode == 1

    def test_is_kept_and_the_trail_says_that_it_was_asked_for_and_done(self, site: LiveSite) -> None:
        statement = erase(site, "study", generate_uid())
        kept = json.loads(site.run("erase", "receipt", statement["erasure"]).stdout)["statement"]
        with site.database() as database:
            rows = database.execute(
                "select content from audit where content::jsonb ->> 'study' = %s order by number",
                statement["pseudonyms"],
            ).fetchall()
        details = [json.loads(content)["detail"]["state"] for (content,) in rows]
        assert (kept, details) == (statement, ["asked", "completed"])


def test_one_that_was_cut_short_is_gone_on_with_by_the_worker(site: LiveSite, sent: str) -> None:
    """As if who asked for it had been killed a while ago."""
    with site.database() as database:
        database.execute(
            """insert into erasure (id, kind, pseudonyms, asked_by, reason, asked_at)
            values (%s, 'study', %s, 'test', '', now() - interval '1 h')""",
            [f"left-{sent}", [sent]],
        )
    eventually(lambda: complete(site, f"left-{sent}"))
    assert rows_with(site, sent) <= {"audit", "erasure"}
    with site.orthanc() as orthanc:
        assert sent not in orthanc.get("/studies?expand").text


def complete(site: LiveSite, identifier: str) -> bool:
    with site.database() as database:
        statement = "select receipt is not null from erasure where id = %s"
        return database.execute(statement, [identifier]).fetchall() == [(True,)]


def test_one_that_was_cut_short_is_withheld_and_gone_on_with(
    site: LiveSite, sent: str, exam: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it had been killed after the first instance."""
    with site.database() as database:
        database.execute(
            "insert into erasure (id, kind, pseudonyms, asked_by, reason) values (%s, 'study', %s, 'test', '')",
            [f"cut-{sent}", [sent]],
        )
        ((first,), *_) = database.execute(
            "select orthanc_id from instance where study_instance_uid = %s", [sent]
        ).fetchall()
        database.execute("update erasure set instances = %s where id = %s", [[first], f"cut-{sent}"])
    with site.orthanc() as orthanc:
        orthanc.delete(f"/instances/{first}")
    with site.client() as client:
        assert client.get(f"/studies/{sent}").status_code == 404
    statement = erase(site, "study", original(exam))
    assert (statement["erasure"], statement["removed"]["stored_instances"]) == (f"cut-{sent}", 5)
    eventually(lambda: rows_with(site, sent) <= {"audit", "erasure"})
