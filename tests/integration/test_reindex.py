"""An index that is built anew is the one that was built as instances came, wherever it was cut short."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import psycopg
import pytest

from archive import instances, reindexing
from archive.dicom_json import read_instance
from archive.errors import Conflict, Unavailable
from archive.follow import Follower, orthanc_id
from archive.orthanc import Orthanc
from archive.reindexing import IsProven, Reindexing, Seen
from archive.tiers import Tiers
from deidentification.stored import is_proven
from tests import databases
from tests.live import LiveSite
from tests.unit.dicom_files import dataset, part10, pixels, prove
from tests.unit.fake_site import PROOF_KEY

STUDIES, EACH = 4, 3
_TABLES = """
    select table_name, string_agg(quote_ident(column_name), ', ' order by ordinal_position)
    from information_schema.columns where table_schema = 'public' and table_name = any(%s)
        and data_type not like 'timestamp%%' and column_name <> 'number'
    group by table_name"""
_INDEX = ["study", "series", "instance", "study_day", "study_month", "day_places", "study_place", "unindexed"]


class Listing(Orthanc):
    """An Orthanc that holds files in a folder of the test's own."""

    def __init__(self, storage: Path) -> None:
        self.storage = str(storage)
        self.held: dict[str, str] = {}

    def add(self, instance: bytes) -> str:
        """Its identifier."""
        place = str(uuid.uuid4())
        instances.write(self.storage, place, instance)
        self.held[identifier := orthanc_id(read_instance(instance))] = place
        return identifier

    def places(self, instances: Sequence[str]) -> dict[str, str]:
        return {identifier: self.held[identifier] for identifier in instances if identifier in self.held}

    def reindex(
        self,
        connection: psycopg.Connection,
        advance: Callable[[int], object] = lambda _: None,
        processes: int = 1,
    ) -> int:
        proven = partial(is_proven, PROOF_KEY)
        return Reindexing(connection, self, Tiers(self.storage), proven, processes).run(
            lambda: self.held, advance
        )

    def follow(self, connection: psycopg.Connection) -> None:
        Follower(connection, self, Tiers(self.storage), partial(is_proven, PROOF_KEY)).index(self.held)


def made(study: int, number: int, **values: object) -> bytes:
    named = {
        "StudyInstanceUID": f"1.2.{study}", "SeriesInstanceUID": f"1.2.{study}.1", "PatientID": f"P{study}",
        "SOPInstanceUID": f"1.2.{study}.1.{number}", "InstanceNumber": number, "Modality": "MG",
        "StudyDate": f"2024010{study}", "PatientName": "Doe^Jane",
    }  # fmt: skip
    return prove(part10(dataset(**{**named, **pixels(4, 4), **values})), PROOF_KEY)


@pytest.fixture
def orthanc(tmp_path: Path) -> Listing:
    held = Listing(tmp_path)
    for study in range(1, STUDIES + 1):
        for number in range(1, EACH + 1):
            held.add(made(study, number))
    return held


@pytest.fixture
def database(site: LiveSite) -> Iterator[Callable[[], psycopg.Connection]]:
    """A callable that makes an empty index."""
    opened: dict[str, psycopg.Connection] = {}

    def make() -> psycopg.Connection:
        address = databases.create(site.settings.database_url)
        opened[address] = psycopg.connect(address, autocommit=True)
        return opened[address]

    yield make
    for address, connection in opened.items():
        connection.close()
        databases.drop(address)


def rows(connection: psycopg.Connection) -> dict[str, list[object]]:
    """All that the index says, but when."""
    tables = connection.execute(_TABLES, [_INDEX]).fetchall()
    assert len(tables) == len(_INDEX)
    return {
        table: sorted(map(str, connection.execute(f"select {columns} from {table}").fetchall()))
        for table, columns in tables
    }


@pytest.fixture
def followed(orthanc: Listing, database: Callable[[], psycopg.Connection]) -> psycopg.Connection:
    connection = database()
    orthanc.follow(connection)
    return connection


@pytest.mark.parametrize("processes", [1, 2])
def test_it_equals_the_one_that_was_followed(
    orthanc: Listing, followed: psycopg.Connection, database: Callable[[], psycopg.Connection], processes: int
) -> None:
    anew = database()
    assert orthanc.reindex(anew, processes=processes) == STUDIES * EACH
    assert rows(anew) == rows(followed)
    assert orthanc.reindex(anew) == STUDIES * EACH  # over what is there
    assert rows(anew) == rows(followed)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_one_that_was_cut_short_is_gone_on_with(
    orthanc: Listing,
    followed: psycopg.Connection,
    database: Callable[[], psycopg.Connection],
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
) -> None:
    monkeypatch.setattr(reindexing, "BATCH", 2)
    anew, told = database(), []

    def cut_short(number: int) -> None:
        told.append(number)
        if len(told) > steps:
            raise SystemExit

    with pytest.raises(SystemExit):
        orthanc.reindex(anew, cut_short)
    again: list[int] = []
    assert orthanc.reindex(anew, again.append) == STUDIES * EACH
    assert again[0] == sum(told) == 2 * steps
    assert sum(again) == STUDIES * EACH
    assert rows(anew) == rows(followed)


def test_what_has_gone_is_forgotten_and_what_was_lost_is_found(
    orthanc: Listing, followed: psycopg.Connection
) -> None:
    tables = ("study", "series", "instance")
    before = {table: rows(followed)[table] for table in tables}
    gone = orthanc.add(made(9, 1))
    orthanc.follow(followed)
    followed.execute("delete from instance where study_instance_uid = '1.2.1'")
    followed.execute(
        "update study set dicom_json = '', number_of_instances = 0 where study_instance_uid = '1.2.2'"
    )
    followed.execute("update instance set metadata = '' where study_instance_uid = '1.2.3'")
    del orthanc.held[gone]
    orthanc.reindex(followed)
    assert {table: rows(followed)[table] for table in tables} == before


def test_of_two_that_share_their_uid_the_later_one_is_found(
    orthanc: Listing, followed: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A patient was corrected: Orthanc holds both, by identifiers of their own."""
    monkeypatch.setattr(reindexing, "BATCH", 1)
    orthanc.add(made(1, 1, PatientID="CORRECTED"))
    orthanc.follow(followed)
    orthanc.held = dict(reversed(orthanc.held.items()))
    orthanc.reindex(followed)
    query = "select i.place from instance i where sop_instance_uid = '1.2.1.1.1'"
    assert followed.execute(query).fetchone() == (next(iter(orthanc.held.values())),)


def test_an_unreadable_file_is_set_aside_and_holds_up_no_other(
    orthanc: Listing, followed: psycopg.Connection
) -> None:
    place = next(iter(orthanc.held.values()))
    instances.path(orthanc.storage, place).write_bytes(b"junk")
    assert orthanc.reindex(followed) == STUDIES * EACH - 1
    assert len(rows(followed)["unindexed"]) == 1


def test_two_do_not_reindex_at_a_time(orthanc: Listing, followed: psycopg.Connection) -> None:
    with psycopg.connect(followed.info.dsn, autocommit=True) as other:

        def also(_: int) -> None:
            with pytest.raises(Conflict):
                orthanc.reindex(other)

        assert orthanc.reindex(followed, also) == STUDIES * EACH
        assert orthanc.reindex(other) == STUDIES * EACH


def test_what_is_erased_after_it_was_read_does_not_come_back(
    orthanc: Listing, followed: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, gone = reindexing.read_all, orthanc_id(read_instance(made(1, 1)))

    def read_and_erase(tiers: Tiers, is_proven: IsProven, places: Sequence[tuple[str, str]]) -> Seen:
        seen = read(tiers, is_proven, places)
        tiers.folder_path(orthanc.held[gone]).unlink()
        followed.execute("delete from instance where orthanc_id = %s", [gone])
        return seen

    monkeypatch.setattr(reindexing, "read_all", read_and_erase)
    assert orthanc.reindex(followed) == STUDIES * EACH - 1
    assert followed.execute("select 1 from instance where orthanc_id = %s", [gone]).fetchall() == []


def test_nothing_is_forgotten_while_the_disk_of_the_images_is_away(
    orthanc: Listing, followed: psycopg.Connection, tmp_path: Path
) -> None:
    """An Orthanc that was started without it has made its journal there."""
    before, orthanc.storage = rows(followed), str(tmp_path / "away")
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "begun").touch()
    with pytest.raises(Unavailable, match="is it mounted"):
        orthanc.reindex(followed)
    assert rows(followed) == before
