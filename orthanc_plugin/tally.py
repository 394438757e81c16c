"""What the door counts of itself since Orthanc started; the gateway tells Prometheus of it."""

import threading
from collections import Counter


class Tally:
    """Instances by what became of them, refusals by reason, bytes and seconds. Safe for use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._instances: Counter[str] = Counter(modify=0, keep=0, discard=0, refuse=0, fence=0)
        self._refusals: Counter[str] = Counter()
        self._bytes = 0
        self._seconds = 0.0

    def note(self, size: int, seconds: float) -> None:
        """Note what an instance took that was decided on."""
        with self._lock:
            self._bytes += size
            self._seconds += seconds

    def count(self, verdict: str) -> None:
        """Count an instance once it is known what becomes of it.

        `discard` and `refuse` when it was decided on, `modify`, `keep` or `fence` by the fence before storage.
        """
        with self._lock:
            self._instances[verdict] += 1

    def refuse(self, reason: str) -> None:
        """Count why one was refused or held, by the code of the reason."""
        with self._lock:
            self._refusals[reason] += 1

    def to_json(self) -> dict[str, object]:
        """All of it."""
        with self._lock:
            by = {"instances": dict(self._instances), "refusals": dict(self._refusals)}
            return {**by, "bytes": self._bytes, "seconds": round(self._seconds, 6)}
