"""Reading a study that was de-identified on its way in, and a result that goes back by the same door."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from archive.findings import Findings, Level
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Keys, Pseudonyms
from inference import installed
from inference.instance import read_dataset
from inference.package import load
from inference.pipeline import read_study
from inference.results.sr import comprehensive_3d_sr
from inference.results.writers import WRITERS, write
from inference.session import Session, open_session
from tests.density_reports import read_density
from tests.unit.findings import lesion_findings
from tests.unit.mammograms import small_exam

KEYS = Keys.derive(b"a site secret for tests, 32 bytes")
IDENTITY = ["Muster", "DEMO-4711", "Radiologin", "Nirgendwo", "ACC2024", "20240229"]


@pytest.fixture(scope="module")
def session() -> Session:
    return open_session(load(Path(installed.__file__).parent / "models" / "phantom_density"), threads=1)


@pytest.fixture(scope="module")
def door() -> Deidentifier:
    return Deidentifier(KEYS, Profile.load("breast-screening"))


@pytest.fixture(scope="module")
def stored(door: Deidentifier) -> list[bytes]:
    return [bytes(door.deidentify(part).instance) for part in small_exam()]


@pytest.fixture(scope="module")
def findings(stored: list[bytes], session: Session) -> Findings:
    findings = read_study(stored, session)
    assert isinstance(findings, Findings)
    return findings


@pytest.fixture(scope="module")
def report(stored: list[bytes], findings: Findings) -> bytes:
    sources = [read_dataset(part, pixels=False) for part in stored]
    return comprehensive_3d_sr(findings, sources, Pseudonyms(KEYS).uid)


def test_the_answer_is_that_of_the_identified_study(findings: Findings, session: Session) -> None:
    identified = read_study(small_exam(), session)
    assert isinstance(identified, Findings)
    assert findings.of(Level.EXAM) == identified.of(Level.EXAM)


def test_the_report_passes_the_door_as_it_is(door: Deidentifier, report: bytes) -> None:
    proven = door.prove(report)
    assert door.carries_whole_proof(proven)
    assert read_density(proven) == read_density(report)


def test_every_uid_made_for_the_report_is_a_pseudonym_of_the_site(report: bytes) -> None:
    dataset, pseudonyms = dcmread(io.BytesIO(report)), Pseudonyms(KEYS)
    for uid in (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID):
        assert pseudonyms.is_own_uid(uid)


@pytest.fixture(scope="module")
def results(stored: list[bytes]) -> dict[str, list[bytes]]:
    """Lesions on the de-identified exam, as each kind of result."""
    sources = [read_dataset(part, pixels=True) for part in stored]
    found = lesion_findings(sources)
    return {kind: write(found, sources, [kind], Pseudonyms(KEYS).uid) for kind in WRITERS}


@pytest.mark.parametrize("kind", WRITERS)
def test_each_kind_of_result_passes_the_door_as_it_is(
    door: Deidentifier, results: dict[str, list[bytes]], kind: str
) -> None:
    assert results[kind]
    for instance in results[kind]:
        proven = door.prove(instance)
        assert door.carries_whole_proof(proven)
        assert dcmread(io.BytesIO(proven)) == dcmread(io.BytesIO(instance))


@pytest.mark.parametrize("kind", WRITERS)
def test_every_uid_made_for_a_result_is_a_pseudonym_of_the_site(
    results: dict[str, list[bytes]], kind: str
) -> None:
    pseudonyms = Pseudonyms(KEYS)
    made = {str(one) for each in results[kind] for one in _uids(dcmread(io.BytesIO(each)))}
    assert made and all(pseudonyms.is_own_uid(one) for one in made)


def _uids(dataset: Dataset) -> Iterator[str]:
    """Every UID of a data set that the standard does not define."""
    for element in dataset.iterall():
        if element.VR == "UI" and not str(element.value).startswith("1.2.840.10008."):
            yield element.value


@pytest.mark.parametrize("kind", WRITERS)
def test_no_result_holds_anything_of_the_identity(results: dict[str, list[bytes]], kind: str) -> None:
    told = [name for name in IDENTITY for each in results[kind] if name.encode() in each]
    assert told == []


@pytest.mark.parametrize("name", IDENTITY)
def test_the_report_holds_nothing_of_the_identity(report: bytes, name: str) -> None:
    assert name.encode() not in report
