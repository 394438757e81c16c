"""The way back to an identity: only with the private key, and never without a trace."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from archive import audit_log
from archive.audit import Event
from archive.errors import BadRequest, Forbidden, NotFound
from archive.reidentification import openings, reidentify
from deidentification.seal import generate_keypair, open_sealed
from tests.integration.test_whole_way import write
from tests.live import LiveSite


@pytest.fixture(scope="module")
def study(site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path_factory) -> tuple[str, str]:
    """A pseudonymous Study Instance UID, and the one that it stands for."""
    exam = phantom_exam()
    sent = site.send(write(tmp_path_factory.mktemp("exam"), exam))
    original = dcmread(DicomBytesIO(exam[0])).StudyInstanceUID
    return sent["studies"][0]["study_instance_uid"], str(original)


@pytest.fixture
def unseal(site: LiveSite):
    return partial(open_sealed, Path(site.settings.crosswalk_key).read_bytes())


def attempt(site: LiveSite, unseal, pseudonym: str, reason: str = "a test") -> object:
    with site.database() as connection:
        return reidentify(connection, unseal, pseudonym, opened_by="os:tester", reason=reason).original


class TestReidentify:
    def test_opens_and_notes_by_pseudonym_alone(self, site: LiveSite, study, unseal) -> None:
        identity = attempt(site, unseal, study[0], "for\n the  report")
        assert identity["study_instance_uid"] == study[1]
        with site.database() as connection:
            noted = openings(connection)[-1]
        assert (noted.pseudonym, noted.kind, noted.opened_by) == (study[0], "study", "os:tester")
        assert (noted.reason, noted.was_opened) == ("for the report", True)

    def test_is_in_the_audit_trail_too(self, site: LiveSite, study, unseal) -> None:
        attempt(site, unseal, study[0], "for the trail")
        with site.database() as connection:
            entry = next(audit_log.entries(connection, event=Event.CROSSWALK_OPENED, last=1))
        assert (entry.study, entry.subject, entry.detail["reason"]) == (
            study[0],
            "os:tester",
            "for the trail",
        )

    def test_a_patients_pseudonym_opens_his_latest_study(self, site: LiveSite, study, unseal) -> None:
        with site.database() as connection:
            row = connection.execute(
                "select patient_id from study where study_instance_uid = %s", [study[0]]
            ).fetchone()
        assert attempt(site, unseal, row[0])["patient_id"]

    def test_an_attempt_with_another_key_is_noted(self, site: LiveSite, study) -> None:
        other = partial(open_sealed, generate_keypair()[0])
        with pytest.raises(Forbidden):
            attempt(site, other, study[0])
        with site.database() as connection:
            assert openings(connection)[-1].was_opened is False

    def test_nothing_is_given_where_nothing_can_be_noted(self, site: LiveSite, study, unseal) -> None:
        given = []
        with site.database() as connection:
            connection.execute("set default_transaction_read_only = on")
            with pytest.raises(psycopg.Error):
                given.append(reidentify(connection, unseal, study[0], opened_by="os:x", reason="a test"))
        assert given == []

    def test_an_unknown_pseudonym(self, site: LiveSite, unseal) -> None:
        with pytest.raises(NotFound):
            attempt(site, unseal, "2.25.1")

    @pytest.mark.parametrize("reason", ["", " \n", "x" * 501, "\x1b[2J"])
    def test_a_reason_must_be_given(self, site: LiveSite, study, unseal, reason: str) -> None:
        with pytest.raises(BadRequest):
            attempt(site, unseal, study[0], reason)


@pytest.mark.parametrize(
    "change",
    ["update reidentification set reason = 'x'", "delete from reidentification", "truncate reidentification"],
)
def test_what_was_noted_stays(site: LiveSite, change: str) -> None:
    with site.database() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(change)


class TestCommand:
    def test_lists_without_a_key_and_names_nobody(self, site: LiveSite, study) -> None:
        told = site.run("crosswalk", "list", "--json").stdout
        assert study[0] in [row["pseudonym"] for row in json.loads(told)["studies"]]
        assert study[1] not in told

    def test_opens_to_stdout_and_notes_who(self, site: LiveSite, study) -> None:
        key = site.settings.crosswalk_key
        done = site.run("crosswalk", "open", "--key", key, "--reason", "a call back", study[0])
        assert json.loads(done.stdout)["original"]["study_instance_uid"] == study[1]
        assert study[1] not in done.stderr
        audit = site.run("crosswalk", "audit").stdout
        assert "a call back" in audit
        assert study[1] not in audit

    @pytest.mark.parametrize("left_out", ["--key", "--reason"])
    def test_key_and_reason_are_required(self, site: LiveSite, study, left_out: str) -> None:
        given = {"--key": site.settings.crosswalk_key, "--reason": "a test"}
        options = [each for option in given.items() if option[0] != left_out for each in option]
        assert site.run("crosswalk", "open", *options, study[0], check=False).returncode == 2
