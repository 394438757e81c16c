"""Batches across studies: what several readings put to one network within a moment runs at once."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from inference.errors import ReadingFailed

Tensor = npt.NDArray[np.float32]
Outputs = dict[str, npt.NDArray[np.float32]]
Run = Callable[[Tensor], Outputs]


@dataclass(slots=True)
class _Batch:
    """Inputs that are to run together: the first to come waits for more and runs them, the others for the first."""

    inputs: list[Tensor] = field(default_factory=list)
    rows: int = 0
    full: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    outputs: Outputs | None = None


class Batcher:
    """Joins inputs (n, …) of equal shapes to batches of at most `most` rows, for each of which the first waits `wait`
    seconds: no longer than that is anybody kept waiting, and nobody while there is no other reading under way.

    `busy` tells how many readings are under way.
    """

    def __init__(self, run: Run, busy: Callable[[], int], *, most: int = 32, wait: float = 0.004) -> None:
        self._run = run
        self._busy = busy
        self._most = most
        self._wait = wait
        self._lock = threading.Lock()
        self._open: dict[tuple[int, ...], _Batch] = {}

    def __call__(self, tensor: Tensor) -> Outputs:
        """The network's outputs for these rows. Raises what the network's run raises."""
        if self._busy() < 2 or len(tensor) >= self._most:
            return self._run(tensor)
        batch, place = self._join(tensor)
        if place:
            batch.done.wait()
        else:
            self._lead(batch, tensor.shape[1:])
        if batch.outputs is None:  # one of them fails the batch: each is to know whether it was that one
            return self._run(tensor)
        start = sum(len(one) for one in batch.inputs[:place])
        return {name: values[start : start + len(tensor)] for name, values in batch.outputs.items()}

    def _join(self, tensor: Tensor) -> tuple[_Batch, int]:
        """The batch that these rows are in now, and their place in it."""
        shape = tensor.shape[1:]
        with self._lock:
            batch = self._open.get(shape)
            if batch is None or batch.rows + len(tensor) > self._most:
                if batch:
                    batch.full.set()
                batch = self._open[shape] = _Batch()
            batch.inputs.append(tensor)
            batch.rows += len(tensor)
            if batch.rows >= self._most:
                batch.full.set()
            return batch, len(batch.inputs) - 1

    def _lead(self, batch: _Batch, shape: tuple[int, ...]) -> None:
        end = time.monotonic() + self._wait
        while not batch.full.is_set() and len(batch.inputs) < self._busy():
            left = end - time.monotonic()
            if left <= 0:
                break
            batch.full.wait(left / 4)
        with self._lock:
            if self._open.get(shape) is batch:
                del self._open[shape]
        try:
            batch.outputs = self._run(_joined(batch.inputs))
        except (ReadingFailed, MemoryError):  # told to each of them by a run of its own
            return
        finally:
            batch.done.set()


def _joined(inputs: Sequence[Tensor]) -> Tensor:
    return inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
