"""A site is backed up while it runs, and made again from the backup in an empty home: everything is there."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydicom import Dataset

from archive import checkpoints
from archive.backups import Wishes
from archive.errors import ConfigurationError
from archive.settings import load
from deidentification.seal import SealBroken, open_sealed
from orthanc_plugin.lineage import mark_of
from orthanc_plugin.unfinished import journal_of
from senogate import site as sites
from senogate.backup import database, making, restoring
from senogate.backup import files as files_of_site
from senogate.backup.keys import Opener, for_passphrase
from senogate.backup.repository import is_place
from senogate.site_secrets import prepare
from tests.drawn_text import document
from tests.integration.conftest import edit
from tests.live import LiveSite, eventually, find_free_ports, temporary_home

PASSPHRASE = "a passphrase of many words\n"
TABLES = ("study", "series", "instance", "crosswalk", "reading", "spool", "permit", "client", "inference_log")
SEALED_ANEW = {"crosswalk": "to_jsonb(t) - 'sealed'"}  # the key is changed after the restore


class Lived:
    """A site with something of everything, and its backups. `first` was made before an erasure and an opt-out."""

    def __init__(self, folder: Path, home: Path, images: list[bytes]) -> None:
        self.destination = folder / "backups"
        self.site = LiveSite(home, find_free_ports(3), {"SENOGATE_PIXEL_CLEANING": "review"}).start()
        for number, image in enumerate(images):
            (folder / f"{number}.dcm").write_bytes(image)
        self.site.send(*folder.glob("?.dcm"))
        (folder / "held.dcm").write_bytes(document())
        self.site.send(folder / "held.dcm", wait=False)
        self.site.run("client", "add", "research")
        self.held = rows(self.site)
        self.first = self.backup()
        self.studies = self.ask("select study_instance_uid, patient_id from study order by 1")
        self.site.run("erase", "study", self.studies[0][0], "--reason", "she asked for it", "--yes")
        self.site.run("optout", "add", self.studies[1][1])
        self.second = self.backup()

    def ask(self, statement: str) -> list[Any]:
        with self.site.database() as connection:
            return connection.execute(statement.encode()).fetchall()

    def backup(self) -> Any:
        arguments = ("backup", str(self.destination), "--json")
        return json.loads(self.site.run(*arguments, stdin=PASSPHRASE).stdout)

    def restore(self, site: LiveSite, *options: str, check: bool = True) -> str:
        done = site.run("restore", str(self.destination), *options, stdin=PASSPHRASE, check=check)
        return done.stdout + done.stderr

    def problems(self, *options: str) -> list[str]:
        done = self.site.run("backup", "verify", str(self.destination), "--json", *options, check=False)
        found = json.loads(done.stdout)
        assert done.returncode == bool(found["problems"])
        return list(found["problems"])


@pytest.fixture(scope="module")
def lived(
    tmp_path_factory: pytest.TempPathFactory, phantom_exam: Callable[[], list[bytes]]
) -> Iterator[Lived]:
    with temporary_home() as home:
        made = Lived(
            tmp_path_factory.mktemp("lived"), home, [of_patient(name, phantom_exam()[0]) for name in "ABC"]
        )
        yield made
        made.site.stop()


@pytest.fixture(scope="module")
def restored(lived: Lived) -> Iterator[LiveSite]:
    """The first backup, restored after the second was made."""
    with temporary_home() as home:
        site = LiveSite(home, find_free_ports(3), {"SENOGATE_PIXEL_CLEANING": "review"})
        lived.restore(site, "--name", lived.first["name"])
        yield site
        site.stop()


@pytest.fixture(scope="module")
def former_key(restored: LiveSite) -> bytes:
    """The crosswalk's private key that was restored; the site has another one now, and Orthanc another password."""
    former = Path(restored.settings.crosswalk_key).read_bytes()
    restored.run("crosswalk", "rotate-key")
    restored.run("key", "orthanc")
    return former


@pytest.fixture(scope="module")
def revived(restored: LiveSite, former_key: bytes) -> LiveSite:
    """The same, running, a day after the erasure was asked for: who asked is at it for a minute."""
    restored.start()
    with restored.database() as connection:
        connection.execute("update erasure set asked_at = asked_at - interval '1 day'")
    return restored


@pytest.fixture(scope="module")
def bereft(lived: Lived) -> Iterator[LiveSite]:
    """A site that lost its database and has no backup of it, running."""
    with temporary_home() as home:
        site = LiveSite(home, find_free_ports(3))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(restoring, "_restore_database", lambda *arguments: (0, 0))
            patched.setattr(database, "answering", nullcontext)
            opener = Opener(passphrase=PASSPHRASE.strip())
            source = restoring.open_backup(lived.destination, "", opener)
            restoring.restore(load(site.environment), source, Wishes())
        yield site.start()
        site.stop()


@pytest.fixture
def receipt(lived: Lived) -> str:
    """Of the study that was erased after the first backup."""
    (found,) = json.loads(lived.site.run("erase", "list", "--json").stdout)
    return lived.site.run("erase", "receipt", found["id"]).stdout


@pytest.fixture
def copied(lived: Lived) -> Iterator[Path]:
    """A file of the newest backup, which is put back as it was."""
    ((place,),) = lived.ask("select place from instance order by 1 limit 1")
    listed = lived.destination / "files" / "instances" / place[:2] / place[2:4] / place
    content = listed.read_bytes()
    yield listed
    listed.write_bytes(content)


def rows(site: LiveSite) -> dict[str, list[Any]]:
    with site.database() as connection:
        return {
            name: connection.execute(
                f"select ({SEALED_ANEW.get(name, 't')})::text from {name} t order by 1"
            ).fetchall()
            for name in TABLES
        }


def of_patient(name: str, instance: bytes) -> bytes:
    def rename(dataset: Dataset) -> None:
        dataset.PatientID = name

    return edit(instance, rename)


def files(folder: Path) -> dict[str, bytes]:
    """Those of instances, and not what Orthanc notes of them."""
    notes = {journal_of(str(folder)), mark_of(str(folder))}
    found = [path for path in folder.rglob("*") if path.is_file() and path not in notes]
    return {path.name: path.read_bytes() for path in found}


class TestBackup:
    def test_what_is_there_already_is_not_copied_again(self, lived: Lived) -> None:
        assert lived.first["copied"] == lived.first["files"] > 6
        assert lived.second["copied"] == 0

    def test_it_is_whole(self, lived: Lived, tmp_path: Path) -> None:
        (tmp_path / "words").write_text(PASSPHRASE)
        assert lived.problems("--passphrase-file", str(tmp_path / "words")) == []

    def test_damage_is_found(self, lived: Lived, copied: Path) -> None:
        copied.write_bytes(copied.read_bytes()[:-1] + b"!")
        assert lived.problems() == [f"instances/{copied.name} is damaged"]

    def test_no_key_and_no_name_lies_open_in_it(self, lived: Lived) -> None:
        secrets = Path(lived.site.settings.secrets)
        keys = [path.read_bytes() for path in secrets.iterdir() if path.name != "complete"]
        everything = b"".join(files(lived.destination).values())
        assert not [key for key in [*keys, b"research", b"crosswalk"] if key in everything]

    def test_the_site_knows_of_it(self, lived: Lived) -> None:
        told = json.loads(lived.site.run("status", "--json").stdout)["state"]
        (item,) = [item for item in told if item["name"] == "backup"]
        assert item["level"] == "fine"

    def test_one_that_is_under_way_is_none(self, lived: Lived) -> None:
        (lived.destination / "backups" / ".20990101T000000Z.part").mkdir()
        listed = json.loads(lived.site.run("backup", "list", str(lived.destination), "--json").stdout)
        assert [each["name"] for each in listed] == [lived.first["name"], lived.second["name"]]

    def test_a_place_that_is_lost_with_the_site_is_refused(self, lived: Lived) -> None:
        done = lived.site.run("backup", str(lived.site.home / "here"), stdin=PASSPHRASE, check=False)
        assert (done.returncode, "is no backup" in done.stderr) == (1, True)


@pytest.fixture(params=["before the database", "after the database", "while keys are copied"])
def rotated(lived: Lived, request: pytest.FixtureRequest) -> str:
    """The name of a backup while which the trail's key was changed."""
    settings, begun = load(lived.site.environment), list[threading.Thread]()

    def rotate() -> None:
        with psycopg.connect(lived.site.settings.database_url, autocommit=True) as connection:
            checkpoints.rotate(connection, settings, by="os:test")

    def rotate_before(function: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any) -> Any:
            rotate()
            return function(*arguments)

        return changed

    def rotate_beside(function: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any) -> Any:
            begun.append(threading.Thread(target=rotate))
            begun[0].start()
            eventually(
                lambda: lived.ask("select 1 from pg_locks where locktype = 'advisory' and not granted")
            )
            return function(*arguments)

        return changed

    with pytest.MonkeyPatch.context() as patched:
        if request.param == "while keys are copied":
            patched.setattr(files_of_site, "write", rotate_beside(files_of_site.write))
        else:
            name = "_write_database" if request.param == "before the database" else "_write_files"
            patched.setattr(making._Making, name, rotate_before(getattr(making._Making, name)))
        made = making.make(sites.complete(settings), lived.destination, for_passphrase(PASSPHRASE.strip()))
    for thread in begun:
        thread.join()
    return made.name


class TestAnotherKeyOfTheTrailMeanwhile:
    def test_leaves_a_backup_whose_trail_verifies(
        self, lived: Lived, rotated: str, new_home: Callable[[], Path]
    ) -> None:
        """What the restored site signs next, too."""
        site = LiveSite(new_home(), find_free_ports(3))
        lived.restore(site, "--name", rotated)
        settings = load(site.environment)
        with (
            database.answering(settings) as connected,
            psycopg.connect(connected.database_url, autocommit=True) as connection,
        ):
            known, private = checkpoints.signers(settings), checkpoints.private_key(settings)
            for _ in range(2):
                head = checkpoints.kept_head(settings.audit)
                assert checkpoints.find_faults(connection, known, [head] if head else []) == []
                checkpoints.sign_head(connection, private, settings.audit)


class TestRestore:
    def test_every_row_is_there_but_for_what_was_erased_since(
        self, lived: Lived, restored: LiveSite, revived: LiveSite
    ) -> None:
        eventually(lambda: not [row for row in rows(revived)["study"] if lived.studies[0][0] in row[0]])
        found, erased = rows(revived), lived.studies[0]
        for name in TABLES:
            missing = [row for row in lived.held[name] if row not in found[name]]
            unexplained = [row for row in missing if erased[0] not in row[0] and erased[1] not in row[0]]
            assert name == "study" or unexplained == [], name

    def test_what_was_erased_since_is_erased_again(self, lived: Lived, revived: LiveSite) -> None:
        with revived.database() as connection:
            done = "select completed_at is not null from erasure"
            eventually(lambda: connection.execute(done).fetchall() == [(True,)])
        stored = files(Path(revived.settings.storage))
        assert not [content for content in stored.values() if lived.studies[0][0].encode() in content]

    def test_who_opted_out_since_is_withheld(self, lived: Lived, revived: LiveSite) -> None:
        with revived.client() as client:
            told = client.get("studies").json()
        assert lived.studies[2][0] in json.dumps(told)
        assert lived.studies[1][0] not in json.dumps(told)

    def test_its_instances_are_served_byte_for_byte(self, lived: Lived, revived: LiveSite) -> None:
        stored = files(Path(lived.site.settings.storage))
        kept = {name: content for name, content in stored.items() if is_place(name)}
        found = files(Path(revived.settings.storage))
        assert kept
        assert {name for name in kept if name not in found} == set()
        assert all(found[name] == kept[name] for name in kept)
        with revived.client() as client:
            accept = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
            assert client.get(f"studies/{lived.studies[2][0]}", headers=accept).status_code == 200

    def test_its_trail_is_whole(self, revived: LiveSite) -> None:
        assert "as it was written" in revived.run("audit", "verify").stdout

    def test_what_was_spooled_waits_for_a_person(self, revived: LiveSite) -> None:
        (held,) = json.loads(revived.run("spool", "list", "--state", "quarantined", "--json").stdout)
        assert (revived.settings.spool / held["id"]).exists()

    def test_it_takes_new_exams(
        self, revived: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
    ) -> None:
        for number, instance in enumerate(phantom_exam()):
            (tmp_path / f"{number}.dcm").write_bytes(instance)
        assert revived.send(tmp_path)["studies"]

    def test_a_home_in_which_a_site_runs_is_left_alone(self, lived: Lived) -> None:
        assert "is running already" in lived.restore(lived.site, check=False)

    def test_a_home_with_a_site_is_left_alone(self, lived: Lived, new_home: Callable[[], Path]) -> None:
        site = LiveSite(new_home(), find_free_ports(3))
        prepare(site.settings)
        assert "there is a site in" in lived.restore(site, check=False)

    def test_what_a_receipt_says_is_erased_again(
        self, lived: Lived, receipt: str, new_home: Callable[[], Path], tmp_path: Path
    ) -> None:
        (tmp_path / "receipt.json").write_text(receipt)
        site = LiveSite(new_home(), find_free_ports(3))
        options = (
            "--name",
            lived.first["name"],
            "--ignore-newer",
            "--erased",
            str(tmp_path / "receipt.json"),
        )
        assert "1 erasures and 0 opt-outs" in lived.restore(site, *options)

    def test_a_receipt_that_the_site_did_not_sign_is_refused(
        self, lived: Lived, receipt: str, new_home: Callable[[], Path], tmp_path: Path
    ) -> None:
        """Nobody has another exam erased by it."""
        (tmp_path / "receipt.json").write_text(receipt.replace(lived.studies[0][0], lived.studies[2][0]))
        site = LiveSite(new_home(), find_free_ports(3))
        said = lived.restore(site, "--erased", str(tmp_path / "receipt.json"), check=False)
        assert "is not signed by the site" in said
        assert not site.home.exists()

    def test_one_that_was_cut_short_does_not_start(self, lived: Lived, new_home: Callable[[], Path]) -> None:
        site = LiveSite(new_home(), find_free_ports(3))
        site.home.mkdir()
        (site.home / "restoring").write_text(lived.second["name"])
        done = site.run("up", check=False)
        assert (done.returncode, "go on with it" in done.stderr) == (1, True)


class TestKeys:
    def test_the_crosswalk_opens_with_its_new_key(self, lived: Lived, revived: LiveSite) -> None:
        arguments = ("--key", revived.settings.crosswalk_key, "--reason", "a test")
        opened = revived.run("crosswalk", "open", lived.studies[2][0], *arguments)
        assert "study_instance_uid" in opened.stdout

    def test_the_former_key_opens_nothing(self, revived: LiveSite, former_key: bytes) -> None:
        with revived.database() as connection:
            sealed = connection.execute("select pseudonym, sealed from crosswalk").fetchall()
        assert sealed
        for pseudonym, value in sealed:
            with pytest.raises(SealBroken):
                open_sealed(former_key, value, pseudonym.encode())

    def test_what_is_spooled_opens_with_the_new_key(self, revived: LiveSite) -> None:
        new = Path(revived.settings.crosswalk_key).read_bytes()
        (held,) = revived.settings.spool.iterdir()
        assert open_sealed(new, held.read_bytes(), held.name.encode())[128:132] == b"DICM"

    def test_a_change_that_was_cut_short_is_gone_on_with(self, restored: LiveSite, revived: LiveSite) -> None:
        coming = Path(f"{restored.settings.crosswalk_key}.next")
        coming.touch()
        try:
            with pytest.raises(ConfigurationError, match="goes on with it"):
                prepare(restored.settings)
        finally:
            coming.unlink()


class TestDisaster:
    def test_lost_keys_come_back(self, lived: Lived) -> None:
        key = Path(lived.site.settings.secrets, "issuer-none.secret")
        lost = Path(lived.site.settings.secrets, "site.key")
        content = lost.read_bytes()
        lost.unlink()
        try:
            assert "secrets/site.key" in lived.restore(lived.site, "--only", "keys")
            assert (lost.read_bytes(), key.exists()) == (content, False)
        finally:
            lost.write_bytes(content)

    def test_lost_and_damaged_files_come_back(self, lived: Lived) -> None:
        places = [place for (place,) in lived.ask("select place from instance order by 1 limit 2")]
        storage = Path(lived.site.settings.storage)
        lost, damaged = (storage / place[:2] / place[2:4] / place for place in places)
        before = lost.read_bytes(), damaged.read_bytes()
        lost.unlink()
        damaged.write_bytes(b"damaged")
        lived.restore(lived.site, "--only", "files")
        assert (lost.read_bytes(), damaged.read_bytes()) == before

    def test_without_its_database_what_orthanc_holds_is_found_again(
        self, lived: Lived, bereft: LiveSite
    ) -> None:
        with bereft.database() as connection:
            found = "select study_instance_uid from study order by 1"
            eventually(lambda: len(connection.execute(found).fetchall()) == 2)
        with bereft.client() as client:
            assert client.get(f"studies/{lived.studies[2][0]}/metadata").status_code == 200
