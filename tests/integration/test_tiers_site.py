"""A real site whose exams move to a bucket at once: what it answers, and what is left of an exam that was erased."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from archive.bucket import Bucket
from archive.tiers import Tiers
from tests.buckets import S3, client_of, held, serving
from tests.integration.conftest import Send, send_c_store
from tests.integration.test_backup import PASSPHRASE
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def bucket(s3: S3) -> Bucket:
    return s3.bucket(versions=True)


@pytest.fixture(scope="module")
def moving(
    new_home: Callable[[], Path], free_ports: Callable[[int], list[int]], s3: S3, bucket: Bucket
) -> Iterator[LiveSite]:
    settings = {
        "SENOGATE_STORAGE_S3_URL": s3.url,
        "SENOGATE_STORAGE_S3_BUCKET": bucket.access.bucket,
        "SENOGATE_STORAGE_S3_ACCESS_KEY": "key",
        "SENOGATE_STORAGE_S3_SECRET_KEY": "secret",
        "SENOGATE_STORAGE_S3_AFTER_DAYS": "0",
    }
    site = LiveSite(new_home(), free_ports(3), settings).start()
    yield site
    assert site.stop() == 0


class Moved:
    """An exam of which no file is in the storage folder any more."""

    def __init__(self, site: LiveSite, study: str) -> None:
        self.site, self.study, self.tiers = site, study, Tiers.of(site.settings)
        eventually(self._has_moved)
        self.rows = self._rows()

    def _has_moved(self) -> bool:
        places = [place for _, _, place, _ in self._rows()]
        return len(places) >= 4 and not any(self.tiers.is_in_folder(place) for place in places)

    def _rows(self) -> list[tuple[Any, ...]]:
        with self.site.database() as database:
            return database.execute(
                "select series_instance_uid, sop_instance_uid, place, orthanc_id from instance"
                " where study_instance_uid = %s and is_image order by sop_instance_uid",
                [self.study],
            ).fetchall()

    @property
    def address(self) -> str:
        """The first of its instances."""
        series, instance, *_ = self.rows[0]
        return f"/studies/{self.study}/series/{series}/instances/{instance}"

    @property
    def place(self) -> str:
        return str(self.rows[0][2])

    def without_copies(self) -> None:
        for each in Path(self.site.settings.storage_cache).glob("*"):
            each.unlink()


@pytest.fixture(scope="module")
def make(
    moving: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Moved]:
    """A callable that sends an exam and waits until it has moved."""

    def send() -> Moved:
        sent = moving.send(write(tmp_path_factory.mktemp("exam"), phantom_exam()))
        return Moved(moving, sent["studies"][0]["study_instance_uid"])

    return send


@pytest.fixture(scope="module")
def exam(make: Callable[[], Moved]) -> Moved:
    """One that tests leave as it is."""
    return make()


@pytest.fixture
def moved(exam: Moved) -> Moved:
    """That exam, without copies of it at hand."""
    exam.without_copies()
    return exam


class TestAMovedExam:
    def test_is_retrieved_as_it_was_stored(self, moving: LiveSite, moved: Moved) -> None:
        accepted = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
        with moving.client() as client:
            answer = client.get(moved.address, headers=accepted)
            again = client.get(moved.address, headers=accepted)
            study = client.get(f"/studies/{moved.study}", headers=accepted)
        assert (answer.status_code, again.status_code, study.status_code) == (200, 200, 200)
        stored = moved.tiers.read(moved.place)
        assert stored in answer.content
        assert stored in again.content
        assert all(moved.tiers.read(place) in study.content for _, _, place, _ in moved.rows)

    @pytest.mark.parametrize("what", ["/frames/1", "/rendered", "/thumbnail", "/bulkdata/7FE00010"])
    def test_has_pixels(self, moving: LiveSite, moved: Moved, what: str) -> None:
        with moving.client() as client:
            assert client.get(moved.address + what).status_code == 200

    def test_is_read_by_orthanc_through_the_plugin(self, moving: LiveSite, moved: Moved) -> None:
        with moving.orthanc() as orthanc:
            answer = orthanc.get(f"/instances/{moved.rows[0][3]}/file")
        assert (answer.status_code, answer.content) == (200, moved.tiers.read(moved.place))

    def test_is_in_a_backup(self, moving: LiveSite, moved: Moved, tmp_path: Path) -> None:
        moving.run("backup", str(tmp_path / "backup"), stdin=PASSPHRASE)
        kept = {path.name: path for path in (tmp_path / "backup").rglob("*") if path.name == moved.place}
        assert kept[moved.place].read_bytes() == moved.tiers.read(moved.place)
        assert not list(Path(moving.settings.storage_cache).glob("*"))  # a backup is no use of it

    def test_goes_with_what_orthanc_removes(
        self, moving: LiveSite, make: Callable[[], Moved], bucket: Bucket
    ) -> None:
        moved = make()
        with moving.orthanc() as orthanc:
            assert orthanc.delete(f"/instances/{moved.rows[0][3]}").status_code == 200
        eventually(lambda: moved.place not in _names(bucket))
        with moving.client() as client:
            eventually(lambda: client.get(moved.address).status_code in (404, 410))
            assert client.get(f"/studies/{moved.study}").status_code == 200

    def test_is_erased_from_the_bucket_with_all_versions_and_copies(
        self, moving: LiveSite, make: Callable[[], Moved], bucket: Bucket
    ) -> None:
        moved = make()
        for _, _, place, _ in moved.rows:
            moved.tiers.path(place)
        again = f"{moved.place[:2]}/{moved.place[2:4]}/{moved.place}"
        client_of(bucket).put_object(Bucket=bucket.access.bucket, Key=again, Body=b"another version")
        moving.run("erase", "study", moved.study, "--reason", "a test", "--yes")
        places = {place for _, _, place, _ in moved.rows}
        assert not places & _names(bucket)
        assert not places & {path.name for path in Path(moving.settings.storage_cache).glob("*")}
        assert _known(moving, places) == 0


class TestWhileTheBucketIsAway:
    def test_what_lies_there_is_unavailable_and_all_else_goes_on(
        self, moving: LiveSite, moved: Moved, s3: S3, instance: bytes
    ) -> None:
        s3.stop()
        try:
            with moving.client() as client:
                refused = client.get(moved.address)
                found = client.get(f"/studies?StudyInstanceUID={moved.study}")
                metadata = client.get(f"{moved.address}/metadata")
            assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
            assert (found.status_code, metadata.status_code) == (200, 200)
            assert send_c_store(moving, instance) == "stored"
            told = moving.run("doctor", "--json", check=False).stdout
            assert "act" in {
                each["level"] for each in json.loads(told)["findings"] if each["check"] == "bucket"
            }
        finally:
            s3.start()
        with moving.client() as client:
            eventually(lambda: client.get(moved.address).status_code == 200)

    def test_an_erasure_is_not_complete_and_goes_on(
        self, moving: LiveSite, make: Callable[[], Moved], s3: S3, bucket: Bucket
    ) -> None:
        moved = make()
        s3.stop()
        try:
            erased = moving.run("erase", "study", moved.study, "--reason", "a test", "--yes", check=False)
            assert erased.returncode != 0
            assert "receipt" not in erased.stdout
        finally:
            s3.start()
        eventually(lambda: moving.run("erase", "resume", check=False).returncode == 0)
        assert not {place for _, _, place, _ in moved.rows} & _names(bucket)


class TestWhileTheMountIsAway:
    """The storage folder is to lie on a file system that is not mounted."""

    @pytest.fixture(scope="class")
    def beneath(
        self, new_home: Callable[[], Path], free_ports: Callable[[int], list[int]]
    ) -> Iterator[LiveSite]:
        home = new_home()
        site = LiveSite(home, free_ports(3), {"SENOGATE_STORAGE_MOUNT": str(home / "orthanc" / "storage")})
        yield site.start()
        assert site.stop() == 0

    def test_nothing_is_stored(self, beneath: LiveSite, way: Send, instance: bytes) -> None:
        assert way(beneath, instance) in ("A700", "500", "503")
        assert not list(Path(beneath.settings.storage).glob("??"))

    def test_the_doctor_says_so(self, beneath: LiveSite) -> None:
        told = beneath.run("doctor", "--json", check=False).stdout
        assert "storage-mount" in {each["check"] for each in json.loads(told)["findings"]}


def test_what_was_stored_came_whole(moving: LiveSite, moved: Moved) -> None:
    """The object is the Part 10 file of the instance, for whoever looks into the bucket (PS3.10)."""
    found = dcmread(DicomBytesIO(moved.tiers.read(moved.place)), stop_before_pixels=True)
    assert str(found.SOPInstanceUID) == moved.rows[0][1]


def _names(bucket: Bucket) -> set[str]:
    """The places of all instances of which the bucket has anything."""
    return {name.rpartition("/")[2] for name in held(bucket)}


def _known(site: LiveSite, places: set[str]) -> int:
    with site.database() as database:
        cursor: psycopg.Cursor[Any] = database.execute(
            "select count(*) from moved where place = any(%s)", [sorted(places)]
        )
        ((count,),) = cursor.fetchall()
        return int(count)
