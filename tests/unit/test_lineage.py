"""Which index the stored files belong to is known, whatever Orthanc starts with."""

from pathlib import Path

import pytest

from archive import instances
from orthanc_plugin.lineage import Lineage, mark_of

PLACE = "0f0e0d0c-1234-4321-8888-0123456789ab"


class Index:
    """An index of Orthanc with its global properties."""

    def __init__(self) -> None:
        self.properties: dict[int, str] = {}
        self.count = 0

    def of(self, storage: Path) -> Lineage:
        """The index as Orthanc starts with it."""
        return Lineage(
            str(storage),
            lambda number, default: self.properties.get(number, default),
            self.properties.__setitem__,
        )

    def is_own(self, storage: Path) -> bool:
        return self.of(storage).look(lambda: self.count == 0)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A folder with a file of an instance."""
    instances.write(str(tmp_path), PLACE, b"an instance")
    return tmp_path


@pytest.fixture
def index() -> Index:
    """One that holds something."""
    index = Index()
    index.count = 1
    return index


def test_a_new_site_has_its_own(tmp_path: Path) -> None:
    index = Index()
    assert index.is_own(tmp_path)
    assert index.is_own(tmp_path)


def test_files_without_a_mark_are_those_of_the_index_that_holds_some(storage: Path, index: Index) -> None:
    assert index.is_own(storage)


def test_an_index_that_holds_nothing_is_not_that_of_files(storage: Path) -> None:
    assert not Index().is_own(storage)


def test_another_index_is_none_of_theirs_and_stays_so(storage: Path, index: Index) -> None:
    assert index.is_own(storage)
    another = Index()
    assert not another.is_own(storage)
    another.count = 1000
    assert not another.is_own(storage)
    assert index.is_own(storage)


def test_what_was_found_to_be_another_stays_so_until_it_is_owned(storage: Path, index: Index) -> None:
    lineage = index.of(storage)
    lineage.look(lambda: False)
    lineage.disown()
    assert not index.is_own(storage)
    lineage.own()
    assert index.is_own(storage)


def test_nothing_is_told_of_an_index_before_it_was_looked_at(storage: Path, index: Index) -> None:
    assert index.of(storage).told()["own"] is None


def test_a_folder_that_can_not_be_read_is_no_answer(tmp_path: Path, index: Index) -> None:
    mark_of(str(tmp_path)).mkdir()
    lineage = index.of(tmp_path)
    with pytest.raises(OSError, match="directory"):
        lineage.look(lambda: False)
    assert lineage.told()["own"] is None
