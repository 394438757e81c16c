"""The plugin's notes of what Orthanc removed, with a database that can be made to fail."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, LiteralString

import pytest

from archive.durable import DurableConnection
from archive.errors import Unavailable
from inference.demo import build_exam
from inference.phantom import draw_exam
from orthanc_plugin import removals
from orthanc_plugin.removals import Removals
from tests.live import eventually
from tests.unit.fake_site import DEIDENTIFIER

PLACE = "0f0e0d0c-1234-4321-8888-0123456789ab"


class Table(DurableConnection):
    """The table in memory; it fails while told to."""

    def __init__(self) -> None:
        super().__init__("")
        self.rows: list[tuple[str | None, str | None]] = []
        self.failure: Exception | None = None

    def execute(self, statement: LiteralString, values: Mapping[str, Any] | None = None) -> list[Any]:
        if self.failure:
            raise self.failure
        assert values is not None
        self.rows += zip(values["uids"], values["places"], strict=True)
        return []


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def notes(table: Table, monkeypatch: pytest.MonkeyPatch) -> Removals:
    monkeypatch.setattr(removals, "_PAUSE", 0.05)
    return Removals(table, lambda _: None)


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, str]:
    """A stored file, and the instance that it is."""
    images = draw_exam(1, rows=32, columns=24).images
    made = DEIDENTIFIER.deidentify(build_exam(images, seed="one")[0])
    (tmp_path / PLACE).write_bytes(made.instance)
    return tmp_path / PLACE, made.sop_instance_uid


def test_are_committed_before_the_file_goes(notes: Removals, table: Table, stored: tuple[Path, str]) -> None:
    notes.note(stored[0], PLACE)
    assert table.rows == [(stored[1], PLACE)]


def test_follow_once_the_database_answers_again(
    notes: Removals, table: Table, stored: tuple[Path, str]
) -> None:
    table.failure = Unavailable("x")
    notes.note(stored[0], PLACE)
    notes.note(stored[0], "another")
    assert table.rows == []
    table.failure = None
    assert eventually(lambda: table.rows) == [(stored[1], PLACE), (stored[1], "another")]


def test_name_the_place_where_the_file_does_not_say_what_went(
    notes: Removals, table: Table, tmp_path: Path
) -> None:
    """It may lie in the bucket: the database says what it is, or asks for a comparison."""
    (tmp_path / "damaged").write_bytes(b"no DICOM")
    notes.note(tmp_path / "damaged", PLACE)
    notes.note(tmp_path / "absent", PLACE)
    assert table.rows == [(None, PLACE), (None, PLACE)]


def test_ask_for_a_comparison_when_orthanc_starts(notes: Removals, table: Table) -> None:
    notes.begin()
    assert eventually(lambda: table.rows) == [removals.UNKNOWN]
