"""What backups are made of: sealed streams, keys, manifests, shared files, a copy of an index that is written to."""

import errno
import hashlib
import io
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from archive import instances, secrets
from archive.errors import BadRequest, ConfigurationError, Conflict, NotFound, Unavailable
from archive.settings import Settings
from deidentification.seal import SealBroken
from senogate.backup import (
    database,
    files,
    keys,
    listing,
    making,
    orthanc_index,
    repository,
    restoring,
    sealed,
)
from senogate.backup.keys import Opener
from senogate.backup.manifest import Manifest, Part, sealed_data_key
from senogate.backup.repository import Kept, Repository
from tests.live import eventually

KEY, PLACE = bytes(range(32)), "0b0f6a0e-4f0c-4f0c-8f0c-0b0f6a0e4f0c"


def sealed_stream(content: bytes, key: bytes = KEY) -> bytes:
    written = io.BytesIO()
    sealer = sealed.Sealer(written.write, key)
    sealer.write(content)
    sealer.finish()
    return written.getvalue()


def opened(stream: bytes, key: bytes = KEY) -> bytes:
    return b"".join(sealed.opened(io.BytesIO(stream), key))


class TestSealedStream:
    @given(st.binary(max_size=200))
    def test_opens_as_it_was(self, content: bytes) -> None:
        assert opened(sealed_stream(content)) == content

    @pytest.mark.parametrize("size", [sealed.CHUNK - 1, sealed.CHUNK, sealed.CHUNK + 1, 2 * sealed.CHUNK])
    def test_chunks_end_anywhere(self, size: int) -> None:
        assert opened(sealed_stream(bytes(size))) == bytes(size)

    @pytest.mark.parametrize("end", [0, 10, sealed.CHUNK + 16, -1])
    def test_one_that_was_cut_off_is_noticed(self, end: int) -> None:
        with pytest.raises(SealBroken):
            opened(sealed_stream(bytes(2 * sealed.CHUNK))[:end])

    def test_chunks_that_changed_places_are_noticed(self) -> None:
        stream, chunk = sealed_stream(bytes(3 * sealed.CHUNK)), sealed.CHUNK + 16
        with pytest.raises(SealBroken):
            opened(stream[chunk : 2 * chunk] + stream[:chunk] + stream[2 * chunk :])

    @given(st.integers(min_value=0, max_value=40))
    def test_no_altered_byte_opens(self, place: int) -> None:
        stream = bytearray(sealed_stream(bytes(25)))
        stream[place] ^= 1
        with pytest.raises(SealBroken):
            opened(bytes(stream))

    def test_parts_of_a_backup_have_keys_of_their_own(self) -> None:
        with pytest.raises(SealBroken):
            opened(sealed_stream(b"x", sealed.key_of(KEY, "database")), sealed.key_of(KEY, "files"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "backup.key"
    keys.make(file)
    return file


def manifest(sealing: keys.Sealing) -> Manifest:
    data_key = sealed_data_key(sealing, KEY, "site")
    told = Manifest("site", "2026-01-01T00:00:00+00:00", "1", "0001", sealing.told, data_key, {}, 1, 1, 1)
    return told.signed(KEY)


class TestKeys:
    def test_a_private_key_is_its_owners_alone(self, pair: Path) -> None:
        assert pair.stat().st_mode & 0o777 == 0o600

    def test_it_may_be_named_from_where_one_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert keys.make(Path("backup.key")).exists()

    def test_none_is_written_over(self, pair: Path) -> None:
        with pytest.raises(FileExistsError):
            keys.make(pair)

    def test_the_public_half_of_one_that_is_elsewhere_is_not_written_over(self, tmp_path: Path) -> None:
        (tmp_path / "backup.key.pub").touch()
        with pytest.raises(FileExistsError):
            keys.make(tmp_path / "backup.key")
        assert not (tmp_path / "backup.key").exists()

    @pytest.mark.parametrize(
        "told",
        [
            {},
            {"by": "passphrase"},
            {"by": "passphrase", "salt": "", "cost": 1000, "public": ""},
            {"by": "passphrase", "salt": 1},
        ],
        ids=["nothing", "no salt", "odd cost", "no text"],
    )
    def test_a_manifest_that_says_nonsense_is_refused(self, told: dict[str, object], pair: Path) -> None:
        opener = Opener(passphrase="long enough to fail") if told else Opener(key=pair)
        with pytest.raises(BadRequest):
            manifest(keys.Sealing(X25519PrivateKey.generate().public_key().public_bytes_raw(), told)).open(
                opener
            )

    def test_parts_lie_in_the_backup(self, pair: Path, tmp_path: Path) -> None:
        made = manifest(keys.for_recipient(pair.with_name("backup.key.pub")))
        (tmp_path / "manifest.json").write_bytes(replace(made, parts={"../../x": Part(1, "")}).to_bytes())
        with pytest.raises(BadRequest):
            Manifest.read(tmp_path / "manifest.json")

    def test_the_recipient_opens(self, pair: Path) -> None:
        assert manifest(keys.for_recipient(pair.with_name("backup.key.pub"))).open(Opener(key=pair)) == KEY

    def test_the_passphrase_opens_and_no_other(self) -> None:
        made = manifest(keys.for_passphrase("long enough to seal"))
        assert made.open(Opener(passphrase="long enough to seal")) == KEY
        with pytest.raises(ConfigurationError):
            made.open(Opener(passphrase="long enough to fail"))

    def test_a_short_passphrase_is_refused(self) -> None:
        with pytest.raises(ConfigurationError):
            keys.for_passphrase("too short")

    def test_a_private_key_is_no_recipient(self, pair: Path) -> None:
        with pytest.raises(ConfigurationError):
            keys.for_recipient(pair)

    def test_an_altered_manifest_is_refused(self, pair: Path) -> None:
        made = manifest(keys.for_recipient(pair.with_name("backup.key.pub")))
        with pytest.raises(BadRequest):
            replace(made, files=2).open(Opener(key=pair))

    def test_a_manifest_that_asks_for_all_memory_is_refused(self) -> None:
        told = dict(keys.for_passphrase("long enough to seal").told) | {"cost": 2**40}
        with pytest.raises(ConfigurationError):
            Opener(passphrase="long enough to seal").private(told)


class TestRepository:
    def test_a_full_disk_leaves_nothing_half(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(repository, "copy_digesting", full)
        (tmp_path / "source").write_bytes(b"content")
        found = Repository(tmp_path / "backups")
        with (
            open(tmp_path / "source", "rb") as source,
            pytest.raises(Unavailable, match="No space"),
            repository.told_of_disks("it"),
        ):
            found.take(source, "instances", PLACE)
        assert not [path for path in (tmp_path / "backups").rglob("*") if path.is_file()]

    def test_backups_of_another_site_are_left_alone(self, tmp_path: Path) -> None:
        with Repository(tmp_path).held("ours"):
            pass
        with pytest.raises(BadRequest), Repository(tmp_path).held("theirs"):
            pass

    def test_one_at_a_time(self, tmp_path: Path) -> None:
        with Repository(tmp_path).held("ours"), pytest.raises(Conflict), Repository(tmp_path).held("ours"):
            pass

    def test_what_was_cut_short_is_removed_and_never_chosen(self, tmp_path: Path) -> None:
        found = Repository(tmp_path)
        with found.alone():
            part = found.begin("20260101T000000Z")
        with pytest.raises(NotFound):
            found.choose()
        with found.alone():
            assert not part.exists()

    def test_files_that_no_backup_lists_are_swept(self, tmp_path: Path) -> None:
        found = Repository(tmp_path / "backups")
        (tmp_path / "source").write_bytes(b"content")
        with open(tmp_path / "source", "rb") as source:
            found.take(source, "instances", PLACE)
        assert found.sweep({("instances", PLACE)}) == 0
        assert found.sweep({("spool", PLACE)}) == 1

    @pytest.mark.parametrize(
        ("section", "place"),
        [("spool", "../../authorized_keys"), ("../x", PLACE), ("headers", "/etc/passwd")],
    )
    def test_a_list_leads_nowhere_else(self, tmp_path: Path, section: str, place: str) -> None:
        listing.write(tmp_path / "files.gz", iter([Kept(section, place, 7, KEY)]))
        with pytest.raises(BadRequest, match="place is unknown"):
            list(listing.read(tmp_path / "files.gz"))

    def test_a_list_with_a_changed_byte_is_told(self, tmp_path: Path) -> None:
        file = tmp_path / "files.gz"
        listing.write(file, iter([Kept("instances", PLACE, 7, KEY)] * 1000))
        whole = file.read_bytes()
        for place in range(30, len(whole), 7):  # after the name in its header
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
            with pytest.raises(BadRequest):
                list(listing.read(file))

    def test_a_file_that_was_cut_off_is_not_held(self, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(b"content")
        found = Repository(tmp_path / "backups")
        with open(tmp_path / "source", "rb") as source:
            kept = found.take(source, "instances", PLACE)
        assert found.holds(kept)
        found.shared("instances", PLACE).write_bytes(b"con")
        assert not found.holds(kept)

    def test_a_full_disk_of_the_list_is_told(self) -> None:
        with closing(sqlite3.connect(":memory:")) as full:
            full.execute("pragma max_page_count = 1")
            with pytest.raises(Unavailable, match="SQLITE_FULL"), repository.told_of_disks("it"):
                full.execute("create table a (b)")

    def test_a_damaged_list_is_told(self, tmp_path: Path) -> None:
        file = tmp_path / "files.gz"
        listing.write(file, iter([Kept("instances", PLACE, 7, KEY)] * 1000))
        file.write_bytes(file.read_bytes()[:-9])
        with pytest.raises(BadRequest):
            list(listing.read(file))


def test_what_is_erased_while_files_are_brought_back_is_removed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, other = Settings(home=tmp_path / "home"), PLACE.replace("0b", "1c")
    found = Repository(tmp_path / "backups")
    (tmp_path / "source").write_bytes(b"content")
    for place in (PLACE, other):
        with open(tmp_path / "source", "rb") as source:
            kept = found.take(source, "instances", place)
    with found.alone():
        backup = found.begin("20260101T000000Z")
    listing.write(backup / "files.gz", iter([kept._replace(place=PLACE), kept]))
    listed = hashlib.sha256((backup / "files.gz").read_bytes()).hexdigest()
    told = replace(manifest(keys.Sealing(KEY, {})), parts={"files.gz": Part(1, listed)})
    found.complete("20260101T000000Z")
    holdings = iter([{PLACE, other}, {PLACE}])
    monkeypatch.setattr(restoring, "_held", lambda settings: next(holdings))
    restoring.restore_files(site, restoring.Source(found, "20260101T000000Z", told, KEY))
    assert instances.path(site.storage, PLACE).read_bytes() == b"content"
    assert not instances.path(site.storage, other).exists()


class TestHome:
    @pytest.fixture
    def home(self, tmp_path: Path) -> Settings:
        settings = Settings(home=tmp_path / "home")
        secrets.write(Path(settings.secrets, secrets.SITE_KEY), KEY)
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "weights").write_bytes(b"learnt")
        return settings

    def test_what_links_lead_to_is_backed_up(self, home: Settings, tmp_path: Path) -> None:
        (home.home / "models").symlink_to(tmp_path / "elsewhere")
        (home.home / "senogate.toml").symlink_to(tmp_path / "elsewhere" / "weights")
        archive = io.BytesIO()
        files.write(home, archive, None)
        archive.seek(0)
        names = files.list_names(archive)
        assert {"home/models/weights", "home/senogate.toml"} < set(names)

    def test_links_that_lead_back_are_left_out(self, home: Settings, tmp_path: Path) -> None:
        (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
        for name, target in {"models": "elsewhere", "all": "", "own": "home/secrets"}.items():
            (home.home / name).symlink_to(tmp_path / target)
        (home.home / "nowhere").symlink_to("nothing")
        archive = io.BytesIO()
        files.write(home, archive, None)
        archive.seek(0)
        assert files.list_names(archive) == ["secrets/site.key", "home/models/weights"]


class TestSpooledFiles:
    """Another key for the crosswalk seals them anew, under the same names."""

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        settings = Settings(home=tmp_path / "home")
        secrets.write(Path(settings.secrets, secrets.CROSSWALK_PUBLIC_KEY), KEY)
        settings.spool.mkdir()
        return settings

    @staticmethod
    def made(settings: Settings) -> making._Making:
        sealing = keys.Sealing(KEY, {})
        return making._Making(settings, Repository(settings.home / "backups"), sealing, lambda size: None)

    def test_what_is_sealed_anew_is_copied_beside_what_was(self, settings: Settings, tmp_path: Path) -> None:
        with closing(listing.Listing(tmp_path / "known")) as known:
            for key in (KEY, KEY[::-1]):
                secrets.write(Path(settings.secrets, secrets.CROSSWALK_PUBLIC_KEY), key)
                (settings.spool / PLACE).write_bytes(key)
                self.made(settings)._take_spool(known)
            held = [
                settings.home / "backups/files" / kept.section / "0b/0f" / PLACE for kept in known.wanted()
            ]
        assert sorted(file.read_bytes() for file in held) == [KEY, KEY[::-1]]

    def test_nothing_is_backed_up_while_the_key_changes(self, settings: Settings) -> None:
        making_one = self.made(settings)
        making_one._require_one_key()
        secrets.write(Path(settings.secrets, secrets.CROSSWALK_PUBLIC_KEY), KEY[::-1])
        with pytest.raises(Conflict):
            making_one._require_one_key()
        Path(f"{settings.crosswalk_key}.next").touch()
        with pytest.raises(Conflict):
            self.made(settings)._require_one_key()


class TestPlacesOfARestore:
    """The backup's own senogate.toml may name folders and a database in which another site lives."""

    @pytest.fixture
    def begun(self, tmp_path: Path) -> Settings:
        settings = Settings(home=tmp_path / "home", storage=str(tmp_path / "storage"))
        settings.home.mkdir()
        restoring._begin(settings, "one")
        return settings

    def test_what_others_stored_there_is_left_alone(self, begun: Settings) -> None:
        instances.write(begun.storage, PLACE, b"another site's")
        with pytest.raises(ConfigurationError, match="there is a site"):
            restoring._claim(begun, "one")

    def test_a_database_that_is_in_use_is_left_alone(
        self, begun: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "is_empty", lambda settings: False)
        restoring._claim(begun, "one")  # it goes on with the home's own
        with pytest.raises(ConfigurationError, match="database holds something"):
            restoring._claim(replace(begun, database_url="postgresql://in-use/"), "one")

    def test_what_it_wrote_itself_it_goes_on_with(self, begun: Settings) -> None:
        restoring._claim(begun, "one")
        instances.write(begun.storage, PLACE, b"restored")
        restoring._begin(begun, "one")
        restoring._claim(begun, "one")


ORTHANC = """
pragma journal_mode = wal;
create table Resources (internalId integer primary key, parentId integer references Resources on delete cascade);
create table AttachedFiles (id integer references Resources on delete cascade, fileType integer, uuid text);
create trigger AttachedFileDeleted after delete on AttachedFiles begin select SignalFileDeleted(old.uuid); end;
create trigger ParentCleaning after delete on Resources
when not exists (select 1 from Resources where parentId = old.parentId)
begin delete from Resources where internalId = old.parentId; end;
insert into Resources values (1, null), (2, 1), (3, 1);
insert into AttachedFiles values (2, 1, 'a'), (2, 3, 'b'), (3, 1, 'c');
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Settings]:
    """A home whose Orthanc holds its index under an exclusive lock, with a log that is not worked in."""
    settings = Settings(home=tmp_path / "home")
    index = orthanc_index.target(settings)
    index.parent.mkdir(parents=True)
    with closing(sqlite3.connect(index, isolation_level=None)) as connection:
        connection.execute("pragma locking_mode = exclusive")
        connection.executescript(ORTHANC)
        yield settings


@pytest.fixture
def busy() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that takes Orthanc's place."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


class TestOrthancIndex:
    def test_it_is_copied_while_it_is_locked(self, site: Settings, tmp_path: Path) -> None:
        other = sqlite3.connect(orthanc_index.find(site), timeout=0)
        with closing(other), pytest.raises(sqlite3.OperationalError):
            other.execute("select * from AttachedFiles")
        copy = orthanc_index.copy(site, tmp_path)
        assert orthanc_index.is_sound(copy)
        assert list(orthanc_index.attachments(copy)) == [("a", True), ("b", False), ("c", True)]

    def test_what_is_gone_is_taken_out_with_what_is_above_it(self, site: Settings, tmp_path: Path) -> None:
        copy = orthanc_index.copy(site, tmp_path)
        orthanc_index.forget(copy, ["a"])
        assert list(orthanc_index.attachments(copy)) == [("c", True)]
        orthanc_index.forget(copy, ["c"])
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("select count(*) from Resources").fetchone() == (0,)

    def test_a_copy_that_something_was_written_beside_is_no_copy(
        self, site: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copyfile, moments = orthanc_index.shutil.copyfile, iter(range(1000, 2000))

        def disturbed(source: Path, target: Path) -> None:
            copyfile(source, target)
            source.touch()
            orthanc_index.os.utime(source, (0, next(moments)))

        monkeypatch.setattr(orthanc_index.shutil, "copyfile", disturbed)
        with pytest.raises(Unavailable):
            orthanc_index.copy(site, tmp_path)

    def test_who_writes_all_the_time_is_held_still_meanwhile(
        self,
        site: Settings,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        busy: "subprocess.Popen[bytes]",
    ) -> None:
        undisturbed = orthanc_index._copy_undisturbed
        monkeypatch.setattr(orthanc_index, "_orthancs", lambda configuration: [busy.pid])
        monkeypatch.setattr(
            orthanc_index, "_copy_undisturbed", lambda *paths: is_stopped(busy.pid) and undisturbed(*paths)
        )
        assert orthanc_index.is_sound(orthanc_index.copy(site, tmp_path))
        assert not is_stopped(busy.pid)

    def test_whoever_is_held_still_goes_on_when_the_backup_is_killed(
        self, busy: "subprocess.Popen[bytes]"
    ) -> None:
        if (killed := os.fork()) == 0:
            with orthanc_index._woken_in_any_case([busy.pid]):
                os.kill(busy.pid, signal.SIGSTOP)
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(killed, 0)
        eventually(lambda: not is_stopped(busy.pid))
