"""Restoring a backup onto a home in which there is no site, or what of a site was lost.

Until a restore has come to its end, the home holds a mark of it and `senogate up` refuses: what was cut short is gone
on with by the same command.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archive import backups, instances, migration, secrets
from archive import settings as site_settings
from archive.backups import Backup, Wishes
from archive.errors import BadRequest, ConfigurationError
from archive.pool import autocommitting, queries
from archive.settings import Settings
from archive.tiers import Tiers
from senogate.backup import database, files, listing, orthanc_index, parts
from senogate.backup.keys import Opener
from senogate.backup.manifest import Manifest
from senogate.backup.repository import SPOOL, Kept, Repository, copy_digesting, told_of_disks
from senogate.cluster import locate
from senogate.home import RESTORING, only_one
from senogate.user import user

Advance = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was brought back: stored and spooled files with their bytes, and wishes that came after the backup."""

    name: str
    made_at: str
    files: int = 0
    size: int = 0
    erasures: int = 0
    opt_outs: int = 0
    keys: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}

    def to_text(self) -> str:
        if self.keys:
            return f"{self.name}: brought back {', '.join(self.keys)}"
        again = (
            f"; {self.erasures} erasures and {self.opt_outs} opt-outs since then hold again"
            if self.erasures or self.opt_outs
            else ""
        )
        return f"{self.name}: {self.files} files, {self.size:,} bytes{again}"


@dataclass(frozen=True, slots=True)
class Source:
    """An opened backup."""

    repository: Repository
    name: str
    manifest: Manifest
    data_key: bytes

    @property
    def folder(self) -> Path:
        return self.repository.path(self.name)

    def listed(self) -> Iterator[Kept]:
        """Its files, once its list has been found to be the one that was written. Raises BadRequest."""
        with open(self.folder / "files.gz", "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.manifest.parts["files.gz"].sha256:
                raise BadRequest("the backup's list of files was altered")
        return listing.read(self.folder / "files.gz")


def open_backup(folder: Path, name: str, opener: Opener) -> Source:
    """A backup, by its name or the newest. Raises NotFound, BadRequest, ConfigurationError for what doesn't open it."""
    repository = Repository(folder)
    name = repository.choose(name)
    manifest = repository.manifest(name)
    return Source(repository, name, manifest, manifest.open(opener))


def restore(
    settings: Settings,
    source: Source,
    newer: Wishes,
    advance: Advance = lambda size: None,
) -> Restored:
    """Make the site of a backup in an empty home; `newer` are wishes that came after it. `advance` is told of bytes.

    Raises ConfigurationError where there is a site already or the backup is of a newer release, Unavailable for a full
    disk or a database that does not answer, BadRequest for a backup that is damaged.
    """
    if source.manifest.schema > migration.newest():
        raise ConfigurationError(
            f"the backup is of a newer release of Senogate, {source.manifest.release}: install it"
        )
    settings.home.mkdir(parents=True, exist_ok=True)
    with only_one(settings.home), told_of_disks("the restore"):
        _begin(settings, source.name)
        with parts.opening(source.folder, source.data_key, "files") as archive:
            files.read(settings, archive, (files.HOME,))
        settings = site_settings.load(_environment(settings))  # which the backup's senogate.toml may change
        _claim(settings, source.name)
        with parts.opening(source.folder, source.data_key, "files") as archive:
            files.read(settings, archive)
        count, size = _bring_back(settings, source.listed(), source, advance)
        _restore_index(settings, source)
        with database.answering(settings) as connected:
            erasures, opt_outs = _restore_database(connected, source, newer)
        (settings.home / RESTORING).unlink()
    return Restored(source.name, source.manifest.made_at, count, size, erasures, opt_outs)


def restore_keys(settings: Settings, source: Source) -> Restored:
    """Bring back keys that are missing; those that are there stay. Raises as `restore` does."""
    with told_of_disks("the restore"), parts.opening(source.folder, source.data_key, "files") as archive:
        written = files.read(settings, archive, (files.SECRETS, files.PRIVATE))
    return Restored(source.name, source.manifest.made_at, keys=written)


def restore_files(settings: Settings, source: Source, advance: Advance = lambda size: None) -> Restored:
    """Bring back stored files that are missing or damaged, and that Orthanc still has; the site may run.

    Raises as `restore` does.
    """
    held, written = _held(settings), list[Kept]()
    listed = (each for each in source.listed() if not each.section.startswith(SPOOL) and each.place in held)
    with told_of_disks("the restore"):
        try:
            count, size = _bring_back(settings, listed, source, advance, written.append)
        finally:
            _remove_erased(settings, written)
            _put_anew(settings, [kept.place for kept in written])
    return Restored(source.name, source.manifest.made_at, count, size)


def _held(settings: Settings) -> set[str]:
    """Where the files lie that Orthanc has now."""
    index = orthanc_index.copy(settings, settings.home)
    try:
        return {place for place, _ in orthanc_index.attachments(index)}
    finally:
        index.unlink()


def _remove_erased(settings: Settings, written: Sequence[Kept]) -> None:
    """Remove files again that Orthanc deleted before they were brought back: nobody else knows of them."""
    held = _held(settings) if written else set()
    for kept in written:
        if kept.place not in held:
            _place(settings, kept).unlink(missing_ok=True)


def _put_anew(settings: Settings, places: Sequence[str]) -> None:
    """Have what was brought back into the storage folder put into the bucket again."""
    if places and Tiers.of(settings).bucket:
        with autocommitting(settings.database_url) as connection:
            connection.execute(queries("tiers.sql")["put_anew"], {"places": places})


def newer_wishes(source: Source, opener: Opener) -> Wishes:
    """What was asked for up to the newest backup. Raises BadRequest where that can't be opened by the same key."""
    name = source.repository.choose()
    manifest = source.repository.manifest(name)
    try:
        data_key = source.data_key if name == source.name else manifest.open(opener)
    except ConfigurationError:
        raise BadRequest(
            f"the newest backup, {name}, is sealed to another key, and tells what was erased since {source.name}:"
            " give its key, or say --ignore-newer"
        ) from None
    return read_wishes(Source(source.repository, name, manifest, data_key))


def read_wishes(source: Source) -> Wishes:
    """What had been asked for when a backup was made."""
    with parts.opening(source.folder, source.data_key, "wishes") as content:
        return Wishes.from_json(json.loads(content.read()))


def _begin(settings: Settings, name: str) -> None:
    """Mark the home. Raises ConfigurationError where there is a site in it, or what another restore began."""
    mark = settings.home / RESTORING
    if mark.exists():
        begun = mark.read_text().partition("\n")[0].strip()
        if begun != name:
            raise ConfigurationError(
                f"a restore of {begun} was cut short here: go on with that one, or empty {settings.home}"
            )
        return
    _require_no_site(settings)
    mark.write_text(f"{name}\n")


def _claim(settings: Settings, name: str) -> None:
    """Note where this restore writes, which may be elsewhere than before it read the backup's senogate.toml.

    Raises ConfigurationError where there is anything that it has not written itself.
    """
    mark = settings.home / RESTORING
    places = json.dumps([settings.secrets, settings.crosswalk_key, settings.storage, settings.database_url])
    claim = hashlib.sha256(places.encode()).hexdigest()
    if mark.read_text().splitlines()[1:] == [claim]:
        return
    _require_no_site(settings)
    mark.write_text(f"{name}\n{claim}\n")


def _require_no_site(settings: Settings) -> None:
    """Raises ConfigurationError."""
    places = [Path(settings.secrets, secrets.COMPLETE), locate(settings.home).data, settings.spool]
    if any(Path(settings.storage).glob("*")) or any(place.exists() for place in places):
        raise ConfigurationError(
            f"there is a site in {settings.home} already, or in the folders that senogate.toml names:"
            " choose others (SENOGATE_HOME, SENOGATE_STORAGE, SENOGATE_SECRETS), or move it away"
        )
    if settings.database_url and not database.is_empty(settings):
        raise ConfigurationError(
            "the database holds something already: name an empty one, in the environment or the home's senogate.toml"
        )


def _environment(settings: Settings) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("SENOGATE_")} | {
        "SENOGATE_HOME": str(settings.home)
    }


def _bring_back(
    settings: Settings,
    listed: Iterator[Kept],
    source: Source,
    advance: Advance,
    written: Callable[[Kept], object] = lambda kept: None,
) -> tuple[int, int]:
    """Copy files to where they belong, each verified on its way; their number and bytes.

    `written` is told of those that were not there as they are to be.
    """
    count = size = 0
    for kept in listed:
        if _copy_back(source.repository.shared(kept.section, kept.place), _place(settings, kept), kept):
            written(kept)
        count, size = count + 1, size + kept.size
        advance(kept.size)
    os.sync()
    return count, size


def _place(settings: Settings, kept: Kept) -> Path:
    if kept.section.startswith(SPOOL):
        return settings.spool / kept.place
    if kept.section == "headers":
        return instances.header_path(settings.storage, kept.place)
    return instances.path(settings.storage, kept.place)


def _copy_back(origin: Path, target: Path, kept: Kept) -> bool:
    """Whether it had to be. Raises BadRequest for a file that is not the one that was backed up."""
    if _is(target, kept):
        return False
    target.parent.mkdir(mode=0o700 if kept.section.startswith(SPOOL) else 0o777, parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        with open(origin, "rb") as content, open(part, "wb") as written:
            if copy_digesting(content, written) != (kept.sha256, kept.size):
                raise BadRequest(f"the backup's file {kept.section}/{kept.place} is damaged")
        part.replace(target)
    except FileNotFoundError:
        raise BadRequest(f"the backup's file {kept.section}/{kept.place} is missing") from None
    finally:
        part.unlink(missing_ok=True)
    return True


def _is(target: Path, kept: Kept) -> bool:
    try:
        with open(target, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            return size == kept.size and hashlib.file_digest(file, "sha256").digest() == kept.sha256
    except FileNotFoundError:
        return False


def _restore_index(settings: Settings, source: Source) -> None:
    place = orthanc_index.target(settings)
    place.parent.mkdir(parents=True, exist_ok=True)
    for name in ("-wal", "-shm"):
        place.with_name(place.name + name).unlink(missing_ok=True)
    part = parts.unseal(source.folder, source.data_key, "orthanc-index", place.with_name(".index.part"))
    if not orthanc_index.is_sound(part):
        raise BadRequest("the backup's copy of Orthanc's index is damaged")
    part.replace(place)


def _restore_database(settings: Settings, source: Source, newer: Wishes) -> tuple[int, int]:
    """Bring the database back and make what was asked for since hold; how many erasures and opt-outs those are."""
    if not database.is_empty(settings):  # of a restore that was cut short
        with autocommitting(settings.database_url) as connection:
            connection.execute("drop schema public cascade")
            connection.execute("create schema public")
    jobs = f"--jobs={min(4, os.cpu_count() or 1)}"
    for name, options in (("database", (jobs,)), ("identities", ("--data-only", "--single-transaction"))):
        dump = parts.unseal(source.folder, source.data_key, name, settings.home / f".{name}.dump")
        try:
            database.restore(settings, dump, *options)
        finally:
            dump.unlink()
    with autocommitting(settings.database_url) as connection:
        connection.execute("analyze")
        connection.execute(queries("tiers.sql")["put_anew"], {"places": None})
        found = backups.honour(connection, read_wishes(source).and_also(newer), by=user())
        told = source.manifest
        backups.note_restored(connection, Backup(told.at, source.name, told.instances, told.size), by=user())
    return found
