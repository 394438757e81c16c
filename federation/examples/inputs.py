"""Exams prepared for a task, on disk: so that a later round decodes nothing, and many take no more memory than few.

A file of mode 0600 for each study and task: a line of JSON with what is known of the exam, then its arrays. Its name
ends in a key of all that it was made from, so that what has changed is prepared anew. One without arrays says why the
exam can't be learnt from. Files go with their study, and where room is short the least lately used go first.
"""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from archive import prepared
from archive.errors import ConfigurationError, Unavailable
from archive.settings import Settings
from federation.training.task import Example, Label, Mark

IN_USE = 24 * 3600  # seconds after its last use in which a file does not go for others
_ALIGNED = 64
_LONGEST = 1024**2  # bytes of the first line


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, and its first line. `why` is empty where the exam can be learnt from."""

    path: Path
    start: int  # of the first array
    told: Mapping[str, Any]

    @property
    def why(self) -> str:
        return str(self.told["why"])

    def example(self, study_instance_uid: str, patient_id: str) -> Example:
        """The exam, its arrays mapped from the file. Raises Unavailable where it is there no more."""
        try:
            inputs = {one["name"]: self._array(one) for one in self.told["arrays"]}
        except (OSError, ValueError):
            raise Unavailable("an exam was taken away meanwhile") from None
        label, age = _label(self.told["label"]), self.told["age"]
        return Example(study_instance_uid, patient_id, inputs, label, self.told["manufacturer"], age)

    def _array(self, told: Mapping[str, Any]) -> npt.NDArray[np.float32]:
        shape = tuple(told["shape"])
        if not math.prod(shape):  # nothing can't be mapped
            return np.zeros(shape, np.float32)
        return np.memmap(self.path, np.float32, "c", self.start + told["at"], shape)


class Examples(Sequence[Example]):
    """Examples in the order of their studies, each read as it is taken."""

    def __init__(self, entries: Sequence[tuple[str, str, Entry]]) -> None:
        self._entries = entries  # study, patient, file

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "Examples": ...
    def __getitem__(self, index: int | slice) -> "Example | Examples":
        if isinstance(index, slice):
            return Examples(self._entries[index])
        study, patient, entry = self._entries[index]
        return entry.example(study, patient)

    def __iter__(self) -> Iterator[Example]:
        return (entry.example(study, patient) for study, patient, entry in self._entries)


class Inputs:
    """The files of a site. Used by one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._folder = prepared.folder(settings)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._room = settings.federation_inputs * 1024**3
        self._names: dict[str, list[str]] = {}
        self._taken = 0
        for path in prepared.held(settings):
            with suppress(FileNotFoundError):
                self._taken += path.stat().st_size
                self._names.setdefault(_prefix(path.name), []).append(path.name)

    def forget(self, studies: set[str]) -> None:
        """Remove what is prepared of these studies."""
        for prefix in [one for one in self._names if prepared.study_of(one) in studies]:
            for name in self._names.pop(prefix):
                self._remove(name)

    def find(self, study: str, task: str, key: str) -> Entry | None:
        """What was prepared of a study for a task from all that the key stands for."""
        name = _name(study, task, key)
        if name not in self._names.get(_prefix(name), ()):
            return None
        path = self._folder / name
        try:
            entry = _read(path)
            os.utime(path)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return entry

    def keep(self, study: str, task: str, key: str, example: Example | None, why: str = "") -> Entry:
        """Keep an exam, or why it can't be learnt from, in the place of what was prepared of it before.

        Raises ConfigurationError where there is no room for it beside what is in use.
        """
        name = _name(study, task, key)
        for old in self._names.pop(_prefix(name), []):
            self._remove(old)
        line, arrays = _render(example, why)
        size = len(line) + sum(_padded(array.nbytes) for array in arrays)
        self._make_room(size)
        path = self._folder / name
        _write(path, line, arrays)
        self._names[_prefix(name)] = [name]
        self._taken += size
        return _read(path)

    def _remove(self, name: str) -> None:
        path = self._folder / name
        with suppress(FileNotFoundError):
            size = path.stat().st_size
            path.unlink()
            self._taken -= size

    def _make_room(self, size: int) -> None:
        if self._taken + size <= self._room:
            return
        for used_at, name in sorted(self._used()):
            if used_at > time.time() - IN_USE:
                break
            self._remove(name)
            self._names.pop(_prefix(name), None)
            if self._taken + size <= self._room:
                return
        raise ConfigurationError("the prepared exams have no room: set federation_inputs to more GiB")

    def _used(self) -> Iterator[tuple[float, str]]:
        for names in self._names.values():
            for name in names:
                with suppress(FileNotFoundError):
                    yield (self._folder / name).stat().st_mtime, name


def _prefix(name: str) -> str:
    return name.rpartition("_")[0]


def _name(study: str, task: str, key: str) -> str:
    return f"{study}_{task}_{key}"


def _padded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _render(example: Example | None, why: str) -> tuple[bytes, list[npt.NDArray[np.float32]]]:
    arrays: list[npt.NDArray[np.float32]] = []
    listed: list[dict[str, Any]] = []
    at = 0
    for name, values in sorted(example.inputs.items()) if example else ():
        array = np.ascontiguousarray(values, np.float32)
        listed.append({"name": name, "shape": array.shape, "at": at})
        arrays.append(array)
        at += _padded(array.nbytes)
    told = {
        "why": why,
        "size": at,
        "arrays": listed,
        "label": asdict(example.label) if example else None,
        "manufacturer": example.manufacturer if example else "",
        "age": example.age if example else None,
    }
    line = json.dumps(told, separators=(",", ":")).encode()
    return line.ljust(_padded(len(line) + 1) - 1) + b"\n", arrays


def _write(path: Path, line: bytes, arrays: Sequence[npt.NDArray[np.float32]]) -> None:
    """Whole or not at all. What a power cut leaves of it is too short, and is prepared anew."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(line)
        for array in arrays:
            file.write(array.tobytes())
            file.write(bytes(_padded(array.nbytes) - array.nbytes))
    part.replace(path)


def _read(path: Path) -> Entry:
    """Raises OSError, ValueError, KeyError or TypeError for what is none of these files, or not all of one."""
    with open(path, "rb") as file:
        line = file.readline(_LONGEST)
        size = os.fstat(file.fileno()).st_size
    told = json.loads(line)
    if size != len(line) + told["size"] or not all(math.prod(one["shape"]) >= 0 for one in told["arrays"]):
        raise ValueError
    return Entry(path, len(line), told)


def _label(told: Mapping[str, Any]) -> Label:
    marks = tuple(
        Mark((view[0], view[1]), kind, (box[0], box[1], box[2], box[3]))
        for view, kind, box in ((one["view"], one["kind"], one["box"]) for one in told["marks"])
    )
    return Label(**{**told, "marks": marks})
