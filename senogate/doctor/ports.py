"""Who listens on the site's ports: the site while it runs, and nobody where it is to be started."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from archive.settings import Settings
from senogate.doctor import gateway
from senogate.doctor.finding import Finding, act, fine
from senogate.doctor.place import Place

_LISTENING = "0A"  # TCP_LISTEN of Linux, as /proc/net/tcp has it
_PATIENCE = 2.0  # seconds for a connection on this machine


class Owner(NamedTuple):
    """A process that listens: what it is called, and whether it is of this site."""

    pid: int
    name: str
    is_ours: bool


def look(place: Place) -> Iterator[Finding]:
    """Each port of the site on this machine, and who has it."""
    if not place.runs_here:
        return
    runs = place.pid is not None or gateway.answers(place)
    for key in ("port", "dicom_port", "orthanc_port", "commitment_port"):
        if number := getattr(place.settings, key):
            yield _port(place.settings, key, number, runs)


def _port(settings: Settings, key: str, number: int, runs: bool) -> Finding:
    name, owner = f"port-{number}", _owner(settings, number)
    taken = owner is not None or _is_answered(settings.host if key == "port" else "", number)
    if taken and owner and not owner.is_ours:
        said = f"{key} {number} is taken by {owner.name} (process {owner.pid}), which is not of this site"
        todo = f"End that, and keep it from starting with the machine; or set SENOGATE_{key.upper()} to a free port."
        return act(name, said, todo)
    if taken and not runs and not owner:
        todo = f"End what listens there, or set SENOGATE_{key.upper()} to a free port."
        return act(
            name,
            f"{key} {number} is taken by a program of another user",
            todo,
            f"ss -ltnp 'sport = :{number}'",
        )
    if runs and not taken:
        part = {"port": "gateway", "commitment_port": "worker"}.get(key, "orthanc")
        log = settings.home / "logs" / f"{part}.log"
        return act(name, f"nobody listens on {key} {number}", f"The end of {log} says why.", f"tail {log}")
    return fine(name, f"{key} {number} is {'the site' if runs else 'free for it'}")


def _is_answered(host: str, number: int) -> bool:
    address = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    with suppress(OSError), socket.create_connection((address, number), _PATIENCE):
        return True
    return False


def _owner(settings: Settings, number: int) -> Owner | None:
    """Who listens on a port, where this user may see that; one of the site's before any other."""
    inodes = {f"socket:[{inode}]" for inode in _inodes(number)}
    owners = [_described(settings, pid) for pid in _pids() if inodes & _sockets(pid)] if inodes else []
    return min(owners, key=lambda owner: not owner.is_ours, default=None)


def _inodes(number: int) -> Iterator[str]:
    for family in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == number:
                    yield fields[9]


def _pids() -> Iterator[int]:
    yield from (int(name) for name in os.listdir("/proc") if name.isdigit())


def _sockets(pid: int) -> set[str]:
    """What a process has open, as far as this user may see it."""
    found: set[str] = set()
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(os.readlink(descriptor))
    return found


def _described(settings: Settings, pid: int) -> Owner:
    """A process of a site is told by the home in its environment."""
    name, environment = "a program", b""
    with suppress(OSError):
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    home = b"SENOGATE_HOME=" + os.fsencode(settings.home)
    return Owner(pid, name, home in environment.split(b"\0"))
