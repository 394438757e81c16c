"""Whether a backup is whole: every file and part as it was written, and, with its key, whether it could be restored."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from archive.errors import BadRequest, SenogateError
from archive.settings import Settings
from senogate.backup import database, files, listing, orthanc_index, parts
from senogate.backup.keys import Opener
from senogate.backup.manifest import Manifest
from senogate.backup.repository import Kept, Repository

Advance = Callable[[int], object]
_KEYS = ("private/crosswalk.key", "secrets/site.key", "secrets/crosswalk.pub", "secrets/complete")


@dataclass(frozen=True, slots=True)
class Verified:
    """`problems` is empty where the backup is whole; `opened` says whether it was opened, too."""

    name: str
    files: int
    opened: bool
    problems: list[str]

    def to_json(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


def verify(
    settings: Settings,
    folder: Path,
    name: str = "",
    opener: Opener | None = None,
    advance: Advance = lambda size: None,
) -> Verified:
    """Read all of a backup; with `opener` open it, too. Raises NotFound, ConfigurationError for another opener."""
    repository = Repository(folder)
    name = repository.choose(name)
    problems: list[str] = []
    count = 0
    try:
        manifest = repository.manifest(name)
        problems += _part_problems(repository.path(name), manifest)
        for kept in listing.read(repository.path(name) / "files.gz"):
            count += 1
            problems += _file_problems(repository, kept)
            advance(kept.size)
        if count != manifest.files:
            problems.append(f"the list has {count} files, and not {manifest.files}")
        if opener:
            problems += _opened_problems(settings, repository.path(name), manifest, manifest.open(opener))
    except BadRequest as error:
        problems.append(str(error))
    return Verified(name, count, opener is not None, problems)


def _part_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    for name, part in manifest.parts.items():
        try:
            with open(folder / name, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != part.sha256:
                    yield f"the part {name} is not the one that was written"
        except FileNotFoundError:
            yield f"the part {name} is missing"


def _file_problems(repository: Repository, kept: Kept) -> Iterator[str]:
    try:
        with open(repository.shared(kept.section, kept.place), "rb") as file:
            if hashlib.file_digest(file, "sha256").digest() != kept.sha256:
                yield f"{kept.section}/{kept.place} is damaged"
    except FileNotFoundError:
        yield f"{kept.section}/{kept.place} is missing"


def _opened_problems(settings: Settings, folder: Path, manifest: Manifest, data_key: bytes) -> Iterator[str]:
    """What a restore would stumble over."""
    with TemporaryDirectory() as temporary:
        plain = Path(temporary, "part")
        for name, is_good in _TRIALS.items():
            try:
                if not is_good(settings, parts.unseal(folder, data_key, name, plain)):
                    yield f"the part {name} can't be restored"
            except SenogateError as error:
                yield str(error)


def _has_keys(settings: Settings, archive: Path) -> bool:
    with open(archive, "rb") as file:
        return set(files.list_names(file)).issuperset(_KEYS)


def _is_sound(settings: Settings, index: Path) -> bool:
    return orthanc_index.is_sound(index)


_TRIALS: dict[str, Callable[[Settings, Path], bool]] = {
    "database": database.is_dump,
    "identities": database.is_dump,
    "orthanc-index": _is_sound,
    "files": _has_keys,
}
