"""The list of the files that a backup shares with others: while the backup is made, and as it is kept in it."""

import gzip
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

from archive.errors import BadRequest
from senogate.backup.repository import Kept, is_place, is_section


class Listing:
    """Files by section and place, on the disk: a site may have millions. Close it at the end."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.execute("pragma synchronous = off")
        self._connection.execute(
            "create table file (section text, place text, size integer, sha256 blob, wanted integer,"
            " primary key (section, place)) without rowid"
        )
        self._connection.execute("begin")

    def know(self, kept: Kept) -> None:
        """A file that the repository holds; whether the backup lists it is said by `want`."""
        self._connection.execute("insert or replace into file values (?, ?, ?, ?, 0)", kept)

    def find(self, section: str, place: str) -> Kept | None:
        row = self._connection.execute(
            "select section, place, size, sha256 from file where section = ? and place = ?", [section, place]
        ).fetchone()
        return Kept(*row) if row else None

    def want(self, section: str, place: str) -> None:
        """The backup that is made lists this file, which is known."""
        self._connection.execute(
            "update file set wanted = 1 where section = ? and place = ?", [section, place]
        )

    def wanted(self) -> Iterator[Kept]:
        rows = self._connection.execute(
            "select section, place, size, sha256 from file where wanted order by section, place"
        )
        return map(Kept._make, rows)

    def close(self) -> None:
        self._connection.close()


def write(file: Path, listed: Iterator[Kept]) -> tuple[int, int, int]:
    """Write a list; how many files it has, how many of them are instances, and the bytes of all."""
    files = instances = size = 0
    with gzip.open(file, "wt", compresslevel=5, encoding="ascii") as lines:
        for kept in listed:
            lines.write(f"{kept.section} {kept.place} {kept.size} {kept.sha256.hex()}\n")
            files, size = files + 1, size + kept.size
            instances += kept.section == "instances"
    return files, instances, size


def read(file: Path) -> Iterator[Kept]:
    """What a list says. Raises BadRequest for one that is damaged."""
    try:
        with gzip.open(file, "rt", encoding="ascii") as lines:
            for line in lines:
                section, place, size, digest = line.split()
                if not is_section(section) or not is_place(place):
                    raise BadRequest("the backup's list of files names one whose place is unknown")
                yield Kept(section, place, int(size), bytes.fromhex(digest))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise BadRequest(f"the backup's list of files can't be read ({type(error).__name__})") from None
