"""Where instances lie: the same for each tier, and what only a bucket, its copies at hand or a mount can do."""

import errno
import hashlib
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import pytest

from archive import instances
from archive.bucket import Access, Bucket, Kept
from archive.cache import Cache
from archive.errors import ConfigurationError, NotFound, Unavailable, Unproven
from archive.search import Place
from archive.settings import load
from archive.tiers import Tiers
from gateway.body import FileRange, SegmentsResponse
from gateway.stored import StoredFiles
from tests.buckets import S3, client_of, held, serving
from tests.unit.dicom_files import dataset, part10, pixels, prove

KEY = b"k" * 32
CONTENT = prove(part10(dataset(**pixels(10, 10))), KEY)
WRITTEN = 1_600_000_000_123_456_789
MIB = 1024**2


def place(number: int = 1) -> str:
    return f"00000000-0000-0000-0000-{number:012}"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with serving() as server:
        yield server


@pytest.fixture
def between(s3: S3) -> Iterator[Callable[[Any], None]]:
    """Sets what is done to requests on their way, until the test has ended."""
    before = s3.between
    yield lambda work: setattr(s3, "between", work)
    s3.between = before


def put(bucket: Bucket, name: str, content: bytes = CONTENT) -> Kept:
    kept = Kept(hashlib.sha256(content).digest(), len(content), WRITTEN)
    bucket.put(name, BytesIO(content), kept)
    return kept


@dataclass
class Shelf:
    """Tiers, and how an instance comes to lie where they have it."""

    tiers: Tiers
    lay: Callable[[str, bytes], object]


def in_folder(tmp_path: Path, mount: str = "") -> Shelf:
    def lay(name: str, content: bytes) -> None:
        instances.write(str(tmp_path), name, content)
        os.utime(instances.path(str(tmp_path), name), ns=(WRITTEN, WRITTEN))

    return Shelf(Tiers(str(tmp_path), mount), lay)


def in_bucket(tmp_path: Path, s3: S3, most: int = 100 * MIB) -> Shelf:
    bucket = s3.bucket()
    tiers = Tiers(str(tmp_path / "storage"), "", bucket, Cache(str(tmp_path / "cache"), most))
    return Shelf(tiers, lambda name, content: put(bucket, name, content))


@pytest.fixture(params=["folder", "mounted", "bucket"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    if request.param == "bucket":
        return in_bucket(tmp_path, s3)
    if request.param == "mounted":
        monkeypatch.setattr(os.path, "ismount", lambda path: path == str(tmp_path))
        return in_folder(tmp_path, str(tmp_path))
    return in_folder(tmp_path)


class TestEachTier:
    def test_a_file_has_the_bytes_and_was_written_when_the_instance_was(self, shelf: Shelf) -> None:
        shelf.lay(place(), CONTENT)
        path = shelf.tiers.path(place())
        assert (path.read_bytes(), path.stat().st_mtime_ns) == (CONTENT, WRITTEN)

    def test_it_is_read_through_and_at_once(self, shelf: Shelf) -> None:
        shelf.lay(place(), CONTENT)
        with shelf.tiers.open(place()) as file:
            assert (os.fstat(file.fileno()).st_size, file.read()) == (len(CONTENT), CONTENT)
        assert shelf.tiers.read(place()) == CONTENT

    def test_what_is_nowhere(self, shelf: Shelf) -> None:
        with pytest.raises(FileNotFoundError):
            shelf.tiers.path(place()).stat()
        with pytest.raises(FileNotFoundError):
            shelf.tiers.read(place())

    @pytest.mark.parametrize("name", ["../../etc/passwd", "", "0" * 36])
    def test_only_a_uuid_names_an_instance(self, shelf: Shelf, name: str) -> None:
        with pytest.raises(ValueError, match="UUID"):
            shelf.tiers.path(name)

    def test_another_process_is_handed_them(self, shelf: Shelf) -> None:
        shelf.lay(place(), CONTENT)
        assert pickle.loads(pickle.dumps(shelf.tiers)).read(place()) == CONTENT

    def test_the_gateway_serves_what_is_proven(self, shelf: Shelf) -> None:
        shelf.lay(place(), CONTENT)
        found = Place(
            "1.2.3", "1.2.3.4", "1.2.3.4.5", place(), len(CONTENT), "1.2.840.10008.1.2.1", 1, None, None
        )
        files = StoredFiles(shelf.tiers, KEY)
        assert anyio.run(files.path, found).read_bytes() == CONTENT
        with pytest.raises(NotFound):
            anyio.run(files.path, replace(found, place=place(2)))


class TestBucket:
    def test_an_object_goes_with_all_its_versions(self, s3: S3) -> None:
        bucket = s3.bucket(versions=True)
        for _ in range(2):
            put(bucket, place())
        assert len(held(bucket)) == 2
        bucket.remove(place())
        assert held(bucket) == []
        bucket.remove(place())

    def test_objects_are_encrypted_by_the_service(self, s3: S3) -> None:
        bucket = s3.bucket()
        put(bucket, place())
        told = client_of(bucket).head_object(Bucket=bucket.access.bucket, Key=f"00/00/{place()}")
        assert told["ServerSideEncryption"] == "AES256"

    def test_one_that_does_not_encrypt_gets_nothing(self, s3: S3, between: Callable[[Any], None]) -> None:
        bucket = s3.bucket()

        def plain(application: Any, environ: Any, start: Any) -> Any:
            def begin(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                kept = [each for each in headers if "encryption" not in each[0].lower()]
                return start(status, kept, *rest)

            return application(environ, begin)

        between(plain)
        with pytest.raises(ConfigurationError, match="encrypt"):
            put(bucket, place())
        assert held(bucket) == []

    def test_what_is_read_back_otherwise_was_not_put(self, s3: S3, between: Callable[[Any], None]) -> None:
        between(_altered)
        with pytest.raises(Unproven):
            put(s3.bucket(), place())

    def test_what_was_altered_there_is_given_to_nobody(
        self, s3: S3, tmp_path: Path, between: Callable[[Any], None]
    ) -> None:
        shelf = in_bucket(tmp_path, s3)
        shelf.lay(place(), CONTENT)
        between(_altered)
        with pytest.raises(Unproven):
            shelf.tiers.path(place())
        assert os.listdir(tmp_path / "cache") == []

    def test_an_object_that_the_site_did_not_put_there(self, s3: S3) -> None:
        bucket = s3.bucket()
        client_of(bucket).put_object(Bucket=bucket.access.bucket, Key=f"00/00/{place()}", Body=CONTENT)
        with pytest.raises(Unproven):
            bucket.fetch(place(), BytesIO(), len)

    def test_an_answer_that_breaks_off(self, s3: S3, tmp_path: Path, between: Callable[[Any], None]) -> None:
        shelf = in_bucket(tmp_path, s3)
        shelf.lay(place(), CONTENT)
        between(lambda application, environ, start: [b"".join(application(environ, start))[:-1]])
        with pytest.raises(Unavailable):
            shelf.tiers.path(place())
        assert os.listdir(tmp_path / "cache") == []

    @pytest.mark.parametrize("status", ["403 Forbidden", "500 Internal Server Error", "503 Slow Down"])
    def test_a_service_that_refuses(self, s3: S3, between: Callable[[Any], None], status: str) -> None:
        def refuse(application: Any, environ: Any, start: Any) -> list[bytes]:
            start(status, [("content-length", "0")])
            return [b""]

        between(refuse)
        bucket = Bucket(Access(s3.url, "images", "us-east-1", "key", "secret"))
        with pytest.raises(Unavailable, match=status[:3]):
            bucket.fetch(place(), BytesIO(), len)

    def test_while_it_is_away_all_else_is_there_and_afterwards_it_is_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("archive.bucket._PAUSE", 0)
        with serving() as server:
            shelf = in_bucket(tmp_path, server)
            shelf.lay(place(1), CONTENT)
            shelf.lay(place(2), CONTENT)
            instances.write(shelf.tiers.storage, place(3), CONTENT)
            shelf.tiers.path(place(2))
            server.stop()
            with pytest.raises(Unavailable):
                shelf.tiers.path(place(1))
            assert shelf.tiers.path(place(2)).read_bytes() == CONTENT
            assert shelf.tiers.path(place(3)).read_bytes() == CONTENT
            server.start()
            assert shelf.tiers.path(place(1)).read_bytes() == CONTENT

    def test_one_that_did_not_answer_is_left_alone_for_a_while(self, tmp_path: Path, s3: S3) -> None:
        with serving() as server:
            bucket = server.bucket()
            server.stop()
            for _ in range(2):
                with pytest.raises(Unavailable):
                    bucket.check()
            server.start()
            begun = len(server.asked)
            with pytest.raises(Unavailable):
                bucket.check()
            assert len(server.asked) == begun

    def test_neither_key_shows(self, s3: S3) -> None:
        assert "secret" not in repr(s3.bucket())


def _altered(application: Any, environ: Any, start: Any) -> Any:
    """What is read of objects has another last byte."""
    answer = application(environ, start)
    if environ["REQUEST_METHOD"] != "GET" or place()[:8] not in environ["PATH_INFO"]:
        return answer
    content = b"".join(answer)
    return [content[:-1] + bytes([content[-1] ^ 1])]


class TestCopiesAtHand:
    def test_what_was_not_used_for_longest_goes_first(self, s3: S3, tmp_path: Path) -> None:
        shelf, content = in_bucket(tmp_path, s3, 5 * MIB // 2), os.urandom(MIB)
        for number in (1, 2, 3):
            shelf.lay(place(number), content)
        for number in (1, 2):
            _age(shelf.tiers.path(place(number)), 100_000 * number)
        shelf.tiers.path(place(3))
        assert sorted(os.listdir(tmp_path / "cache")) == [place(1), place(3)]

    def test_what_is_used_again_stays(self, s3: S3, tmp_path: Path) -> None:
        shelf, content = in_bucket(tmp_path, s3, 5 * MIB // 2), os.urandom(MIB)
        for number in (1, 2, 3):
            shelf.lay(place(number), content)
        for number in (1, 2):
            _age(shelf.tiers.path(place(number)), 100_000 * number)
        shelf.tiers.path(place(2))
        shelf.tiers.path(place(3))
        assert sorted(os.listdir(tmp_path / "cache")) == [place(2), place(3)]

    def test_they_never_take_more_than_they_may(self, s3: S3, tmp_path: Path) -> None:
        shelf, content = in_bucket(tmp_path, s3, 2 * MIB), os.urandom(MIB)
        for number in (1, 2, 3):
            shelf.lay(place(number), content)
        for number in (1, 2):
            shelf.tiers.path(place(number))
        with pytest.raises(Unavailable, match="being read"):
            shelf.tiers.path(place(3))
        assert sum(each.stat().st_size for each in (tmp_path / "cache").iterdir()) <= 2 * MIB

    def test_one_is_fetched_once_for_all_who_want_it(self, s3: S3, tmp_path: Path) -> None:
        shelf = in_bucket(tmp_path, s3)
        shelf.lay(place(), CONTENT)
        begun = len(s3.asked)
        threads = [threading.Thread(target=shelf.tiers.path, args=[place()]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(s3.asked) == begun + 1

    def test_a_folder_that_was_emptied_costs_nothing(self, s3: S3, tmp_path: Path) -> None:
        shelf = in_bucket(tmp_path, s3)
        shelf.lay(place(), CONTENT)
        shelf.tiers.path(place()).unlink()
        assert shelf.tiers.path(place()).read_bytes() == CONTENT

    def test_an_answer_goes_on_where_its_file_was_moved_meanwhile(self, s3: S3, tmp_path: Path) -> None:
        files, response = self._begun(tmp_path, s3, CONTENT)
        assert anyio.run(_body_of, response, files) == CONTENT

    def test_an_answer_breaks_off_where_what_was_moved_is_unproven(self, s3: S3, tmp_path: Path) -> None:
        files, response = self._begun(tmp_path, s3, CONTENT[:-1] + b"x")
        with pytest.raises(FileNotFoundError):
            anyio.run(_body_of, response, files)

    def _begun(self, tmp_path: Path, s3: S3, moved: bytes) -> tuple[StoredFiles, SegmentsResponse]:
        """An answer of a file that is moved before it is read."""
        shelf = in_bucket(tmp_path, s3)
        path = instances.path(shelf.tiers.storage, place())
        instances.write(shelf.tiers.storage, place(), CONTENT)
        files = StoredFiles(shelf.tiers, KEY)
        assert anyio.run(files.path, _place_of(CONTENT)) == path
        shelf.lay(place(), moved)
        path.unlink()
        return files, SegmentsResponse([FileRange(path, 0, len(CONTENT))], "application/dicom")


async def _body_of(response: SegmentsResponse, stored: StoredFiles) -> bytes:
    """What an answer of a gateway sends."""
    sent: list[bytes] = []

    class Application:
        class state:  # noqa: N801 - as Starlette has it
            class services:  # noqa: N801
                pass

    Application.state.services.stored = stored

    async def receive() -> dict[str, str]:
        await anyio.sleep_forever()
        return {}

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    await response({"type": "http", "method": "GET", "app": Application}, receive, send)
    return b"".join(sent)


def _age(path: Path, seconds: float) -> None:
    """Make a copy one that was used so long ago."""
    found = path.stat()
    os.utime(path, (found.st_atime - seconds, found.st_mtime))


class TestMount:
    """A folder on NFS: what is not known to be there is not known to be gone."""

    def test_nothing_is_read_of_a_folder_whose_mount_is_away(self, tmp_path: Path) -> None:
        shelf = in_folder(tmp_path, str(tmp_path))
        with pytest.raises(Unavailable):
            shelf.tiers.require_mounted()
        with pytest.raises(Unavailable):
            shelf.tiers.is_in_folder(place())

    def test_nothing_is_stored_there(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="mounted"):
            instances.require_mounted(str(tmp_path))
        instances.require_mounted("")
        instances.require_mounted("/proc")

    @pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN])
    def test_an_instance_is_not_told_to_be_gone_while_the_disk_does_not_answer(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        files, found = _served(tmp_path)
        monkeypatch.setattr("gateway.stored.os.open", _failing(number))
        with pytest.raises(Unavailable):
            anyio.run(files.path, found)

    def test_a_stale_handle_is_tried_once_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """RFC 1813 section 2.6: a handle is stale when the server removed or replaced its file."""
        files, found = _served(tmp_path)
        monkeypatch.setattr("gateway.stored.os.open", _failing(errno.ESTALE, times=1))
        assert anyio.run(files.path, found).read_bytes() == CONTENT

    @pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ESTALE])
    def test_what_can_not_be_made_durable_is_not_stored(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        """An NFS server tells of a write that failed when it is told to commit (RFC 1813 section 3.3.21)."""

        def fail(descriptor: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("archive.instances.os.fsync", fail)
        with pytest.raises(OSError) as raised:
            instances.write(str(tmp_path), place(), CONTENT)
        assert raised.value.errno == number
        assert not instances.path(str(tmp_path), place()).exists()

    def test_why_it_was_not_stored_is_told_where_its_rest_can_not_be_removed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*given: Any) -> None:
            raise OSError(errno.EIO if len(given) == 1 and isinstance(given[0], int) else errno.ESTALE, "")

        monkeypatch.setattr("archive.instances.os.fsync", fail)
        monkeypatch.setattr("archive.instances.os.unlink", fail)
        with pytest.raises(OSError) as raised:
            instances.write(str(tmp_path), place(), CONTENT)
        assert raised.value.errno == errno.EIO


def _place_of(content: bytes) -> Place:
    uids = ("1.2.3", "1.2.3.4", "1.2.3.4.5")
    return Place(*uids, place(), len(content), "1.2.840.10008.1.2.1", 1, None, None)


def _served(tmp_path: Path) -> tuple[StoredFiles, Place]:
    shelf = in_folder(tmp_path)
    shelf.lay(place(), CONTENT)
    found = Place(
        "1.2.3", "1.2.3.4", "1.2.3.4.5", place(), len(CONTENT), "1.2.840.10008.1.2.1", 1, None, None
    )
    return StoredFiles(shelf.tiers, KEY), found


def _failing(number: int, times: int = 1000) -> Callable[..., int]:
    """`os.open` that fails so many times."""
    opened, left = os.open, iter(range(times))

    def fail(path: Any, *rest: Any) -> int:
        if next(left, None) is not None:
            raise OSError(number, os.strerror(number))
        return opened(path, *rest)

    return fail


BUCKET = {
    "SENOGATE_STORAGE_S3_URL": "https://s3.hospital.example",
    "SENOGATE_STORAGE_S3_BUCKET": "images",
    "SENOGATE_STORAGE_S3_ACCESS_KEY": "site",
    "SENOGATE_STORAGE_S3_SECRET_KEY": "hidden",
}


class TestSettings:
    def test_the_key_is_read_of_a_file_and_shown_nowhere(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("hidden\n")
        told = BUCKET | {"SENOGATE_HOME": str(tmp_path), "SENOGATE_STORAGE_S3_SECRET_KEY": ""}
        settings = load(told | {"SENOGATE_STORAGE_S3_SECRET_KEY_FILE": str(tmp_path / "key")})
        assert settings.storage_s3_secret_key == "hidden"
        assert "hidden" not in repr(settings)
        assert settings.storage_cache == str(tmp_path / "cache")

    @pytest.mark.parametrize(
        "url", ["http://s3.hospital.example", "ftp://127.0.0.1", "http://127.0.0.1.example"]
    )
    def test_the_way_to_the_bucket_is_encrypted(self, tmp_path: Path, url: str) -> None:
        with pytest.raises(ConfigurationError, match="https"):
            load(BUCKET | {"SENOGATE_HOME": str(tmp_path), "SENOGATE_STORAGE_S3_URL": url})

    def test_loopback_needs_no_encryption(self, tmp_path: Path) -> None:
        told = BUCKET | {"SENOGATE_STORAGE_S3_URL": "http://127.0.0.1:9000"}
        assert load(told | {"SENOGATE_HOME": str(tmp_path)}).storage_s3_url == "http://127.0.0.1:9000"

    @pytest.mark.parametrize("name", ["BUCKET", "ACCESS_KEY", "SECRET_KEY"])
    def test_a_bucket_is_told_whole(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ConfigurationError, match=name.lower()):
            load(BUCKET | {"SENOGATE_HOME": str(tmp_path), f"SENOGATE_STORAGE_S3_{name}": ""})

    def test_a_mount_is_where_the_folder_lies(self, tmp_path: Path) -> None:
        told = {"SENOGATE_HOME": str(tmp_path), "SENOGATE_STORAGE": "/srv/images/storage"}
        assert load(told | {"SENOGATE_STORAGE_MOUNT": "/srv/images"}).storage_mount == "/srv/images"
        with pytest.raises(ConfigurationError, match="storage_mount"):
            load(told | {"SENOGATE_STORAGE_MOUNT": "/srv/other"})
