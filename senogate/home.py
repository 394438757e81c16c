"""The home of a site, which one process at a time has."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archive.errors import ConfigurationError

RESTORING = "restoring"  # a file in the home, while a backup is being restored there


def running_pid(home: Path) -> int | None:
    """The process that runs the site in `home`, or None."""
    try:
        with open(home / "up.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int((home / "up.lock").read_text())
    except OSError:
        pass
    return None


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """While this process is the one that has the home. Raises ConfigurationError where another has it."""
    with open(home / "up.lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"the site in {home} is running already: `senogate down` ends it"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
