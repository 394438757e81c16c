"""Where things lie: folders that can be written, and files that are where rows say that they are."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg

from archive.bucket import Bucket, access_of
from archive.errors import ConfigurationError, NotFound, Unavailable, Unproven
from archive.pool import answers, connect, queries
from archive.search import Place as Instance
from archive.settings import Settings
from archive.tiers import Tiers
from gateway.stored import StoredFiles
from senogate.doctor.finding import Finding, act, consider, fine
from senogate.doctor.place import Place
from senogate.site_keys import keys_of

_FEW = 0.05  # share of a file system's inodes


def look(place: Place) -> Iterator[Finding]:
    """The file systems of the site's folders. How much room they have is told by the state of the node."""
    settings = place.settings
    if settings.storage_mount and not os.path.ismount(settings.storage_mount):
        said = f"nothing is mounted at {settings.storage_mount}"
        yield act("storage-mount", f"{said}, so nothing is stored and nothing read", "Mount it.", "findmnt")
    folders = {"home": settings.home, "storage": Path(settings.storage), "spool": settings.spool}
    for name, folder in folders.items():
        if folder.exists():
            yield from _folder(place, f"folder-{name}", folder)
        elif name == "storage" and not place.is_new:
            todo = "Mount it, or set storage to where it lies; nothing is received or served without it."
            yield act("folder-storage", f"{folder} is not there", todo)
    yield from _home_of_others(settings)


def _folder(place: Place, name: str, folder: Path) -> Iterator[Finding]:
    told = os.statvfs(folder)
    if told.f_flag & os.ST_RDONLY and place.runs_here:
        yield act(
            name, f"{folder} is read-only", "See the kernel's log for why, and mount it for writing.", "dmesg"
        )
    elif not _may_write(place, folder):
        todo = "Give it to the user that the site runs as, with all that is in it."
        yield act(name, f"the site may not write to {folder}", todo, f"chown --recursive USER {folder}")
    elif told.f_files and told.f_favail < told.f_files * _FEW:
        yield act(
            name, f"{folder} has room for {told.f_favail} more files", "Remove files, or make more inodes."
        )
    else:
        yield fine(name, str(folder))


def _may_write(place: Place, folder: Path) -> bool:
    """Whether the site that runs may, where it runs as the user who asks; true where that can't be told."""
    try:
        is_ours = place.pid is not None and Path(f"/proc/{place.pid}").stat().st_uid == os.geteuid()
    except FileNotFoundError:  # it has just ended
        return True
    return not is_ours or os.access(folder, os.W_OK | os.X_OK)


def _home_of_others(settings: Settings) -> Iterator[Finding]:
    if settings.home.exists() and settings.home.stat().st_mode & 0o002:
        said = f"anybody may put files into {settings.home}"
        yield act("folder-home", said, "Close it.", f"chmod o-w {settings.home}")


def look_at_newest(place: Place) -> Iterator[Finding]:
    """Whether rows and files agree: of what came last, and of what is held."""
    settings = place.settings
    if not settings.database_url or place.is_new:
        return
    try:
        with connect(settings.database_url, autocommit=True) as connection:
            if connection.execute("select to_regclass('study_summary') is null").fetchone() == (True,):
                return
            yield from _newest(connection, settings)
            yield from _held(connection, settings)
    except Unavailable:
        return  # that it does not answer is told


def _newest(connection: psycopg.Connection, settings: Settings) -> Iterator[Finding]:
    row = connection.execute(queries("doctor.sql")["newest"]).fetchone()
    if row is None:
        yield fine("stored", "nothing is stored yet")
        return
    try:
        key = keys_of(settings).proof
        StoredFiles(Tiers.of(settings), key).read_now([Instance(*row)], len)
    except ConfigurationError:
        return  # told by the keys
    except NotFound:
        todo = (
            "See whether the disk is mounted, and whether storage is the folder that Orthanc writes to. If "
            "instances were lost, restore them from the backup (docs/backup.md)."
        )
        yield act("stored", f"the instance that came last is not in {settings.storage}", todo)
    except Unproven:
        todo = "See whether site.key is this site's, and whether somebody changed the file: such are served to nobody."
        yield act("stored", "the instance that came last carries no proof by this site's key", todo)
    else:
        yield fine("stored", f"what came last lies in {settings.storage}, with its proof")


def look_at_bucket(place: Place) -> Iterator[Finding]:
    """Whether the bucket answers and may be used, and what could not be moved there or removed from there."""
    settings = place.settings
    access = access_of(settings)
    if access is None:
        return
    try:
        Bucket(access).check()
        yield fine("bucket", f"{access.bucket} at {access.url} answers")
    except Unavailable as error:
        todo = (
            "See whether the service runs, whether its certificate is trusted (storage_s3_authorities), and whether the"
            " key may use the bucket. What lies there is answered with 503 meanwhile; all else works (docs/storage.md)."
        )
        yield act("bucket", str(error), todo)
    yield from _open_keys(settings)
    if answers(settings.database_url):
        with connect(settings.database_url, autocommit=True) as connection:
            yield from _moved(connection)


def _open_keys(settings: Settings) -> Iterator[Finding]:
    """The file with the bucket's key, and the settings where the key is in them, are the site's alone."""
    for path in (os.environ.get("SENOGATE_STORAGE_S3_SECRET_KEY_FILE"), settings.home / "senogate.toml"):
        if path and (file := Path(path)).exists() and file.stat().st_mode & 0o007 and _names_key(file):
            yield act("bucket-key", f"anybody may read {file}", "Close it.", f"chmod o-rwx {file}")


def _names_key(file: Path) -> bool:
    """Whether a file has the bucket's key in it, as one has that is no settings."""
    return file.suffix != ".toml" or "storage_s3_secret_key" in file.read_text("utf-8")


def _moved(connection: psycopg.Connection) -> Iterator[Finding]:
    if connection.execute("select to_regclass('moved') is null").fetchone() == (True,):
        return
    ((moved, size, refused, left),) = connection.execute(queries("tiers.sql")["count"]).fetchall()
    said = f"{moved} instances lie in the bucket, {size / 2**30:.1f} GiB"
    if refused or left:
        todo = "See the worker's log for why."
        said += f"; {refused} can't be put there, and {left} that are gone can't be removed"
        yield consider("moved", said, todo)
    else:
        yield fine("moved", said)


def _held(connection: psycopg.Connection, settings: Settings) -> Iterator[Finding]:
    if not settings.spool.is_dir():
        held = connection.execute(queries("doctor.sql")["spooled"]).fetchall()
        if held and Path(settings.home, "orthanc").is_dir():
            yield act("spool", f"{settings.spool} is not there, and {len(held)} instances are held", _LOST)
        return
    if lost := _lost(connection, settings.spool):
        yield act("spool", f"{lost} held instances have no file in {settings.spool}", _LOST)
    else:
        yield fine("spool", "what is held is there")


def _lost(connection: psycopg.Connection, spool: Path) -> int:
    """How many of those that are held have no file; what comes and goes meanwhile is none of them."""
    sought = queries("doctor.sql")["spooled"]
    held = [name for (name,) in connection.execute(sought)]
    there = set(os.listdir(spool))
    lost = [name for name in held if name not in there]
    return len({name for (name,) in connection.execute(sought)} & set(lost)) if lost else 0


_LOST = "Restore the spool from the backup (docs/backup.md), or discard what is lost and have it sent again."
