"""Which package a site has chosen to read a task of a modality, and which one in its shadow.

One small file that is replaced as a whole: who reads it while it changes sees all of it before or all of it after.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from archive.findings import Task
from archive.instances import sync_folder
from inference.errors import PackageError
from inference.passport import MODALITIES

_FILE = "enabled.json"
_FORMAT = 1
_FORMER = "active"  # a link that named the package of a task before there was this file


@dataclass(frozen=True, slots=True)
class Choice:
    """References of packages. `active` is None where the built-in package reads, empty where none does."""

    active: str | None = None
    shadow: str = ""


Place = tuple[Task, str]  # a task, and the modality whose images are read for it


def read_choices(home: Path) -> dict[Place, Choice]:
    """What the site has chosen. Raises PackageError where that can't be read."""
    path = home / "models" / _FILE
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != _FORMAT:
            raise PackageError(f"{path} is of a format that this version does not read")
        chosen = dict(map(_choice, content["chosen"]))
    except FileNotFoundError:
        chosen = {}
    except OSError as error:
        raise PackageError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PackageError(
            f"{path} is damaged: restore it, or remove it and enable the models again"
        ) from error
    return _former(home) | chosen


def choose_active(home: Path, place: Place, reference: str | None) -> None:
    """Let a package read from now on; a reading that runs keeps the one that it began with."""
    with _changing(home) as choices:
        choices[place] = replace(choices.get(place, Choice()), active=reference)


def choose_shadow(home: Path, place: Place, reference: str) -> None:
    """Let a package read beside the active one, or, with an empty reference, none."""
    with _changing(home) as choices:
        choices[place] = replace(choices.get(place, Choice()), shadow=reference)


@contextmanager
def _changing(home: Path) -> Iterator[dict[Place, Choice]]:
    """The choices, to be changed in place; one process changes them at a time."""
    folder = home / "models"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{_FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        choices = read_choices(home)
        yield choices
        _write(folder / _FILE, choices)


def _write(path: Path, choices: Mapping[Place, Choice]) -> None:
    rows = [
        {"task": str(task), "modality": modality} | asdict(choice)
        for (task, modality), choice in sorted(choices.items())
    ]
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"format": _FORMAT, "chosen": rows}, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def _choice(row: Mapping[str, Any]) -> tuple[Place, Choice]:
    active, shadow = row["active"], row["shadow"]
    if not (isinstance(active, str | None) and isinstance(shadow, str) and row["modality"] in MODALITIES):
        raise ValueError("a row is of another form")
    return (Task(row["task"]), row["modality"]), Choice(active, shadow)


def _former(home: Path) -> dict[Place, Choice]:
    """What a site chose by a link in the folder of mammography's density, before there was the file."""
    try:
        target = (home / "models" / Task.DENSITY / _FORMER).readlink()
    except OSError:
        return {}
    return {(Task.DENSITY, "MG"): Choice(target.name)}
