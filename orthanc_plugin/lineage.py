"""Whether the index that Orthanc started with is the one that the files of the storage folder were stored under.

Orthanc begins an empty index where it finds none, and knows nothing then of the files that are there. So each index
has a mark of its own, a global property in it, and the folder has that of the index which is its files'. While the two
differ nothing is removed and nothing is forgotten, until `senogate orthanc rebuild` has registered the files anew.
"""

import os
import uuid
from collections.abc import Callable
from pathlib import Path

from archive.instances import sync_folder

PROPERTY = 5417  # of an index; those below 1024 are Orthanc's own
_NOBODY = "none"


def mark_of(storage: str) -> Path:
    """Where the folder has its mark."""
    return Path(storage) / "index-mark"


class Lineage:
    """Of one storage folder and one index, whose global properties `read` and `write` get and set."""

    def __init__(
        self, storage: str, read: Callable[[int, str], str], write: Callable[[int, str], object]
    ) -> None:
        self._storage, self._read, self._write = storage, read, write
        self._mark = ""
        self._is_own: bool | None = None

    def look(self, is_empty: Callable[[], bool]) -> bool:
        """Whether the index is the files'; asked once Orthanc has started. Raises OSError.

        A folder without a mark is given that of the index, unless files lie in it of which an index that `is_empty`
        can know nothing.
        """
        self._mark = self._read(PROPERTY, "")
        if not self._mark:
            self._mark = str(uuid.uuid4())
            self._write(PROPERTY, self._mark)
        try:
            self._is_own = mark_of(self._storage).read_text() == self._mark
        except FileNotFoundError:
            if is_empty() and self._has_files():
                self.disown()
            else:
                self.own()
        return self._is_own is True

    def own(self) -> None:
        """Note durably that the index is that of the files. Raises OSError."""
        self._note(self._mark)
        self._is_own = True

    def disown(self) -> None:
        """Note durably that the index is another one than that of the files. Raises OSError."""
        self._note(_NOBODY)
        self._is_own = False

    def told(self) -> dict[str, object]:
        """The mark of the index, and whether it is that of the files: None until it was looked at."""
        return {"mark": self._mark, "own": self._is_own}

    def _has_files(self) -> bool:
        digits = "[0-9a-f][0-9a-f]"
        return any(Path(self._storage).glob(f"{digits}/{digits}/*"))

    def _note(self, mark: str) -> None:
        target = mark_of(self._storage)
        part = target.with_name(f".{target.name}.part")
        with open(part, "w") as file:
            file.write(mark)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        sync_folder(target.parent)
