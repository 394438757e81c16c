"""The small files of a site as one archive: its keys, and all of its home that no other part of a backup holds."""

import io
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import BinaryIO, cast

from archive import secrets
from archive.errors import BadRequest
from archive.settings import Settings

SECRETS, PRIVATE, HOME = "secrets", "private", "home"
_ELSEWHERE = (
    "orthanc",
    "postgresql",
    "run",
    "logs",
    "measures",
    "spool",
    "upgrades",
    "up.lock",
    "restoring",
)
_MADE_ANEW = ("federation/inputs", "federation/tls", "federation/ports.json")
_SQLITE = b"SQLite format 3\0"
_BLOCK = 1024 * 1024


def write(settings: Settings, target: BinaryIO, head: bytes | None) -> None:
    """Write the archive. `head` is the signed head of the audit trail as it was before the database's moment.

    What is removed meanwhile is left out. Raises OSError for what changes while it is read.
    """
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name, path in _members(settings):
            if name != f"{HOME}/audit/head.json":
                _add(archive, name, path)
        if head is not None:
            _add_bytes(archive, f"{HOME}/audit/head.json", head)


def read(settings: Settings, source: BinaryIO, only: tuple[str, ...] = (SECRETS, PRIVATE, HOME)) -> list[str]:
    """Write the archive's files where they belong; those that are there already stay. The names of those written.

    Raises BadRequest for an archive that is none.
    """
    written = []
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for member in archive:
                target = _place(settings, member.name)
                if not member.isfile() or member.name.split("/")[0] not in only or target.exists():
                    continue
                content = cast(BinaryIO, archive.extractfile(member))
                _put(target, content, member.mode)
                written.append(member.name)
    except tarfile.TarError as error:
        raise BadRequest(f"the backup's files can't be read ({type(error).__name__})") from None
    return written


def content(source: BinaryIO, name: str) -> bytes:
    """One file of an archive. Raises BadRequest where it holds none of the name, or is none."""
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for member in archive:
                if member.name == name and (found := archive.extractfile(member)):
                    return found.read()
    except tarfile.TarError as error:
        raise BadRequest(f"the backup's files can't be read ({type(error).__name__})") from None
    raise BadRequest(f"the backup holds no {name}")


def list_names(source: BinaryIO) -> list[str]:
    """What an archive holds. Raises BadRequest."""
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            return [member.name for member in archive]
    except tarfile.TarError as error:
        raise BadRequest(f"the backup's files can't be read ({type(error).__name__})") from None


def _members(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Names in the archive, and files: private keys before their public halves."""
    named = {Path(settings.crosswalk_key), secrets.audit_key(settings), secrets.model_key(settings)}
    keys = sorted(path for path in named if path.is_file())
    for path in keys:
        yield f"{PRIVATE}/{path.name}", path
    folder = Path(settings.secrets)
    for path in sorted(folder.iterdir()):
        if path.is_file() and path not in named and not path.name.startswith("."):
            yield f"{SECRETS}/{path.name}", path
    apart = {settings.home / name for name in (*_ELSEWHERE, *_MADE_ANEW)}
    yield from _below(settings.home, settings.home, apart | named | {folder, Path(settings.storage)})


def _below(home: Path, folder: Path, apart: set[Path]) -> Iterator[tuple[str, Path]]:
    """What links lead to is there, too, but for those that lead back into the home, or to what is no part of it."""
    for path in sorted(folder.iterdir()):
        if (
            path in apart
            or path.name.startswith(".")
            or (path.is_symlink() and _leads_back(path, home, apart))
        ):
            continue
        if path.is_dir():
            yield from _below(home, path, apart)
        elif path.is_file() and not path.name.endswith((".part", "-wal", "-shm", "-journal")):
            yield f"{HOME}/{path.relative_to(home)}", path


def _leads_back(link: Path, home: Path, apart: set[Path]) -> bool:
    target, others = link.resolve(), {each.resolve() for each in (home, link.parent, *apart)}
    return any(target == each or target in each.parents or each in target.parents for each in others)


def _add(archive: tarfile.TarFile, name: str, path: Path) -> None:
    try:
        with open(path, "rb") as file:
            if file.read(len(_SQLITE)) == _SQLITE:
                _add_database(archive, name, path)
                return
            file.seek(0)
            _add_file(archive, name, file)
    except FileNotFoundError:
        return  # it was removed meanwhile


def _add_file(archive: tarfile.TarFile, name: str, file: BinaryIO) -> None:
    member = archive.gettarinfo(fileobj=file, arcname=name)
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.type = tarfile.REGTYPE
    archive.addfile(member, file)


def _add_database(archive: tarfile.TarFile, name: str, path: Path) -> None:
    """An SQLite database as it is at one moment, whoever writes to it."""
    with TemporaryDirectory() as folder:
        copied = Path(folder, "copy")
        with closing(sqlite3.connect(path, timeout=30)) as source, closing(sqlite3.connect(copied)) as target:
            source.backup(target)
        copied.chmod(stat.S_IMODE(path.stat().st_mode))
        with open(copied, "rb") as file:
            _add_file(archive, name, file)


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    archive.addfile(member, io.BytesIO(content))


def _place(settings: Settings, name: str) -> Path:
    """Where a member belongs. Raises BadRequest for a name that leads elsewhere."""
    root, *rest = PurePosixPath(name).parts
    folders = {
        SECRETS: Path(settings.secrets),
        PRIVATE: Path(settings.crosswalk_key).parent,
        HOME: settings.home,
    }
    if root not in folders or not rest or ".." in rest:
        raise BadRequest("the backup holds a file whose place is unknown")
    return folders[root].joinpath(*rest)


def _put(target: Path, content: BinaryIO, mode: int) -> None:
    """Write one file: whole, or not at all, and never readable by more than it was."""
    private = mode & 0o077 == 0
    target.parent.mkdir(mode=0o700 if private else 0o755, parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    part.touch(mode=mode & 0o700 if private else mode & 0o755)
    with open(part, "wb") as file:
        shutil.copyfileobj(content, file, _BLOCK)
    part.replace(target)
