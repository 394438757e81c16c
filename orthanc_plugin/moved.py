"""What the bucket has is removed from the storage folder: by the plugin, since nobody else may write there.

The worker noted that the bucket has it, after it had read it back (`inference/moving.py`).
"""

import threading
from collections.abc import Callable

import psycopg

from archive.durable import DurableConnection
from archive.errors import Unavailable
from archive.pool import queries
from archive.tiers import Tiers

PAUSE = 2.0  # seconds between two looks
_BATCH = 500


class Moved:
    """Removes what was moved, as long as the process lives."""

    def __init__(self, connection: DurableConnection, tiers: Tiers, warn: Callable[[str], None]) -> None:
        self._connection, self._tiers, self._warn = connection, tiers, warn
        self._sql = queries("tiers.sql")

    def begin(self) -> None:
        """Look again and again, in a thread of its own."""
        threading.Thread(target=self._go_on, name="moved", daemon=True).start()

    def step(self) -> int:
        """Remove some files, then note that they are; their number. Raises Unavailable, OSError."""
        self._tiers.require_mounted()
        found = self._connection.execute(self._sql["to_be_removed"], {"limit": _BATCH})
        removed = [str(place) for place, size in found if self._remove(str(place), int(size))]
        if removed:
            self._connection.execute(self._sql["removed"], {"places": removed})
        return len(removed)

    def _remove(self, place: str, size: int) -> bool:
        """Whether a file is not there any more; one of another size is none that was moved."""
        path = self._tiers.folder_path(place)
        try:
            if path.stat().st_size != size:
                self._warn(f"the file of {place} is not the one that was moved, and stays")
                return False
        except FileNotFoundError:
            return True
        path.unlink(missing_ok=True)
        return True

    def _go_on(self) -> None:
        pause = threading.Event()
        while True:
            try:
                busy = self.step() == _BATCH
            except (Unavailable, psycopg.Error, OSError) as error:
                busy = False
                self._connection.close()
                self._warn(f"what was moved can't be removed yet ({type(error).__name__})")
            pause.wait(0 if busy else PAUSE)
