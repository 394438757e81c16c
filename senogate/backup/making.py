"""Making a backup of a site that runs.

Its parts are of several moments, in an order in which nothing that was acknowledged before the first is missing:

1. what is spooled, and what is stored: files that never change, most of which are copied here;
2. the database: whoever left the spool before is in storage, whoever leaves it later is in the copied spool;
3. Orthanc's index, which has all that the database's index has, and maybe more: the worker follows it from there;
4. whom instances are about once more, which is committed before Orthanc stores any;
5. files that came meanwhile; the keys and everything else in the home; what was asked to be erased.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from io import BufferedReader
from pathlib import Path

from archive import backups, instances, migration, secrets
from archive.errors import BadRequest, Conflict
from archive.pool import autocommitting, connect, queries, translated_errors
from archive.settings import Settings
from archive.tiers import Tiers
from deidentification.pseudonym import Keys
from senogate.backup import database, files, listing, orthanc_index
from senogate.backup.keys import Sealing
from senogate.backup.listing import Listing
from senogate.backup.manifest import Manifest, sealed_data_key
from senogate.backup.parts import Parts
from senogate.backup.repository import SPOOL, Kept, Repository, is_place, told_of_disks
from senogate.site_keys import keys_of
from senogate.site_secrets import crosswalk_key_to_come
from senogate.user import user

_NAME = "%Y%m%dT%H%M%SZ"

Advance = Callable[[int], object]
Opening = Callable[[], AbstractContextManager[BufferedReader]]


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made: its name, how many files it has and their bytes, and how many of them were copied now."""

    name: str
    instances: int
    files: int
    size: int
    copied: int
    copied_bytes: int

    def to_json(self) -> dict[str, str | int]:
        return {name: getattr(self, name) for name in self.__slots__}


def make(settings: Settings, folder: Path, sealing: Sealing, advance: Advance = lambda size: None) -> Made:
    """Make a backup in `folder`; `advance` is told the bytes of each file that was copied.

    Raises BadRequest for a folder that can't take one, Conflict where another is being made there, Unavailable where a
    part of the site does not answer or the disk is full: nothing that was there before is changed then.
    """
    _check_place(settings, folder)
    with told_of_disks(f"the backup to {folder}"):
        repository = Repository(folder)
        with repository.held(site_mark(settings)):
            return _Making(settings, repository, sealing, advance).make()


def site_mark(settings: Settings) -> str:
    """By what a site's backups are known as its own; it tells nothing of the site's key."""
    keys = keys_of(settings)
    return Keys.derive(keys.proof).proof.hex()[:32]


def _check_place(settings: Settings, folder: Path) -> None:
    place = folder.resolve()
    for own in (settings.home, Path(settings.storage)):
        if place == own.resolve() or own.resolve() in place.parents:
            raise BadRequest(f"{folder} lies in {own}: what is lost with the site is no backup of it")


class _Making:
    """One backup on its way."""

    def __init__(
        self, settings: Settings, repository: Repository, sealing: Sealing, advance: Advance
    ) -> None:
        self._settings, self._repository, self._advance = settings, repository, advance
        self._tiers = Tiers.of(settings)
        self._at, self._name = _free_name(repository.names())
        self._sealing, self._data_key = sealing, os.urandom(32)
        self._spool = _spool_section(settings)
        self._copied = self._copied_bytes = 0

    def make(self) -> Made:
        if self._name in self._repository.names():
            raise BadRequest("a backup of this very second is there already")
        previous = self._repository.names()[-1:]
        part = self._repository.begin(self._name)
        with ExitStack() as unfinished:
            unfinished.callback(shutil.rmtree, part, ignore_errors=True)
            with closing(Listing(part / ".files")) as known:
                for name in previous:
                    for kept in self._listed(name):
                        known.know(kept)
                made = self._write(part, known)
            unfinished.pop_all()
        return made

    def _listed(self, name: str) -> Iterator[Kept]:
        """The files of an earlier backup; none where its list is damaged: each file is compared then."""
        file = self._repository.path(name) / "files.gz"
        with suppress(BadRequest, FileNotFoundError, KeyError):
            told = self._repository.manifest(name).parts["files.gz"].sha256
            with open(file, "rb") as content:
                whole = hashlib.file_digest(content, "sha256").hexdigest() == told
            if whole:
                yield from listing.read(file)

    def _write(self, part: Path, known: Listing) -> Made:
        self._require_one_key()
        parts = Parts(part, self._data_key)
        head = self._head_of_the_trail()
        self._take_spool(known)
        self._take_stored(known, self._orthanc_index(part))
        index = self._write_database(part, parts)
        self._take_spool(known)
        orthanc_index.forget(index, self._take_stored(known, index, last=True))
        parts.seal_file("orthanc-index", index)
        index.unlink()
        self._write_files(parts, head)
        self._require_one_key()
        counted = listing.write(part / "files.gz", known.wanted())
        known.close()
        (part / ".files").unlink()
        return self._finish(part, parts, *counted)

    def _write_database(self, part: Path, parts: Parts) -> Path:
        """Dump the database, and copy Orthanc's index right after its moment; the copy."""
        settings = self._settings
        without = [f"--exclude-table-data={table}" for table in database.IDENTITIES]
        only = [f"--table={table}" for table in database.IDENTITIES]
        with database.snapshot(settings) as first:
            index = self._orthanc_index(part)
            with database.snapshot(settings) as then:
                with parts.sealer("database") as write:
                    database.dump(settings, write, *without, moment=first)
                with parts.sealer("identities") as write:
                    database.dump(settings, write, "--data-only", *only, moment=then)
        return index

    def _orthanc_index(self, part: Path) -> Path:
        """A copy of it. Raises Conflict for one that does not know of the stored files, which a backup would lack."""
        index = orthanc_index.copy(self._settings, part)
        if not orthanc_index.is_of_files(index, self._settings.storage):
            raise Conflict(
                "Orthanc's index is not that of the stored files: `senogate orthanc rebuild`, then back up"
            )
        return index

    def _write_files(self, parts: Parts, head: bytes | None) -> None:
        with connect(self._settings.database_url) as connection, translated_errors():
            connection.execute(queries("audit.sql")["sign_alone"])  # nobody changes its keys meanwhile
            with parts.stream("files") as target:
                files.write(self._settings, target, head)
            connection.rollback()
            wishes = backups.wishes(connection)
            parts.seal_bytes("wishes", json.dumps(wishes.to_json()).encode())

    def _head_of_the_trail(self) -> bytes | None:
        """The head as it is before the database's moment: a later one would name records that the backup lacks."""
        try:
            return (self._settings.audit / "head.json").read_bytes()
        except FileNotFoundError:
            return None

    def _require_one_key(self) -> None:
        """Raises Conflict where the crosswalk's key changes: what is backed up would be sealed to both."""
        if crosswalk_key_to_come(self._settings).exists() or self._spool != _spool_section(self._settings):
            raise Conflict(
                "the crosswalk's key is being changed: back up when `crosswalk rotate-key` has ended"
            )

    def _take_spool(self, known: Listing) -> None:
        for path in sorted(self._settings.spool.glob("*")):
            if is_place(path.name):
                self._take(known, self._spool, path.name, partial(_opened, path), wanted=True)

    def _take_stored(self, known: Listing, index: Path, *, last: bool = False) -> list[str]:
        """Copy the files that a copy of Orthanc's index names; the places of instances that are gone."""
        gone = []
        for place, is_instance in orthanc_index.attachments(index):
            section, path = self._stored(place, is_instance)
            opening: Opening = partial(self._tiers.open, place)
            if section != "instances":
                opening = partial(_opened, path)
            if not self._take(known, section, place, opening, wanted=last) and is_instance:
                gone.append(place)
        return gone

    def _stored(self, place: str, is_instance: bool) -> tuple[str, Path]:
        """Section and path of a stored file; releases before this one kept copies of headers among the instances."""
        path = instances.path(self._settings.storage, place)
        header = instances.header_path(self._settings.storage, place)
        return (
            ("instances", path)
            if is_instance or (path.exists() and not header.exists())
            else ("headers", header)
        )

    def _take(self, known: Listing, section: str, place: str, opening: Opening, *, wanted: bool) -> bool:
        """Have a file in the repository; whether it is there, for it may have been removed meanwhile."""
        kept = known.find(section, place)
        if kept is None or not self._repository.holds(kept):
            try:
                with opening() as source:
                    kept = self._repository.take(source, section, place)
            except FileNotFoundError:
                return False
            known.know(kept)
            self._copied, self._copied_bytes = self._copied + 1, self._copied_bytes + kept.size
            self._advance(kept.size)
        if wanted:
            known.want(section, place)
        return True

    def _finish(self, part: Path, parts: Parts, count: int, stored: int, size: int) -> Made:
        """Write the manifest; then the backup is there, and the site's database is told."""
        settings = self._settings
        parts.add("files.gz", part / "files.gz")
        size += sum(each.size for each in parts.written.values())
        manifest = Manifest(
            site=site_mark(settings),
            made_at=self._at.isoformat(),
            release=version("senogate"),
            schema=migration.find_pending(settings.database_url)[0],
            sealing=self._sealing.told,
            data_key=sealed_data_key(self._sealing, self._data_key, site_mark(settings)),
            parts=parts.written,
            instances=stored,
            files=count,
            size=size,
        ).signed(self._data_key)
        (part / "manifest.json").write_bytes(manifest.to_bytes())
        self._repository.complete(self._name)
        with autocommitting(settings.database_url) as connection:
            backups.note(connection, backups.Backup(self._at, self._name, stored, size), by=user())
        return Made(self._name, stored, count, size, self._copied, self._copied_bytes)


def _opened(path: Path) -> BufferedReader:
    return path.open("rb")


def _free_name(taken: Collection[str]) -> tuple[datetime, str]:
    """The second that names a backup: this one, or the next that names none yet."""
    at = datetime.now(UTC).replace(microsecond=0)
    while at.strftime(_NAME) in taken:
        at += timedelta(seconds=1)
    return at, at.strftime(_NAME)


def _spool_section(settings: Settings) -> str:
    """Where spooled files are shared: another key for the crosswalk seals them anew, under the same names."""
    public = secrets.read_key(settings.secrets, secrets.CROSSWALK_PUBLIC_KEY)
    return f"{SPOOL}-{hashlib.sha256(public).hexdigest()[:16]}"
