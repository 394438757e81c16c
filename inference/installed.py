"""The model packages of a site: those it brings itself, those that were added, and which one reads each task."""

import os
from pathlib import Path

from archive.findings import Task
from archive.readings import Wanted
from inference.package import Package, load

_BUILT_IN = {Task.DENSITY: Path(__file__).resolve().parent / "models" / "phantom_density"}
_ACTIVE = "active"


def folder(home: Path, task: Task) -> Path:
    """Where a site keeps the packages for a task, a folder each."""
    return home / "models" / task


def place(home: Path, task: Task, name: str, version: str) -> Path:
    """The folder of one package in a site."""
    return folder(home, task) / f"{name}-{version}"


def active(home: Path, task: Task) -> Package:
    """The package that reads a task: the chosen one, else the built-in one. Raises PackageError."""
    chosen = folder(home, task) / _ACTIVE
    return load(chosen.resolve() if has_chosen(home, task) else _BUILT_IN[task])


def has_chosen(home: Path, task: Task = Task.DENSITY) -> bool:
    """Whether the site has chosen a package for a task itself."""
    return (folder(home, task) / _ACTIVE).is_symlink()


def activate(home: Path, package: Package) -> None:
    """Choose a package of the site for its task, atomically; a reading that runs keeps the one it began with."""
    chosen = folder(home, package.passport.identity.task) / _ACTIVE
    part = chosen.with_name(f".{_ACTIVE}.{os.getpid()}")
    part.unlink(missing_ok=True)
    part.symlink_to(package.folder.name)
    part.replace(chosen)


def packages(home: Path, task: Task) -> list[Package]:
    """Every package that a site has for a task, the built-in one first. Raises PackageError."""
    added = sorted(
        path for path in folder(home, task).glob("[!.]*") if path.is_dir() and not path.is_symlink()
    )
    return [load(path) for path in (_BUILT_IN[task], *added)]


def wanted(home: Path) -> list[Wanted]:
    """What studies are read for: the tasks and modalities for which a model is enabled."""
    return [Wanted(task, active(home, task).passport.inputs.modality) for task in _BUILT_IN]
