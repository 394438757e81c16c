"""Instances on their way to the bucket and from there: whatever ends in between, none is lost."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from archive import instances
from archive.bucket import Bucket
from archive.durable import DurableConnection
from archive.errors import Conflict, Unavailable
from archive.follow import Follower
from archive.orthanc import IndexState
from archive.pool import queries
from archive.reindexing import Reindexing
from archive.settings import load
from archive.tiers import Tiers
from benchmarks.servers import database
from inference import moving
from inference.moving import Mover
from orthanc_plugin.moved import Moved
from senogate import rebuilding
from tests import databases
from tests.buckets import S3, held, serving
from tests.integration.test_reindex import Listing, made, rows
from tests.unit.fake_site import PROOF_KEY

STUDIES = {1: [1, 2], 2: [1]}
SQL = queries("tiers.sql")


class Held(Listing):
    """What Orthanc is asked for by who moves."""

    is_own = True

    def index_state(self) -> IndexState:
        return IndexState("mark", self.is_own)

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Ground:
    """Two studies in a folder and an index, of which nothing is left to be done, and a bucket."""

    connection: psycopg.Connection
    address: str
    orthanc: Held
    tiers: Tiers
    bucket: Bucket
    mover: Mover
    s3: S3

    @property
    def plugin(self) -> Moved:
        return Moved(DurableConnection(self.address), self.tiers, lambda _: None)

    @property
    def places(self) -> list[str]:
        return sorted(self.orthanc.held.values())

    def contents(self) -> list[bytes]:
        return [self.tiers.read(place) for place in self.places]

    def in_folder(self) -> list[str]:
        return [place for place in self.places if self.tiers.is_in_folder(place)]

    def step(self) -> int:
        return self.mover.step(self.connection, self.bucket)

    def go_through_again(self) -> None:
        self.mover._begins_at = 0.0


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with database() as url:
        yield url


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with serving() as server:
        yield server


@pytest.fixture
def ground(server: str, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    with _lay(server, s3, tmp_path, monkeypatch, days=0) as made:
        yield made


class _lay:  # noqa: N801 - used as a function
    """A ground of its own, with a database that is there as long."""

    def __init__(
        self, server: str, s3: S3, folder: Path, monkeypatch: pytest.MonkeyPatch, *, days: int
    ) -> None:
        self._given = server, s3, folder, monkeypatch, days

    def __enter__(self) -> Ground:
        server, s3, folder, monkeypatch, days = self._given
        self._address = address = databases.create(server)
        orthanc, bucket = Held(folder / "storage"), s3.bucket()
        for study, numbers in STUDIES.items():
            for number in numbers:
                orthanc.add(made(study, number))
        settings = load(
            {
                "SENOGATE_HOME": str(folder),
                "SENOGATE_STORAGE": orthanc.storage,
                "SENOGATE_STORAGE_S3_URL": s3.url,
                "SENOGATE_STORAGE_S3_BUCKET": bucket.access.bucket,
                "SENOGATE_STORAGE_S3_ACCESS_KEY": "key",
                "SENOGATE_STORAGE_S3_SECRET_KEY": "secret",
                "SENOGATE_STORAGE_S3_AFTER_DAYS": str(days),
            }
        )
        monkeypatch.setattr(moving, "Orthanc", lambda settings: orthanc)
        tiers, self._connection = Tiers.of(settings), psycopg.connect(address, autocommit=True)
        follower = Follower(self._connection, orthanc, tiers, lambda _: True)
        follower.index(orthanc.held)
        follower.settle(0, list)
        self._connection.execute("delete from quality_due")
        mover = Mover(settings, PROOF_KEY)
        return Ground(self._connection, address, orthanc, tiers, bucket, mover, s3)

    def __exit__(self, *error: object) -> None:
        self._connection.close()
        databases.drop(self._address)


def test_what_came_long_ago_lies_in_the_bucket_alone(ground: Ground) -> None:
    before = ground.contents()
    assert ground.step() == 3
    assert ground.in_folder() == ground.places  # until the plugin removes them
    assert ground.plugin.step() == 3
    assert (ground.in_folder(), len(held(ground.bucket))) == ([], 3)
    assert ground.contents() == before
    assert (ground.step(), ground.plugin.step()) == (0, 0)


def test_what_came_lately_stays(server: str, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _lay(server, s3, tmp_path, monkeypatch, days=1) as ground:
        assert ground.step() == 0
        assert held(ground.bucket) == []


@pytest.mark.parametrize(
    "due",
    [
        "insert into quality_due values ('1.2.1')",
        "insert into unsettled values ('1.2.1')",
        "update study set withheld = true where study_instance_uid = '1.2.1'",
    ],
    ids=["looked at", "complete", "withheld"],
)
def test_a_study_of_which_something_is_due_stays(ground: Ground, due: str) -> None:
    ground.connection.execute(due)
    assert ground.step() == 1
    names = {name.rpartition("/")[2] for name in held(ground.bucket)}
    assert names == {ground.orthanc.held[identifier] for identifier in _of_study(ground, "1.2.2")}


def test_what_comes_to_a_study_later_follows_it(ground: Ground) -> None:
    ground.step()
    ground.orthanc.add(made(2, 2))
    Follower(ground.connection, ground.orthanc, ground.tiers, lambda _: True).index(ground.orthanc.held)
    ground.connection.execute("delete from unsettled")
    ground.connection.execute("delete from quality_due")
    ground.go_through_again()
    assert ground.step() == 1


class Killed(BaseException):
    """Where the process ended."""


def _kill(*given: object) -> None:
    raise Killed


class TestKilled:
    """The process ends; what comes after it finds all instances, and takes them to the bucket."""

    def _come_through(self, ground: Ground, before: list[bytes]) -> None:
        assert ground.contents() == before
        ground.go_through_again()
        ground.step()
        ground.plugin.step()
        assert (ground.contents(), ground.in_folder()) == (before, [])
        assert sorted(name.rpartition("/")[2] for name in held(ground.bucket)) == ground.places

    def test_after_they_were_named(self, ground: Ground) -> None:
        before = ground.contents()
        ground.mover.choose(ground.connection)
        self._come_through(ground, before)

    @pytest.mark.parametrize("is_there", [False, True], ids=["before", "after"])
    def test_while_one_was_put(self, ground: Ground, monkeypatch: pytest.MonkeyPatch, is_there: bool) -> None:
        before, put = ground.contents(), Bucket.put
        with monkeypatch.context() as patched:
            patched.setattr(Bucket, "put", lambda *given: (put(*given) if is_there else None, _kill()))
            with pytest.raises(Killed):
                ground.step()
        assert ground.plugin.step() == 0  # nobody noted that it is there
        self._come_through(ground, before)

    def test_before_they_are_removed(self, ground: Ground) -> None:
        before = ground.contents()
        ground.step()
        self._come_through(ground, before)

    def test_before_it_is_noted_that_they_are(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        before = ground.contents()
        ground.step()
        plugin = ground.plugin
        with monkeypatch.context() as patched:
            patched.setattr(
                plugin, "_remove", lambda place, size: (Moved._remove(plugin, place, size), _kill())
            )
            with pytest.raises(Killed):
                plugin.step()
        assert len(ground.in_folder()) == 2
        self._come_through(ground, before)

    def test_while_one_that_is_gone_was_removed(
        self, ground: Ground, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ground.step()
        ground.connection.execute(SQL["note_gone"], {"places": ground.places})
        remove = Bucket.remove
        with monkeypatch.context() as patched:
            patched.setattr(Bucket, "remove", lambda *given: (remove(*given), _kill()))
            with pytest.raises(Killed):
                ground.step()
        ground.step()
        assert held(ground.bucket) == []
        assert ground.connection.execute("select count(*) from moved").fetchone() == (0,)


class TestStays:
    """What the bucket does not have for certain stays in the folder, and is tried again."""

    def test_without_a_proof(self, ground: Ground) -> None:
        path = ground.tiers.folder_path(ground.places[0])
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        ground.step()
        ground.plugin.step()
        assert ground.in_folder() == ground.places[:1]

    def test_where_other_bytes_are_read_back(self, ground: Ground) -> None:
        def alter(application: Any, environ: Any, start: Any) -> Any:
            answer = application(environ, start)
            is_object = environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].count("/") > 2
            return [b"x" + b"".join(answer)[1:]] if is_object else answer

        before, ground.s3.between = ground.s3.between, alter
        try:
            ground.step()
        finally:
            ground.s3.between = before
        assert ground.plugin.step() == 0
        assert ground.in_folder() == ground.places

    def test_while_the_bucket_is_away(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("archive.bucket._PAUSE", 0)
        ground.s3.stop()
        try:
            with pytest.raises(Unavailable):
                ground.step()
        finally:
            ground.s3.start()
        assert ground.in_folder() == ground.places
        assert ground.step() == 3

    def test_a_file_that_is_not_the_one_that_was_moved(self, ground: Ground) -> None:
        ground.step()
        path = ground.tiers.folder_path(ground.places[0])
        path.write_bytes(path.read_bytes() + b"x")
        ground.plugin.step()
        assert ground.in_folder() == ground.places[:1]


class TestGone:
    """What Orthanc removed goes from the bucket."""

    def test_by_the_note_of_its_place(self, ground: Ground) -> None:
        ground.step()
        ground.plugin.step()
        place = ground.places[0]
        ground.tiers.path(place)
        (identifier,) = [each for each, where in ground.orthanc.held.items() if where == place]
        noted = queries("index.sql")["note_removal"]
        ground.connection.execute(noted, {"uids": [None], "places": [place]})
        told = ground.connection.execute("select sop_instance_uid, place from removal").fetchall()
        known = ground.connection.execute(
            "select sop_instance_uid from instance where orthanc_id = %s", [identifier]
        ).fetchone()
        assert known
        assert told == [(known[0], place)]
        ground.step()
        assert place not in {name.rpartition("/")[2] for name in held(ground.bucket)}
        assert not ground.tiers.cache or not ground.tiers.cache.file(place).exists()

    def test_what_nothing_is_known_of_asks_for_a_comparison(self, ground: Ground) -> None:
        noted = queries("index.sql")["note_removal"]
        strange = "00000000-0000-4000-8000-000000000000"
        ground.connection.execute(noted, {"uids": [None, None], "places": [strange, None]})
        told = ground.connection.execute("select sop_instance_uid, place from removal").fetchall()
        assert told == [(None, None), (None, None)]

    @pytest.mark.parametrize("is_held", [False, True])
    def test_by_what_orthanc_holds_where_the_index_does_not_know(self, ground: Ground, is_held: bool) -> None:
        ground.step()
        ground.connection.execute("delete from study where study_instance_uid = '1.2.2'")
        if not is_held:
            ground.orthanc.held = {each: ground.orthanc.held[each] for each in _of_study(ground, "1.2.1")}
        ground.go_through_again()
        ground.step()
        assert len(held(ground.bucket)) == (3 if is_held else 2)

    def test_an_orthanc_that_lost_its_index_removed_nothing(self, ground: Ground) -> None:
        ground.step()
        ground.connection.execute("delete from instance")
        ground.orthanc.held, ground.orthanc.is_own = {}, False
        ground.go_through_again()
        ground.step()
        assert len(held(ground.bucket)) == 3

    def test_copies_of_what_is_not_there_go_too(self, ground: Ground, tmp_path: Path) -> None:
        instances.write_durably(_made(tmp_path / "cache") / ground.places[0], b"left")
        ground.step()
        assert os.listdir(tmp_path / "cache") == []


def test_orthancs_index_is_not_made_of_a_folder_that_lacks_them(ground: Ground) -> None:
    ground.step()
    with pytest.raises(Conflict, match="3 instances lie in the bucket"):
        rebuilding._require_folder(ground.connection)


def test_an_index_built_anew_is_the_same(ground: Ground) -> None:
    before = rows(ground.connection)
    ground.step()
    ground.plugin.step()
    again = Reindexing(ground.connection, ground.orthanc, ground.tiers, lambda _: True)
    assert again.run(lambda: ground.orthanc.held, lambda _: None) == 3
    assert rows(ground.connection) == before


def test_what_was_restored_is_put_anew(ground: Ground) -> None:
    before = ground.contents()
    ground.step()
    ground.plugin.step()
    for place, content in zip(ground.places, before, strict=True):
        instances.write(ground.tiers.storage, place, content)
        ground.bucket.remove(place)
    ground.connection.execute(SQL["put_anew"], {"places": None})
    assert ground.plugin.step() == 0
    assert ground.step() == 3
    ground.plugin.step()
    assert (ground.contents(), ground.in_folder()) == (before, [])


def test_one_process_of_a_site_moves(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    ground.connection.execute(SQL["move_alone"], {"key": moving.LOCK})
    other = Mover(_settings(ground), PROOF_KEY)
    assert other.run() == 0
    assert held(ground.bucket) == []


def _settings(ground: Ground) -> Any:
    return replace(ground.mover._settings, database_url=ground.address)


def _of_study(ground: Ground, study: str) -> list[str]:
    found = ground.connection.execute(
        "select orthanc_id from instance where study_instance_uid = %s", [study]
    )
    return [identifier for (identifier,) in found.fetchall()]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
