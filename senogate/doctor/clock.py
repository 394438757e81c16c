"""The machine's clock: kept by something, and not behind what was recorded by it already."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from archive.errors import Unavailable
from archive.pool import connect, queries
from senogate.doctor.finding import Finding, act, consider, fine
from senogate.doctor.place import Place

_NAME = "clock"
_APART = timedelta(seconds=60)
_KEEP = "Set the clock, and have it kept (chrony or systemd-timesyncd)."
_PATIENCE = 3  # seconds for systemd to say


def look(place: Place) -> Iterator[Finding]:
    """A clock that is wrong dates what is recorded wrongly, and lets tokens and certificates be refused."""
    now = datetime.now(UTC)
    newest = max((moment for moment in (_of_files(place), _of_trail(place)) if moment), default=None)
    if newest and newest - now > _APART:
        said = f"it is {_span(newest - now)} behind what this site has recorded already"
        yield act(_NAME, said, _KEEP, "timedatectl")
    elif _is_kept() is False:
        yield consider(_NAME, "nothing keeps it", _KEEP, "timedatectl")
    else:
        yield fine(_NAME, f"{now:%Y-%m-%d %H:%M} UTC")


def _of_files(place: Place) -> datetime | None:
    """When this program, or a log of the site, was written last."""
    paths = [Path(__file__), *(place.settings.home / "logs").glob("*.log")]
    moments = [path.stat().st_mtime for path in paths if path.exists()]
    return datetime.fromtimestamp(max(moments), UTC) if moments else None


def _of_trail(place: Place) -> datetime | None:
    """When the newest record of the audit trail was written."""
    if not place.settings.database_url:
        return None
    try:
        with connect(place.settings.database_url, autocommit=True) as connection:
            if connection.execute("select to_regclass('audit') is null").fetchone() == (True,):
                return None
            row = connection.execute(queries("doctor.sql")["noted"]).fetchone()
    except Unavailable:
        return None
    return row[0] if row else None


def _is_kept() -> bool | None:
    """Whether systemd says that the clock is synchronised; None where there is nobody to ask."""
    if not shutil.which("timedatectl") or not Path("/run/systemd/system").is_dir():
        return None
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return told.strip() == "yes" if told.strip() in ("yes", "no") else None


def _span(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 48 * 60 else f"{minutes // 1440} days"
