"""Reads studies by model packages: networks stay in memory, several studies are read at once."""

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from archive.errors import SenogateError
from archive.findings import Evaluation, Findings, from_json, to_json
from inference.devices import Device
from inference.execution.batching import Batcher
from inference.execution.messages import Order, Reply
from inference.package import NETWORK, read
from inference.passport import PASSPORT
from inference.pipeline import Means, read_study
from inference.session import Measured, Session, open_model
from inference.trace import Trace
from inference.trust import trusted_keys

MOST_MODELS = 8
"""Networks that stay in memory; of more, those that were used last."""

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Open:
    stamp: Stamp
    model: Session | Measured
    batcher: Batcher | None


class Engine:
    """`threads` decode and prepare pictures for all readings; `device` is what networks run on.

    What runs is signed by a key that the site with this `home` trusts.
    """

    def __init__(self, home: Path, device: Device = Device(), threads: int = 2) -> None:  # noqa: B008
        self._home = home
        self._device = device
        self._pool = ThreadPoolExecutor(threads, "decode")
        self._counting = threading.Lock()
        self._opening = threading.Lock()
        self._models: OrderedDict[str, _Open] = OrderedDict()
        self._busy = 0

    def read(self, order: Order) -> Reply:
        """Do a reading; a failure of the model or of an instance is a reply too."""
        trace, device = Trace(), ""
        with self._counting:
            self._busy += 1
        try:
            with trace.part("load"):
                opened = self._open(order.folder)
            device = opened.model.providers[0]
            means = Means(self._pool, opened.batcher, trace, _evaluations(order.density))
            answer = to_json(read_study(map(Path, order.paths), opened.model, means=means))
            return Reply(order.number, answer, "", device, trace.inputs, trace.seconds)
        except (SenogateError, MemoryError) as error:
            failure = str(error) if isinstance(error, SenogateError) else "there is not memory enough"
            return Reply(order.number, "", failure, device, trace.inputs, trace.seconds)
        finally:
            with self._counting:
                self._busy -= 1

    def _open(self, folder: str) -> _Open:
        """The package's model, loaded where it is not in memory as its files are now. Raises PackageError."""
        with self._opening:
            found = self._models.get(folder)
            stamp = _stamp(folder)
            if found is None or found.stamp != stamp:
                found = self._load(folder, stamp)
                self._models[folder] = found
            self._models.move_to_end(folder)
            while len(self._models) > MOST_MODELS:
                self._models.popitem(last=False)
            return found

    def _load(self, folder: str, stamp: Stamp) -> _Open:
        package = read(Path(folder))
        package.authenticate(trusted_keys(self._home))
        model = open_model(package, device=self._device)
        if isinstance(model, Session) and model.takes_batches:
            return _Open(stamp, model, Batcher(model.run, self._readings))
        return _Open(stamp, model, None)

    def _readings(self) -> int:
        return self._busy


def _evaluations(findings: str) -> tuple[Evaluation, ...]:
    found = from_json(findings) if findings else None
    return found.evaluations if isinstance(found, Findings) else ()


def _stamp(folder: str) -> Stamp:
    """By which a package that was replaced is known. Raises PackageError at loading, where it is not there."""
    found = []
    for name in (PASSPORT, NETWORK):
        path = Path(folder, name)
        if path.exists():
            status = path.stat()
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)
