"""What patients say of the use of their data, at a real site: who sees her studies then, and what stays on record."""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydicom import Dataset

from tests.integration.conftest import edit
from tests.integration.test_optout import ABSENT, answers
from tests.integration.test_whole_way import write
from tests.live import LiveSite

TEXT = ["--text-sha256", "0" * 64, "--evidence", "folder 7"]


@pytest.fixture
def study(site: LiveSite, phantom_exam: Callable[[], list[bytes]], patient_id: str, tmp_path: Path) -> str:
    """The study of a patient whom no other test has, of one view."""
    exam = [edit(phantom_exam()[0], lambda dataset: setattr(dataset, "PatientID", patient_id))]
    return site.send(write(tmp_path, exam))["studies"][0]["study_instance_uid"]


@pytest.fixture
def reader(site: LiveSite, study: str) -> tuple[str, str]:
    """A dataset of that study, and a token of a program that may read it."""
    name = f"c{uuid.uuid4().hex[:8]}"
    site.run("client", "add", name)
    site.run("dataset", "create", name, f"StudyInstanceUID={study}")
    site.run(
        *("permit", "grant", f"client:{name}", "--dataset", name),
        *("--purpose", "research", "--legal-basis", "GDPR 9(2)(a)"),
    )
    return name, site.run("token", "--client", name).stdout.strip()


def say(site: LiveSite, decision: str, patient_id: str, *arguments: str) -> dict[str, Any]:
    done = site.run("consent", decision, patient_id, *TEXT, *arguments, "--json")
    assert patient_id not in done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def sees(site: LiveSite, token: str, study: str) -> bool:
    with site.client() as client:
        client.headers["Authorization"] = f"Bearer {token}"
        listed = client.get("/studies").json()
        status = client.get(f"/studies/{study}/metadata").status_code
    assert (status == 200) == bool(listed)
    return status == 200


class TestAWithdrawal:
    def test_hides_as_an_opt_out_does_until_she_consents_again(
        self, site: LiveSite, study: str, patient_id: str
    ) -> None:
        assert say(site, "withdraw", patient_id)["withheld"] == 1
        assert answers(site, study) == answers(site, ABSENT)
        assert say(site, "give", patient_id)["withheld"] == 0
        assert answers(site, study)[0][0] == 200

    def test_tells_which_permits_and_models_touched_her(
        self, site: LiveSite, study: str, patient_id: str, reader: tuple[str, str]
    ) -> None:
        assert sees(site, reader[1], study)
        with site.database() as database:
            database.execute(
                "insert into training_use (patient_id, model, version, run) values (%s, 'm', '1', 'R1')",
                [site.pseudonyms().patient_id(patient_id)],
            )
        found = say(site, "withdraw", patient_id)
        permits = json.loads(site.run("permit", "list", "--subject", f"client:{reader[0]}", "--json").stdout)
        assert found["permits"] == [each["permit_id"] for each in permits]
        assert [each["run"] for each in found["trained"]] == ["R1"]

    def test_an_opt_out_of_her_own_outlasts_a_consent(
        self, site: LiveSite, study: str, patient_id: str
    ) -> None:
        say(site, "withdraw", patient_id)
        site.run("optout", "add", patient_id)
        assert say(site, "give", patient_id)["withheld"] == 1

    def test_no_withdrawn_opt_out_gives_back_what_her_consent_withholds(
        self, site: LiveSite, study: str, patient_id: str
    ) -> None:
        site.run("optout", "add", patient_id)
        say(site, "withdraw", patient_id)
        assert site.run("optout", "withdraw", patient_id, check=False).returncode == 1
        assert answers(site, study) == answers(site, ABSENT)

    def test_an_older_consent_that_is_recorded_later_gives_nothing_back(
        self, site: LiveSite, study: str, patient_id: str
    ) -> None:
        """Regulation (EU) 2016/679 article 7(3): what she said last counts, in whatever order papers arrive."""
        say(site, "withdraw", patient_id)
        old = site.run("consent", "give", patient_id, *TEXT, "--at", "2020-01-01", check=False)
        assert old.returncode == 1
        assert answers(site, study) == answers(site, ABSENT)
        assert say(site, "give", patient_id, "--at", str(datetime.now(UTC).date()))["withheld"] == 0


class TestAPatientIDOfSeveralIssuers:
    @pytest.fixture
    def studies(
        self, site: LiveSite, phantom_exam: Callable[[], list[bytes]], patient_id: str, tmp_path: Path
    ) -> list[str]:
        """Of a patient of one issuer, and of another of another issuer with the same Patient ID."""
        found = []
        for issuer in ("NORTH", "SOUTH"):

            def name(dataset: Dataset, issuer: str = issuer) -> None:
                dataset.PatientID, dataset.IssuerOfPatientID = patient_id, issuer

            exam = [edit(phantom_exam()[0], name)]
            sent = site.send(write(tmp_path / issuer, exam))["studies"]
            found.append(sent[0]["study_instance_uid"])
        return found

    def seen(self, site: LiveSite, studies: list[str]) -> list[bool]:
        return [answers(site, study) != answers(site, ABSENT) for study in studies]

    def test_a_withdrawal_that_names_none_is_of_each_until_she_consents_under_her_issuer(
        self, site: LiveSite, studies: list[str], patient_id: str
    ) -> None:
        say(site, "withdraw", patient_id)
        assert self.seen(site, studies) == [False, False]
        assert say(site, "give", patient_id, "--issuer", "NORTH")["withheld"] == 0
        assert self.seen(site, studies) == [True, False]
        say(site, "withdraw", patient_id)
        assert self.seen(site, studies) == [False, False]

    def test_an_older_consent_under_an_issuer_gives_nothing_back(
        self, site: LiveSite, studies: list[str], patient_id: str
    ) -> None:
        say(site, "withdraw", patient_id)
        named = ("--issuer", "NORTH", "--at", "2020-01-01")
        assert site.run("consent", "give", patient_id, *TEXT, *named, check=False).returncode == 1
        assert self.seen(site, studies) == [False, False]

    def test_a_consent_to_something_else_gives_nothing_back(
        self, site: LiveSite, studies: list[str], patient_id: str
    ) -> None:
        say(site, "withdraw", patient_id, "--scope", "training")
        say(site, "give", patient_id, "--issuer", "NORTH", "--scope", "donation")
        assert self.seen(site, studies) == [False, False]

    def test_an_opt_out_that_names_none_outlasts_a_consent_under_an_issuer(
        self, site: LiveSite, studies: list[str], patient_id: str
    ) -> None:
        say(site, "withdraw", patient_id)
        site.run("optout", "add", patient_id)
        assert say(site, "give", patient_id, "--issuer", "NORTH")["withheld"] == 1


class TestADatasetThatWantsConsent:
    def test_shows_others_the_studies_of_who_gave_it(
        self, site: LiveSite, study: str, patient_id: str, reader: tuple[str, str]
    ) -> None:
        name, token = reader
        site.run("consent", "demand", name, "--scope", "training")
        assert not sees(site, token, study)
        assert answers(site, study)[0][0] == 200  # of whom sees every study anyway
        say(site, "give", patient_id, "--scope", "donation")
        assert not sees(site, token, study)
        say(site, "give", patient_id, "--scope", "training")
        assert sees(site, token, study)
        say(site, "withdraw", patient_id, "--scope", "training")
        assert not sees(site, token, study)

    def test_shows_all_again_when_it_wants_none(
        self, site: LiveSite, study: str, reader: tuple[str, str]
    ) -> None:
        site.run("consent", "demand", reader[0])
        assert not sees(site, reader[1], study)
        site.run("consent", "demand", reader[0], "--none")
        assert sees(site, reader[1], study)

    def test_what_comes_later_waits_for_her_consent(
        self,
        site: LiveSite,
        phantom_exam: Callable[[], list[bytes]],
        patient_id: str,
        tmp_path: Path,
        study: str,
    ) -> None:
        """And a frozen version has what was consented to when it was frozen."""
        name = f"d{uuid.uuid4().hex[:8]}"
        with site.client() as client:
            (found,) = client.get(f"/studies?StudyInstanceUID={study}").json()
        site.run("dataset", "create", name, f"PatientID={found['00100020']['Value'][0]}")
        site.run("consent", "demand", name)
        exam = [edit(phantom_exam()[0], lambda dataset: setattr(dataset, "PatientID", patient_id))]
        site.send(write(tmp_path / "later", exam))
        assert json.loads(site.run("dataset", "show", name, "--json").stdout)["studies_now"] == 0
        assert json.loads(site.run("dataset", "freeze", name, "--json").stdout)["number_of_studies"] == 0
        say(site, "give", patient_id)
        assert json.loads(site.run("dataset", "show", name, "--json").stdout)["studies_now"] == 2


class TestTheHistory:
    def test_is_only_added_to(self, site: LiveSite, study: str, patient_id: str) -> None:
        first, second = say(site, "give", patient_id), say(site, "withdraw", patient_id)
        done = site.run("consent", "history", patient_id, "--json")
        entries = json.loads(done.stdout)["entry"]
        told = [(each["resource"]["id"], each["resource"]["status"]) for each in entries]
        assert told == [(second["consent"]["id"], "inactive"), (first["consent"]["id"], "inactive")]
        with site.database() as database, pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute("delete from consent")

    def test_stewards_record_over_the_api_and_nobody_else(self, site: LiveSite, patient_id: str) -> None:
        said = {"patient_id": patient_id, "decision": "given", "scope": "donation"} | {
            "text_sha256": "0" * 64,
            "evidence": "folder 7",
        }
        with site.client() as client:
            answer = client.post(f"{site.base_url}/api/consents", json=said)
            assert answer.status_code == 201
            assert patient_id not in answer.text
            address = f"{site.base_url}/api/consents/{answer.json()['consent']['id']}"
            assert client.get(address).json()["status"] == "active"
        with site.client("dicomweb.read") as client:
            assert client.post(f"{site.base_url}/api/consents", json=said).status_code == 403
            assert client.get(address).status_code == 403
