"""The model packages of a site: those it brings itself, those that were added, and what each task is read by."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive.findings import Task
from archive.readings import Wanted
from inference import choice
from inference.choice import Choice, Place
from inference.errors import PackageError
from inference.package import Package, load, read, read_text, save, write
from inference.passport import PASSPORT
from inference.signature import Keys
from inference.trust import trust, trusted_keys

_VERSION = re.compile(r"-[0-9]+\.[0-9]+\.[0-9]+.*")
BUILT_IN = Path(__file__).resolve().parent / "models"
DEFAULTS = ("phantom_density",)
"""The built-in packages that read at a new site; the others do so once they are enabled."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What is to read one task on the images of one modality, or to read it in the shadow of what does.

    `package` is authenticated; where the one that was chosen must not run it is None, and `problem` says why. What a
    `shadow` finds is kept and never delivered.
    """

    task: Task
    modality: str
    shadow: bool
    reference: str
    package: Package | None
    problem: str = ""

    @property
    def reading(self) -> Wanted:
        """What studies are to be read for because of it."""
        return Wanted(self.task, self.modality, self.shadow)


@dataclass(frozen=True, slots=True)
class Installed:
    """A package that lies in the site, whatever its state: `package` is None where its passport can't be read."""

    folder: Path
    built_in: bool
    package: Package | None
    problem: str

    @property
    def reference(self) -> str:
        return self.package.reference if self.package else self.folder.name

    def runnable(self) -> Package:
        """The package. Raises PackageError where it must not run."""
        if self.package is None or self.problem:
            raise PackageError(self.problem)
        return self.package


def wanted(home: Path) -> list[Slot]:
    """What reads which task, as the site has chosen at this moment: at most one active and one shadow for each place.

    Signatures are verified here; a network's hash when it is read, by `Package.read_network`. Raises PackageError or
    KeyFileError where the choice itself or a trusted key can't be read.
    """
    choices, trusted = choice.read_choices(home), trusted_keys(home)
    places = sorted(choices.keys() | default_packages().keys())
    return [slot for place in places for slot in _slots(home, place, choices.get(place, Choice()), trusted)]


def has_chosen(home: Path, task: Task = Task.DENSITY, modality: str = "MG") -> bool:
    """Whether the site has chosen a package for a task itself."""
    return (task, modality) in choice.read_choices(home)


def enable(home: Path, package: Package, *, shadow: bool = False) -> None:
    """Let a package of the site read its task from now on, or read it in the shadow of the one that does.

    Raises PackageError where it is to be both, or where this release does not know its preprocessing.
    """
    _require_known_steps(package)
    place = place_of(package)
    others = [
        slot for slot in wanted(home) if (slot.task, slot.modality) == place and slot.shadow is not shadow
    ]
    if any(slot.reference == package.reference for slot in others):
        raise PackageError("it reads this task already, in the other way: disable it there first")
    if shadow:
        choice.choose_shadow(home, place, package.reference)
    else:
        built_in = default_packages().get(place) == package.folder
        choice.choose_active(home, place, None if built_in else package.reference)


def disable(home: Path, name: str, version: str = "") -> list[Slot]:
    """Let a package read its task no more, neither in the shadow; what it did until now, nothing where it did not."""
    left = [slot for slot in wanted(home) if _is_of(slot.reference, name, version)]
    for slot in left:
        choose = choice.choose_shadow if slot.shadow else choice.choose_active
        choose(home, (slot.task, slot.modality), "")
    return left


def add(home: Path, source: Path) -> Package:
    """Copy a package into the site.

    Raises PackageError where it is not whole, not signed by a trusted key, of the name and version of another, or
    where this release does not know its preprocessing.
    """
    if not source.is_dir():
        raise PackageError(f"{source} is no folder: a package is a folder; unpack an archive first")
    trusted = trusted_keys(home)
    package = load(source, trusted)
    _require_known_steps(package)
    if (present := _folder(home, package.passport.identity.task, package.reference)).exists():
        if read(present).signed != package.signed:
            raise PackageError(
                f"another {package.reference} is there: what is changed needs a version of its own"
            )
        return load(present, trusted)
    network = None if package.passport.method else package.read_network()
    write(present, network, read_text(source), package.read_record())
    return load(present, trusted)


def _require_known_steps(package: Package) -> None:
    from inference import preprocess  # takes seconds, which lists of packages need not wait for

    if steps := [(step.name, step.parameters) for step in package.passport.inputs.preprocessing]:
        preprocess.check(steps)


def make(
    home: Path,
    network: bytes,
    passport: Mapping[str, Any],
    private: Ed25519PrivateKey,
    record: bytes | None = None,
) -> Package:
    """Write a package of the site's own, signed with its key, which is trusted from then on. Raises PackageError."""
    identity = passport["identity"]
    folder = home / "models" / Task(identity["task"]) / f"{identity['name']}-{identity['version']}"
    save(folder, network, passport, private, record)
    trust(home, private.public_key())
    return load(folder, trusted_keys(home))


def place_of(package: Package) -> Place:
    """The task that a package reads, and the modality on whose images."""
    return package.passport.identity.task, package.passport.inputs.modality


def packages(home: Path) -> list[Installed]:
    """Every package in the site with its state, the built-in ones first. Raises KeyFileError."""
    trusted = trusted_keys(home)
    added = (path for task in Task for path in (home / "models" / task).glob("[!.]*"))
    folders = sorted(path for path in added if path.is_dir() and not path.is_symlink())
    return [inspect(folder, trusted) for folder in (*_built_in_folders(), *folders)]


def look_up(home: Path, name: str, version: str = "") -> Installed:
    """The package of a name, and of a version where there are several. Raises PackageError where there is none."""
    found = [one for one in packages(home) if _is_of(one.reference, name, version)]
    if not found:
        raise PackageError("no such model is in this site: `senogate model list` shows those that are")
    if len(found) > 1:
        raise PackageError("there are several versions of this model: name one with --version")
    return found[0]


def inspect(folder: Path, trusted: Keys) -> Installed:
    """What is in a folder, and why it must not run where it must not."""
    built_in = folder.parent == BUILT_IN
    try:
        package = read(folder)
    except PackageError as error:
        return Installed(folder, built_in, None, str(error))
    try:
        load(folder, trusted)
    except PackageError as error:
        return Installed(folder, built_in, package, str(error))
    return Installed(folder, built_in, package, "")


@cache
def default_packages() -> dict[Place, Path]:
    """The folders of the built-in packages that read where a site has chosen nothing. Raises PackageError."""
    return {place_of(read(BUILT_IN / name)): BUILT_IN / name for name in DEFAULTS}


def _built_in_folders() -> list[Path]:
    return sorted(path.parent for path in BUILT_IN.glob(f"*/{PASSPORT}"))


def _folder(home: Path, task: Task, reference: str) -> Path:
    """Where a package lies, or would: among the built-in ones, else in the site."""
    return _built_in(task).get(reference, home / "models" / task / reference)


@cache
def _built_in(task: Task) -> dict[str, Path]:
    found = {folder: read(folder) for folder in _built_in_folders()}
    return {one.reference: folder for folder, one in found.items() if one.passport.identity.task is task}


def _slots(home: Path, place: Place, chosen: Choice, trusted: Keys) -> list[Slot]:
    default = default_packages().get(place) if chosen.active is None else None
    active = read(default).reference if default else chosen.active
    return [
        _slot(home, place, reference, trusted, shadow=shadow)
        for reference, shadow in ((active, False), (chosen.shadow, True))
        if reference
    ]


def _slot(home: Path, place: Place, reference: str, trusted: Keys, *, shadow: bool) -> Slot:
    try:
        package = read(_folder(home, place[0], reference))
        if (package.reference, place_of(package)) != (reference, place):
            raise PackageError(f"{package.folder} holds a package of another name, task or modality")
        package.authenticate(trusted)
    except PackageError as error:
        return Slot(*place, shadow, reference, None, str(error))
    return Slot(*place, shadow, reference, package)


def _is_of(reference: str, name: str, version: str) -> bool:
    """Whether a reference is that of a name, and of a version where one is given; names hold no dot, versions do."""
    return reference == f"{name}-{version}" if version else _VERSION.sub("", reference) == name
