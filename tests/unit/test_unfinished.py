"""What a killed Orthanc left behind: a journal of what it was storing; files that it does not hold are removed."""

import json
import os
from pathlib import Path

import pytest

from archive.settings import Settings
from inference.demo import build_exam
from inference.phantom import draw_exam
from orthanc_plugin import unfinished
from orthanc_plugin.unfinished import Journal, Orthanc, journal_of, remove_unfinished
from tests.unit.fake_site import DEIDENTIFIER

HELD, ORPHAN = "0f0e0d0c-1234-4321-8888-0123456789ab", "1f0e0d0c-1234-4321-8888-0123456789ab"


def holding(*places: str) -> Orthanc:
    """An Orthanc with one instance of these attachments."""

    def get(path: str) -> bytes:
        *_, number, last = path.split("/")
        return json.dumps(
            {"Uuid": places[int(number)]} if last == "info" else list(range(len(places)))
        ).encode()

    found = json.dumps([{"Type": "Instance", "Path": "/instances/x"}]).encode()
    return Orthanc(get, lambda path, uid: found, lambda path: None)


@pytest.fixture
def stored(tmp_path: Path) -> list[Path]:
    """Two files of the same instance."""
    images = draw_exam(1, rows=32, columns=24).images
    made = DEIDENTIFIER.deidentify(build_exam(images, seed="one")[0])
    files = [tmp_path / HELD, tmp_path / ORPHAN]
    for file in files:
        file.write_bytes(made.instance)
    return files


def test_the_journal_lies_where_every_orthanc_of_a_site_may_write(tmp_path: Path) -> None:
    """Its service, or container, may write nowhere else into the home; without a journal nothing is taken in."""
    unit = Path(__file__).resolve().parents[2].joinpath("deploy", "systemd", "senogate-orthanc.service")
    (writable,) = [line for line in unit.read_text().splitlines() if line.startswith("ReadWritePaths=")]
    home = Path("/var/lib/senogate")
    own = journal_of(Settings(home=home).storage)
    assert any(Path(path) in own.parents for path in writable.partition("=")[2].split())
    assert journal_of(str(tmp_path)).parent == tmp_path


def test_the_journal_tells_what_was_begun_before(tmp_path: Path) -> None:
    assert Journal(tmp_path / "begun").last() == []
    journal = Journal(tmp_path / "begun")
    for place in (HELD, ORPHAN):
        journal.note(place)
    assert Journal(tmp_path / "begun").last() == [HELD, ORPHAN]


def test_a_line_that_was_cut_short_names_nothing(tmp_path: Path) -> None:
    (tmp_path / "begun").write_text(f"{HELD}\n{ORPHAN[:9]}")
    assert Journal(tmp_path / "begun").last() == [HELD]
    Journal(tmp_path / "begun").note(ORPHAN)
    assert Journal(tmp_path / "begun").last() == [HELD, ORPHAN]


def test_a_long_journal_is_cut_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "_LAST", 2)
    monkeypatch.setattr(unfinished, "_LONGEST", 100)
    (tmp_path / "begun").write_text(f"{ORPHAN}\n" * 10 + f"{HELD}\n")
    assert Journal(tmp_path / "begun").last() == [ORPHAN, HELD]
    assert (tmp_path / "begun").read_text() == f"{ORPHAN}\n{HELD}\n"


def test_what_orthanc_does_not_hold_is_removed(stored: list[Path]) -> None:
    assert remove_unfinished(stored, holding("another", HELD)) == 1
    assert [file.exists() for file in stored] == [True, False]


def test_what_was_cut_off_before_it_says_what_it_is_is_removed(tmp_path: Path) -> None:
    (tmp_path / ORPHAN).write_bytes(b"\0" * 128 + b"DI")
    assert remove_unfinished([tmp_path / ORPHAN, tmp_path / HELD], holding(HELD)) == 1
    assert list(tmp_path.iterdir()) == []


def test_where_orthanc_knows_none_of_many_its_index_is_another_and_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that was restored from a backup: the files may be all that there is of what was acknowledged."""
    monkeypatch.setattr(unfinished, "_MOST", 2)
    files = [tmp_path / f"{ORPHAN[:-1]}{number}" for number in range(3)]
    for file in files:
        file.write_bytes(b"\0" * 128 + b"DI")
    with pytest.raises(unfinished.ForeignIndex):
        remove_unfinished(files, holding(HELD))
    assert all(file.exists() for file in files)
    assert remove_unfinished(files[:2], holding(HELD)) == 2


def test_where_one_that_orthanc_does_not_know_is_older_its_index_is_another(stored: list[Path]) -> None:
    """What was under way when Orthanc ended was written at about the same time as the last."""
    os.utime(stored[1], (stored[1].stat().st_mtime - 600,) * 2)
    with pytest.raises(unfinished.ForeignIndex):
        remove_unfinished(stored, holding("another", HELD))
    assert all(file.exists() for file in stored)
