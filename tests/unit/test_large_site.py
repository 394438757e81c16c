"""The files of a large site, which benchmarks make: as the door would have stored them."""

from pathlib import Path

import pytest

from archive import instances
from archive.dicom_json import read_instance
from archive.follow import orthanc_id
from benchmarks.exams import write_studies
from benchmarks.large_site import FORMS, SIDE, become, fill_storage
from benchmarks.moulds import INSTANCES, Copies, with_orthanc_names
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Keys, Pseudonyms
from deidentification.stored import is_proven

STUDIES = 10
KEYS = Keys.derive(bytes(32))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose storage has copies of a study of each form."""
    home = tmp_path_factory.mktemp("home")
    (home / "secrets").mkdir(mode=0o700)
    (home / "secrets" / "site.key").write_bytes(bytes(32))
    (home / "secrets" / "site.key").chmod(0o600)
    fill_storage(home, [_store(home, modality) for modality in FORMS], STUDIES)
    return home


def _store(home: Path, modality: str) -> dict[str, str]:
    """Store a study; what it is called."""
    names: dict[str, str] = {}
    deidentifier = Deidentifier(KEYS, Profile.load("breast-screening"))
    for number, path in enumerate(write_studies(home / modality, 1, INSTANCES, SIDE, SIDE)):
        become(path, modality, modality, Pseudonyms(KEYS))
        stored = deidentifier.deidentify(path.read_bytes()).instance
        place = f"{FORMS.index(modality):08x}-0000-0000-0000-{number:012x}"
        instances.write(str(home / "orthanc/storage"), place, stored)
        record = read_instance(stored)
        names |= {
            "study": record.study.study_instance_uid,
            "series": record.series.series_instance_uid,
            "patient": record.study.patient_id,
            "date": record.study.study_date,
            f"instance {number}": record.sop_instance_uid,
            f"place {number}": place,
        }
    return with_orthanc_names(names)


@pytest.mark.parametrize("number", [0, 9])  # one of each form
@pytest.mark.parametrize("i", range(INSTANCES))
def test_a_copy_says_what_it_is_called(home: Path, number: int, i: int) -> None:
    names = Copies(Pseudonyms(KEYS))(number)
    record = read_instance(_file(home, names[f"place {i}"]).read_bytes())
    found = (
        record.study.study_instance_uid,
        record.sop_instance_uid,
        orthanc_id(record),
        record.study.study_date,
    )
    assert found == (names["study"], names[f"instance {i}"], names[f"orthanc instance {i}"], names["date"])
    assert record.series.modality == FORMS[number // 9]


def test_the_proof_of_each_copy_holds(home: Path) -> None:
    copies = Copies(Pseudonyms(KEYS))
    for names in map(copies, range(STUDIES)):
        for i in range(INSTANCES):
            with open(_file(home, names[f"place {i}"]), "rb") as file:
                assert is_proven(KEYS.proof, file.fileno())


def test_pixels_take_no_room(home: Path) -> None:
    status = _file(home, Copies(Pseudonyms(KEYS))(0)["place 0"]).stat()
    assert status.st_blocks * 512 < SIDE * SIDE * 2 < status.st_size


def test_nothing_else_is_stored(home: Path) -> None:
    found = [each for each in (home / "orthanc/storage").rglob("*") if each.is_file()]
    assert len(found) == STUDIES * INSTANCES


def _file(home: Path, place: str) -> Path:
    return instances.path(str(home / "orthanc/storage"), place)
