"""What readers say of findings at a real site: asked for, said, on record, and in the study as an SR."""

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO

from archive import audit_log
from archive.audit import Event
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from inference.results.review import SERIES_NUMBER
from inference.reviews import ReviewWriter
from senogate.site_keys import keys_of
from tests.integration.test_erasure import erase, rows_with
from tests.integration.test_pages import Person
from tests.integration.test_readings import stopped
from tests.integration.test_whole_way import read_back, write
from tests.lesions_in_studies import add_lesions
from tests.live import LiveSite, eventually
from tests.unit.findings import children, code, only


@pytest.fixture(scope="module")
def study(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """An exam whose density a model read, and of whose lesions there are findings."""
    uid: str = site.send(write(tmp_path_factory.mktemp("exam"), phantom_exam()))["studies"][0][
        "study_instance_uid"
    ]
    add_lesions(site, uid)
    return uid


@pytest.fixture(scope="module")
def people(site: LiveSite) -> Iterator[dict[str, Person]]:
    with ExitStack() as stack:
        roles = ("administrator", "steward", "clinician", "researcher")
        yield {role: stack.enter_context(closing(Person(site, role))) for role in roles}


@pytest.fixture
def clinician(people: dict[str, Person]) -> Person:
    return people["clinician"]


def session(person: Person) -> dict[str, Any]:
    return dict(person.get("/api/session").json())


def readings(person: httpx.Client, study: str) -> dict[str, Any]:
    answer = person.get(f"/api/studies/{study}/readings")
    assert answer.status_code == 200
    return {each["task"]: each for each in answer.json()["readings"]}


def say(
    person: Person, study: str, *, task: str = "lesions", token: str | None = None, **said: str
) -> httpx.Response:
    headers = {"x-csrf-token": session(person)["csrf_token"] if token is None else token}
    return person.post(f"/api/studies/{study}/readings/{task}/MG/reviews", json=said, headers=headers)


def reviews_in(site: LiveSite, study: str) -> dict[str, Dataset]:
    """The SRs of reviews in a study, by their UIDs."""
    found = [each for each in read_back(site, study) if each.get("SeriesNumber") == SERIES_NUMBER]
    return {str(each.SOPInstanceUID): each for each in found}


def written(site: LiveSite, review_id: str) -> str:
    """The UID of a review's SR, once the index has it."""

    def look() -> str | None:
        with site.database() as database:
            row = database.execute(
                "select sop_instance_uid from review join instance using (sop_instance_uid) where review_id = %s",
                [review_id],
            ).fetchone()
        return row and row[0]

    return str(eventually(look))


class TestWho:
    def test_the_session_tells_who_may_review(self, people: dict[str, Person]) -> None:
        told = {role: session(person) for role, person in people.items()}
        assert {role: each["may_review"] for role, each in told.items()} == {
            "administrator": True, "steward": False, "clinician": True, "researcher": False,
        }  # fmt: skip
        assert told["clinician"]["subject"] == people["clinician"].subject

    def test_who_may_not_is_refused(self, people: dict[str, Person], study: str) -> None:
        said = [say(people[role], study, decision="accept").status_code for role in ("steward", "researcher")]
        assert said == [403, 403]

    def test_a_page_of_another_site_says_nothing(self, clinician: Person, study: str) -> None:
        assert say(clinician, study, token="", decision="accept").status_code == 403

    def test_a_permit_shows_findings_and_neither_names_nor_days(
        self, site: LiveSite, people: dict[str, Person], study: str
    ) -> None:
        """Beside dates that are shifted the day of a reading would tell by how much."""
        said = say(people["clinician"], study, decision="comment", comment="Seen.").json()
        site.run(
            *("permit", "grant", people["researcher"].subject, "--dataset", "everything", "--purpose", "research"),
            *("--legal-basis", "GDPR 6(1)(e)"),
        )  # fmt: skip
        reading = readings(people["researcher"], study)["lesions"]
        (review,) = [each for each in reading["reviews"] if each["review_id"] == said["review_id"]]
        assert review["by"].startswith("Reader ") and review["at"] is None
        assert reading["changed_at"] is None and "created_at" not in reading["findings"]
        assert readings(people["clinician"], study)["lesions"]["changed_at"]


class TestSaying:
    def test_a_rejected_lesion_is_told_recorded_and_in_the_study(
        self, site: LiveSite, clinician: Person, study: str
    ) -> None:
        """Regulation (EU) 2024/1689 articles 14 and 26: who, when, what, of which model."""
        comment = f"A skin fold {uuid.uuid4().hex}"
        answer = say(clinician, study, decision="reject", lesion="L1", comment=comment)
        assert (answer.status_code, answer.json()["by"]) == (201, clinician.subject)
        review_id = answer.json()["review_id"]
        told = readings(clinician, study)["lesions"]
        (review,) = [each for each in told["reviews"] if each["review_id"] == review_id]
        assert (review["decision"], review["lesion"], review["comment"]) == ("reject", "L1", comment)
        assert review["is_own"] and review["is_current"] and not review["is_superseded"]
        uid = written(site, review_id)
        report = reviews_in(site, study)[uid]
        evaluations = only(report, "Qualitative Evaluations")
        assert code(only(evaluations, "Impression").ConceptCodeSequence).value == "122776"
        assert children(evaluations, "Comment")[0].TextValue == comment
        assert clinician.subject not in str(report) and "Reader " in str(report)
        with site.database() as database:
            entries = audit_log.entries(database, event=Event.REVIEW)
            (entry,) = [each for each in entries if each.study == study and each.detail.get("lesion") == "L1"]
        assert entry.subject == clinician.subject
        assert entry.detail["decision"] == "reject" and entry.detail["model_version"] == "1.0.0"
        assert rows_with(site, comment) == {"review"}

    def test_a_later_decision_takes_the_place_of_the_first_and_both_stay(
        self, site: LiveSite, clinician: Person, study: str
    ) -> None:
        first, second = (
            say(clinician, study, task="density", decision=each).json() for each in ("accept", "reject")
        )
        found = readings(clinician, study)["density"]["reviews"]
        assert [(each["decision"], each["is_superseded"]) for each in found] == [
            ("accept", True),
            ("reject", False),
        ]
        later, earlier = written(site, second["review_id"]), written(site, first["review_id"])
        predecessor = (
            reviews_in(site, study)[later].PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
        )
        assert predecessor.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == earlier

    def test_what_changed_meanwhile_is_not_reviewed(self, clinician: Person, study: str) -> None:
        fingerprint = readings(clinician, study)["lesions"]["fingerprint"]
        assert say(clinician, study, decision="accept", fingerprint="0" * 64).status_code == 409
        assert (
            say(clinician, study, decision="accept", lesion="R1", fingerprint=fingerprint).status_code == 201
        )

    def test_what_is_being_read_again_is_not_reviewed(
        self, site: LiveSite, clinician: Person, study: str
    ) -> None:
        change = "update reading set state = %s where study_instance_uid = %s and task = 'lesions'"
        with site.database() as database:
            database.execute(change, ["failed", study])
            reading, answer = readings(clinician, study)["lesions"], say(clinician, study, decision="accept")
            database.execute(change, ["done", study])
        assert (reading["findings"], reading["fingerprint"], answer.status_code) == (None, None, 409)

    def test_what_was_never_read_is_not_there(self, clinician: Person, study: str) -> None:
        assert say(clinician, study, task="fortune", decision="accept").status_code == 404

    @pytest.mark.parametrize(
        "said",
        [
            {},
            {"decision": "perhaps"},
            {"decision": "comment"},
            {"decision": "comment", "comment": " \n"},
            {"decision": "accept", "lesion": "L7"},
            {"decision": "accept", "lesion": "L" * 65},
            {"decision": "accept", "comment": "x" * 2001},
            {"decision": "accept", "comment": "a\x1b[2J"},
            {"decision": "accept", "comment": "\u202etxet"},
            {"decision": "accept", "comment": 7},
        ],
    )
    def test_what_is_malformed_is_refused_by_its_name(
        self, clinician: Person, study: str, said: dict[str, Any]
    ) -> None:
        answer = say(clinician, study, **said)
        assert answer.status_code == 400
        assert answer.json()["detail"].split()[0] in ("decision", "lesion", "comment")


class TestTheWorker:
    @pytest.fixture
    def review_id(self, site: LiveSite, clinician: Person, study: str) -> str:
        """A review that is written once, and due again."""
        review_id: str = say(clinician, study, decision="comment", comment="Again.").json()["review_id"]
        written(site, review_id)
        return review_id

    def test_killed_before_it_noted_the_sr_writes_no_second_one(
        self, site: LiveSite, study: str, review_id: str
    ) -> None:
        before = set(reviews_in(site, study))
        with site.database() as database:
            os.kill(site.child("worker"), signal.SIGKILL)
            database.execute("update review set sop_instance_uid = null where review_id = %s", [review_id])
        assert written(site, review_id) in before
        assert set(reviews_in(site, study)) == before

    def test_two_at_once_write_one(self, site: LiveSite, study: str, clinician: Person) -> None:
        keys = keys_of(site.settings)
        writer = ReviewWriter(site.settings, Deidentifier(keys, Profile.load(site.settings.profile)))
        with stopped(site.child("worker")):
            said = say(clinician, study, decision="comment", comment="Both.").json()
            with ThreadPoolExecutor(2) as both:
                list(both.map(writer.write, [said["review_id"]] * 2))
        uid = written(site, said["review_id"])
        assert uid in reviews_in(site, study)

    def test_a_withheld_study_gets_none_until_it_is_back(
        self, site: LiveSite, clinician: Person, study: str
    ) -> None:
        withhold = "update study set withheld = %s where study_instance_uid = %s"
        with site.database() as database:
            with stopped(site.child("worker")):
                said = say(clinician, study, decision="comment", comment="Later.").json()
                database.execute(withhold, [True, study])
            assert clinician.get(f"/api/studies/{study}/readings").status_code == 404
            assert say(clinician, study, decision="accept").status_code == 404
            keys = keys_of(site.settings)
            ReviewWriter(site.settings, Deidentifier(keys, Profile.load(site.settings.profile))).write(
                said["review_id"]
            )
            due = "select sop_instance_uid from review where review_id = %s"
            assert database.execute(due, [said["review_id"]]).fetchone() == (None,)
            database.execute(withhold, [False, study])
        assert written(site, said["review_id"])


def test_an_erased_study_takes_its_reviews_along(
    site: LiveSite, clinician: Person, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    exam = phantom_exam()
    study = site.send(write(tmp_path, exam))["studies"][0]["study_instance_uid"]
    comment = uuid.uuid4().hex
    said = say(clinician, study, task="density", decision="comment", comment=comment).json()
    written(site, said["review_id"])
    original = str(dcmread(DicomBytesIO(exam[0]), stop_before_pixels=True).StudyInstanceUID)
    assert erase(site, "study", original)["removed"]["reviews"] == 1
    assert rows_with(site, comment) == set()
