"""Where exams lie that are prepared for training: files named by their study, so that they go when it goes."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import psycopg

from archive.pool import queries
from archive.settings import Settings


def folder(settings: Settings) -> Path:
    return settings.home / "federation" / "inputs"


def study_of(name: str) -> str:
    """The study of a file."""
    return name.lstrip(".").partition("_")[0]


def forget(settings: Settings, studies: Collection[str]) -> int:
    """Remove what is prepared of these studies; the number of files."""
    gone = [path for path in held(settings) if study_of(path.name) in studies]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def forget_withheld(settings: Settings, connection: psycopg.Connection) -> None:
    """Remove what is prepared of studies that are withheld, or are here no more."""
    studies = {study_of(path.name) for path in held(settings)}
    if studies:
        rows = connection.execute(queries("examples.sql")["here"], {"studies": sorted(studies)})
        forget(settings, studies - {study for (study,) in rows})


def held(settings: Settings) -> list[Path]:
    """All that is prepared; nothing for who may not look there."""
    with suppress(FileNotFoundError, PermissionError):
        return [path for path in folder(settings).iterdir() if path.is_file()]
    return []
