"""Where a run is, on disk after each round: whole and true, or not there.

A file is written beside its place, synchronised and renamed; what is read is checked against the hashes in it, and a
damaged one gives way to the one before.
"""

import hashlib
import json
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from federation.hub.aggregate import Optimiser
from federation.training.weights import Vector

KEPT = 2
"""Checkpoints of a run that are kept, the last ones."""
_NAME = re.compile(r"round-([0-9]{1,6})\.npz")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A run after a round: nothing else goes into the next one but the manifest and what the sites answer.

    `figures` and `sites` are those of this round as they are on record: the next one adds how its weights did. `best`
    are the weights with the best figure so far, which are those after `best_round`; that is -1 where none has a figure
    yet.
    """

    run: str
    manifest: str
    round: int
    weights: Vector
    optimiser: Optimiser = field(default_factory=Optimiser)
    best: Vector = field(default_factory=lambda: np.zeros(0, np.float32))
    best_round: int = -1
    best_figure: float = 0.0
    figures: Mapping[str, float] = field(default_factory=dict)
    sites: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def write(folder: Path, state: Checkpoint) -> Path:
    """Keep a checkpoint: durable on return, and the older ones gone but for the one before. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"round-{state.round}.npz"
    arrays = _arrays(state)
    record = {
        **{name: getattr(state, name) for name in _PLAIN},
        "hashes": {name: _hash(array) for name, array in arrays.items()},
    }
    text = json.dumps(record, sort_keys=True).encode()
    _write(path, arrays | {"record": _bytes(text), "sha256": _bytes(hashlib.sha256(text).digest())})
    _forget(folder, state.round)
    return path


def latest(folder: Path, manifest: str) -> Checkpoint | None:
    """The last checkpoint that is whole and of this manifest (its SHA-256); None where there is none."""
    for number in sorted(_numbers(folder), reverse=True):
        state = read(folder / f"round-{number}.npz")
        if state is not None and (state.manifest, state.round) == (manifest, number):
            return state
    return None


def read(path: Path) -> Checkpoint | None:
    """A checkpoint; None for a file that is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        text = arrays.pop("record").tobytes()
        if hashlib.sha256(text).digest() != arrays.pop("sha256").tobytes():
            return None
        record = json.loads(text)
        if record.pop("hashes") != {name: _hash(array) for name, array in arrays.items()}:
            return None
        return _state(record, arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None


_PLAIN = ("run", "manifest", "round", "best_round", "best_figure", "figures", "sites")


def _arrays(state: Checkpoint) -> dict[str, npt.NDArray[Any]]:
    return {
        "weights": state.weights,
        "best": state.best,
        "momentum": state.optimiser.momentum,
        "velocity": state.optimiser.velocity,
    }


def _state(record: dict[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Checkpoint:
    optimiser = Optimiser(arrays["momentum"], arrays["velocity"])
    return Checkpoint(weights=arrays["weights"], best=arrays["best"], optimiser=optimiser, **record)


def _write(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _forget(folder: Path, last: int) -> None:
    """Remove all but the last ones; and those beyond, of which a damaged one may be what was gone back behind."""
    for number in _numbers(folder):
        if not last - KEPT < number <= last:
            (folder / f"round-{number}.npz").unlink(missing_ok=True)


def _numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return [int(found[1]) for path in folder.iterdir() if (found := _NAME.fullmatch(path.name))]


def _hash(array: npt.NDArray[Any]) -> str:
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def _bytes(text: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(text, np.uint8)
