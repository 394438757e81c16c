"""Results in a clinical PACS: a whole site, and a second, plain Orthanc that speaks TLS and holds the originals."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from archive import audit_log, deliveries
from archive.audit import Event
from archive.deliveries import Delivery
from archive.settings import RESULTS
from inference.results.review import SERIES_NUMBER
from tests import certificates
from tests.integration.conftest import edit
from tests.integration.test_pages import Person
from tests.integration.test_reviews import say
from tests.integration.test_whole_way import write
from tests.integration.traces import Traces
from tests.live import LiveSite, eventually
from tests.pacs import AET, Pacs, Provider, orthanc

ACKNOWLEDGED = "We know that these results are for research use only."
IDENTITY = (
    *("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID"),
    *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)
CREATED = "InstanceCreationDate"  # when the site made it
NAMES = (b"Nordstroem", b"HOSP-998877", b"ACC99887766", b"19511213", b"S-998877")


@dataclass
class Delivered:
    """A site, the PACS that it delivers to, a provider that answers nothing until it is told to, and the exam."""

    site: LiveSite
    pacs: Pacs
    stalled: Provider
    originals: list[Dataset]
    study: str  # a pseudonym

    @property
    def results(self) -> list[Dataset]:
        known = {each.SOPInstanceUID for each in self.originals}
        return [each for each in self.pacs.instances() if each.SOPInstanceUID not in known]

    def deliveries(self, destination: str) -> list[Delivery]:
        with self.site.database() as database:
            return deliveries.find(database, destination=destination)


def name(dataset: Dataset) -> None:
    """Somebody whom no other test knows, in a character set of her own."""
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = "Nordstroem^Åse"
    dataset.PatientID, dataset.PatientBirthDate = "HOSP-998877", "19511213"
    dataset.AccessionNumber, dataset.StudyID = "ACC99887766", "S-998877"
    dataset.FrameOfReferenceUID = f"1.2.826.0.1.3680043.8.498.{int(dataset.SeriesNumber)}"


def destinations(clinic: dict[str, object], stalled: int) -> str:
    plain = {"aet": AET, "host": "127.0.0.1"}
    return json.dumps(
        {"clinic": plain | clinic, "stalled": plain | {"port": stalled, "results": ["sr"], "timeout": 60}}
    )


@pytest.fixture(scope="module")
def delivered(
    new_home: Callable[[], Path],
    free_ports: Callable[[int], list[int]],
    phantom_exam: Callable[[], list[bytes]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Delivered]:
    folder = tmp_path_factory.mktemp("certificates")
    authority = certificates.make(folder, "authority")
    server, client = (certificates.make(folder, each, authority) for each in ("pacs", "site"))
    *ports, commitment = free_ports(6)
    modality = {"AET": "SENOGATE", "Host": "127.0.0.1", "Port": commitment}
    exam = [edit(each, name) for each in phantom_exam()]
    with (
        orthanc(
            ports[:2], certificate=server, authority=authority, more={"DicomModalities": {"site": modality}}
        ) as pacs,
        Provider(lambda provider: 0 if provider.release.wait(60) else 0xA700, finds=True) as stalled,
    ):
        pacs.fill(exam)
        tls = {"tls": True, "tls_authorities": str(authority.path), "tls_certificate": str(client.path)}
        clinic = tls | {"port": pacs.port, "tls_key": str(client.key_path), "commitment": True}
        extra = {
            "SENOGATE_RESULTS": " ".join(RESULTS),
            "SENOGATE_DESTINATIONS": destinations(clinic, stalled.port),
            "SENOGATE_ACKNOWLEDGE": ACKNOWLEDGED,
            "SENOGATE_COMMITMENT_PORT": str(commitment),
        }
        site = LiveSite(new_home(), ports[2:], extra).start()
        sent = site.send(write(tmp_path_factory.mktemp("exam"), exam))
        (study,) = (each["study_instance_uid"] for each in sent["studies"])
        made = Delivered(site, pacs, stalled, [dcmread(BytesIO(each)) for each in exam], study)
        eventually(lambda: is_complete(made, "clinic", "committed"))
        yield made
        assert site.stop() == 0


def is_complete(delivered: Delivered, destination: str, state: str) -> bool:
    with delivered.site.database() as database:
        due = database.execute("select count(*) from reading where state = 'due'").fetchone()
        states = database.execute(
            "select state from delivery where destination = %s", [destination]
        ).fetchall()
    return due == (0,) and bool(states) and {each for (each,) in states} == {state}


def test_results_lie_in_the_original_study_under_the_original_identity(delivered: Delivered) -> None:
    original = delivered.originals[0]
    results = delivered.results
    assert {each.Modality for each in results} >= {"SR", "OT", "PR"}
    for result in results:
        for keyword in IDENTITY:
            assert result.get(keyword) == original.get(keyword), keyword
        assert result.SpecificCharacterSet == original.SpecificCharacterSet
        assert not [each for each in result if "Deidentification" in each.keyword]
        assert "PatientIdentityRemoved" not in result
    with delivered.pacs.client() as client:
        assert [len(client.get(f"/{each}").json()) for each in ("patients", "studies")] == [1, 1]


def test_every_reference_leads_to_what_the_pacs_holds(delivered: Delivered) -> None:
    assert count_references(delivered) > 20


def count_references(delivered: Delivered) -> int:
    """How many references there are in results; each leads to what the PACS holds."""
    instances = delivered.pacs.instances()
    held = {each.SOPInstanceUID for each in instances}
    series = {each.SeriesInstanceUID for each in instances}
    study = delivered.originals[0].StudyInstanceUID
    number = 0
    for result in delivered.results:
        for element in result.iterall():
            if element.keyword == "ReferencedSOPInstanceUID":
                assert element.value in held
                number += 1
            assert element.keyword != "StudyInstanceUID" or element.value == study
            assert element.keyword != "SeriesInstanceUID" or element.value in series
    return number


def test_no_pseudonym_is_in_what_arrives(delivered: Delivered) -> None:
    pseudonyms = delivered.site.pseudonyms()
    uids = {str(e.value) for each in delivered.results for e in each.iterall() if e.VR == "UI"}
    assert len(uids) > 20 and not [each for each in uids if pseudonyms.is_own_uid(each)]


def test_dates_are_the_original_ones(delivered: Delivered) -> None:
    dates = {
        e.value for each in delivered.results for e in each.iterall() if e.VR == "DA" and e.keyword != CREATED
    }
    assert dates == {delivered.originals[0].StudyDate, delivered.originals[0].PatientBirthDate}


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_error_in_what_arrives(delivered: Delivered, tmp_path: Path) -> None:
    for number, result in enumerate(delivered.results):
        result.save_as(tmp_path / f"{number}.dcm")
        told = subprocess.run(["dciodvfy", tmp_path / f"{number}.dcm"], capture_output=True, text=True)
        assert not [each for each in told.stderr.splitlines() if each.startswith("Error")], result.SOPClassUID


def test_each_is_committed_and_on_record(delivered: Delivered) -> None:
    """Storage commitment came by N-EVENT-REPORT on an association of its own (PS3.4 J.3.3)."""
    rows = delivered.deliveries("clinic")
    assert {row.state for row in rows} == {"committed"} and len(rows) == len(delivered.results)
    assert all(row.attempts == 1 for row in rows)
    with delivered.site.database() as database:
        recorded = list(audit_log.entries(database, event=Event.DELIVERY_DONE))
        acknowledged = next(audit_log.entries(database, event=Event.DELIVERY_ACKNOWLEDGED, last=1))
    stored = [each for each in recorded if each.detail["state"] == "stored"]
    assert {each.subject for each in recorded} == {"site:worker"}
    assert len(stored) == len(rows) and acknowledged.detail["sentence"] == ACKNOWLEDGED


def test_each_opening_of_the_crosswalk_is_noted(delivered: Delivered) -> None:
    with delivered.site.database() as database:
        kinds = database.execute(
            "select distinct kind, reason from reidentification where opened_by = 'site:worker'"
        ).fetchall()
    assert {kind for kind, reason in kinds if reason == "delivery to clinic"} >= {
        "study", "series", "instance",
    }  # fmt: skip


def test_the_command_tells_what_the_destination_takes(delivered: Delivered) -> None:
    told = json.loads(delivered.site.run("delivery", "test", "clinic", "--json").stdout)
    assert told["answers"] and all(told["accepts"].values()) and told["find"] and told["commitment"]
    assert "answers" in delivered.site.run("delivery", "test", "clinic").stdout


def test_reading_again_delivers_nothing_twice(delivered: Delivered) -> None:
    before = {each.SOPInstanceUID for each in delivered.results}
    delivered.site.run("infer", delivered.study)
    eventually(lambda: is_complete(delivered, "clinic", "committed"))
    assert {each.SOPInstanceUID for each in delivered.results} == before
    assert all(row.attempts == 1 for row in delivered.deliveries("clinic"))


def test_a_readers_review_follows_under_the_original_identity(delivered: Delivered) -> None:
    """It names the model's report, which lies in the PACS under another UID than here."""
    comment = "Enig, ingen forandring siden sidst \N{MULTIPLICATION SIGN} 2 \N{GREEK SMALL LETTER ALPHA}"
    with closing(Person(delivered.site, "clinician")) as clinician:
        said = say(clinician, delivered.study, task="density", decision="comment", comment=comment)
        assert said.status_code == 201
    eventually(lambda: [each for each in delivered.deliveries("clinic") if each.kind == "review"])
    eventually(lambda: is_complete(delivered, "clinic", "committed"))
    (review,) = [each for each in delivered.results if each.SeriesNumber == SERIES_NUMBER]
    assert (review.SpecificCharacterSet, review.PatientName) == ("ISO_IR 192", "Nordstroem^Åse")
    assert comment in {str(each.value) for each in review.iterall() if each.keyword == "TextValue"}
    assert count_references(delivered) > 20


def test_a_slow_pacs_holds_up_no_other_and_a_killed_worker_doubles_nothing(delivered: Delivered) -> None:
    """The clinic has all long since. What was on its way is asked for by C-FIND before it would be sent again."""
    (first,) = delivered.stalled.received
    assert "delivering" in {row.state for row in delivered.deliveries("stalled")}
    worker = delivered.site.child("worker")
    os.kill(worker, signal.SIGKILL)
    delivered.stalled.release.set()
    eventually(lambda: is_complete(delivered, "stalled", "stored"))
    assert delivered.stalled.asked == 1 and delivered.stalled.received.count(first) == 1
    assert (
        len(delivered.stalled.received)
        == len(delivered.stalled.stored)
        == len(delivered.deliveries("stalled"))
    )


def test_no_identity_rests_at_the_site(delivered: Delivered) -> None:
    assert Traces(NAMES).found_below(delivered.site.home) == []
    assert not [each for each in NAMES if each.decode() in delivered.site.output]
