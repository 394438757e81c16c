"""What the log of an inference tells beside its answer: which bytes were read, and how long each part took."""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from inference.errors import ReadingFailed
from inference.instance import Part


class Trace:
    """Filled while a study is read, by any number of threads."""

    def __init__(self) -> None:
        self.inputs: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time that the block takes; threads that work at once each add theirs."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun

    def read(self, sop_instance_uid: str, part: Part) -> None:
        """Note the SHA-256 of an instance as it is stored. Raises ReadingFailed where it is there no more."""
        with self.part("hash"):
            digest = _sha256(part)
        with self._lock:
            self.inputs[sop_instance_uid] = digest


def _sha256(part: Part) -> str:
    if isinstance(part, bytes):
        return hashlib.sha256(part).hexdigest()
    try:
        with open(part, "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ReadingFailed("an instance can't be read from the storage") from error
