"""What a site learns from: labels of every source, under a permit, from its own gateway."""

import asyncio
import json
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from psycopg import AsyncConnection
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.sr.codedict import codes

pytest.importorskip("torch")

from archive import cohorts, examples, prepared, reviews
from archive.errors import Forbidden, NotFound
from archive.findings import Findings, Task
from archive.policy import EVERYTHING
from archive.purpose import Purpose
from archive.reported import REPORTS
from archive.reviews import Address, Decision, Opinion, Reader
from federation.examples import data
from federation.examples.data import Loaded, TooFewPatients, load_examples, sources_of
from federation.examples.exam import look
from federation.examples.grounds import Grounds
from federation.examples.held_out import held_out
from federation.examples.retrieval import Retrieval
from federation.examples.split import is_held_out
from federation.provenance import cohort
from federation.site_key import derive
from federation.training.task import Label, Mark, task_of
from inference.instance import read_instance
from inference.phantom.mammogram import to_part10
from inference.pixels import read_picture
from inference.preprocess import prepare
from inference.views import laterality_of, projection_of
from tests.federation.exams import Drawn, draw_exams, labels, send_exams, write_exams
from tests.federation.reader_reports import tid_1500
from tests.lesions_in_studies import add_lesions, instances_of
from tests.live import LiveSite, eventually

HUB = "hub-of-data"
TRAIN = ("federation.train", "dicomweb.read")
PATIENTS = 14
BOX = (50.0, 70.0, 90.0, 110.0)


@dataclass(frozen=True, slots=True)
class Hospital:
    """A site with exams in a dataset of its own, and a permit on it."""

    site: LiveSite
    exams: Sequence[Drawn]
    dataset: str
    permit: str

    def load(
        self,
        held_out: bool = False,
        *,
        permit: str = "",
        dataset: str = "",
        purpose: str = "",
        task: str = "density",
    ) -> Loaded:
        return load_examples(
            self.site.settings,
            task_of(task),
            dataset or self.dataset,
            permit or self.permit,
            purpose=Purpose(purpose or "algorithms"),
            hub=HUB,
            held_out=held_out,
        )

    def sides(self, task: str = "density") -> tuple[Loaded, Loaded]:
        """Those who are learnt from, and those who are held out."""
        return self.load(task=task), self.load(held_out=True, task=task)

    def uid(self, exam: Drawn) -> str:
        return self.site.pseudonyms().uid(exam.study_instance_uid)


@dataclass(frozen=True, slots=True)
class Other:
    """An exam outside of the dataset; `headers` are those of its instances as they were sent."""

    site: LiveSite
    drawn: Drawn
    headers: Sequence[Dataset]
    folder: Path

    @property
    def uid(self) -> str:
        return self.site.pseudonyms().uid(self.drawn.study_instance_uid)

    def label(self, task: str) -> Label | None:
        """What the site knows of it now."""
        with self.site.database() as database:
            held = examples.instances(database, [self.uid], REPORTS)[self.uid]
            return look(held, sources_of(database, [self.uid], task)[self.uid], task).label


def grant(site: LiveSite, dataset: str, actions: Sequence[str] = TRAIN, hub: str = HUB) -> str:
    options = [each for action in actions for each in ("--action", action)]
    granted = site.run(
        "permit", "grant", f"federation:{hub}", "--dataset", dataset, "--purpose", "algorithms",
        "--legal-basis", "a test", *options,
    )  # fmt: skip
    return granted.stdout.strip()


def studies(loaded: Loaded) -> set[str]:
    return {one.study_instance_uid for one in loaded.examples}


def prepared_studies(site: LiveSite) -> set[str]:
    return {prepared.study_of(path.name) for path in prepared.held(site.settings)}


def labelled(site: LiveSite) -> set[str]:
    return {row["study_instance_uid"] for row in json.loads(site.run("label", "list", "--json").stdout)}


def lesions_of(exams: Sequence[Drawn]) -> str:
    """A mass in the first exam, and nothing in the others."""
    first, *others = [one.study_instance_uid for one in exams]
    rows = [f"{first},LCC,mass,{','.join(map(str, BOX))}", *(f"{one},,none,,,," for one in others)]
    return "\n".join(["StudyInstanceUID,View,Kind,Left,Top,Right,Bottom", *rows])


def send_reports(other: Other, *reports: bytes) -> None:
    """As the clinic's reporting software sends them; returns when they are indexed."""
    before = len(instances_of(other.site, other.uid))
    for number, report in enumerate(reports):
        (other.folder / f"report-{number}.dcm").write_bytes(report)
    sent = [other.folder / f"report-{number}.dcm" for number in range(len(reports))]
    assert not other.site.send(*sent, wait=False)["refused"]
    eventually(lambda: len(instances_of(other.site, other.uid)) == before + len(reports))


def accept(other: Other, findings: Findings) -> None:
    """Have a reader accept all that a model found."""

    async def say() -> None:
        async with await AsyncConnection.connect(other.site.settings.database_url) as connection:
            await reviews.add(
                connection,
                EVERYTHING,
                Address(other.uid, findings.task, "MG"),
                Opinion(Decision.ACCEPT),
                Reader("account:rita", "Reader 1"),
            )

    asyncio.run(say())


@pytest.fixture(scope="module")
def hospital(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    exams = draw_exams("alpha", "abcd" * 4, patients=PATIENTS, seed=801)
    folder = tmp_path_factory.mktemp("exams")
    assert not site.send(write_exams(folder / "sent", exams))[
        "refused"
    ]  # and read: nothing comes to them later
    uids = ",".join(site.pseudonyms().uid(one.study_instance_uid) for one in exams)
    site.run("dataset", "create", "learning", f"StudyInstanceUID={uids}")
    (folder / "labels.csv").write_text(labels(exams))
    site.run("label", "import", str(folder / "labels.csv"))
    return Hospital(site, exams, "learning", grant(site, "learning"))


@pytest.fixture(scope="module")
def other(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> Other:
    (exam,) = draw_exams("gamma", "c", seed=803)
    folder = tmp_path_factory.mktemp("other")
    assert not site.send(write_exams(folder / "sent", [exam]))["refused"]
    return Other(site, exam, [dcmread(DicomBytesIO(one)) for one in exam.instances], folder)


@pytest.fixture
def any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen exams are too few to have five patients on either side whatever the site's key."""
    monkeypatch.setattr(data, "LEAST_PATIENTS", 1)


@pytest.mark.usefixtures("any_number")
class TestExamples:
    def test_each_exam_is_on_one_side_with_its_label(self, hospital: Hospital) -> None:
        sides = hospital.sides()
        uid = hospital.site.pseudonyms().uid
        found = {one.study_instance_uid: one.label for side in sides for one in side.examples}
        assert found == {uid(one.study_instance_uid): Label("csv", one.category) for one in hospital.exams}
        assert sum(side.studies for side in sides) == len(hospital.exams)

    def test_no_patient_is_on_both_sides(self, hospital: Hospital) -> None:
        learnt, held_out = ({one.patient_id for one in side.examples} for side in hospital.sides())
        assert not learnt & held_out and len(learnt | held_out) == PATIENTS

    def test_a_held_out_patient_stays_held_out(self, hospital: Hospital) -> None:
        key = derive(hospital.site.settings, "split")
        learnt, held_out = hospital.sides()
        assert all(is_held_out(key, one.patient_id) for one in held_out.examples)
        assert not any(is_held_out(key, one.patient_id) for one in learnt.examples)

    def test_inputs_are_what_inference_makes_of_the_sent_image(self, hospital: Hospital) -> None:
        """The pixels are as they were sent, and went through the steps that the passport will name."""
        task, sent = task_of("density"), {hospital.uid(one): one for one in hospital.exams}
        one = hospital.load().examples[0]
        pictures = {}
        for part in sent[one.study_instance_uid].instances:
            instance = read_instance(part)
            view = laterality_of(instance), projection_of(instance)
            pictures[view] = prepare(read_picture(instance, view), task.steps)
        expected = task.prepare(pictures, one.label)
        assert expected and np.array_equal(one.inputs["views"], expected.inputs["views"])

    def test_a_later_round_fetches_nothing(self, hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
        first = hospital.load()
        monkeypatch.setattr(Retrieval, "instance", lambda *_: pytest.fail("an instance was fetched"))
        again = hospital.load()
        assert replace(again, examples=()) == replace(first, examples=())
        assert all(
            np.array_equal(one.inputs["views"], other.inputs["views"])
            for one, other in zip(first.examples, again.examples, strict=True)
        )

    def test_the_version_is_the_hash_that_freezing_gives(self, hospital: Hospital) -> None:
        hospital.site.run("dataset", "freeze", hospital.dataset)
        shown = hospital.site.run("dataset", "show", f"{hospital.dataset}@1", "--json").stdout
        assert hospital.load().dataset_version == json.loads(shown)["sha256"]

    def test_the_site_can_show_that_a_study_was_learnt_from(self, hospital: Hospital) -> None:
        learnt, held_out = hospital.sides()
        with hospital.site.database() as database:
            tree = cohorts.leaves(database, learnt.cohort)
        key = derive(hospital.site.settings, "cohort")
        assert cohort.verify(learnt.cohort, cohort.prove(key, tree, min(studies(learnt))))
        with pytest.raises(NotFound):
            cohort.prove(key, tree, min(studies(held_out)))

    def test_held_out_exams_are_had_as_they_are_stored(self, hospital: Hospital) -> None:
        grounds = (Task.DENSITY, hospital.dataset, hospital.permit)
        with held_out(hospital.site.settings, *grounds, purpose=Purpose.ALGORITHMS, hub=HUB) as given:
            parts = [[read_instance(part) for part in exam.parts] for exam in given.exams]
        prepared_of = hospital.load(held_out=True)
        assert [one[0].study_instance_uid for one in parts] == sorted(studies(prepared_of))
        assert {len(one) for one in parts} == {4} and given.cohort == prepared_of.cohort

    def test_lesions_come_with_their_boxes(self, hospital: Hospital, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_text(lesions_of(hospital.exams))
        done = hospital.site.run("label", "import", str(tmp_path / "labels.csv"), "--json")
        both = [each for side in hospital.sides(task="lesions") for each in side.examples]
        hospital.site.run("label", "remove", "--import", str(json.loads(done.stdout)["import"]))
        assert len(both) == len(hospital.exams)
        marked = [each for each in both if each.label.marks]
        assert [each.study_instance_uid for each in marked] == [hospital.uid(hospital.exams[0])]
        assert marked[0].label == Label("csv", "a", (Mark(("L", "CC"), "mass", BOX),))
        assert marked[0].inputs["L CC marks"].shape == (1, 5)

    def test_what_is_prepared_is_the_owners_alone(self, hospital: Hospital) -> None:
        hospital.load()
        modes = {stat.S_IMODE(path.stat().st_mode) for path in prepared.held(hospital.site.settings)}
        assert modes == {0o600}


def test_of_few_patients_nothing_is_learnt(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "LEAST_PATIENTS", PATIENTS + 1)
    with pytest.raises(TooFewPatients):
        hospital.load()


@pytest.mark.usefixtures("any_number")
class TestWithdrawal:
    def test_who_opts_out_between_two_rounds_is_in_the_first_alone(self, hospital: Hospital) -> None:
        site, first = hospital.site, hospital.load()
        before = studies(first)
        exam = next(one for one in hospital.exams if hospital.uid(one) in before)
        site.run("optout", "add", exam.patient_id)
        assert hospital.uid(exam) not in prepared_studies(site)
        second = hospital.load()
        gone = before - studies(second)
        assert hospital.uid(exam) in gone and second.patients == first.patients - 1
        assert {"cohort", "opt_outs", "dataset_version"} == {
            name for name in ("cohort", "opt_outs", "dataset_version")
            if getattr(first, name) != getattr(second, name)
        }  # fmt: skip
        site.run("optout", "withdraw", exam.patient_id)
        assert replace(hospital.load(), examples=()) == replace(first, examples=())

    def test_who_opts_out_meanwhile_is_left_out(
        self, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """She opts out when all but the last exam are fetched already."""
        site, first = hospital.site, hospital.load()
        exam = next(one for one in hospital.exams if hospital.uid(one) in studies(first))
        prepared.forget(site.settings, studies(first))
        fetched, fetch = [], Retrieval.instance

        def instance(self: Retrieval, *named: str) -> bytes:
            fetched.append(named)
            if len(fetched) == 4 * first.studies - 4:
                site.run("optout", "add", exam.patient_id)
            return fetch(self, *named)

        monkeypatch.setattr(Retrieval, "instance", instance)
        second = hospital.load()
        site.run("optout", "withdraw", exam.patient_id)
        assert hospital.uid(exam) not in studies(second) and second.patients == first.patients - 1

    def test_erasure_takes_labels_and_prepared_exams(
        self, hospital: Hospital, tmp_path: Path, any_number: None
    ) -> None:
        site = hospital.site
        (exam,) = draw_exams("beta", "a", seed=802)
        send_exams(site, tmp_path / "sent", [exam])
        (tmp_path / "labels.csv").write_text(labels([exam]))
        site.run("label", "import", str(tmp_path / "labels.csv"))
        site.run("dataset", "create", "short-lived", f"StudyInstanceUID={hospital.uid(exam)}")
        permit = grant(site, "short-lived")
        for is_out in (False, True):
            with suppress(TooFewPatients):  # she is on one side alone
                hospital.load(is_out, dataset="short-lived", permit=permit)
        assert hospital.uid(exam) in prepared_studies(site)
        receipt = json.loads(site.run("erase", "study", exam.study_instance_uid, "--reason", "a test").stdout)
        assert receipt["statement"]["removed"]["prepared"] == 1
        assert hospital.uid(exam) not in prepared_studies(site) | labelled(site)


class TestPermits:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"purpose": "research"},
            {"dataset": "everything"},
            {"permit": "P999999"},
        ],
    )
    def test_another_dataset_purpose_or_permit_is_refused(
        self, hospital: Hospital, wrong: dict[str, str]
    ) -> None:
        with pytest.raises(Forbidden):
            hospital.load(**wrong)

    @pytest.mark.parametrize("actions", [TRAIN[:1], TRAIN[1:]])
    def test_both_actions_are_needed(self, hospital: Hospital, actions: Sequence[str]) -> None:
        with pytest.raises(Forbidden):
            hospital.load(permit=grant(hospital.site, hospital.dataset, actions))

    def test_the_permit_of_another_federation_is_refused(self, hospital: Hospital) -> None:
        with pytest.raises(Forbidden):
            hospital.load(permit=grant(hospital.site, hospital.dataset, hub="another"))

    def test_a_revoked_permit_is_refused_at_the_next_round(
        self, hospital: Hospital, any_number: None
    ) -> None:
        permit = grant(hospital.site, hospital.dataset)
        hospital.load(permit=permit)
        hospital.site.run("permit", "revoke", permit)
        with pytest.raises(Forbidden):
            hospital.load(permit=permit)

    def test_a_permit_that_is_revoked_meanwhile_ends_the_round(
        self, hospital: Hospital, any_number: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        permit, fetch = grant(hospital.site, hospital.dataset), Retrieval.instance
        prepared.forget(hospital.site.settings, {hospital.uid(one) for one in hospital.exams})
        revoke = iter([lambda: hospital.site.run("permit", "revoke", permit)])

        def instance(self: Retrieval, *named: str) -> bytes:
            next(revoke, lambda: None)()
            return fetch(self, *named)

        monkeypatch.setattr(Retrieval, "instance", instance)
        with pytest.raises(Forbidden):
            hospital.load(permit=permit)

    def test_the_token_is_good_for_nothing_else(self, hospital: Hospital, other: Other) -> None:
        grounds = Grounds(hospital.dataset, hospital.permit, Purpose.ALGORITHMS, HUB)
        series = str(other.site.pseudonyms().uid(other.headers[0].SeriesInstanceUID))
        instance = str(other.site.pseudonyms().uid(other.headers[0].SOPInstanceUID))
        with Retrieval(hospital.site.settings, grounds) as retrieval, pytest.raises(NotFound):
            retrieval.instance(other.uid, series, instance)
        permit = replace(grounds, permit_id=grant(hospital.site, "everything"))
        with Retrieval(hospital.site.settings, permit) as retrieval:
            assert retrieval.instance(other.uid, series, instance)

    def test_each_access_is_on_record_under_the_permit(self, hospital: Hospital, any_number: None) -> None:
        prepared.forget(hospital.site.settings, {hospital.uid(one) for one in hospital.exams})
        permit = grant(hospital.site, hospital.dataset)
        loaded = hospital.load(permit=permit)
        lines = hospital.site.run(
            "audit", "list", "--subject", f"federation:{HUB}", "--json"
        ).stdout.splitlines()
        records = [one for one in map(json.loads, lines) if one["permits"] == [permit]]
        assert {one["event"] for one in records} == {"access.read"}
        assert {one["study"] for one in records} == studies(loaded)


class TestPeople:
    def test_a_patient_is_one_person_with_an_issuer_and_without(self, site: LiveSite, tmp_path: Path) -> None:
        """Else she could be learnt from and held out."""
        plain, issued = draw_exams("delta", "ab", patients=1, seed=804)
        issued = replace(issued, instances=[_issued(one) for one in issued.instances])
        send_exams(site, tmp_path, [plain, issued])
        uids = {site.pseudonyms().uid(one.study_instance_uid) for one in (plain, issued)}
        with site.database() as database:
            found = [one for one in examples.candidates(database, 0) if one.study_instance_uid in uids]
        assert len({one.person for one in found}) == 1 and len({one.patient_id for one in found}) == 2


def _issued(part: bytes) -> bytes:
    dataset = dcmread(DicomBytesIO(part))
    dataset.IssuerOfPatientID = "CLINIC"
    return to_part10(dataset)


class TestSources:
    """An exam that the file does not know, with a reader's report, and with findings that a reader accepted."""

    def test_nobody_has_said_anything_yet(self, other: Other) -> None:
        assert (other.label("density"), other.label("lesions")) == (None, None)

    def test_a_readers_report_came_with_the_exam(self, other: Other) -> None:
        """TID 1500, de-identified as all that comes: codes, references and coordinates stay."""
        report = tid_1500(other.headers, category="c", areas=[(0, codes.SCT.Mass, BOX)])
        send_reports(other, report)
        assert other.label("density") == Label("reader-sr", "c")
        view = other.headers[0].ImageLaterality, other.headers[0].ViewPosition
        assert other.label("lesions") == Label("reader-sr", "c", (Mark(view, "mass", BOX),))

    def test_the_file_comes_first(self, other: Other, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_text(
            "PatientID,StudyDate,Density,Kind,View,Left,Top,Right,Bottom\n"
            f"{other.drawn.patient_id},{other.headers[0].StudyDate},d,none,,,,,\n"
        )
        other.site.run("label", "import", str(tmp_path / "labels.csv"))
        assert (other.label("density"), other.label("lesions")) == (Label("csv", "d"), Label("csv", "d"))
        other.site.run("label", "remove", other.drawn.study_instance_uid)
        assert other.label("density") == Label("reader-sr", "c")

    def test_accepted_findings_are_a_label_where_nobody_says_more(self, other: Other) -> None:
        findings = add_lesions(other.site, other.uid)
        accept(other, findings)
        assert other.label("lesions").source == "reader-sr"
        with other.site.orthanc() as orthanc, other.site.database() as database:
            for (identifier,) in database.execute(
                "select orthanc_id from instance join series using (series_instance_uid)"
                " where instance.study_instance_uid = %s and series_number = 77",
                [other.uid],
            ).fetchall():
                orthanc.delete(f"/instances/{identifier}")
        found = eventually(lambda: (one := other.label("lesions")) and one.source != "reader-sr" and one)
        assert found.source == "accepted-finding" and len(found.marks) == sum(
            len(one.regions) for one in findings.lesions
        )


class TestCommands:
    def test_a_file_with_one_wrong_row_imports_nothing(self, hospital: Hospital, tmp_path: Path) -> None:
        before = labelled(hospital.site)
        uid, unknown = hospital.exams[0].study_instance_uid, "1.2.826.0.1.77"
        (tmp_path / "labels.csv").write_text(f"StudyInstanceUID,Density\n{uid},a\n{unknown},b\n")
        done = hospital.site.run("label", "import", str(tmp_path / "labels.csv"), check=False)
        assert done.returncode == 1 and "row 3, StudyInstanceUID: names no study" in done.stderr
        assert unknown not in done.stdout + done.stderr and labelled(hospital.site) == before

    def test_a_patient_with_several_exams_needs_a_date(self, hospital: Hospital, tmp_path: Path) -> None:
        patient = hospital.exams[0].patient_id  # who has two
        (tmp_path / "labels.csv").write_text(f"PatientID,Density\n{patient},a\n")
        done = hospital.site.run("label", "import", str(tmp_path / "labels.csv"), "--check", check=False)
        assert "row 2, PatientID: names several studies" in done.stderr and patient not in done.stderr

    def test_an_import_is_on_record_by_its_hash(self, hospital: Hospital) -> None:
        lines = hospital.site.run("audit", "list", "--event", "labels.changed", "--json").stdout.splitlines()
        details = [json.loads(line)["detail"] for line in lines]
        imported = {"change": "imported", "studies": len(hospital.exams)}
        assert any(imported.items() <= detail.items() for detail in details)

    def test_the_report_tells_what_there_is(self, hospital: Hospital) -> None:
        done = hospital.site.run(
            "label", "report", "--dataset", hospital.dataset, "--task", "density", "--json"
        )
        told = json.loads(done.stdout)
        assert told["usable"] == len(hospital.exams) and told["sources"] == {"csv": len(hospital.exams)}
        assert told["labels"] == dict.fromkeys("abcd", "<5")  # four of each
        assert told["views"] == {"complete": len(hospital.exams)}
